"""
What sendmail's tables make of a submission: who may send to whom, under which name, and who gets it in the end.

    step                what it reads                        what it changes
    ------------------  -----------------------------------  --------------------------------------------
    may it come in      access: Connect:, From:, To:         nothing, or the submission ends here
    who it is from      genericstable, masquerade_as         reverse-path, From, Sender, Reply-To
    who it is for       virtusertable, aliases               recipients, in batches that can share a message

With no table loaded and nothing to masquerade it asks for the tables once a minute and changes nothing.

Next: services/validate.py goes on with what comes out, services/split.py keeps several messages as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from paravion.domain.address import parse_mailboxes, parse_path, plain_local, plain_path, shown, split_address
from paravion.domain.status import NO_RECIPIENTS, Rejected
from paravion.services.access import RULES, Members, admitted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from paravion.domain.address import Mailbox
    from paravion.domain.envelope import Recipient
    from paravion.domain.expand import Group, Lookups
    from paravion.domain.message import Message
    from paravion.domain.submission import Submission
    from paravion.ports import TableInfo, Tables

PART_RECIPIENTS: Final = 1000
"""Recipients of one message: ten jobs, one call of the queue."""

_HELD: Final = 10_000
"""Recipients that wait for their message to be full, over all groups."""

_SENDER_FIELDS: Final = frozenset({b"from", b"sender", b"reply-to"})


@dataclass(frozen=True, slots=True)
class TableSettings:
    """
    What the tables are read by.

    Attributes:
        local_domains: The first qualifies bare names; never empty.
        masquerade_as: Domain for local senders, "" for none.
        masquerade_exposed: Local parts, in lower case, that keep their domain.
    """

    local_domains: tuple[str, ...]
    max_expansion_count: int
    masquerade_as: str = ""
    masquerade_exposed: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """
    What an expansion found besides recipients.

    Attributes:
        lists, aliases: See domain/expand.py.
        discarded: Recipients and members that the access table left out.
        quarantine, quarantined: See services/access.py's Admitted.
    """

    lists: Sequence[Recipient] = ()
    aliases: Sequence[Recipient] = ()
    discarded: int = 0
    quarantine: str = ""
    quarantined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expanded:
    """
    A submission after the tables.

    Attributes:
        batches: Each of one message's recipients, all of one group. Raises Rejected while iterated, when nobody
            is left or too many come out. None, or none, when all of it is discarded.
        found: Filled while `batches` is iterated.
    """

    message: Message
    reverse_path: str
    batches: Iterator[tuple[Group, tuple[Recipient, ...]]] | None
    found: Found = field(default_factory=Found)


def apply_tables(
    submission: Submission,
    message: Message,
    reverse_path: str,
    recipients: tuple[Recipient, ...],
    tables: Tables,
    settings: TableSettings,
    unaliased: frozenset[str] = frozenset(),
) -> Expanded:
    """
    Check, rewrite and expand.

    Args:
        unaliased: Forward-paths that virtual users and aliases do not hold for.

    Raises:
        Rejected: By the access table or the virtusertable, or an alias loop.
        LedgerUnavailable: Nothing can be said.
    """
    loaded = tables.loaded()
    found = Found()
    if not loaded and not settings.masquerade_as:
        return Expanded(message, reverse_path, _unexpanded(reverse_path, recipients))
    if not RULES.isdisjoint(loaded):
        kept = admitted(submission, reverse_path, recipients, tables)
        found.discarded = len(recipients) - len(kept.recipients)
        if not kept.recipients:
            return Expanded(message, reverse_path, None, found)
        recipients, found.quarantine, found.quarantined = kept.recipients, kept.quarantine, kept.quarantined
    sender, message = _renamed(reverse_path, message, loaded, tables, settings)
    if loaded.keys().isdisjoint({"aliases", "virtusertable"}) or not submission.aliasing:
        return Expanded(message, sender, _unexpanded(sender, recipients, found.quarantined), found)
    delivered_to = frozenset(_delivered_to(message))
    batches = expanded_batches(recipients, sender, delivered_to, tables, settings, found, unaliased)
    return Expanded(message, sender, batches, found)


# Senders


def _renamed(
    reverse_path: str, message: Message, loaded: Mapping[str, TableInfo], tables: Tables, settings: TableSettings
) -> tuple[str, Message]:
    """Give reverse-path and message with every sender under the name that the world knows."""
    if "genericstable" not in loaded and not settings.masquerade_as:
        return reverse_path, message
    found = [
        (n, item.name, parse_mailboxes(item.value))
        for n, item in enumerate(message.fields)
        if item.key in _SENDER_FIELDS and item.value
    ]
    addresses = {mailbox.address for _, _, mailboxes in found for mailbox in mailboxes}
    names = new_names({*addresses, reverse_path} - {""}, loaded, tables, settings)
    if not names:
        return reverse_path, message
    fields = list(message.fields)
    for n, _, mailboxes in found:
        if any(mailbox.address in names for mailbox in mailboxes):
            fields[n] = replace(fields[n], raw=_rewritten(fields[n].raw, fields[n].name, mailboxes, names))
    authors = tuple(replace(author, address=names.get(author.address, author.address)) for author in message.authors)
    is_utf8 = not all(item.raw.isascii() for item in fields)
    message = replace(message, fields=tuple(fields), authors=authors, header_is_utf8=is_utf8)
    return names.get(reverse_path, reverse_path), message


def new_names(
    addresses: Iterable[str], loaded: Mapping[str, TableInfo], tables: Tables, settings: TableSettings
) -> dict[str, str]:
    """Give the senders whose address changes, with the new one."""
    addresses = sorted(addresses)
    keys = {address: _generic_keys(address, settings) for address in addresses}
    wanted = [key for some in keys.values() for key in some]
    found = tables.lookup("genericstable", list(dict.fromkeys(wanted))) if "genericstable" in loaded else {}
    names: dict[str, str] = {}
    for address in addresses:
        key = next((key for key in keys[address] if key in found), None)
        local, domain = split_address(address)
        if key is not None:
            names[address] = found[key]
        elif (
            settings.masquerade_as
            and domain in settings.local_domains
            and plain_local(local).lower() not in settings.masquerade_exposed
        ):
            names[address] = parse_path(f"{local}@{settings.masquerade_as}", smtputf8=True)
    return {old: new for old, new in names.items() if old != new}


def _generic_keys(address: str, settings: TableSettings) -> list[str]:
    local, domain = split_address(address)
    user = plain_local(local).lower()
    keys = [f"{user}@{domain}"]
    return [*keys, user] if domain in settings.local_domains else keys


def _rewritten(raw: bytes, name: bytes, mailboxes: Sequence[Mailbox], names: Mapping[str, str]) -> bytes:
    """Change the addresses where they stand; a field that writes one otherwise than we do is made anew."""
    from paravion.domain.headers import format_mailbox, make_field

    expected = [names.get(mailbox.address, mailbox.address) for mailbox in mailboxes]
    new = raw
    for mailbox in mailboxes:
        old = mailbox.address
        if old in names and new.count(old.encode()) == 1:
            new = new.replace(old.encode(), names[old].encode())
    if [mailbox.address for mailbox in parse_mailboxes(new.partition(b":")[2].strip())] == expected:
        return new
    value = ", ".join(
        format_mailbox(mailbox.display.decode("utf-8", "replace"), address)
        for mailbox, address in zip(mailboxes, expected, strict=True)
    )
    return make_field(name.decode("ascii"), value, utf8=True).removesuffix(b"\r\n")


# Recipients


def _unexpanded(
    reverse_path: str, recipients: tuple[Recipient, ...], quarantined: Mapping[str, str] | None = None
) -> Iterator[tuple[Group, tuple[Recipient, ...]]]:
    from paravion.domain.expand import Group

    if not quarantined:
        yield Group(reverse_path), recipients
        return
    groups: dict[str, list[Recipient]] = {}
    for recipient in recipients:
        groups.setdefault(quarantined.get(recipient.forward_path, ""), []).append(recipient)
    for reason, some in groups.items():
        yield Group(reverse_path, quarantine=reason), tuple(some)


def _delivered_to(message: Message) -> Iterator[str]:
    for value in message.values(b"Delivered-To"):
        text = value.strip(b" \t<>").decode("utf-8", "replace")
        try:
            yield plain_path(parse_path(text, smtputf8=True)).lower()
        except ValueError:
            # Another host's field may hold anything; it then names no alias of ours.
            continue


def expanded_batches(
    recipients: tuple[Recipient, ...],
    reverse_path: str,
    delivered_to: frozenset[str],
    tables: Tables,
    settings: TableSettings,
    found: Found,
    unaliased: frozenset[str] = frozenset(),
) -> Iterator[tuple[Group, tuple[Recipient, ...]]]:
    """
    Gather what the expansion finds into full batches of one group each; none if everybody is discarded.

    Args:
        recipients: In normal form, at least one.
        reverse_path: The sender's, "" for null.
        delivered_to: See domain/expand.py's Rules.
        found: Is filled.

    Raises:
        Rejected, LedgerUnavailable: While iterated; nobody may have been promised anything by then.
    """
    from paravion.domain.expand import Expansion, Rules, rejected

    kinds = frozenset(tables.loaded())
    rules = Rules(settings.local_domains, kinds, settings.max_expansion_count, delivered_to)
    expansion = Expansion(lookups(tables), rules)
    found.lists, found.aliases = expansion.lists, expansion.aliases
    named = frozenset(recipient.forward_path for recipient in recipients)
    members = Members(tables, named)
    waiting: dict[Group, list[Recipient]] = {}
    for page in expansion.run(recipients, reverse_path, found.quarantined, unaliased):
        for recipient, group in members.judged(page):
            batch = waiting.setdefault(group, [])
            batch.append(recipient)
            if len(batch) == PART_RECIPIENTS:
                yield group, tuple(waiting.pop(group))
        if sum(map(len, waiting.values())) > _HELD:
            group = max(waiting, key=lambda group: len(waiting[group]))
            yield group, tuple(waiting.pop(group))
    found.discarded += members.discarded
    if expansion.count == members.lost:
        refusals = [*expansion.refusals, *members.refusals]
        if refusals:
            raise rejected(refusals[0], shown(refusals[0].text, 300))
        if found.discarded:
            return
        given = shown(", ".join(recipient.forward_path for recipient in recipients), 200)
        raise Rejected(NO_RECIPIENTS, f"nobody is behind {given}")
    for group, batch in waiting.items():
        yield group, tuple(batch)


def lookups(tables: Tables) -> Lookups:
    """Give the tables as the expansion asks them."""
    from paravion.domain.expand import Lookups

    return Lookups(tables.lookup, lambda kind: (list(page.values()) for page in tables.pages(kind)))
