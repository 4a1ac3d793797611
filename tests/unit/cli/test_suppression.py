"""`paravion suppression`: what it asks and what it prints."""

from __future__ import annotations

import pytest

from paravion.cli import main, verify
from tests.unit.cli.fake_api import error

ENTRY = {
    "address": "a@x.example", "reason": "BOUNCE", "updated_at": "2026-01-02T03:04:05.000Z", "source": "bounce",
    "queue_id": "q1", "reply": "mx: 550 5.1.1 no\x1b[31m such user",
}  # fmt: skip


def run(api, words, *answers):
    """Run the command; gives exit code and what was asked."""
    api.script.extend(answers)
    code = main.main(["suppression", *words])
    return code, [(request.method, request.path, request.body) for request in api.requests]


def test_list_follows_pages_even_empty_ones(api, capsys):
    """All of them, filtered by the API."""
    code, asked = run(
        api, ["list", "--reason", "bounce", "--since", "2026-01-01T00:00:00Z"],
        (200, {"addresses": [ENTRY], "after": "1:a"}), (200, {"addresses": [], "after": "2:b"}),
        (200, {"addresses": [{**ENTRY, "address": "b@x.example"}], "after": None}),
    )  # fmt: skip
    query = "limit=1000&reason=BOUNCE&since=2026-01-01T00%3A00%3A00Z"
    assert code == 0
    assert [path for _, path, _ in asked] == [
        f"/v1/suppression?{query}", f"/v1/suppression?after=1%3Aa&{query}", f"/v1/suppression?after=2%3Ab&{query}",
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "a@x.example  BOUNCE  2026-01-02T03:04:05.000Z  bounce",
        "b@x.example  BOUNCE  2026-01-02T03:04:05.000Z  bounce",
    ]


def test_show_tells_why(api, capsys):
    """A remote host's words can't steer the terminal."""
    assert run(api, ["show", "a+b@x.example"], (200, ENTRY)) == (
        0, [("GET", "/v1/suppression/a%2Bb%40x.example", b"")],
    )  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "a@x.example: BOUNCE since 2026-01-02T03:04:05.000Z",
        "  message    q1",
        "  reply      mx: 550 5.1.1 no?[31m such user",
    ]


def test_add_and_remove_take_several(api, capsys):
    """One call each."""
    code, asked = run(api, ["add", "a@x.example", "b@x.example", "--reason", "COMPLAINT"], (200, ENTRY), (200, ENTRY))
    assert code == 0
    assert asked == [
        ("PUT", f"/v1/suppression/{name}%40x.example", b'{"reason": "COMPLAINT"}') for name in ("a", "b")
    ]  # fmt: skip
    api.requests.clear()
    assert run(api, ["remove", "a/b@x.example", "b@x.example"], (204, b""), (204, b""))[0] == 0
    assert [(request.method, request.path) for request in api.requests] == [
        ("DELETE", f"/v1/suppression?address={name}%40x.example") for name in ("a%2Fb", "b")
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines()[-1] == "b@x.example is removed"


def test_reasons_are_shown_and_set(api, capsys):
    """NONE is an empty list."""
    assert run(api, ["reasons"], (200, {"reasons": ["BOUNCE", "COMPLAINT"]}))[0] == 0
    assert run(api, ["reasons", "none"], (200, {"reasons": []}))[0] == 0
    assert run(api, ["reasons", "COMPLAINT"], (200, {"reasons": ["COMPLAINT"]}))[0] == 0
    assert [(r.method, r.body) for r in api.requests] == [
        ("GET", b""), ("PUT", b'{"reasons": []}'), ("PUT", b'{"reasons": ["COMPLAINT"]}'),
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == ["BOUNCE COMPLAINT", "NONE", "COMPLAINT"]


def test_unlisted_address_is_an_error(api, capsys):
    """In the API's words."""
    answer = error(404, "not_found", 550, "5.5.1", "No such thing", "it does not exist on your suppression list.")
    assert run(api, ["remove", "a@x.example"], answer)[0] == 65
    assert "does not exist on your suppression list" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["list", "--reason", "x"], ["add"], ["add", "a@x", "--reason", "x"], ["flush"]])
def test_wrong_usage(api, words):
    """Exit 64, nothing asked."""
    assert run(api, words) == (64, [])


def test_bv_shows_the_entry():
    """Under the recipient: since when, why, and what was said."""
    recipient = {"forward_path": "a@x.example", "owner": "", "refusal": "", "route": None}
    answer = {
        "address": "a@x.example",
        "verdict": "refused",
        "status": "5.1.1",
        "text": "Not sent",
        "recipient_count": 1,
    }
    suppressed = {**ENTRY, "in_force": True}
    lines = list(verify.render({**answer, "recipients": [{**recipient, "suppressed": suppressed}]}, verbose=False))
    assert lines == [
        "a@x.example... refused: 5.1.1 Not sent",
        "  a@x.example: route not looked up",
        "    suppressed since 2026-01-02T03:04:05.000Z, BOUNCE: mx: 550 5.1.1 no?[31m such user",
    ]
    suppressed = {**ENTRY, "in_force": False, "reply": ""}
    lines = list(verify.render({**answer, "recipients": [{**recipient, "suppressed": suppressed}]}, verbose=False))
    assert lines[2].startswith("    listed since")
    assert "sent to all the same" in lines[2]
