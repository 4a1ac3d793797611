"""What a credential may do."""

from __future__ import annotations

import json

import pytest

from paravion.domain.credential import ANYTHING, Credential, Scope, make_scope, read_credential, write_credential


@pytest.mark.parametrize(
    ("pattern", "operation", "allowed"),
    [
        ("ses:SendEmail", "ses:SendEmail", True),
        ("ses:sendemail", "ses:SendEmail", True),
        ("ses:SendEmail", "ses:SendEmailX", False),
        ("ses:Get*", "ses:GetContact", True),
        ("ses:Get*", "ses:ListContacts", False),
        ("ses:*Template", "ses:CreateEmailTemplate", True),
        ("*", "smtp", True),
        ("native:*", "smtp", False),
        ("smtp", "smtp", True),
    ],
)
def test_operations_by_pattern(pattern, operation, allowed):
    assert make_scope(None, [pattern]).allows((operation,)) is allowed


def test_one_of_an_operations_names_is_enough():
    assert make_scope(None, ["ses:SendEmail"]).allows(("ses:SendRawEmail", "ses:SendEmail"))


def test_an_empty_list_allows_nothing():
    scope = make_scope([], [])
    assert not scope.allows(("smtp",))
    assert not scope.may_use("a@example.org")
    assert ANYTHING.allows(("smtp",))
    assert ANYTHING.may_use("a@example.org")


@pytest.mark.parametrize(
    ("own", "identity", "allowed"),
    [
        ("example.org", "a@example.org", True),
        ("Example.ORG.", "a@EXAMPLE.org", True),
        ("example.org", "a@mail.example.org", True),
        ("example.org", "example.org", True),
        ("example.org", "a@badexample.org", False),
        ("example.org", "a@example.org.evil.example", False),
        ("mail.example.org", "a@example.org", False),
        ("a@example.org", "A@example.org", True),
        ("a@example.org", "b@example.org", False),
        ("a@example.org", "example.org", False),
        ("example.org", "a@example.org.", True),
    ],
)
def test_identities(own, identity, allowed):
    assert make_scope([own], None).may_use(identity) is allowed


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"scopes": {}}, "scopes"),
        ({"scope": []}, "scope may have"),
        ({"scope": {"operation": []}}, "scope may have"),
        ({"scope": {"operations": "ses:*"}}, "is no name"),
        ({"scope": {"operations": ["ses:Send Email"]}}, "is no name"),
        ({"scope": {"identities": ["*.example.org"]}}, "is no name"),
        ({"scope": {"identities": [7]}}, "is no name"),
        ({"scope": {"identities": ["a.example"] * 51}}, "more than 50"),
        ({"tenant": "acme", "operator": True}, "operator"),
        ({"created_at": "x"}, "created_at"),
        ({"enabled": None}, "enabled"),
    ],
)
def test_what_can_not_be_meant_is_an_error(fields, fault):
    """A limit that is misspelt must not be no limit."""
    with pytest.raises(ValueError, match=fault):
        read_credential(json.dumps({"secret_key": "s", **fields}))


@pytest.mark.parametrize(
    "credential",
    [
        Credential("s"),
        Credential("s", False, True, "", ANYTHING, 5.0),
        Credential("s", True, False, "acme", Scope(("a.example",), ()), 5.0),
    ],
)
def test_what_is_written_is_read(credential):
    assert read_credential(write_credential(credential)) == credential
