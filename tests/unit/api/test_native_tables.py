"""Tables and addresses over the native API."""

from __future__ import annotations

import base64

import pytest

from paravion.cli.verify import render
from paravion.domain.ids import upload_name
from tests.unit.api.test_native import asked


@pytest.fixture
def operator(world):
    """The credential is an operator's."""
    world.put_credential(operator=True)
    return world


def _put(world, kind, octets, query="", **headers):
    headers.setdefault("content_type", "application/octet-stream")
    return asked(world, "PUT", f"/v1/tables/{kind}", octets, query=query, **headers)


def test_table_is_loaded_shown_and_unloaded(operator):
    """The whole life of one."""
    code, answer = _put(operator, "aliases", b"team: a@z.example, bob\n", "file=/etc/aliases")
    assert (code, answer["kind"], answer["entries"]) == (200, "aliases", 1)
    (listed,) = asked(operator, "GET", "/v1/tables")[1]["tables"]
    assert listed["kind"] == "aliases"
    assert listed["loaded_at"].endswith("Z")
    code, answer = asked(operator, "GET", "/v1/tables/aliases", query="key=TEAM")
    assert answer["entries"] == [{"key": "team", "value": ["a@z.example", "bob"]}]
    assert asked(operator, "GET", "/v1/tables/aliases")[1]["count"] == 1
    assert asked(operator, "GET", "/v1/tables/aliases", query="key=x")[0] == 404
    assert asked(operator, "DELETE", "/v1/tables/aliases")[0] == 204
    assert asked(operator, "DELETE", "/v1/tables/aliases")[0] == 404
    assert asked(operator, "GET", "/v1/tables/aliases")[0] == 404


def test_bad_table_names_its_lines_and_leaves_the_old_one(operator):
    """Nothing half-loaded."""
    _put(operator, "aliases", b"a: b@z.example\n")
    code, answer = _put(operator, "aliases", b"a: c@z.example\nbad\nx: |y\n", "file=my.aliases")
    assert code == 400
    assert "my.aliases:2: no colon" in answer["error"]["detail"]
    assert "my.aliases:3: " in answer["error"]["detail"]
    assert asked(operator, "GET", "/v1/tables/aliases", query="key=a")[1]["entries"][0]["value"] == ["b@z.example"]


def test_include_is_loaded_before_what_names_it(operator):
    """And stays while it is named."""
    code, answer = _put(operator, "aliases", b"team: :include:/l/team\n")
    assert code == 400
    assert "':include:l/team' of team is not loaded" in answer["error"]["detail"]
    assert _put(operator, "include", b"a@z.example\n:include:/l/team\n", "name=/l/team")[0] == 200
    assert _put(operator, "aliases", b"team: :include:/l/team\n")[0] == 200
    assert asked(operator, "DELETE", "/v1/tables/include", query="name=l/team")[0] == 400
    assert asked(operator, "GET", "/v1/tables/include", query="name=l/team")[1]["count"] == 2


def test_several_files_and_an_upload(operator):
    """JSON with names; what is too large for a request comes by upload."""
    files = [{"name": n, "content": base64.b64encode(f"{n}: {n}@z.example".encode()).decode()} for n in "ab"]
    assert asked(operator, "PUT", "/v1/tables/aliases", {"files": files})[1]["entries"] == 2
    operator.uploads.items[upload_name("u" * 26, "AKIATEST")] = b"x: y@z.example\n"
    code, answer = _put(operator, "aliases", b"", f"upload_id={'u' * 26}&file=big")
    assert (code, answer["entries"]) == (200, 1)
    assert not operator.uploads.items
    assert _put(operator, "aliases", b"", f"upload_id={'v' * 26}")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("PUT", "/v1/tables/nosuch", "", b"x"),
        ("PUT", "/v1/tables/include", "", b"x"),
        ("PUT", "/v1/tables/include", "name=../x", b"x"),
        ("PUT", "/v1/tables/aliases", "name=x", b"x"),
        ("PUT", "/v1/tables/aliases", "colour=x", b"x"),
        ("PUT", "/v1/tables/aliases", "", {"files": []}),
        ("PUT", "/v1/tables/aliases", "", {"files": [{"name": "x"}]}),
        ("PUT", "/v1/tables/aliases", "", {"files": [{"name": "x", "content": "?"}]}),
    ],
)
def test_what_is_no_table_is_refused(operator, method, path, query, body):
    """400, never a fault."""
    kind = "application/json" if isinstance(body, dict) else "application/octet-stream"
    assert asked(operator, method, path, body, query=query, content_type=kind)[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/tables"), ("GET", "/v1/tables/aliases"), ("PUT", "/v1/tables/aliases"),
        ("DELETE", "/v1/tables/aliases"), ("GET", "/v1/addresses/a@z.example"),
    ],
)  # fmt: skip
def test_only_an_operator_may(world, method, path):
    """Tables decide where everybody's mail goes, and show who is on lists."""
    code, answer = asked(world, method, path, b"a: b@z.example\n", content_type="text/plain")
    assert (code, answer["error"]["key"]) == (403, "access_denied")
    assert not world.tables.items


def test_address_is_followed_to_its_hosts(operator):
    """Tree, owner, routes; nothing kept."""
    _put(operator, "aliases", b"team: a@a.example, staff\nstaff: b@b.example\nowner-team: boss@o.example\n")
    _put(operator, "mailertable", b"b.example smtp:[10.0.0.1]:26\n")
    code, answer = asked(operator, "GET", "/v1/addresses/team")
    assert (code, answer["verdict"], answer["exit"], answer["recipient_count"]) == (200, "deliverable", 0, 2)
    assert {item["forward_path"]: (item["owner"], item["route"]["hosts"]) for item in answer["recipients"]} == {
        "a@a.example": ("boss@o.example", ["mx.a.example:25"]),
        "b@b.example": ("boss@o.example", ["10.0.0.1:26"]),
    }
    assert (answer["steps"][0]["depth"], answer["steps"][0]["address"]) == (0, "team@local.example")
    assert not operator.spool.envelopes


@pytest.mark.parametrize(
    ("address", "verdict", "status", "exit_"),
    [
        ("gone@v.example", "refused", "5.1.1", 67),
        ("later@v.example", "deferred", "4.2.1", 75),
        ("void@v.example", "discarded", "2.0.0", 0),
        ("shut@v.example", "refused", "5.7.1", 77),
        ("a@dead.example", "refused", "5.1.2", 68),
        ("a b@v.example", "refused", "5.1.3", 65),
        ("plain@v.example", "deliverable", "2.0.0", 0),
    ],
)
def test_verdict_and_exit_code(operator, address, verdict, status, exit_):
    """sysexits for each end."""
    _put(operator, "virtusertable", b"gone@v.example error:nouser gone\nlater@v.example error:4.2.1:450 later\n")
    _put(operator, "access", b"To:void@v.example DISCARD\nTo:shut@v.example REJECT\n")
    _put(operator, "mailertable", b"dead.example error:5.1.2 no\n")
    answer = asked(operator, "GET", f"/v1/addresses/{address}")[1]
    assert (answer["verdict"], answer["status"], answer["exit"]) == (verdict, status, exit_)


@pytest.mark.parametrize("path", ["a/b@z.example", "/@z.example", "x//y/z@z.example"])
def test_address_may_have_slashes(operator, path):
    """API Gateway decodes the path before we see it; RFC 5322 3.2.3 allows the slash."""
    code, answer = asked(operator, "GET", f"/v1/addresses/{path}")
    assert (code, answer["address"], answer["verdict"]) == (200, path, "deliverable")


def test_address_behind_a_backslash_is_not_looked_up(operator):
    r"""As `sendmail -bv '\root'` asks."""
    _put(operator, "aliases", b"root: admin@a.example\n")
    answer = asked(operator, "GET", "/v1/addresses/\\root")[1]
    assert [item["forward_path"] for item in answer["recipients"]] == ["root@local.example"]


def test_access_shows_in_what_would_happen(operator):
    """Members refused and held, and hosts that are not connected to."""
    _put(
        operator, "aliases", b"team: a@a.example, b@bad.example, c@c.example\ngone: x@bad.example\nvoid: x@v.example\n"
    )
    _put(
        operator,
        "access",
        b"To:bad.example REJECT\nTo:c.example QUARANTINE:check\nServer:mx.a.example REJECT\nTo:v.example DISCARD\n"
        b"To:held.example QUARANTINE:why not\n",
    )
    answer = asked(operator, "GET", "/v1/addresses/team")[1]
    by_path = {item["forward_path"]: item for item in answer["recipients"]}
    assert by_path["a@a.example"]["route"]["status"] == "5.7.1"
    assert by_path["b@bad.example"]["refusal"].startswith("550 5.7.1")
    assert by_path["c@c.example"]["held"] == "check"
    assert asked(operator, "GET", "/v1/addresses/gone")[1]["verdict"] == "refused"
    assert asked(operator, "GET", "/v1/addresses/void")[1]["verdict"] == "discarded"
    answer = asked(operator, "GET", "/v1/addresses/a@held.example")[1]
    assert answer["steps"][0]["step"] == "held: why not"
    assert answer["recipients"][0]["held"] == "why not"
    assert "    held: why not" in render(answer, verbose=False)


def test_alias_without_owner_shows_none_in_its_step(operator):
    """Its members get the mail under the sender's own reverse-path."""
    _put(operator, "aliases", b"pair: a@a.example, b@b.example\nteam: c@c.example\nowner-team: boss@o.example\n")
    assert asked(operator, "GET", "/v1/addresses/pair")[1]["steps"][0]["step"] == "alias pair"
    assert asked(operator, "GET", "/v1/addresses/team")[1]["steps"][0]["step"] == "alias team, owner boss@o.example"
