"""Sending authorisation policies: what is taken, and what they decide."""

from __future__ import annotations

import json
from typing import Any

import pytest

from paravion.domain.policy import Sending, check, decide

ARN = "arn:aws:ses:eu-west-1:123456789012:identity/example.org"
GOOD: dict[str, Any] = {
    "Effect": "Allow",
    "Principal": {"AWS": ["blue"]},
    "Action": ["ses:SendEmail", "ses:SendRawEmail"],
    "Resource": ARN,
}
WANTED = Sending(
    "blue",
    "AKIABLUE",
    "example.org",
    ("ses:SendEmail", "ses:SendRawEmail"),
    {"ses:fromaddress": ("me@example.org",), "ses:feedbackaddress": ("",), "ses:recipients": ("a@x.example", "b@x.example")},
)  # fmt: skip


def text(*statements: Any) -> str:
    """A policy of statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def says(*changes: dict[str, Any]) -> bool | None:
    """What one policy of changed statements decides."""
    policy = text(*({**GOOD, **change} for change in changes))
    check(policy)
    return decide([policy], WANTED)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": "AKIABLUE"}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::blue:root"}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::blue:user/AKIABLUE"}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::blue:user/AKIAOTHER"}}, None),
        ({"Principal": {"AWS": "arn:aws:iam::red:root"}}, None),
        ({"Principal": {"AWS": "red"}}, None),
        ({"Action": "ses:*"}, True),
        ({"Action": "SES:send*"}, True),
        ({"Action": "*"}, True),
        ({"Action": "ses:SendEmail"}, None),
        ({"Action": "ses:SendBounce"}, None),
        ({"Resource": "*"}, True),
        ({"Resource": [ARN, "arn:aws:ses:*:*:identity/other.example"]}, True),
        ({"Resource": "arn:aws:ses:*:*:identity/*.org"}, True),
        ({"Resource": "arn:aws:ses:*:*:identity/e[x]ample.org"}, None),
        ({"Resource": "arn:aws:ses:*:*:identity/other.example"}, None),
        ({"Condition": {"StringEquals": {"ses:FromAddress": "me@example.org"}}}, True),
        ({"Condition": {"StringEquals": {"ses:FromAddress": "ME@example.org"}}}, None),
        ({"Condition": {"StringLike": {"ses:FromAddress": ["x", "ME@*"]}}}, True),
        ({"Condition": {"StringLike": {"ses:FromAddress": "you@*"}}}, None),
        ({"Condition": {"StringNotEquals": {"ses:FromAddress": "me@example.org"}}}, None),
        ({"Condition": {"StringNotLike": {"ses:FromAddress": "you@*"}}}, True),
        ({"Condition": {"ForAllValues:StringLike": {"ses:Recipients": "*@x.example"}}}, True),
        ({"Condition": {"ForAllValues:StringLike": {"ses:Recipients": "a@x.example"}}}, None),
        ({"Condition": {"ForAnyValue:StringEquals": {"ses:Recipients": ["b@x.example"]}}}, True),
        ({"Condition": {"StringEquals": {"ses:FromAddress": "me@example.org", "ses:FeedbackAddress": "x"}}}, None),
    ],
)
def test_statement_allows_whom_it_names(change: dict[str, Any], expected: bool | None) -> None:
    """And nobody else: nothing said is nothing allowed."""
    assert says(change) is expected


def test_deny_goes_before_every_allow() -> None:
    """In one policy or in another, also of one action alone."""
    assert says({}, {"Effect": "Deny", "Action": "ses:SendRawEmail"}) is False
    assert decide([text(GOOD), text({**GOOD, "Effect": "Deny"})], WANTED) is False
    assert decide([], WANTED) is None


def test_actions_may_be_allowed_apart() -> None:
    """All that is wanted is allowed by some statement."""
    assert says({"Action": "ses:SendEmail"}, {"Action": "ses:SendRawEmail"}) is True


@pytest.mark.parametrize(
    "policy",
    [
        "no json",
        "[]",
        "{}",
        '{"Statement": []}',
        '{"Statement": ["x"]}',
        json.dumps({"Statement": GOOD, "Version": "2020"}),
        json.dumps({"Statement": GOOD, "More": 1}),
        *(
            text({**GOOD, **change})
            for change in (
                {"Effect": "Maybe"},
                {"NotAction": "ses:SendEmail"},
                {"NotPrincipal": "*"},
                {"Principal": "blue"},
                {"Principal": {"Service": "x"}},
                {"Principal": {"AWS": []}},
                {"Principal": {"AWS": "arn:aws:s3:::bucket"}},
                {"Action": "s3:GetObject"},
                {"Action": 1},
                {"Resource": "arn:aws:s3:::bucket"},
                {"Resource": None},
                {"Condition": []},
                {"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},
                {"Condition": {"StringEquals": {"aws:SourceIp": "192.0.2.1"}}},
                {"Condition": {"StringEquals": "x"}},
            )
        ),
    ],
)
def test_what_can_not_be_obeyed_is_no_policy(policy: str) -> None:
    """Nothing in a policy is passed over."""
    with pytest.raises(ValueError, match=r"\w"):
        check(policy)


def test_single_statement_needs_no_list() -> None:
    """As IAM has it."""
    policy = json.dumps({"Statement": GOOD})
    check(policy)
    assert decide([policy], WANTED) is True
