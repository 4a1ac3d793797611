"""
What the access table says: of clients, senders and recipients at submission, of the members that aliases have,
and of the hosts that mail would be delivered to.

    asked for        by tag      REJECT, ERROR:                   DISCARD
    ---------------  ----------  -------------------------------  ---------------------------------------------
    the client       `Connect:`  refuses the submission           takes and drops it, with a record
    the sender       `From:`     refuses the submission           takes and drops it, with a record
    a recipient      `To:`       refuses the submission           takes it and leaves this one out, with a record
    a member         `To:`       fails alone, and is reported     is left out, with a record
    a next host      `Server:`   is not connected to; who has     is not connected to; its mail counts as
                                 no other host fails              delivered

QUARANTINE: of a client or a sender holds the whole submission, of a recipient or member that one's mail.
A key without tag holds for the first four; next hosts have their own tag alone, so that a table written for
sendmail means what it meant. Nothing is asked while no access table is loaded; one look-up serves a page of members
or a host, and its pages are kept (adapters/dynamodb_tables.py).

An operator's rules for new mail (services/standing_holds.py) stand in a table of their own, `holds`: what they hold is
held unless the access table refuses or discards it.

Next: services/expand.py; adapters/smtp_client.py asks before it connects.
Format: access_db of cf/README, sendmail 8.18; `Server:` after its macros ${server_name} and ${server_addr}.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from paravion.domain.address import shown
from paravion.domain.outcome import Outcome, Result
from paravion.domain.refusal import Refusal
from paravion.domain.status import ACCESS_DENIED, ATTEMPT_BROKE_OFF, REFUSED_BY_TABLE, Rejected
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paravion.domain.envelope import Recipient
    from paravion.domain.expand import Found
    from paravion.domain.submission import Submission
    from paravion.ports import Tables

_CLIENT_ADDRESS: Final = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]")
_KEPT_REFUSALS: Final = 10

HOLDS: Final = "holds"
"""The table of operators' rules: `to:` or `from:` and an address or domain, to the reason."""

RULES: Final = frozenset({"access", HOLDS})
"""Without any of these tables nothing is asked."""


def held_by_rule(tag: str, paths: Iterable[str], tables: Tables) -> dict[str, str]:
    """
    Give the reasons for which operators hold new mail of addresses, by address; one look-up.

    Args:
        tag: `from:` or `to:`.
    """
    if HOLDS not in tables.loaded():
        return {}
    from paravion.domain.suppression import looked_up_as  # seldom needed

    keys = {path: [tag + looked_up_as(path), tag + path.rpartition("@")[2].lower()] for path in paths}
    found = tables.lookup(HOLDS, list(dict.fromkeys(key for some in keys.values() for key in some)))
    reasons = {path: next((found[key] for key in some if key in found), "") for path, some in keys.items()}
    return {path: reason for path, reason in reasons.items() if reason}


def verdict(tag: str, keys: Sequence[str], tables: Tables) -> tuple[str, str]:
    """
    Ask the access table; tagged keys before plain ones.

    Returns:
        The key and its value, or two empty texts. SKIP is no verdict.
    """
    wanted = _tagged(tag, keys)
    return _first(wanted, tables.lookup("access", wanted))


def _tagged(tag: str, keys: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for key in keys for name in (f"{tag}{key}", key)))


def _first(wanted: Sequence[str], found: Mapping[str, str]) -> tuple[str, str]:
    for name in wanted:
        if name in found:
            return ("", "") if found[name] == "SKIP" else (name, found[name])
    return "", ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """
    What is left of a submission.

    Attributes:
        recipients: Those that are not discarded; none when the whole submission is.
        quarantine: Why all of it is held, "" if it is not.
        quarantined: Forward-paths whose own mail is held, with why.
    """

    recipients: tuple[Recipient, ...]
    quarantine: str = ""
    quarantined: Mapping[str, str] = field(default_factory=dict)


def admitted(submission: Submission, reverse_path: str, recipients: Iterable[Recipient], tables: Tables) -> Admitted:
    """
    Ask for the client, the sender and each named recipient.

    Raises:
        Rejected: One of them is refused.
        LedgerUnavailable
    """
    from paravion.domain.tables import access_keys, network_keys

    asked = []
    # The last one: before it stands what the client calls itself, which may be an address as well.
    clients = _CLIENT_ADDRESS.findall(submission.client)
    if clients:
        asked.append(("client", clients[-1], "connect:", network_keys(clients[-1])))
    if reverse_path:
        asked.append(("sender", reverse_path, "from:", access_keys(reverse_path)))
    quarantine = ""
    for what, name, tag, keys in asked:
        value = _taken(what, name, verdict(tag, keys, tables))
        if value == "DISCARD":
            return Admitted(())
        quarantine = quarantine or quarantine_of(value)
    if reverse_path and not quarantine:
        quarantine = held_by_rule("from:", [reverse_path], tables).get(reverse_path, "")
    kept = []
    recipients = list(recipients)
    quarantined = held_by_rule("to:", [recipient.forward_path for recipient in recipients], tables)
    for recipient in recipients:
        path = recipient.forward_path
        value = _taken("recipient", path, verdict("to:", access_keys(path), tables))
        if value != "DISCARD":
            kept.append(recipient)
        if quarantine_of(value):
            quarantined[path] = quarantine_of(value)
    return Admitted(tuple(kept), quarantine, quarantined)


def _taken(what: str, name: str, found: tuple[str, str]) -> str:
    """Give the word that was found. Raises Rejected for REJECT and ERROR:."""
    from paravion.domain.expand import rejected

    key, value = found
    if value == "REJECT":
        raise Rejected(ACCESS_DENIED, f"{what} {shown(name, 320)} is refused by the access table ({shown(key)})")
    if value.startswith("ERROR:"):
        refusal = Refusal.parse(value[6:])
        raise rejected(refusal, f"{what} {shown(name, 320)}: {shown(refusal.text, 200)}")
    return value


def quarantine_of(value: str) -> str:
    """Give the reason of QUARANTINE:, "" for any other word."""
    return value[11:] if value.startswith("QUARANTINE:") else ""


class Members:
    """
    What becomes of the recipients that an expansion finds; all are taken while no access table is loaded.

    Args:
        named: Forward-paths that the caller named: they have been asked for.

    Attributes:
        lost: How many get no mail.
        refusals: Of those that were refused, the first few.
        discarded: How many were left out.
    """

    def __init__(self, tables: Tables, named: frozenset[str]) -> None:
        self.lost = 0
        self.refusals: list[Refusal] = []
        self.discarded = 0
        self._tables = tables
        self._named = named
        self._targets: set[bytes] = set()

    def judged(self, page: Sequence[Found]) -> list[Found]:
        """
        Give a page without those that are discarded, the refused ones marked, each target once. One look-up.

        Raises:
            LedgerUnavailable
        """
        if RULES.isdisjoint(self._tables.loaded()):
            return [found for found in page if self._is_first(found[0])]
        from paravion.domain.tables import access_keys

        keys = {
            recipient.forward_path: _tagged("to:", access_keys(recipient.forward_path))
            for recipient, _ in page
            if recipient.forward_path not in self._named and not recipient.refusal
        }
        wanted = list(dict.fromkeys(key for some in keys.values() for key in some))
        found = self._tables.lookup("access", wanted) if wanted else {}
        held = held_by_rule("to:", keys, self._tables)
        kept: list[Found] = []
        for recipient, group in page:
            _, value = _first(keys.get(recipient.forward_path, ()), found)
            refusal = refusal_of(value)
            if refusal is not None:
                self.lost += 1
                self.refusals = [*self.refusals, refusal][:_KEPT_REFUSALS]
                # Nor is it handed over to a target.
                kept.append((replace(recipient, refusal=str(refusal), target=""), group))
            elif value == "DISCARD":
                self.lost += 1
                self.discarded += 1
            elif not self._is_first(recipient):
                continue
            elif (reason := quarantine_of(value) or held.get(recipient.forward_path, "")) and not group.quarantine:
                kept.append((recipient, replace(group, quarantine=reason)))
            else:
                kept.append((recipient, group))
        return kept

    def _is_first(self, recipient: Recipient) -> bool:
        """Say no to a target that gets the mail by another alias already."""
        if not recipient.target:
            return True
        mark = blake2b(recipient.target.encode(), digest_size=12).digest()
        if mark in self._targets:
            self.lost += 1
            return False
        self._targets.add(mark)
        return True


def refusal_of(value: str) -> Refusal | None:
    """Give what REJECT and ERROR: say; None for any other word."""
    if value == "REJECT":
        return Refusal(REFUSED_BY_TABLE.smtp, REFUSED_BY_TABLE.enhanced, "Refused by the access table")
    return Refusal.parse(value[6:]) if value.startswith("ERROR:") else None


class NextHosts:
    """Says whether a host may be connected to, by its name and then by its addresses."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def __call__(self, name: str, addresses: Sequence[str]) -> list[str] | Outcome:
        """
        Give the addresses that are left, at least one, or the outcome for mail to this host. Never raises.

        Args:
            name: Host name in A-labels, or an address without brackets.
        """
        try:
            return await asyncio.to_thread(self.judged, name, addresses)
        except LedgerUnavailable:
            return Outcome(
                Result.DEFERRED, ATTEMPT_BROKE_OFF.enhanced, text=ATTEMPT_BROKE_OFF.text, command="LOCAL"
            )  # fmt: skip

    def judged(self, name: str, addresses: Sequence[str]) -> list[str] | Outcome:
        """As a call, on this thread. Raises LedgerUnavailable."""
        if "access" not in self._tables.loaded():
            return list(addresses)
        from paravion.domain.tables import network_keys, parent_domains

        is_address = name in addresses or ":" in name
        by_name = [] if is_address else [f"server:{key}" for key in parent_domains(name)]
        by_address = {address: [f"server:{key}" for key in network_keys(address)] for address in addresses}
        wanted = list(dict.fromkeys([*by_name, *(key for some in by_address.values() for key in some)]))
        found = self._tables.lookup("access", wanted)
        key, value = _first(by_name, found)
        if value:
            return _outcome(name, key, value) or list(addresses)
        left: list[str] = []
        refused: Outcome | None = None
        for address, keys in by_address.items():
            key, value = _first(keys, found)
            outcome = _outcome(address, key, value)
            if outcome is None:
                left.append(address)
            else:
                refused = refused or outcome
        return left or refused or []


def _outcome(name: str, key: str, value: str) -> Outcome | None:
    """What a word means for mail to a host; None: it may go."""
    if value == "DISCARD":
        text = f"discarded: the access table has {shown(key)}"
        return Outcome(Result.DELIVERED, "2.0.0", text=text, command="LOCAL")
    refusal = refusal_of(value)
    if refusal is None:
        return None
    result = Result.FAILED if refusal.status.startswith("5") else Result.DEFERRED
    text = f"{refusal.text} (host {shown(name)}, {shown(key)})"
    return Outcome(result, refusal.status, text=text, command="LOCAL")
