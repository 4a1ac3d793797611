"""ports.Suppression, on every implementation."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import boto3
import pytest

from paravion.adapters.dynamodb_suppression import DynamoSuppression
from paravion.domain.suppression import Reason, Suppressed
from paravion.errors import LedgerUnavailable
from tests.integration.contract.conftest import REAL, TABLE

EVER = {"since": float("-inf"), "until": float("inf")}
BOTH = frozenset(Reason)


@pytest.fixture
def domain() -> str:
    """A fresh one: a real account keeps what earlier runs left."""
    return f"{uuid.uuid4().hex[:12]}.example"


def _entry(address: str, at: float = 100.0, reason: Reason = Reason.BOUNCE, **fields: Any) -> Suppressed:
    return Suppressed(address, reason, at, "bounce", **fields)


def _all(suppression: Any, limit: int, domain: str, now: float = 1000.0, **wanted: Any) -> list[list[Suppressed]]:
    """Every page, of this domain's entries alone."""
    pages, after = [], ""
    while True:
        page = suppression.page(after, limit, now, **{"reasons": BOTH, **EVER, **wanted})
        assert len(page.entries) <= limit
        pages.append([entry for entry in page.entries if entry.address.endswith(domain)])
        after = page.after
        if not after:
            return pages


def test_what_was_put_is_found_as_it_was(suppression: Any, domain: str) -> None:
    """Every field; others are not found."""
    full = Suppressed(f"jörg@{domain}", Reason.COMPLAINT, 1.25, "operator", "q1", "mx: 550 é", "AKIA", 5000.0)
    bare = _entry(f"bare@{domain}")
    for entry in (full, bare):
        assert suppression.put(entry)
    found = suppression.find([full.address, bare.address, f"other@{domain}", bare.address], 1000.0)
    assert found == {full.address: full, bare.address: bare}
    assert suppression.find([], 1000.0) == {}


def test_more_addresses_than_one_read_gives(suppression: Any, domain: str) -> None:
    """A chunk of recipients for each of ten jobs."""
    addresses = [f"u{n}@{domain}" for n in range(250)]
    for address in addresses[::7]:
        suppression.put(_entry(address))
    assert set(suppression.find(addresses, 1000.0)) == set(addresses[::7])


def test_put_takes_the_place_of_the_entry_before(suppression: Any, domain: str) -> None:
    """An operator's word; a bounce's only if nothing newer was said. Repeating is no change."""
    address = f"a@{domain}"
    suppression.put(_entry(address, 200.0))
    older = _entry(address, 100.0, Reason.COMPLAINT)
    assert not suppression.put(older, unless_newer=True)
    assert suppression.find([address], 1.0)[address].updated_at == 200.0
    assert suppression.put(_entry(address, 200.0), unless_newer=True)
    assert suppression.put(_entry(address, 300.0), unless_newer=True)
    assert suppression.put(older)
    assert suppression.find([address], 1.0) == {address: older}


def test_deleted_is_gone(suppression: Any, domain: str) -> None:
    """And says whether there was one."""
    address = f"a@{domain}"
    assert not suppression.delete(address, 1.0)
    suppression.put(_entry(address))
    assert suppression.delete(address, 1.0)
    assert suppression.find([address], 1.0) == {}
    assert not suppression.delete(address, 1.0)


def test_expired_is_as_good_as_gone(suppression: Any, domain: str) -> None:
    """Whenever the store removes it."""
    address = f"a@{domain}"
    suppression.put(_entry(address, expires_at=500.0))
    assert set(suppression.find([address], 499.0)) == {address}
    assert _all(suppression, 10, domain, now=499.0) != [[]]
    assert suppression.find([address], 500.0) == {}
    assert not any(_all(suppression, 10, domain, now=500.0))
    assert not suppression.delete(address, 500.0)


@pytest.mark.parametrize("limit", [1, 7, 30, 31, 1000])
def test_pages_hold_each_entry_once(suppression: Any, domain: str, limit: int) -> None:
    """Whatever their size; in the same order at each reading."""
    entries = {_entry(f"u{n}@{domain}", float(n)) for n in range(30)}
    for entry in entries:
        suppression.put(entry)
    pages = _all(suppression, limit, domain)
    listed = [entry for page in pages for entry in page]
    assert len(listed) == 30
    assert set(listed) == entries
    assert listed == [entry for page in _all(suppression, 1000, domain) for entry in page]
    if not REAL:
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert pages[-1]


def test_pages_hold_what_is_asked_for(suppression: Any, domain: str) -> None:
    """By reason, and by time from the one instant up to the other."""
    for n in range(20):
        suppression.put(_entry(f"u{n}@{domain}", float(n), Reason.COMPLAINT if n % 5 == 0 else Reason.BOUNCE))

    def times(**wanted: Any) -> list[float]:
        return sorted(entry.updated_at for page in _all(suppression, 3, domain, **wanted) for entry in page)

    assert times(reasons={Reason.COMPLAINT}) == [0, 5, 10, 15]
    assert times(since=17.0) == [17, 18, 19]
    assert times(until=2.0) == [0, 1]
    assert times(since=3.0, until=6.0, reasons={Reason.BOUNCE}) == [3, 4]
    assert times(since=6.0, until=6.0) == []


def test_reading_goes_on_behind_an_entry_that_is_gone(suppression: Any, domain: str) -> None:
    """A page's end may be deleted before the next page is asked for."""
    for n in range(5):
        suppression.put(_entry(f"u{n}@{domain}"))
    page = suppression.page("", 2, 1.0, reasons=BOTH, **EVER)
    suppression.delete(page.entries[-1].address, 1.0)
    rest = suppression.page(page.after, 1000, 1.0, reasons=BOTH, **EVER)
    assert not {entry.address for entry in page.entries} & {entry.address for entry in rest.entries}
    if not REAL:
        assert len(rest.entries) == 3


@pytest.mark.parametrize("after", ["x", "99", "-", "٣"])
def test_place_that_no_page_gave_is_an_error(suppression: Any, after: str) -> None:
    """It came from outside."""
    with pytest.raises(ValueError, match=r".*"):
        suppression.page(after, 2, 1.0, reasons=BOTH, **EVER)


def test_reasons_are_unset_until_they_are_set(suppression: Any) -> None:
    """None and an empty list are two things."""
    if not REAL:
        assert suppression.reasons() is None
    for reasons in ((Reason.BOUNCE, Reason.COMPLAINT), (), (Reason.COMPLAINT,)):
        suppression.set_reasons(reasons)
        assert suppression.reasons() == reasons


class _Client:
    """A DynamoDB that puts reads off."""

    def __init__(self, client: Any, answers: int) -> None:
        self.client, self.answers, self.calls = client, answers, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803 (botocore's)
        """Answer a few keys of those asked for, and put the rest off."""
        self.calls += 1
        ((table, wanted),) = RequestItems.items()
        keys = wanted["Keys"]
        answer = {"Responses": {table: []}}
        if self.answers:
            answer = self.client.batch_get_item(RequestItems={table: {**wanted, "Keys": keys[: self.answers]}})
        left = keys[self.answers :]
        answer["UnprocessedKeys"] = {table: {**wanted, "Keys": left}} if left else {}
        return answer


@pytest.mark.parametrize("engine", ["aws"], indirect=True)
@pytest.mark.skipif(REAL, reason="only a fake puts off what it is told to")
def test_reads_that_are_put_off_are_asked_for_again(engine: str, domain: str) -> None:
    """Half an answer is asked on; what stays away is an outage, never "not listed"."""
    slept: list[float] = []
    addresses = [f"u{n}@{domain}" for n in range(10)]
    client = _Client(boto3.client("dynamodb"), 4)
    suppression = DynamoSuppression(client, TABLE, cache_s=0.0, clock=lambda: 0.0, sleep=slept.append)
    for address in addresses:
        suppression.put(_entry(address))
    assert set(suppression.find(addresses, 1.0)) == set(addresses)
    assert (client.calls, slept) == (3, [0.05, 0.1])
    client.answers = 0
    with pytest.raises(LedgerUnavailable, match="put off"):
        suppression.find(addresses, 1.0)
    assert client.calls == 3 + 6


@pytest.mark.parametrize("engine", ["aws"], indirect=True)
@pytest.mark.skipif(REAL, reason="counts calls")
def test_reasons_are_read_once_a_minute(engine: str) -> None:
    """And at once after they were set here."""
    clock = [0.0]
    client = boto3.client("dynamodb")
    warm = DynamoSuppression(client, TABLE, cache_s=60.0, clock=lambda: clock[0], sleep=lambda _: None)
    other = DynamoSuppression(client, TABLE, cache_s=0.0, clock=lambda: clock[0], sleep=lambda _: None)
    assert warm.reasons() is None
    other.set_reasons((Reason.BOUNCE,))
    clock[0] = 59.0
    assert warm.reasons() is None
    clock[0] = 60.0
    assert warm.reasons() == (Reason.BOUNCE,)
    warm.set_reasons(())
    assert warm.reasons() == ()


@pytest.mark.parametrize("engine", ["aws"], indirect=True)
@pytest.mark.skipif(REAL, reason="thousands of writes")
def test_page_that_finds_little_ends_and_is_gone_on_from(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that leaves nearly everything out must not hold a request for ever."""
    monkeypatch.setattr("paravion.adapters.dynamodb_suppression._QUERIES", 2)
    suppression = DynamoSuppression(
        boto3.client("dynamodb"), TABLE, cache_s=0.0, clock=lambda: 0.0, sleep=lambda _: None
    )
    for n in range(300):
        suppression.put(replace(_entry(f"u{n}@z.example"), reason=Reason.COMPLAINT if n == 77 else Reason.BOUNCE))
    pages = _all(suppression, 5, "z.example", reasons={Reason.COMPLAINT})
    assert len(pages) >= 4
    assert [entry.address for page in pages for entry in page] == ["u77@z.example"]


def test_many_are_put_at_once(suppression: Any, domain: str) -> None:
    """Over the largest batch, in place of what was there; none is nothing."""
    old = _entry(f"u3@{domain}", at=500.0)
    suppression.put(old)
    entries = [_entry(f"u{n}@{domain}", reply="550 é") for n in range(60)]
    suppression.put_all(entries)
    suppression.put_all([])
    assert suppression.find([entry.address for entry in entries], 1000.0) == {e.address: e for e in entries}


def test_reply_with_octets_that_are_no_text_is_kept(suppression: Any, domain: str) -> None:
    """A host may say anything; what can't be decoded came in as surrogates."""
    entry = _entry(f"odd@{domain}", queue_id="q", reply="550 5.1.1 \udce9")
    suppression.put(entry)
    assert suppression.find([entry.address], 1000.0) == {entry.address: entry}
