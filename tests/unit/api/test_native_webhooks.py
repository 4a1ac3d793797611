"""Secrets of webhooks over the native API, and targets in tables and addresses."""

from __future__ import annotations

import itertools

import pytest

from paravion.domain.suppression import Reason, Suppressed
from paravion.domain.webhook import decode_secrets
from tests.unit.api.test_native import asked

PATH = "/v1/webhooks/hooks.example.org/secret"


@pytest.fixture
def operator(world, monkeypatch):
    """The credential is an operator's, and each token another."""
    world.put_credential(operator=True)
    tokens = (f"{n:032}" for n in itertools.count())
    made = type(world).admin_deps.fget

    def deps(self):
        from dataclasses import replace

        return replace(made(self), new_token=lambda: next(tokens))

    monkeypatch.setattr(type(world), "admin_deps", property(deps))
    return world


def _secrets(world, method="PUT", path=PATH):
    code, answer = asked(world, method, path)
    assert code == 200, answer
    return answer["secrets"]


def test_secret_is_made_once_and_shown_again(operator):
    """256 bits, kept where deliver looks, the same for every port of the host."""
    (secret,) = _secrets(operator)
    assert secret.startswith("whsec_")
    assert len(secret) == 6 + 64
    assert _secrets(operator) == [secret]
    assert _secrets(operator, path="/v1/webhooks/Hooks.Example.ORG:8443/secret") == [secret]
    assert decode_secrets(operator.secrets.get("webhooks/hooks.example.org")) == (secret,)
    assert _secrets(operator, path="/v1/webhooks/other.example/secret") != [secret]


def test_rotation_keeps_both_until_it_is_ended(operator):
    """The newest first; a second rotation waits for the end of the first."""
    (old,) = _secrets(operator)
    new, kept = _secrets(operator, "POST", f"{PATH}/rotation")
    assert kept == old != new
    code, answer = asked(operator, "POST", f"{PATH}/rotation")
    assert (code, "end that rotation" in answer["error"]["detail"]) == (400, True)
    assert _secrets(operator) == [new, old]
    assert _secrets(operator, "DELETE", f"{PATH}/rotation") == [new]
    assert _secrets(operator, "DELETE", f"{PATH}/rotation") == [new]
    assert asked(operator, "POST", "/v1/webhooks/other.example/secret/rotation")[0] == 404
    assert asked(operator, "DELETE", "/v1/webhooks/other.example/secret/rotation")[0] == 404


@pytest.mark.parametrize("host", ["a b", "h_x", "*", "a..b"])
def test_what_is_no_host_is_refused(operator, host):
    """400, and nothing is kept."""
    assert asked(operator, "PUT", f"/v1/webhooks/{host}/secret")[0] == 400
    assert not [name for name in operator.secrets.values if name.startswith("webhooks/")]


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", PATH), ("POST", f"{PATH}/rotation"), ("DELETE", f"{PATH}/rotation")]
)
def test_only_an_operator_sees_secrets(world, method, path):
    """Who holds one can sign as we do."""
    assert asked(world, method, path)[0] == 403
    assert "webhooks/hooks.example.org" not in world.secrets.values


def test_no_secret_is_logged(operator):
    """The log says that one was made, by whom."""
    (secret,) = _secrets(operator)
    assert (
        "WebhookSecret",
        {"host": "hooks.example.org", "what": "made", "principal": "AKIATEST"},
    ) in operator.event_log.records
    assert secret not in repr(operator.event_log.records)


def _load(world, text):
    return asked(world, "PUT", "/v1/tables/aliases", text.encode(), content_type="application/octet-stream")


def test_table_takes_the_targets_that_settings_name_alone(operator):
    """Whole or not at all, with file and line."""
    code, answer = _load(operator, "a: lambda:tickets\nb: lambda:other, https://evil.example/\n")
    assert code == 400
    assert "aliases:2: 'lambda:other': it is not in the setting alias_target_arns" in answer["error"]["detail"]
    assert "'evil.example' is not in the setting webhook_hosts" in answer["error"]["detail"]
    assert _load(operator, "a: lambda:tickets, https://hooks.example.org/x\n")[0] == 200


def test_address_shows_its_targets_and_what_is_missing(operator):
    """-bv: the target, and what would keep mail from it."""
    _load(operator, "t: lambda:tickets\nh: https://hooks.example.org/x\nboth: t, h, a@a.example\n")
    answer = asked(operator, "GET", "/v1/addresses/t")[1]
    assert (answer["verdict"], answer["exit"]) == ("deliverable", 0)
    assert answer["recipients"] == [{
        "forward_path": "t@local.example", "owner": "", "list": "t@local.example", "refusal": "",
        "target": "lambda:tickets", "held": "", "route": {"next_hop": "", "hosts": [], "status": "", "text": ""}, "suppressed": None,
    }]  # fmt: skip
    assert answer["steps"][-1] == {"depth": 1, "address": "t@local.example", "step": "handed over to lambda:tickets"}
    answer = asked(operator, "GET", "/v1/addresses/h")[1]
    assert (answer["verdict"], answer["status"], answer["exit"]) == ("deferred", "4.3.5", 75)
    assert "paravion webhook secret hooks.example.org" in answer["text"]
    _secrets(operator)
    assert asked(operator, "GET", "/v1/addresses/h")[1]["verdict"] == "deliverable"
    answer = asked(operator, "GET", "/v1/addresses/both")[1]
    assert (answer["verdict"], answer["recipient_count"]) == ("deliverable", 3)
    operator.settings.webhook_hosts = ()
    answer = asked(operator, "GET", "/v1/addresses/h")[1]
    assert (answer["verdict"], "webhook_hosts" in answer["text"]) == ("deferred", True)


def test_target_is_not_shown_as_suppressed_with_its_alias_s_mailbox(operator):
    """As delivery has it (services/withhold.py)."""
    operator.suppression.put(Suppressed("support@local.example", Reason.BOUNCE, 0.0, "operator"))
    operator.settings.webhook_hosts = ("hooks.example.org",)
    load = {"content_type": "application/octet-stream"}
    asked(operator, "PUT", "/v1/tables/aliases", b"support: https://hooks.example.org/mail\n", **load)
    asked(operator, "PUT", "/v1/webhooks/hooks.example.org/secret", b"")
    answer = asked(operator, "GET", "/v1/addresses/support")[1]
    assert (answer["verdict"], answer["recipients"][0]["suppressed"]) == ("deliverable", None)
