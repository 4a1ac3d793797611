"""
Ask the suppression list before a mail is sent: who is on it is not sent to, and fails with an outcome that says so.

As SES does: the submission is accepted, the sender hears of it like of any other failure (a report, an event). An
entry counts while its reason is one of the mail's configuration set, or, if that names none, of the account's. The
jobs of a batch ask together, one read for each hundred recipients. While the list can't be read nothing is sent: our
own faults defer (law 7).

Reports of our own are sent whatever the list says: a sender must hear what became of his mail, and a listed address
may be a good one (a complaint is made at a mailbox that somebody reads).

Next: services/deliver.py sends to the others. services/suppress.py fills the list.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from paravion.domain.suppression import Suppressed, looked_up_as, not_sent
from paravion.services.gathering import Gathering, Member

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paravion.domain.envelope import Envelope, Recipient
    from paravion.domain.outcome import Outcome
    from paravion.domain.suppression import Reason
    from paravion.ports import Suppression
    from paravion.services.blocking import InThread


def reasons_in_force(suppression: Suppression, by_setting: Sequence[Reason]) -> tuple[Reason, ...]:
    """Give the account's reasons: those that the API was told, else the setting's. Raises LedgerUnavailable."""
    told = suppression.reasons()
    return tuple(by_setting) if told is None else told


_ANY_REASON: Final = "\0"
"""Begins the key of an address whose mail has reasons of its own: its entry is wanted, whatever the account says."""


def in_force(
    keys: Sequence[str], suppression: Suppression, by_setting: Sequence[Reason], now: float
) -> dict[str, Suppressed]:
    """
    Give the entries of addresses (in normal form) by the account's reasons; without any, nothing is asked.

    Args:
        keys: An address behind _ANY_REASON has its entry given whatever the reason.

    Raises:
        LedgerUnavailable
    """
    reasons = reasons_in_force(suppression, by_setting)
    wanted = [key for key in keys if reasons or key.startswith(_ANY_REASON)]
    addresses = list(dict.fromkeys(key.removeprefix(_ANY_REASON) for key in wanted))
    found = suppression.find(addresses, now) if addresses else {}
    entries = ((key, found.get(key.removeprefix(_ANY_REASON))) for key in wanted)
    return {key: entry for key, entry in entries if entry and (key.startswith(_ANY_REASON) or entry.reason in reasons)}


def of_batch(
    suppression: Suppression,
    by_setting: Sequence[Reason],
    clock: Callable[[], float],
    jobs: int,
    in_thread: InThread = asyncio.to_thread,
) -> Gathering[Suppressed]:
    """Make the look-up that the jobs of one batch share."""
    return Gathering(lambda addresses: in_force(addresses, suppression, by_setting, clock()), jobs, in_thread=in_thread)


async def withheld(envelope: Envelope, todo: Mapping[int, Recipient], member: Member[Suppressed]) -> dict[int, Outcome]:
    """
    Give the outcome of each recipient that must not be sent to, by position.

    Args:
        todo: The recipients that would be sent to now.
        member: The job's part in the batch's look-up.

    Raises:
        LedgerUnavailable: Nothing can be said; nobody may be sent to.
    """
    if envelope.kind != "mail":
        return {}
    # A target has the alias's address for a name: what is listed is a mailbox of that name, which is another recipient.
    addresses = {n: looked_up_as(it.forward_path) for n, it in todo.items() if not (it.refusal or it.target)}
    reasons = envelope.suppressed_reasons
    if reasons is None:
        entries = await member.ask([address for address in addresses.values() if address])
        return {n: not_sent(entries[address]) for n, address in addresses.items() if address in entries}
    keys = {n: _ANY_REASON + address for n, address in addresses.items() if address} if reasons else {}
    entries = await member.ask(list(keys.values()))
    return {n: not_sent(entries[key]) for n, key in keys.items() if key in entries and entries[key].reason in reasons}
