"""SigV4 as botocore signs it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from unittest import mock
from urllib.parse import quote, unquote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain import sigv4
from paravion.domain.ses_smtp_password import smtp_password
from paravion.domain.sigv4 import IncompleteSignature, SignedRequest
from paravion.domain.status import Rejected

KEY, SECRET, REGION, HOST = "AKIAEXAMPLE", "secret/+key", "eu-west-1", "mail.example.test:8025"
NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
AT = NOW.timestamp()


def botocore_signed(method, path, query, headers, body, *, signer=botocore.auth.SigV4Auth, token=None, **kwargs):
    """Sign with botocore at NOW and give the request as it goes over the wire."""
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    # At the edges of the process botocore reads the clock by itself.
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        signer(Credentials(KEY, SECRET, token), "ses", REGION, **kwargs).add_auth(request)
    parts = urlsplit(request.url)
    wire = {name.lower(): value for name, value in request.headers.items()} | {"host": HOST}
    return SignedRequest(method, parts.path, parts.query, wire, body)


def changed(request, **fields):
    """Give the request with other values."""
    values = {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body")}
    return SignedRequest(**{**values, **fields})


def accept(request, *, secret=SECRET, now=AT):
    """Read the claim and verify it."""
    claim = sigv4.parse_claim(request)
    sigv4.verify(request, claim, secret, now=now)
    return claim


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
segments = st.lists(texts.filter(lambda t: t not in {"", ".", ".."}), max_size=4)
queries = st.lists(st.tuples(texts.filter(lambda t: not t.startswith("X-Amz-")), texts), max_size=5)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
extra_headers = st.dictionaries(st.sampled_from(["X-A", "X-B", "Content-Type", "Accept"]), values, max_size=4)
bodies = st.binary(max_size=64)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=segments, query=queries, headers=extra_headers, body=bodies, is_decoded=st.booleans(),
)  # fmt: skip
def test_what_botocore_signs_is_accepted(method, path, query, headers, body, is_decoded):
    """Any path, query, header and body; also when a gateway decoded the path, as API Gateway does."""
    wire_path = "/" + "/".join(quote(segment, safe="-._~") for segment in path)
    wire_query = "&".join(f"{quote(k, safe='-._~')}={quote(v, safe='-._~')}" for k, v in query)
    request = botocore_signed(method, wire_path, wire_query, headers, body)
    if is_decoded and not any("/" in segment for segment in path):
        request = changed(request, path=unquote(request.path))
    assert accept(request).access_key == KEY


@given(query=queries, path=segments)
def test_what_botocore_presigns_is_accepted_until_it_expires(query, path):
    """The query form, X-Amz-Expires seconds long."""
    single = {k: v for k, v in query if k}
    wire_path = "/" + "/".join(quote(segment, safe="-._~") for segment in path)
    wire_query = "&".join(f"{quote(k, safe='-._~')}={quote(v, safe='-._~')}" for k, v in single.items())
    request = botocore_signed("GET", wire_path, wire_query, {}, b"", signer=botocore.auth.SigV4QueryAuth, expires=60)
    claim = accept(request, now=AT + 59)
    assert claim.expires_s == 60
    with pytest.raises(Rejected) as caught:
        accept(request, now=AT + 61)
    assert caught.value.status.key == "request_expired"


@given(query=queries, headers=extra_headers, body=bodies)
def test_what_we_sign_is_what_botocore_signs(query, headers, body):
    """Our own signer gives botocore's Authorization header."""
    wire_query = "&".join(f"{quote(k, safe='-._~')}={quote(v, safe='-._~')}" for k, v in query)
    theirs = botocore_signed("POST", "/v2/email/identities/a%40b", wire_query, headers, body)
    ours = sigv4.sign(
        SignedRequest(
            "POST", "/v2/email/identities/a%40b", wire_query, {**{k.lower(): v for k, v in headers.items()}, "host": HOST}, body
        ),
        KEY, SECRET, REGION, now=AT,
    )  # fmt: skip
    assert theirs.headers["authorization"] == ours["Authorization"]
    assert theirs.headers["x-amz-date"] == ours["X-Amz-Date"]


GOOD = botocore_signed("POST", "/v1/messages", "a=1&a=2", {"Content-Type": "application/json"}, b"{}")

TAMPERED = {
    "body": {"body": b"{ }"},
    "method": {"method": "PUT"},
    "path": {"path": "/v1/messages/"},
    "query": {"query": "a=1&a=3"},
    "query dropped": {"query": ""},
    "host": {"headers": {**GOOD.headers, "host": "other.example.test"}},
    "signed header": {"headers": {**GOOD.headers, "content-type": "message/rfc822"}},
    "date": {"headers": {**GOOD.headers, "x-amz-date": "20260304T050608Z"}},
    "content hash": {"headers": {**GOOD.headers, "x-amz-content-sha256": "0" * 64}},
    "unsigned payload": {"headers": {**GOOD.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}},
}


@pytest.mark.parametrize("fields", TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_request_does_not_match(fields):
    """Everything that the signature covers, and a stated body hash that is not the body's."""
    with pytest.raises(Rejected) as caught:
        accept(changed(GOOD, **fields))
    assert caught.value.status.key == "signature_invalid"
    assert caught.value.detail.startswith("The request signature we calculated does not match")


def test_another_secret_does_not_match():
    """The signature proves the secret key."""
    with pytest.raises(Rejected) as caught:
        accept(GOOD, secret="other")
    assert caught.value.status.key == "signature_invalid"


@pytest.mark.parametrize(
    ("shift_s", "text"),
    [
        (300, None),
        (-300, None),
        (301, "Signature expired: 20260304T050607Z is now earlier than 20260304T050608Z (20260304T051108Z - 5 min.)"),
        (-301, "Signature not yet current: 20260304T050607Z is still later than 20260304T050606Z (20260304T050106Z + 5 min.)"),
    ],
    ids=["5 min late", "5 min early", "later", "earlier"],
)  # fmt: skip
def test_the_clock_may_differ_by_five_minutes(shift_s, text):
    """AWS's limit and its words."""
    if text is None:
        accept(GOOD, now=AT + shift_s)
        return
    with pytest.raises(Rejected) as caught:
        accept(GOOD, now=AT + shift_s)
    assert ("request_expired", text) == (caught.value.status.key, caught.value.detail)


def test_another_service_is_refused():
    """SES's SDKs sign for `ses`; a signature for another service is not ours."""
    url = f"http://{HOST}/"
    request = AWSRequest(method="POST", url=url, data=b"")
    botocore.auth.SigV4Auth(Credentials(KEY, SECRET), "execute-api", REGION).add_auth(request)
    wire = {name.lower(): value for name, value in request.headers.items()} | {"host": HOST}
    signed = SignedRequest("POST", "/", "", wire, b"")
    claim = sigv4.parse_claim(signed)
    now = dt.datetime.strptime(claim.signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC).timestamp()
    with pytest.raises(Rejected, match="correct service: 'ses'"):
        sigv4.verify(signed, claim, SECRET, now=now)


def test_a_session_token_is_refused_by_name():
    """Nobody here issues session tokens."""
    request = botocore_signed("POST", "/", "", {}, b"", token="t0ken")
    with pytest.raises(Rejected, match="Session tokens") as caught:
        sigv4.parse_claim(request)
    assert caught.value.status.key == "auth_invalid"


def test_no_signature_is_missing_authentication():
    """Neither header nor query form."""
    with pytest.raises(Rejected) as caught:
        sigv4.parse_claim(SignedRequest("GET", "/", "", {"host": HOST}, b""))
    assert (caught.value.status.key, caught.value.detail) == ("auth_required", "Missing Authentication Token")


SCOPE = "AKIA/20260304/r/ses/aws4_request"
HEADERS = {
    "other scheme": "Bearer x",
    "no parts": "AWS4-HMAC-SHA256",
    "no signature": f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host",
    "short scope": f"AWS4-HMAC-SHA256 Credential=AKIA/20260304/ses, SignedHeaders=host, Signature={'0' * 64}",
    "other day": f"AWS4-HMAC-SHA256 Credential=AKIA/20260305/r/ses/aws4_request, SignedHeaders=host, Signature={'0' * 64}",
    "host unsigned": f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=x-amz-date, Signature={'0' * 64}",
    "upper case": f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=Host, Signature={'0' * 64}",
    "bad signature": f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature={'g' * 64}",
    "twice": f"AWS4-HMAC-SHA256 Credential={SCOPE}, Credential={SCOPE}, SignedHeaders=host, Signature={'0' * 64}",
}


@pytest.mark.parametrize("authorization", HEADERS.values(), ids=HEADERS)
def test_a_misspelt_signature_is_incomplete(authorization):
    """What can't be read is told apart from what does not match."""
    headers = {"host": HOST, "x-amz-date": "20260304T050607Z", "authorization": authorization}
    with pytest.raises(IncompleteSignature):
        sigv4.parse_claim(SignedRequest("POST", "/", "", headers, b""))


@pytest.mark.parametrize("date", ["", "yesterday", "20261304T050607Z", "20260304T050661Z"])
def test_a_bad_date_is_incomplete(date):
    """X-Amz-Date must be there and be a date."""
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=AKIA/{date[:8]}/r/ses/aws4_request, SignedHeaders=host, Signature={'0' * 64}"
    )
    headers = {"host": HOST, "x-amz-date": date, "authorization": authorization}
    with pytest.raises(IncompleteSignature):
        sigv4.parse_claim(SignedRequest("POST", "/", "", headers, b""))


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_presigned_request_needs_every_parameter(name):
    """A part of the query form is no signature."""
    request = botocore_signed("GET", "/", "", {}, b"", signer=botocore.auth.SigV4QueryAuth)
    query = "&".join(part for part in request.query.split("&") if not part.startswith(f"X-Amz-{name}="))
    with pytest.raises(IncompleteSignature, match=f"X-Amz-{name}"):
        sigv4.parse_claim(changed(request, query=query))


@pytest.mark.parametrize("expires", ["604801", "-1", "x", "99999999"])
def test_a_presigned_request_lasts_a_week_at_most(expires):
    """AWS's limit of X-Amz-Expires."""
    request = botocore_signed("GET", "/", "", {}, b"", signer=botocore.auth.SigV4QueryAuth)
    with pytest.raises(IncompleteSignature, match="X-Amz-Expires"):
        sigv4.parse_claim(changed(request, query=request.query.replace("Expires=3600", f"Expires={expires}")))


@given(authorization=st.text(max_size=200), query=st.text(max_size=100), date=st.text(max_size=20))
def test_any_authorization_is_answered_with_a_refusal(authorization, query, date):
    """Whatever a client sends is a Rejected, never another exception."""
    request = SignedRequest("GET", "/", query, {"authorization": authorization, "x-amz-date": date, "host": "h"}, b"")
    with pytest.raises(Rejected):
        accept(request)


def test_smtp_password_of_the_developer_guide_form():
    """0x04 and an HMAC-SHA256: 33 octets, 44 characters; it depends on the region."""
    first = smtp_password("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
    assert len(first) == 44
    assert first[0] == "B"
    assert first != smtp_password("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-west-2")


@pytest.mark.parametrize("path", ["/a/../v1/messages", "/v1/./messages", "//v1//messages", "/../v1/messages"])
def test_dot_segments_do_not_count(path):
    """RFC 3986 5.2.4, as AWS canonicalises."""
    assert accept(changed(GOOD, path=path)).access_key == KEY


def test_a_presigned_request_of_another_algorithm():
    """SigV4 only."""
    request = botocore_signed("GET", "/", "", {}, b"", signer=botocore.auth.SigV4QueryAuth)
    with pytest.raises(IncompleteSignature, match="X-Amz-Algorithm"):
        sigv4.parse_claim(changed(request, query=request.query.replace("HMAC-SHA256", "HMAC-SHA1")))


@pytest.mark.parametrize("query", ["b=x@y&a=z@y", "a=1+2", "a", "a=%7e&b=%2f"])
def test_a_query_that_the_client_did_not_encode_is_accepted(query):
    """The query of a URL is signed by botocore sorted but as it stands."""
    request = botocore_signed("GET", "/v1/queue", query, {}, b"")
    assert accept(request).access_key == KEY


def test_a_query_that_the_client_did_not_sort_is_accepted():
    """The query is signed just as it stands by curl 7.88."""
    request = SignedRequest("GET", "/v1/queue", "b=x@y&a=1", {"host": HOST, "x-amz-date": "20260304T050607Z"}, b"")
    names = ("host", "x-amz-date")
    claim = sigv4.Claim(KEY, "20260304", REGION, "ses", "20260304T050607Z", names, "")
    payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    canonical = (
        f"GET\n/v1/queue\n{request.query}\nhost:{HOST}\nx-amz-date:20260304T050607Z\n\nhost;x-amz-date\n{payload}"
    )
    signature = sigv4._signature(sigv4.signing_key(SECRET, "20260304", REGION, "ses"), claim, canonical)
    sigv4.verify(request, replace(claim, signature=signature), SECRET, now=AT)


def test_a_signature_over_a_proxied_host_is_accepted():
    """A proxy that rewrites Host says which one the client signed for; a wrong one still proves nothing."""
    proxied = changed(GOOD, headers={**GOOD.headers, "host": "10.0.0.7:8025", "x-forwarded-host": f"{HOST}, 10.0.0.9"})
    assert accept(proxied).access_key == KEY
    for forwarded in ("other.example.test", ""):
        with pytest.raises(Rejected, match="does not match"):
            accept(changed(proxied, headers={**proxied.headers, "x-forwarded-host": forwarded}))


@pytest.mark.parametrize("query", ["a=1&a=2", "a=2&a=1", "a&a", "a=&a=1&b=2&a=1"])
def test_duplicate_query_parameters_are_all_signed(query):
    """None can be dropped, added or changed."""
    request = botocore_signed("GET", "/v1/queue", query, {}, b"")
    assert accept(request).access_key == KEY
    for other in (query.rpartition("&")[0], f"{query}&a=1", f"{query}x"):
        with pytest.raises(Rejected, match="does not match"):
            accept(changed(request, query=other))


@pytest.mark.parametrize("name", ["Signature", "Credential", "Date", "Expires", "SignedHeaders", "Algorithm"])
def test_a_presigned_parameter_given_twice_is_refused(name):
    request = botocore_signed("GET", "/", "", {}, b"", signer=botocore.auth.SigV4QueryAuth)
    with pytest.raises(IncompleteSignature, match=f"'X-Amz-{name}' is there more than once"):
        sigv4.parse_claim(changed(request, query=f"{request.query}&X-Amz-{name}=1"))


@pytest.mark.parametrize(
    "stated", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]
)
def test_a_payload_that_is_not_signed_is_refused(stated):
    """Those are S3's: also from a client that signed them properly, for the body could be anybody's."""
    names = ("host", "x-amz-content-sha256", "x-amz-date")
    headers = {"host": HOST, "x-amz-date": "20260304T050607Z", "x-amz-content-sha256": stated}
    request = SignedRequest("POST", "/", "", headers, b"Action=SendEmail")
    claim = sigv4.Claim(KEY, "20260304", REGION, "ses", "20260304T050607Z", names, "")
    canonical = sigv4.canonical_request("POST", "/", "", request.headers, names, stated)
    signature = sigv4._signature(sigv4.signing_key(SECRET, "20260304", REGION, "ses"), claim, canonical)
    with pytest.raises(Rejected, match="does not match"):
        sigv4.verify(request, replace(claim, signature=signature), SECRET, now=AT)


def test_a_body_changed_after_signing_is_refused():
    with pytest.raises(Rejected, match="does not match"):
        accept(changed(GOOD, body=GOOD.body + b" "))
