"""Rings: the states of rotation, the secret's text, the records."""

from __future__ import annotations

import json

import pytest

from paravion.domain import dkim_keys
from paravion.domain.dkim import ALGORITHMS
from paravion.domain.dkim_keys import ACTIVE, KEEP_S, NEXT, RETIRED
from tests.support.dkim_keys import active_ring, fixed_private_key

PAIRS = {algorithm: fixed_private_key(algorithm) for algorithm in ALGORITHMS}
T = 1_700_000_000.0


def states(ring):
    """Give each generation's state, oldest first."""
    return [generation.state for generation in ring]


def test_a_rotation_from_first_to_last():
    """The module's table, one row after the other."""
    ring = dkim_keys.with_next((), PAIRS, T)
    assert (states(ring), dkim_keys.signing_keys("x.example", ring)) == ([NEXT], ())
    ring = dkim_keys.activated(ring, T + 1)
    first = ring[0].name
    assert (states(ring), [k.selector for k in dkim_keys.signing_keys("x.example", ring)]) == (
        [ACTIVE],
        [f"{first}-rsa", f"{first}-ed25519"],
    )
    ring = dkim_keys.with_next(ring, PAIRS, T + 2)
    assert states(ring) == [ACTIVE, NEXT]
    assert dkim_keys.signing_keys("x.example", ring)[0].selector == f"{first}-rsa"
    ring = dkim_keys.activated(ring, T + 3)
    assert (states(ring), ring[0].ended_at, ring[0].private) == ([RETIRED, ACTIVE], T + 3, {})
    assert dkim_keys.signing_keys("x.example", ring)[0].selector != f"{first}-rsa"
    assert states(dkim_keys.with_next(ring, PAIRS, T + 2 + KEEP_S)) == [RETIRED, ACTIVE, NEXT]
    assert states(dkim_keys.with_next(ring, PAIRS, T + 3 + KEEP_S)) == [ACTIVE, NEXT]


def test_steps_out_of_order_are_refused():
    """Two next generations, or nothing to activate."""
    ring = dkim_keys.with_next((), PAIRS, T)
    with pytest.raises(ValueError, match="already"):
        dkim_keys.with_next(ring, PAIRS, T)
    for nothing in ((), dkim_keys.activated(ring, T)):
        with pytest.raises(ValueError, match="no next"):
            dkim_keys.activated(nothing, T)


def test_selectors_never_repeat():
    """Two rotations within a second have names of their own."""
    ring = dkim_keys.activated(dkim_keys.with_next((), PAIRS, T), T)
    assert len({generation.name for generation in dkim_keys.with_next(ring, PAIRS, T)}) == 2


def test_secret_comes_back_and_fits_a_standard_parameter():
    """Two generations with keys and three retired ones, below 4096 characters."""
    ring = active_ring(T)
    for n in range(3):
        ring = dkim_keys.activated(dkim_keys.with_next(ring, PAIRS, T + n), T + n + 0.123456)
    ring = dkim_keys.with_next(ring, PAIRS, T + 9)
    assert states(ring) == [RETIRED, RETIRED, RETIRED, ACTIVE, NEXT]
    text = dkim_keys.encode(ring)
    assert dkim_keys.decode(text) == ring
    assert len(text) <= 4096
    assert dkim_keys.decode(None) == ()


BAD = {
    "no json": "x",
    "a list": "[]",
    "no generations": "{}",
    "a number": "7",
    "bad name": {"name": "A.b", "state": NEXT},
    "bad state": {"name": "a", "state": "old"},
    "no keys": {"name": "a", "state": ACTIVE},
    "retired with keys": {"name": "a", "state": RETIRED, "rsa-sha256": "aaaa"},
    "bad base64": {"name": "a", "state": ACTIVE, "rsa-sha256": "a"},
    "no instant": {"name": "a", "state": ACTIVE, "rsa-sha256": "aaaa", "created_at": None},
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_ring_is_refused_without_telling_it(text):
    """The text may hold a private key: no error shows it."""
    if isinstance(text, dict):
        text = json.dumps({"generations": [{"created_at": 1.0, **text}]})
    with pytest.raises(ValueError, match=r"^no DKIM keys in it$") as caught:
        dkim_keys.decode(text)
    assert caught.value.__cause__ is None


def test_two_active_generations_are_refused():
    """Nobody could say which signs."""
    fields = json.loads(dkim_keys.encode(active_ring(T)))
    fields["generations"] *= 2
    with pytest.raises(ValueError, match="two generations"):
        dkim_keys.decode(json.dumps(fields))


def test_a_generation_does_not_show_its_keys():
    """A log line with a ring in it holds no secret."""
    assert "b'" not in repr(active_ring(T))


@pytest.mark.parametrize(
    ("change", "published"),
    [
        (lambda value: value, True),
        (lambda value: value.replace("; ", ";"), True),
        (lambda value: value.replace("p=", "p = ") + " ;", True),
        (lambda value: value.replace("v=DKIM1; ", ""), True),
        (lambda value: value[:60] + " " + value[60:], True),
        (lambda value: value[:-8], False),
        (lambda value: value.partition("p=")[0] + "p=", False),
        (lambda value: "v=spf1 -all", False),
    ],
)
def test_published_is_the_same_key_however_it_is_written(change, published):
    """RFC 6376 3.2 and 3.6.1: tags in any spacing; k= defaults to rsa."""
    records = dkim_keys.records("x.example", active_ring(T)[0])
    for record in records.values():
        assert dkim_keys.is_published(["other", change(record.value)], record) is published
    assert [record.name.partition(".")[2] for record in records.values()] == ["_domainkey.x.example"] * 2
    without_kind = records["rsa-sha256"].value.replace("k=rsa; ", "")
    assert dkim_keys.is_published([without_kind], records["rsa-sha256"])
