"""cli/addresses.py: addresses on sendmail's command line."""

import pytest

from paravion.cli.addresses import split_addresses

LISTS = {
    "one": ("a@x.example", ["a@x.example"]),
    "bare": ("root", ["root@host.example"]),
    "unaliased": ("\\root", ["\\root@host.example"]),
    "unaliased among others": ("a@x.example, \\b@y.example", ["a@x.example", "\\b@y.example"]),
    "commas": ("a@x.example, root ,b@y.example,", ["a@x.example", "root@host.example", "b@y.example"]),
    "name": ("Doe <a@x.example>", ["a@x.example"]),
    "quoted name": ('"Doe, J." <a@x.example>, b@y.example', ["a@x.example", "b@y.example"]),
    "bare among others": ('"D, J" <root>, adm (x)', ["root@host.example", "adm@host.example"]),
    "comment": ("a@x.example (Doe)", ["a@x.example"]),
    "group": ("team: a@x.example, b@y.example;", ["a@x.example", "b@y.example"]),
    "literal": ("a@[192.0.2.1]", ["a@[192.0.2.1]"]),
    "empty": ("", []),
}


@pytest.mark.parametrize(("text", "expected"), LISTS.values(), ids=LISTS)
def test_a_list_is_split(text, expected):
    """RFC 5322 3.4; bare names get our host name."""
    assert expected == split_addresses(text, "host.example")


@pytest.mark.parametrize("text", ['"open <a@x.example>', "a b", "<a@x.example", "a@x.example b@y.example"])
def test_what_is_no_list_is_refused(text):
    """Nothing is guessed."""
    with pytest.raises(ValueError):
        split_addresses(text, "host.example")
