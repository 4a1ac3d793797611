"""Alias targets: what one is, what it means, and that nothing is allowed that no setting names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.target import (
    AllowedTargets,
    arn_part,
    idempotency_key,
    is_target,
    parse_arn,
    parse_host,
    parse_target,
    queue_url,
    webhook_host,
    webhook_secret_name,
)

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:tickets"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:news"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:inbox.fifo"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("lambda:tickets", "lambda:tickets"),
        ("Lambda:Tickets:live", "lambda:Tickets:live"),
        ("lambda:f:$LATEST", "lambda:f:$LATEST"),
        (f"lambda:{FUNCTION}", f"lambda:{FUNCTION}"),
        (f"lambda:{FUNCTION}:7", f"lambda:{FUNCTION}:7"),
        (f"SNS:{TOPIC}", f"sns:{TOPIC}"),
        (f"sns:{TOPIC}.fifo", f"sns:{TOPIC}.fifo"),
        (f"sqs:{QUEUE}", f"sqs:{QUEUE}"),
        ("sqs:https://sqs.eu-west-1.amazonaws.com/123456789012/inbox.fifo", f"sqs:{QUEUE}"),
        ("sqs:https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "sqs:arn:aws-cn:sqs:cn-north-1:123456789012:q"),
        ("https://Hooks.Example.ORG", "https://hooks.example.org/"),
        ("HTTPS://hooks.example.org:443/Mail?to=a,b", "https://hooks.example.org/Mail?to=a,b"),
        ("https://h:8443/x@y", "https://h:8443/x@y"),
        ("https://127.0.0.1:8443/", "https://127.0.0.1:8443/"),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]/x"),
    ],
)
def test_target_has_one_normal_form(text: str, normal: str) -> None:
    """Two spellings of one target are one recipient."""
    assert is_target(text)
    assert parse_target(text) == normal
    assert parse_target(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "lambda:", "lambda:a b", "lambda:a:b:c", "lambda:" + "x" * 65, f"lambda:{TOPIC}", "lambda:f\nsns:x",
        "sns:news", f"sns:{QUEUE}", "sns:arn:aws:sns:eu-west-1:12345:news", "sqs:inbox", f"sqs:{TOPIC}",
        "sqs:http://sqs.eu-west-1.amazonaws.com/123456789012/q", "sqs:https://evil.example/123456789012/q",
        "sqs:https://sqs.eu-west-1.amazonaws.com.evil.example/123456789012/q", "https://", "https:///x",
        "https://user:pass@h/x", "https://h/x#y", "https://h\\x/", "https://h_x/", "https://h..x/", "https://-h/", "https://../",
        "https://h:443:443/", "https://[:::]/",
        "https://h:0x50/", "https://h:99999/", "https://h/\r\nx: y", "https://h/ x", "https://hö.example/",
        "https://h/" + "x" * 2000, "https://" + "a." * 130 + "org/", "mailto:x@y", "http://h/",
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """With words, and never with another exception."""
    with pytest.raises(ValueError, match=r"."):
        parse_target(text)


@given(st.text())
def test_parsers_raise_nothing_but_value_error(text: str) -> None:
    """Whatever a table or a setting holds."""
    for prefix in ("", "lambda:", "sns:", "sqs:", "https://"):
        try:
            assert is_target(parse_target(prefix + text))
        except ValueError:
            continue


ALLOWED = AllowedTargets(
    (FUNCTION, TOPIC, f"{FUNCTION.replace('tickets', 'two')}", f"{FUNCTION.replace('eu-west-1:123456789012:function:tickets', 'us-east-1:123456789012:function:two')}"),
    ("hooks.example.org", "h.example:8443", "10.0.0.1", "[::1]"),
    ("127.0.0.1:8443",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("lambda:tickets", ""),
        (f"lambda:{FUNCTION}", ""),
        ("lambda:tickets:live", "alias_target_arns"),
        ("lambda:other", "alias_target_arns"),
        ("lambda:two", "several"),
        (f"lambda:{FUNCTION.replace('tickets', 'two')}", ""),
        (f"sns:{TOPIC}", ""),
        (f"sqs:{QUEUE}", "alias_target_arns"),
        ("https://hooks.example.org/any/path", ""),
        ("https://hooks.example.org:8443/", "webhook_hosts"),
        ("https://evil.hooks.example.org/", "webhook_hosts"),
        ("https://h.example:8443/", ""),
        ("https://h.example/", "webhook_hosts"),
        ("https://127.0.0.1:8443/x", ""),
        ("https://127.0.0.1/x", "webhook_hosts"),
        ("https://10.0.0.1/", "webhook_private_hosts"),
        ("https://[::1]/", "webhook_private_hosts"),
    ],
)
def test_only_what_a_setting_names_is_allowed(target: str, problem: str) -> None:
    """Deny by default; the words name the setting."""
    found = ALLOWED.problem(target)
    assert (problem in found) if problem else found == ""
    assert AllowedTargets().problem(target)


def test_name_of_a_function_means_the_one_that_is_allowed() -> None:
    """Account and region come from the setting."""
    assert ALLOWED.resource("lambda:tickets") == FUNCTION
    assert ALLOWED.resource(f"sns:{TOPIC}") == TOPIC
    assert ALLOWED.resource("https://h.example:8443/x") == "https://h.example:8443/x"
    assert ALLOWED.may_be_private("https://127.0.0.1:8443/x")
    assert not ALLOWED.may_be_private("https://h.example:8443/x")


def test_arn_knows_its_url_and_region() -> None:
    """What SQS is called with."""
    assert queue_url(QUEUE) == "https://sqs.eu-west-1.amazonaws.com/123456789012/inbox.fifo"
    assert queue_url("arn:aws-cn:sqs:cn-north-1:123456789012:q").startswith("https://sqs.cn-north-1.amazonaws.com.cn/")
    assert arn_part(FUNCTION, 3) == "eu-west-1"


def test_idempotency_key_is_the_same_for_the_same_and_another_for_another() -> None:
    """Over attempts it stays; messages and targets differ."""
    key = idempotency_key("q1", "lambda:f")
    assert key == idempotency_key("q1", "lambda:f")
    assert len({key, idempotency_key("q2", "lambda:f"), idempotency_key("q1", "lambda:g")}) == 3
    assert len(key) == 64


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("Hooks.example.org", "hooks.example.org"), ("h:443", "h"), ("h:8443", "h:8443"), ("[::1]:8443", "[::1]:8443"),
        ("127.0.0.1", "127.0.0.1"), ("", ""), ("h/x", ""), ("https://h", ""), ("u@h", ""), ("*.example.org", ""),
        ("h:443:443", ""), ("h:1:443", ""), ("..", ""), ("1.2.3", ""), ("256.1.1.1", ""), ("[1.2.3.4]", ""), ("[::1]:443", "[::1]"),
    ],
)  # fmt: skip
def test_setting_names_hosts(text: str, good: str) -> None:
    """Nothing but host and port."""
    if good:
        assert parse_host(text) == good
    else:
        with pytest.raises(ValueError, match=r"."):
            parse_host(text)


def test_setting_names_arns() -> None:
    """Of the three services alone."""
    assert [parse_arn(arn) for arn in (FUNCTION, TOPIC, QUEUE)] == [FUNCTION, TOPIC, QUEUE]
    for bad in ("arn:aws:s3:::b", "tickets", "*", f"{FUNCTION}*", ""):
        with pytest.raises(ValueError, match="no ARN"):
            parse_arn(bad)


def test_secret_is_the_hosts_whatever_the_port() -> None:
    """The store's names have no colons."""
    assert webhook_secret_name(webhook_host("https://h.example:8443/x")) == "webhooks/h.example"
    assert webhook_secret_name(webhook_host("[2001:db8::1]:8443")) == "webhooks/2001-db8--1"
