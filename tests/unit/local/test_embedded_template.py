"""The embedded engine says of itself what template.yaml says of the deployed one."""

from __future__ import annotations

from infra.local.embedded_doors import VALIDATE_ROUTES
from paravion.adapters.embedded_queues import PARKED_S, REDRIVE, VISIBILITY_S
from paravion.adapters.embedded_spool import RETENTION_S
from paravion.adapters.embedded_transcripts import RETENTION_S as TRANSCRIPTS_S
from paravion.ports import QueueName
from tests.unit.test_template import RESOURCES

QUEUES = {
    QueueName.DELIVERY: "DeliveryQueue",
    QueueName.RETRY: "RetryQueue",
    QueueName.BOUNCE: "BounceQueue",
    QueueName.EVENT: "EventQueue",
    QueueName.PARKED: "ParkedQueue",
}


def test_submissions_go_to_validate() -> None:
    """The routes of ValidateFunction."""
    events = RESOURCES["ValidateFunction"]["Properties"]["Events"].values()
    assert {(e["Properties"]["Method"], e["Properties"]["Path"]) for e in events} == VALIDATE_ROUTES


def test_queues_hide_and_redrive_as_the_templates() -> None:
    """Visibility, dead-letter queue and receptions."""
    for name, logical in QUEUES.items():
        queue = RESOURCES[logical]["Properties"]
        assert queue["VisibilityTimeout"] == VISIBILITY_S[name]
        policy = queue.get("RedrivePolicy")
        target = policy and (policy["deadLetterTargetArn"]["Fn::GetAtt"][0], policy["maxReceiveCount"])
        wanted = REDRIVE.get(name)
        assert target == (wanted and (QUEUES[wanted[0]], wanted[1]))
    assert RESOURCES["ParkedQueue"]["Properties"]["MessageRetentionPeriod"] == PARKED_S


def test_content_is_kept_as_long_as_the_bucket_keeps_it() -> None:
    """Lifecycle rules of qf/ and df/."""
    rules = RESOURCES["SpoolBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    days = {rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") in {"qf/", "df/"}}
    assert days == {RETENTION_S / 86_400}
    (transcripts,) = [rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") == "xf/"]
    assert transcripts == TRANSCRIPTS_S / 86_400
