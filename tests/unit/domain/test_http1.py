"""domain/http1.py: requests out, responses in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.http1 import BadResponse, ResponseParser, Target, basic, encode_request, quote

RESPONSES = {
    "length": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello", 202, b"hello", True),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: v\r\n\r\n",
        200, b"hello", True,
    ),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "interim first": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "says close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "octets behind it": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP", 200, b"ok", False),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "status", "body", "keep_alive"), RESPONSES.values(), ids=RESPONSES)
@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_a_response_in_any_pieces(octets, status, body, keep_alive, step):
    """RFC 9112 6: framing by length, chunks or nothing; interim responses are skipped (RFC 9110 15.2)."""
    parser = ResponseParser()
    done = False
    for at in range(0, len(octets), step):
        done = parser.feed(octets[at : at + step])
        if done:
            break
    assert done
    assert (status, body) == (parser.status, parser.body)
    if step > len(octets):
        assert keep_alive == parser.keep_alive


def test_a_body_may_end_with_the_connection():
    """RFC 9112 6.3: without any framing the close ends it, and nothing else may follow."""
    parser = ResponseParser()
    assert not parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    assert not parser.feed(b"lo")
    parser.end()
    assert (b"hello", False) == (parser.body, parser.keep_alive)


@pytest.mark.parametrize("cut", range(len(RESPONSES["length"][0])))
def test_a_cut_response_is_never_taken_for_one(cut):
    """A lost answer says nothing about the request."""
    parser = ResponseParser()
    assert not parser.feed(RESPONSES["length"][0][:cut])
    with pytest.raises(BadResponse):
        parser.end()


BAD = {
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,
}


@pytest.mark.parametrize("octets", BAD.values(), ids=BAD)
def test_what_is_no_response_is_refused(octets):
    """Bounded and strict."""
    with pytest.raises(BadResponse):
        ResponseParser().feed(octets)


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(octets):
    """The parser's only exception is its own."""
    try:
        ResponseParser().feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + octets)
        ResponseParser().feed(octets)
    except BadResponse:
        pass


def test_a_target_knows_its_parts():
    """Port by scheme unless given; a base path stays."""
    target = Target("https://api.example/base")
    assert (True, "api.example", 443, "api.example", "/base") == (
        target.secure, target.host, target.port, target.netloc, target.path,
    )  # fmt: skip
    target = Target("http://[::1]:8025")
    assert ("::1", 8025, "[::1]:8025", "") == (target.host, target.port, target.netloc, target.path)


@pytest.mark.parametrize(
    "url", ["ftp://x", "x:1", "http://", "http://a b", "http://x:99999", "http://u:p@x", "http://x\r\n"]
)
def test_a_bad_url_is_refused(url):
    """Nothing is guessed."""
    with pytest.raises(ValueError):
        Target(url)


def test_a_line_end_never_gets_into_a_head():
    """CR and LF never cross from a field into a header."""
    with pytest.raises(ValueError):
        encode_request("GET", "/", {"X": "a\r\nY: b"}, 0)


def test_basic_and_quote():
    """RFC 7617 2's own example; RFC 3986 2.3."""
    assert "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" == basic("Aladdin", "open sesame")
    assert "a%2Fb%20%C3%A4~" == quote("a/b ä~")
