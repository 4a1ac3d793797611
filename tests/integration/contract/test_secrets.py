"""The contract of ports.Secrets, in memory and on SSM."""

from __future__ import annotations


def test_written_once_and_again(secret_store):
    """A put is seen by the next get of the same function; `new` keeps off what is there."""
    assert secret_store.get("dkim/a.example") is None
    assert secret_store.put("dkim/a.example", "1", new=True) is True
    assert secret_store.get("dkim/a.example") == "1"
    assert secret_store.put("dkim/a.example", "2", new=True) is False
    assert secret_store.get("dkim/a.example") == "1"
    assert secret_store.put("dkim/a.example", "3") is True
    assert secret_store.get("dkim/a.example", fresh=True) == "3"


def test_a_deleted_secret_is_gone(secret_store):
    """At once for who deleted it; once more is no error."""
    secret_store.put("dkim/a.example", "1")
    secret_store.delete("dkim/a.example")
    assert secret_store.get("dkim/a.example") is None
    secret_store.delete("dkim/a.example")


def test_a_ring_of_keys_fits(secret_store):
    """Four kilobytes, a standard parameter's most."""
    secret_store.put("dkim/a.example", "x" * 4096)
    assert secret_store.get("dkim/a.example", fresh=True) == "x" * 4096
