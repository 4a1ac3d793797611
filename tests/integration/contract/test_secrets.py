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


def test_names_are_those_right_below(secret_store):
    """Whole, more than one page of them; neither deeper ones nor those of a name that begins alike."""
    expected = {f"routes/a{n}" for n in range(12)}
    for name in (*expected, "routes/deep/er", "routesx/b", "dkim/a.example"):
        secret_store.put(name, "1")
    assert expected == set(secret_store.names("routes"))
    secret_store.delete("routes/a3")
    assert "routes/a3" not in secret_store.names("routes")
    assert secret_store.names("nothing") == []
