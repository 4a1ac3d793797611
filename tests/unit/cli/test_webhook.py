"""`paravion webhook` and what `-bv` prints of targets."""

from __future__ import annotations

import pytest

from paravion.cli import main, show, verify

SHOWN = (200, {"host": "h.example", "secrets": ["whsec_new", "whsec_old"]})


@pytest.mark.parametrize(
    ("words", "asked", "script"),
    [
        ([], [("PUT", "/v1/webhooks/h.example/secret")], [SHOWN]),
        (["--rotate"], [("POST", "/v1/webhooks/h.example/secret/rotation")], [SHOWN]),
        (
            ["--end-rotation"],
            [("DELETE", "/v1/webhooks/h.example/secret/rotation"), ("PUT", "/v1/webhooks/h.example/secret")],
            [SHOWN, SHOWN],
        ),
    ],
)
def test_secrets_are_printed_newest_first(api, capsys, words, asked, script):
    """One a line, nothing else."""
    api.script.extend(script)
    assert main.main(["webhook", "secret", "h.example", *words]) == 0
    assert [(request.method, request.path) for request in api.requests] == asked
    assert capsys.readouterr().out == "whsec_new\nwhsec_old\n"


def test_usage(api, capsys):
    """Not both at once."""
    assert main.main(["webhook", "secret", "h.example", "--rotate", "--end-rotation"]) == 64
    assert main.main(["webhook"]) == 64


def test_bv_prints_targets():
    """What gets the mail, and what keeps it from it."""
    found = {"forward_path": "t@l.example", "owner": "", "refusal": "", "target": "https://h.example/\x1b"}
    good = {**found, "route": {"hosts": [], "status": "", "text": ""}}
    bad = {**found, "owner": "boss@o.example", "route": {"hosts": [], "status": "4.3.5", "text": "no secret"}}
    answer = {
        "address": "t",
        "verdict": "deliverable",
        "recipient_count": 3,
        "recipients": [good, bad, {**found, "route": None}],
    }
    assert list(verify.render(answer, verbose=False))[1:] == [
        "  t@l.example: handed over to https://h.example/?",
        "  t@l.example: handed over to https://h.example/?, but no secret, from boss@o.example",
        "  t@l.example: handed over to https://h.example/?",
    ]


def test_show_prints_the_target():
    """Two recipients of one alias are told apart."""
    message = {
        "recipients": [{"forward_path": "t@l.example", "state": "delivered", "target": "lambda:t", "command": "TARGET"}]
    }
    assert "         target lambda:t, in answer to TARGET" in list(show.render(message))
