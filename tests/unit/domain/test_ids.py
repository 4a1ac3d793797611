"""Ids follow from their seeds and fit the places they are put in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.ids import boundary_from, is_queue_id, queue_id_from, random_queue_id, shard_of


def test_queue_id_is_the_hash_in_base32() -> None:
    """SHA-256 of nothing, e3b0c442..., in RFC 4648 base32: fixed for ever, stored ids depend on it."""
    assert queue_id_from(b"") == "4oymiquy7qobjgx36tejs35zeq"


@given(st.binary(), st.binary())
def test_queue_ids_follow_from_their_seeds(one: bytes, other: bytes) -> None:
    """The same seed gives the same id, another seed another id, always in the id's form."""
    assert is_queue_id(queue_id_from(one))
    assert (one == other) is (queue_id_from(one) == queue_id_from(other))


def test_random_queue_id_needs_its_entropy() -> None:
    """128 bits at least; fewer is a caller's bug."""
    assert is_queue_id(random_queue_id(bytes(16)))
    with pytest.raises(ValueError, match="16 octets"):
        random_queue_id(bytes(15))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a" * 25, id="short"),
        pytest.param("a" * 27, id="long"),
        pytest.param("A" * 26, id="upper_case"),
        pytest.param("a" * 25 + "1", id="digit_one"),
        pytest.param("a" * 25 + "/", id="slash"),
        pytest.param("a" * 26 + "\n", id="line_feed"),
        pytest.param("a" * 25 + "\u0661", id="arabic_digit"),
    ],
)
def test_other_text_is_no_queue_id(text: str) -> None:
    """What is not exactly 26 of [a-z2-7] never becomes part of a key."""
    assert not is_queue_id(text)


@given(st.binary(), st.integers(1, 64))
def test_shards_cover_their_range(seed: bytes, shards: int) -> None:
    """A shard is one of 0 to n - 1, and the same each time."""
    queue_id = queue_id_from(seed)
    assert 0 <= shard_of(queue_id, shards) < shards
    assert shard_of(queue_id, shards) == shard_of(queue_id, shards)


def test_shard_is_crc32() -> None:
    """The stored due index depends on it: CRC-32 of 26 letters a, 0xe8b53ab8, modulo 64."""
    assert shard_of("a" * 26, 64) == 0xE8B53AB8 % 64
    with pytest.raises(ValueError, match="0 shards"):
        shard_of("a" * 26, 0)


@given(st.text())
def test_boundaries_fit_a_content_type(seed: str) -> None:
    """RFC 2046 5.1.1: at most 70 characters, and `=_` keeps it out of encoded text (RFC 2045 6.7)."""
    assert re.fullmatch(r"=_[a-z2-7]{26}", boundary_from(seed))
    assert boundary_from(seed) == boundary_from(seed)
    assert boundary_from(seed) != boundary_from(seed + "x")
