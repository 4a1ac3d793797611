"""The native API, event by event."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from paravion.api.http_event import HttpRequest
from paravion.domain import sigv4
from paravion.domain.envelope import DeliverBy, Envelope, Recipient, encode_qf
from paravion.domain.ids import upload_name
from paravion.domain.queue import JobKey, JobRecord, LogEntry, State
from paravion.domain.ses_smtp_password import smtp_password
from paravion.domain.sigv4 import SignedRequest
from paravion.domain.transcript import Book
from paravion.errors import LedgerUnavailable, SecretsUnavailable
from tests.support.dkim_keys import fixed_private_key

BASIC = "Basic " + base64.b64encode(f"AKIATEST:{smtp_password('test-secret', 'us-east-1')}".encode()).decode()
CONTENT = b"From: a@example.org\r\n\r\n\xff\r\n"
BASE64 = base64.b64encode(CONTENT).decode()
LONGEST_CLIENT = "a" * 255 + f" ([IPv6:{':'.join(['2001'] * 8)}])"


def asked(world, method, path, body=b"", *, query="", is_text=False, **headers):
    """Ask as API Gateway would, by Basic unless told otherwise; give the status and the JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    named = {"authorization": BASIC, "content-type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    event = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": named,
        "requestContext": {"http": {"method": method, "sourceIp": "192.0.2.7"}, "requestId": "r-1"},
        "body": body.decode() if is_text else base64.b64encode(body).decode(),
        "isBase64Encoded": not is_text,
    }
    answer = world.answer(event)
    return answer["statusCode"], json.loads(answer["body"] or "null")


@pytest.mark.parametrize("is_text", [False, True], ids=["base64", "text"])
def test_json_form_with_everything(world, is_text):
    """Every key of the contract arrives in the submission, in either encoding of the event."""
    code, answer = asked(
        world, "POST", "/v1/messages",
        {
            "reverse_path": "a@example.org",
            "recipients": ["b@example.org", {"forward_path": "c@example.org", "notify": ["SUCCESS", "FAILURE"], "orcpt": "rfc822;c@example.org"}],
            "content": BASE64, "recipients_from_header": True, "body_type": "8BITMIME", "smtputf8": True, "ret": "HDRS",
            "envid": "e1", "tags": {"k": "v"}, "door": "smtp", "client": LONGEST_CLIENT, "configuration_set": "", "tls": "require",
        },
        is_text=is_text, idempotency_key="key 1",
    )  # fmt: skip
    assert (code, answer) == (202, {"queue_id": "q" * 26, "recipients": 2, "repeated": False})
    [submission] = world.submissions
    assert (
        Recipient("b@example.org"),
        Recipient("c@example.org", ("SUCCESS", "FAILURE"), "rfc822;c@example.org"),
    ) == submission.recipients
    fields = ("reverse_path", "content", "recipients_from_header", "body_type", "smtputf8", "ret", "envid", "tags", "door",
              "client", "idempotency_key", "principal", "restamp", "tls_required")  # fmt: skip
    assert tuple(getattr(submission, f) for f in fields) == ("a@example.org", CONTENT, True, "8BITMIME", True, "HDRS", "e1", (("k", "v"),), "smtp",
            LONGEST_CLIENT, "key 1", "AKIATEST", False, True)  # fmt: skip


def test_json_form_with_little(world):
    """Content and recipients are enough; the reverse-path then comes from the header."""
    assert asked(world, "POST", "/v1/messages", {"recipients": ["b@example.org"], "content": BASE64})[0] == 202
    [submission] = world.submissions
    assert (
        submission.reverse_path, submission.door, submission.client, submission.idempotency_key,
    ) == (None, "http", "[192.0.2.7]", "")  # fmt: skip


def test_null_reverse_path_is_not_an_absent_one(world):
    """RFC 5321 4.5.5: "" is the null reverse-path."""
    asked(world, "POST", "/v1/messages", {"reverse_path": "", "recipients": ["b@example.org"], "content": BASE64})
    assert world.submissions[0].reverse_path == ""


def test_rfc822_form(world):
    """The body is the message; parameters repeat."""
    query = "recipient=b%2Bx%40example.org&recipient=c+y@example.org&reverse_path=a@example.org&ret=FULL&envid=e&tls=require&notify=SUCCESS,DELAY"
    code, _ = asked(world, "POST", "/v1/messages", CONTENT, query=query, content_type="message/rfc822")
    [submission] = world.submissions
    assert code == 202
    assert submission.content == CONTENT
    assert [r.forward_path for r in submission.recipients] == ["b+x@example.org", "c+y@example.org"]
    assert submission.recipients[1].notify == ("SUCCESS", "DELAY")
    assert (
        submission.reverse_path, submission.ret, submission.envid, submission.recipients_from_header,
        submission.tls_required,
    ) == ("a@example.org", "FULL", "e", False, True)  # fmt: skip


@pytest.mark.parametrize(("word", "expected"), [("require", (True, False)), ("requiretls", (True, True))])
def test_tls_is_from_us_or_all_the_way(world, word, expected):
    """docs/tls.md; REQUIRETLS is the stricter of the two."""
    fields = {"recipients": ["b@example.org"], "content": BASE64, "tls": word}
    assert asked(world, "POST", "/v1/messages", fields)[0] == 202
    [submission] = world.submissions
    assert (submission.tls_required, submission.requiretls) == expected


def test_rfc822_form_without_recipients_takes_the_headers(world):
    """Sendmail -t over HTTP."""
    asked(world, "POST", "/v1/messages", CONTENT, content_type="message/rfc822; charset=x")
    assert world.submissions[0].recipients_from_header


GOOD = {"recipients": ["b@example.org"], "content": BASE64}
BAD = {
    "unknown key": ({**GOOD, "recipient": ["x"]}, "unknown key recipient"),
    "no content": ({"recipients": []}, "one of content, upload_id and upload_ids"),
    "both contents": ({**GOOD, "upload_id": "a" * 26}, "one of content, upload_id and upload_ids"),
    "no base64": ({**GOOD, "content": "*"}, "not base64"),
    "content of a wrong type": ({**GOOD, "content": 1}, "must be base64"),
    "recipients of a wrong type": ({**GOOD, "recipients": "b@example.org"}, "recipients must be a list"),
    "recipient of a wrong type": ({**GOOD, "recipients": [1]}, "recipients[0]"),
    "recipient's unknown key": ({**GOOD, "recipients": [{"forward_path": "b@example.org", "x": 1}]}, "recipients[0]"),
    "no forward-path": ({**GOOD, "recipients": [{}]}, "forward_path must be text"),
    "bad notify": ({**GOOD, "recipients": [{"forward_path": "b@example.org", "notify": ["NEVER", "DELAY"]}]}, "NEVER alone"),
    "bad orcpt": ({**GOOD, "recipients": [{"forward_path": "b@example.org", "orcpt": "a b;c"}]}, "orcpt"),
    "bad ret": ({**GOOD, "ret": "ALL"}, "ret must be one of"),
    "bad envid": ({**GOOD, "envid": "a b"}, "envid"),
    "CRLF in the client": ({**GOOD, "client": "a\r\nb"}, "client"),
    "endless client": ({**GOOD, "client": LONGEST_CLIENT + "a"}, "client must be up to 304"),
    "send_at without zone": ({**GOOD, "send_at": "2026-01-02T03:04:05"}, "send_at must be an instant"),
    "send_at that is none": ({**GOOD, "send_at": "2026-02-30T03:04:05Z"}, "send_at: there is no such instant"),
    "send_at of a wrong type": ({**GOOD, "send_at": 1}, "send_at must be an instant"),
    "priority of our own": ({**GOOD, "priority": "dsn"}, "priority must be one of urgent, normal"),
    "deadline without mode": ({**GOOD, "deliver_by": "2026-01-02T03:04:05Z"}, "deliver_by_mode"),
    "mode without deadline": ({**GOOD, "deliver_by_mode": "return"}, "must be given together"),
    "trace without deadline": ({**GOOD, "deliver_by_trace": True}, "must be given together"),
    "deadline of ten digits": (
        {**GOOD, "deliver_by": "2999-01-02T03:04:05Z", "deliver_by_mode": "notify"}, "at most 999999999 s"
    ),
    "no parts": ({"recipients": ["b@example.org"], "upload_ids": []}, "upload_ids must be a list"),
    "parts of a wrong type": ({"recipients": ["b@example.org"], "upload_ids": "a" * 26}, "upload_ids must be a list"),
    "bad tls": ({**GOOD, "tls": "verify"}, "tls must be one of require"),
    "bad door": ({**GOOD, "door": "ses-v2"}, "door must be one of"),
    "bad flag": ({**GOOD, "smtputf8": "yes"}, "smtputf8 must be true or false"),
    "bad tag": ({**GOOD, "tags": {"a b": "c"}}, "tag a b"),
    "reverse-path of a wrong type": ({**GOOD, "reverse_path": 1}, "reverse_path must be text"),
    "no object": ([], "must be a JSON object"),
    "no JSON": (b"{", "not JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "text"), BAD.values(), ids=BAD)
def test_bad_submissions_are_refused_by_name(world, body, text):
    """400 in the taxonomy's form; nothing is submitted; the log has a Rejection."""
    code, answer = asked(world, "POST", "/v1/messages", body)
    assert (
        code, answer["error"]["key"], answer["error"]["status"], answer["error"]["smtp"],
    ) == (400, "bad_request", "5.5.4", 501)  # fmt: skip
    assert text in answer["error"]["detail"]
    assert world.submissions == []
    assert [name for name, _ in world.event_log.records] == ["Rejection"]


@pytest.mark.parametrize(
    "query", ["x=1", "ret=FULL&ret=HDRS", "smtputf8=1", "notify=OFTEN&recipient=b@example.org", "envid=%ff"]
)
def test_bad_queries_are_refused(world, query):
    """Unknown, repeated, misspelt, not UTF-8."""
    assert asked(world, "POST", "/v1/messages", CONTENT, query=query, content_type="message/rfc822")[0] == 400
    assert world.submissions == []


@pytest.mark.parametrize("key", ["", "x" * 129, "é"])
def test_bad_idempotency_keys_are_refused(world, key):
    """1 to 128 printable ASCII characters: a key that is cut would join different messages."""
    assert asked(world, "POST", "/v1/messages", GOOD, idempotency_key=key)[0] == 400


def test_configuration_set_goes_on(world):
    """services/validate.py looks for it; a name that is none is refused here."""
    assert asked(world, "POST", "/v1/messages", {**GOOD, "configuration_set": "main"})[0] == 202
    assert world.submissions[-1].configuration_set == "main"
    assert (
        asked(world, "POST", "/v1/messages", {**GOOD, "configuration_set": "a b"})[1]["error"]["key"] == "bad_request"
    )


def test_upload_and_submit(world):
    """A ticket, a PUT, a submission by upload id; the upload goes unless a key allows repeats."""
    code, ticket = asked(world, "POST", "/v1/uploads", {"octets": len(CONTENT)})
    assert (code, ticket["method"], ticket["max_octets"]) == (201, "PUT", 100_000)
    datetime.fromisoformat(ticket["expires_at"])
    assert (
        asked(world, "POST", "/v1/messages", {"recipients": ["b@example.org"], "upload_id": ticket["upload_id"]})[0]
        == 404
    )
    name = ticket["url"].removeprefix("memory:")
    world.uploads.items[name] = CONTENT
    deleted = []
    world.uploads.delete = deleted.append
    body = {"recipients": ["b@example.org"], "upload_id": ticket["upload_id"]}
    assert asked(world, "POST", "/v1/messages", body, idempotency_key="k")[0] == 202
    assert deleted == []
    assert asked(world, "POST", "/v1/messages", body)[0] == 202
    assert [name] == deleted
    assert world.submissions[0].content == CONTENT


def test_upload_is_its_credentials(world):
    """Another one's, an operator's too, finds nothing under its id, nor under the name in its URL."""
    for name, operator in (("AKIAOTHER", False), ("AKIAOP", True)):
        stored = {"secret_key": "other", "enabled": True, "operator": operator}
        world.secrets.put(f"credentials/{name}", json.dumps(stored))
    _, ticket = asked(world, "POST", "/v1/uploads", {"octets": len(CONTENT)})
    name = ticket["url"].removeprefix("memory:")
    world.uploads.items[name] = CONTENT
    for upload_id in (ticket["upload_id"], name):
        body = {"recipients": ["b@example.org"], "upload_id": upload_id}
        for who in ("AKIAOTHER", "AKIAOP"):
            basic = "Basic " + base64.b64encode(f"{who}:{smtp_password('other', 'us-east-1')}".encode()).decode()
            assert asked(world, "POST", "/v1/messages", body, authorization=basic)[0] == 404
            told = asked(world, "PUT", "/v1/tables/aliases", query=f"upload_id={upload_id}", authorization=basic)
            assert told[0] == 404
        assert asked(world, "POST", "/v1/messages", body)[0] == (202 if upload_id == ticket["upload_id"] else 404)


def test_message_in_parts(world):
    """Their order is the message's; together they have its limit, and all of them go."""
    parts = {"u" * 26: CONTENT[:9], "v" * 26: CONTENT[9:], "w" * 26: b"x" * 100_000}
    world.uploads.items |= {upload_name(upload_id, "AKIATEST"): part for upload_id, part in parts.items()}
    body = {"recipients": ["b@example.org"], "upload_ids": ["u" * 26, "v" * 26]}
    assert asked(world, "POST", "/v1/messages", {**body, "upload_ids": ["u" * 26, "w" * 26]})[0] == 413
    assert asked(world, "POST", "/v1/messages", {**body, "upload_ids": ["u" * 26, "../qf/x"]})[0] == 404
    assert asked(world, "POST", "/v1/messages", body)[0] == 202
    assert world.submissions[0].content == CONTENT
    assert world.uploads.items.keys() == {upload_name("w" * 26, "AKIATEST")}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-02T03:04:05Z", 1767323045.0),
        ("2026-01-02t04:04:05.5+01:00", 1767323045.5),
        ("", 0.0),
        ("0001-01-01T00:00:00+14:00", 0.0),
    ],
)
def test_send_at_is_the_release(world, text, at):
    """RFC 3339, in any zone."""
    assert asked(world, "POST", "/v1/messages", {**GOOD, "send_at": text})[0] == 202
    assert world.submissions[0].release_at == at


def test_priority_and_deadline_are_taken(world):
    """In both forms."""
    by = {"deliver_by": "2026-01-02T03:04:05Z", "deliver_by_mode": "return"}
    assert asked(world, "POST", "/v1/messages", {**GOOD, "priority": "bulk", **by, "deliver_by_trace": True})[0] == 202
    query = "recipient=b%40example.org&priority=urgent&deliver_by=2026-01-02T03:04:05Z&deliver_by_mode=notify"
    assert asked(world, "POST", "/v1/messages", CONTENT, query=query, content_type="message/rfc822")[0] == 202
    found = [(submission.priority, submission.deliver_by) for submission in world.submissions]
    assert found == [
        ("bulk", DeliverBy(1767323045.0, returns=True, traces=True)),
        ("urgent", DeliverBy(1767323045.0)),
    ]


@pytest.mark.parametrize("upload_id", ["../qf/x", "A" * 26, 1, ["x"]])
def test_upload_ids_can_name_nothing_else(world, upload_id):
    """An id that is none never becomes a key of the spool."""
    code, _ = asked(world, "POST", "/v1/messages", {"recipients": ["b@example.org"], "upload_id": upload_id})
    assert code == 404


@pytest.mark.parametrize(
    ("octets", "code"), [(0, 400), ("1", 400), (True, 400), (None, 400), (100_001, 413), (100_000, 201)]
)
def test_uploads_have_a_limit(world, octets, code):
    """max_message_octets holds for uploads too."""
    assert code == asked(world, "POST", "/v1/uploads", {"octets": octets})[0]


def test_health_needs_no_credential(world):
    """A load balancer has none."""
    code, answer = asked(world, "GET", "/v1/health", authorization="")
    assert (code, answer["status"]) == (200, "ok")
    settings = world.admin_deps.settings
    limits = (settings.max_message_octets, settings.max_recipients_count)
    assert (answer["max_message_octets"], answer["max_recipients_count"]) == limits


def test_own_credential(world):
    """How the front door checks AUTH: with Basic and with SigV4."""
    assert asked(world, "GET", "/v1/credentials/self") == (200, {"access_key": "AKIATEST"})
    request = SignedRequest("GET", "/v1/credentials/self", "", {"host": "h.example"}, b"")
    signed = sigv4.sign(request, "AKIATEST", "test-secret", "eu-north-1", now=world.clock())
    code, _ = asked(
        world, "GET", "/v1/credentials/self", host="h.example",
        authorization=signed["Authorization"], x_amz_date=signed["X-Amz-Date"],
    )  # fmt: skip
    assert code == 200


@pytest.mark.parametrize(
    ("authorization", "code", "key"),
    [
        ("", 401, "auth_required"),
        ("Basic " + base64.b64encode(b"AKIATEST:wrong").decode(), 403, "auth_invalid"),
        ("Basic " + base64.b64encode(b"AKIANOBODY:wrong").decode(), 403, "auth_invalid"),
        ("Basic *", 403, "auth_invalid"),
        ("Basic " + base64.b64encode(b"AKIATEST").decode(), 403, "auth_invalid"),
        ("Bearer x", 403, "signature_invalid"),
    ],
    ids=["none", "wrong password", "unknown", "no base64", "no colon", "other scheme"],
)
def test_who_is_not_known_is_refused(world, authorization, code, key):
    """In the taxonomy's form."""
    http, answer = asked(world, "GET", "/v1/credentials/self", authorization=authorization)
    assert (code, key) == (http, answer["error"]["key"])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/v1/nothing"), ("DELETE", "/v1/queue"), ("GET", "/favicon.ico")]
)
def test_unknown_routes(world, method, path):
    """404, after authentication."""
    code, answer = asked(world, method, path)
    assert (code, answer["error"]["key"]) == (404, "unknown_operation")
    assert asked(world, method, path, authorization="")[0] == 401


def test_transcript_of_an_attempt(world):
    """Instants are RFC 3339, bad parameters are refused by name, unknown messages are not found."""
    envelope = Envelope("q" * 26, "a@example.org", (Recipient("b@example.org"),), 0.0, 2, submitter="AKIATEST")
    world.spool.put_envelope("q" * 26, encode_qf(envelope, b"From: a\r\n"))
    book = Book("2026-01-02/t0")
    book.recorder("q" * 26, 0, 1, 1_800_000_000.0, "example.org").note(0, "spoke")
    world.transcripts.put(book.key, book.encode())
    entry = LogEntry(0.0, "delivered", 1, (0,), "", book.key)
    world.ledger.save(JobRecord(JobKey("q" * 26), 0.0, State.DONE, log=(entry,)))
    path = f"/v1/messages/{'q' * 26}/transcript"
    code, told = asked(world, "GET", path)
    assert (code, told["attempts"]) == (
        200,
        [
            {
                "attempt": 1,
                "chunk": 0,
                "at": "2027-01-15T08:00:00.000Z",
                "next_hop": "example.org",
                "lines": [{"ms": 0, "kind": "*", "text": "spoke"}],
            }
        ],
    )
    assert asked(world, "GET", path, query="attempt=2")[1]["attempts"] == []
    for query in ("attempt=0", "attempt=x", "attempt=1&attempt=2", "x=1"):
        assert asked(world, "GET", path, query=query)[0] == 400
    assert asked(world, "GET", f"/v1/messages/{'z' * 26}/transcript")[0] == 404
    assert asked(world, "GET", path, authorization="")[0] == 401


def test_identities(world):
    """PUT twice is one; GET checks the DNS; DELETE removes."""
    world.put_credential(operator=True)
    code, made = asked(world, "PUT", "/v1/identities/Example.org")
    assert (code, made["verified"], made["may_send"]) == (201, False, False)
    assert made["record"] == {"type": "TXT", "name": "_paravion.example.org", "value": "t0ken"}
    assert (200, made) == asked(world, "PUT", "/v1/identities/example.org", {})
    world.txt["_paravion.example.org"] = ["t0ken"]
    assert asked(world, "GET", "/v1/identities/example.org")[1]["verified"]
    code, listed = asked(world, "GET", "/v1/identities", query="limit=1")
    assert ([item["name"] for item in listed["identities"]], listed["after"]) == (["example.org"], None)
    assert asked(world, "DELETE", "/v1/identities/example.org") == (204, None)
    assert asked(world, "DELETE", "/v1/identities/example.org")[0] == 404
    assert asked(world, "GET", "/v1/identities/example.org")[0] == 404
    for name in ("localhost", "a..b", "[192.0.2.1]"):
        assert asked(world, "PUT", f"/v1/identities/{name}")[0] == 400
    assert asked(world, "PUT", "/v1/identities/example.org", {"verified": True})[0] == 400


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1&limit=2", "limit=1001", "x=1"])
def test_bad_limits(world, query):
    """Refused, not bent."""
    assert asked(world, "GET", "/v1/queue", query=query)[0] == 400
    assert asked(world, "GET", "/v1/identities", query=query)[0] == 400


@pytest.mark.parametrize("fault", [LedgerUnavailable("x"), SecretsUnavailable("x")], ids=["ledger", "secrets"])
def test_unavailable_is_transient(world, fault):
    """503 with Retry-After: the client may come again."""

    def fail(*args):
        raise fault

    if isinstance(fault, SecretsUnavailable):
        world.secrets.get = fail
    else:
        world.ledger.waiting = fail
    code, answer = asked(world, "GET", "/v1/queue")
    assert (code, answer["error"]["key"], answer["error"]["status"]) == (503, "system_busy", "4.3.2")
    [(name, fields)] = world.event_log.records
    assert ("Fault", type(fault).__name__) == (name, fields["fault"])


def test_broken_base64_of_the_gateway(world):
    """A body that is not what the event says is a bad request."""
    event = {"rawPath": "/v1/messages", "headers": {"authorization": BASIC}, "body": "*", "isBase64Encoded": True,
             "requestContext": {"http": {"method": "POST"}}}  # fmt: skip
    assert world.answer(event)["statusCode"] == 400


def test_an_empty_event_is_a_request():
    """What the gateway leaves out is empty."""
    request = HttpRequest.from_event({})
    assert (
        request.method,
        request.path,
        request.query,
        request.body,
        request.client_address,
    ) == ("GET", "/", "", b"", "")


def test_instants_are_rfc_3339(world):
    """UTC, to the millisecond, Z."""
    world.put_credential(operator=True)
    world.clock = lambda: datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC).timestamp()
    assert asked(world, "PUT", "/v1/identities/example.org")[1]["created_at"] == "2026-01-02T03:04:05.678Z"


def test_identity_keys(world):
    """PUT tells the records, GET what is published, rotation takes a step; no private key in any answer."""
    world.put_credential(operator=True)
    made = asked(world, "PUT", "/v1/identities/example.org")[1]["dkim"]
    assert (made["status"], [key["algorithm"] for key in made["keys"]]) == ("pending", ["rsa-sha256", "ed25519-sha256"])
    for key in made["keys"]:
        world.txt[key["record"]["name"]] = [key["record"]["value"]]
    shown = asked(world, "GET", "/v1/identities/example.org")[1]["dkim"]
    assert (shown["status"], [key["published"] for key in shown["keys"]]) == ("active", [True, True])
    code, rotated = asked(world, "POST", "/v1/identities/example.org/rotation")
    assert (code, [key["state"] for key in rotated["dkim"]["keys"]]) == (200, ["active", "active", "next", "next"])
    forced = asked(world, "POST", "/v1/identities/example.org/rotation", {"force": True})[1]["dkim"]
    assert [key["state"] for key in forced["keys"]] == ["retired", "retired", "active", "active"]
    assert forced["keys"][0]["expires_at"].endswith("Z")
    for body in ({"force": 1}, {"fore": True}, {"force": True}):
        assert asked(world, "POST", "/v1/identities/example.org/rotation", body)[0] == 400
    assert asked(world, "POST", "/v1/identities/other.example/rotation")[0] == 404
    private = base64.b64encode(fixed_private_key("rsa-sha256")).decode()
    assert private[40:200] not in json.dumps([made, shown, rotated, forced])


def test_identities_are_an_operators(world):
    """One application's credential can neither add, rotate nor take away who may send."""
    for method, path in (("PUT", ""), ("POST", "/rotation"), ("DELETE", "")):
        code, answer = asked(world, method, f"/v1/identities/example.org{path}")
        assert (code, answer["error"]["key"]) == (403, "access_denied")


@pytest.mark.parametrize(
    "changes",
    [
        {"envid": "a+zz"},
        {"recipients": [{"forward_path": "b@y.example", "orcpt": "rfc822;a+zz"}]},
        {"recipients": [{"forward_path": "b@y.example", "orcpt": "rfc 822;a@b.example"}]},
    ],
    ids=["envid", "orcpt", "address type"],
)
def test_dsn_parameters_that_no_host_would_take(world, changes):
    """xtext is checked at the door (RFC 3461 4): a host's 501 later would return accepted mail."""
    body = {"recipients": ["b@y.example"], "content": "RnJvbTogYUBiLmV4YW1wbGUNCg0KeA0K", **changes}
    code, answer = asked(world, "POST", "/v1/messages", json.dumps(body).encode())
    assert (code, answer["error"]["key"]) == (400, "bad_request")
    assert next(iter(changes)) in answer["error"]["detail"]


def test_hold_and_release_and_remove_are_an_operators(world):
    """Routes, bodies and refusals; what they do is services/hold.py's."""
    for method, path, body in (
        ("POST", "hold", b'{"reason": "x"}'),
        ("POST", "hold", b"{}"),
        ("POST", "release", b'{"a": 1}'),
        ("POST", "release", b""),
        ("DELETE", "", b""),
    ):
        target = f"/v1/messages/{'a' * 26}" + (f"/{path}" if path else "")
        expected = 400 if body in {b"{}", b'{"a": 1}'} else 403
        assert asked(world, method, target, body)[0] == expected, (method, path, body)
