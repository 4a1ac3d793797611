r"""
Who a mail really goes to: virtual users and aliases expanded, lists in their own messages, each recipient once.

A page of addresses is looked up at a time, and what it leads to is taken next, depth first, so that memory holds
the lists under way and a mark for each recipient found, never a list's members. What it decides:

    met                                   becomes
    ------------------------------------  -------------------------------------------------------------
    virtusertable has it                  the address on the right side, looked up again; or the error
    a local name, aliases have it         its targets, looked up again
    the name itself among its targets     the mailbox of that name: as sendmail has it
    `\name`                               that name, not looked up any more
    a function, topic, queue or webhook   a recipient under the alias's address (domain/target.py)
    an alias that has been expanded       nothing: everybody there has the mail already
    an alias over itself (a loop), or     refused: 5.4.6
    deeper than MAX_DEPTH, or named in a
    Delivered-To field of the message
    anything else                         a recipient, if it is not one already

A list is an alias with an owner (`owner-NAME` is an alias too): its members get the message under the owner's
reverse-path. What becomes of the sender's DSN parameters (RFC 3461 5.2.7):

    the alias             its members get            for NOTIFY=SUCCESS the sender is told
    --------------------  -------------------------  ------------------------------------------------
    is a list             none of them               delivered: the message ends there (5.2.7.1)
    has one target        all of them                nothing; the target's host reports (5.2.7.2)
    has several, or       all but SUCCESS            expanded (5.2.7.3 c)
    an included list

The tables are asked through `Lookups`; nothing here knows where they lie. Next: services/expand.py.
Standards: RFC 3461 5.2.7 (DSN parameters), RFC 5321 3.9 (aliases and lists), aliases(5) of sendmail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from paravion.domain.address import parse_path, plain_local, plain_path, shown, split_address, xtext_encode
from paravion.domain.envelope import Recipient
from paravion.domain.refusal import Refusal
from paravion.domain.status import (
    DEFERRED_BY_TABLE,
    NO_SUCH_DOMAIN,
    NO_SUCH_USER,
    REFUSED_BY_TABLE,
    ROUTING_LOOP,
    TOO_MANY_RECIPIENTS,
    Rejected,
)
from paravion.domain.table_pages import INCLUDE
from paravion.domain.tables import (
    alias_keys,
    substituted,
    virtuser_keys,
)
from paravion.domain.target import is_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MAX_DEPTH: Final = 100
"""Aliases within aliases; sendmail stops at 10, and its users had longer chains."""

PAGE: Final = 1000
"""Addresses looked up at a time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """
    What expansion goes by.

    Attributes:
        local_domains: Whose addresses are looked up in the aliases; the first qualifies bare names.
        kinds: Tables that are loaded; the others are not asked.
        limit: Most recipients.
        delivered_to: Aliases that the message went through before it came to us, in normal form.
    """

    local_domains: tuple[str, ...]
    kinds: frozenset[str]
    limit: int
    delivered_to: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Lookups:
    """
    The tables.

    Attributes:
        find: Kind and keys to the entries that are there.
        pages: Kind to its entries' values, a bounded page at a time, in order; of an included list.
    """

    find: Callable[[str, Sequence[str]], Mapping[str, str]]
    pages: Callable[[str], Iterator[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Group:
    """
    Recipients that can share one message.

    Attributes:
        reverse_path: The sender's, or a list owner's.
        delivered_to: The alias whose members they are, for the message's Delivered-To field; "" for those
            that the caller named.
        quarantine: Why their message is held, "" if it is not.
    """

    reverse_path: str
    delivered_to: str = ""
    quarantine: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """One link of the way from the caller's recipient to here."""

    key: str
    before: _Step | None
    depth: int


@dataclass(frozen=True, slots=True)
class _Node:
    address: str
    given: Recipient
    group: Group
    way: _Step | None = None
    is_final: bool = False

    @property
    def depth(self) -> int:
        return self.way.depth if self.way else 0


Found = tuple[Recipient, Group]


class Expansion:
    """
    One submission's expansion.

    Args:
        trace: Told of every step: depth, address, what became of it. For showing, not for deciding.

    Attributes:
        count: Recipients found that can get mail.
        refusals: Texts of those that can't, the first few.
        lists, aliases: Addresses that are lists, or aliases of several, and whose sender wants to hear of success.
    """

    def __init__(self, lookups: Lookups, rules: Rules, trace: Callable[[int, str, str], None] | None = None) -> None:
        self.count = 0
        self.refusals: list[Refusal] = []
        self.lists: list[Recipient] = []
        self.aliases: list[Recipient] = []
        self._lookups = lookups
        self._rules = rules
        self._trace = trace
        self._seen: set[bytes] = set()
        self._expanded: set[str] = set()
        self._local = frozenset(rules.local_domains)

    def run(
        self,
        recipients: Sequence[Recipient],
        reverse_path: str,
        quarantined: Mapping[str, str] | None = None,
        unaliased: frozenset[str] = frozenset(),
    ) -> Iterator[list[Found]]:
        """
        Give the recipients in lists of bounded length, each recipient once.

        Args:
            recipients: In normal form.
            reverse_path: The sender's.
            unaliased: Forward-paths that are not looked up.
            quarantined: Forward-paths whose mail is held, with why; whoever comes out of them is held too.

        Raises:
            Rejected: A recipient that the caller named is refused by a table, or loops; too many come out.
        """
        held = quarantined or {}
        nodes = []
        for given in recipients:
            path = given.forward_path
            group = Group(reverse_path, quarantine=held.get(path, ""))
            # Who is refused before any table was asked (services/list_management.py) stays who he is, and is reported.
            self.count += bool(given.refusal)
            nodes.append(_Node(path, given, group, is_final=path in unaliased or bool(given.refusal)))
        stack = [iter([nodes])]
        while stack:
            page = next(stack[-1], None)
            if page is None:
                stack.pop()
                continue
            found, deeper = self._resolve(page)
            if found:
                yield found
            stack += reversed(deeper)

    def _resolve(self, page: list[_Node]) -> tuple[list[Found], list[Iterator[list[_Node]]]]:
        found: list[Found] = []
        deeper: list[Iterator[list[_Node]]] = []
        inline: list[_Node] = []
        virtuals, aliases = self._look_up(page)
        for node in page:
            more = None if node.is_final else self._virtual(node, virtuals) or self._alias(node, aliases, deeper)
            if more is None:
                found += self._recipient(node)
            else:
                inline += more
        if inline:
            deeper.insert(0, (inline[n : n + PAGE] for n in range(0, len(inline), PAGE)))
        return found, deeper

    def _look_up(self, page: list[_Node]) -> tuple[Mapping[str, str], Mapping[str, str]]:
        open_nodes = [node for node in page if not node.is_final]
        virtuals: Mapping[str, str] = {}
        aliases: Mapping[str, str] = {}
        if "virtusertable" in self._rules.kinds:
            keys = (key for node in open_nodes for key, _, _ in virtuser_keys(node.address))
            virtuals = self._lookups.find("virtusertable", list(dict.fromkeys(keys)))
        if "aliases" in self._rules.kinds:
            names = (
                name
                for node in open_nodes
                if split_address(node.address)[1] in self._local
                for name in alias_keys(split_address(node.address)[0])
            )
            wanted = list(dict.fromkeys(key for name in names for key in (name, f"owner-{name}")))
            aliases = self._lookups.find("aliases", wanted) if wanted else {}
        return virtuals, aliases

    def _virtual(self, node: _Node, virtuals: Mapping[str, str]) -> list[_Node] | None:
        """What the virtusertable makes of an address; None when it leaves it alone."""
        for key, user, detail in virtuser_keys(node.address) if virtuals else ():
            if key not in virtuals:
                continue
            value = virtuals[key]
            if value.startswith("error:"):
                return self._refuse(node, Refusal.parse(value[6:]), "virtusertable")
            target = self._qualified(substituted(value, user, detail))
            if plain_path(target) == plain_path(node.address):
                return None
            if not _is_path(target):  # what needs its quotes has no place beside other letters
                return self._refuse(node, _no_such_user(node.address), "virtusertable")
            self._tell(node, f"virtusertable {key}: {target}")
            return self._followed(node, f"virtusertable {node.address}", [replace(node, address=target)])
        return None

    def _alias(
        self, node: _Node, aliases: Mapping[str, str], deeper: list[Iterator[list[_Node]]]
    ) -> list[_Node] | None:
        """Targets of an alias; None when there is none of that name. Included lists go to `deeper`."""
        local, domain = split_address(node.address)
        name = next((name for name in alias_keys(local) if name in aliases), "") if domain in self._local else ""
        if not name:
            return None
        address = f"{name}@{domain}"
        if address.lower() in self._rules.delivered_to:
            return self._refuse(node, _loop(f"the message has been through {address} (Delivered-To)"), "loop")
        key = f"alias {name}"
        if _is_on(node.way, key):
            return self._refuse(node, _loop(f"alias loop: {_shown_way(node.way, name)}"), "loop")
        owner = "" if name.startswith("owner-") else aliases.get(f"owner-{name}", "")
        is_single = not owner and "\n" not in aliases[name] and not aliases[name].startswith(":include:")
        if "SUCCESS" in node.given.notify and not is_single:
            # Also of a name whose members have the mail by another: it arrived.
            arrived = replace(node.given, forward_path=node.address, origin="", refusal="")
            (self.lists if owner else self.aliases).append(arrived)
        if key in self._expanded:
            self._tell(node, "expanded already")
            return []
        self._expanded.add(key)
        child = self._member(node, owner, address)
        if not is_single and child.given.notify:
            # A keyword is left over, or NEVER is said: without any, failures would be reported.
            notify = tuple(word for word in child.given.notify if word != "SUCCESS") or ("NEVER",)
            child = replace(child, given=replace(child.given, notify=notify))
        self._tell(node, f"alias {name}" + (f", owner {child.group.reverse_path}" if owner else ""))
        members: list[_Node] = []
        for target in aliases[name].split("\n"):
            if target.startswith(":include:"):
                inside = replace(child, way=_Step(key, node.way, node.depth + 1))
                deeper.append(self._included(inside, target.removeprefix(":include:"), name, address))
            else:
                members.append(self._target(child, target, name, address))
        return self._followed(node, key, members)

    def _member(self, node: _Node, owner: str, address: str) -> _Node:
        """What an alias's members take over: its owner's reverse-path, or the sender's DSN parameters."""
        if owner:
            one = "" if "\n" in owner or owner[0] in ":\\" or is_target(owner) else owner
            path = self._qualified(one or f"owner-{address}")
            # A report on its way to a list keeps its null reverse-path: nothing answers a report.
            group = replace(node.group, reverse_path=path if node.group.reverse_path else "", delivered_to=address)
            return replace(node, given=Recipient("", origin=address), group=group)
        orcpt = node.given.orcpt or (f"rfc822;{xtext_encode(node.address)}" if node.address.isascii() else "")
        given = replace(node.given, orcpt=orcpt, origin=node.given.origin or address)
        return replace(node, given=given, group=replace(node.group, delivered_to=node.group.delivered_to or address))

    def _target(self, child: _Node, target: str, name: str, alias: str) -> _Node:
        if is_target(target):
            # What gets the mail is no address: it is shown, and reported on, under the alias's.
            given = replace(child.given, target=target)
            return replace(child, address=alias, given=given, is_final=True)
        address = self._qualified(target.removeprefix("\\"))
        local, domain = split_address(address)
        is_self = plain_local(local).lower() == name and domain in self._local
        return replace(child, address=address, is_final=target[0] == "\\" or is_self)

    def _included(self, child: _Node, include: str, name: str, alias: str) -> Iterator[list[_Node]]:
        """
        A list's members, page by page.

        A list that was included before, perhaps by itself, and the alias's own name are passed over: everybody
        there has the mail already.
        """
        mark = f"include {include}"
        if mark in self._expanded:
            return
        self._expanded.add(mark)
        if child.depth >= MAX_DEPTH:
            yield self._followed(child, mark, [])
            return
        child = replace(child, way=_Step(mark, child.way, child.depth + 1))
        for values in self._lookups.pages(INCLUDE + include):
            members: list[_Node] = []
            for target in values:
                if target.startswith(":include:"):
                    yield from self._included(child, target.removeprefix(":include:"), name, alias)
                    continue
                member = self._target(child, target, name, alias)
                if not member.is_final or target[0] == "\\" or member.given.target:
                    members.append(member)
            yield members

    def _followed(self, node: _Node, key: str, members: list[_Node]) -> list[_Node]:
        if _is_on(node.way, key):
            return self._refuse(node, _loop(f"loop: {_shown_way(node.way, key)}"), "loop")
        if node.depth >= MAX_DEPTH:
            return self._refuse(node, _loop(f"more than {MAX_DEPTH} aliases within aliases"), "too deep")
        way = _Step(key, node.way, node.depth + 1)
        return [replace(member, way=way) for member in members]

    def _refuse(self, node: _Node, refusal: Refusal, why: str) -> list[_Node]:
        """Refuse a recipient: at once if the caller named it, else as one member whose failure is reported."""
        self._tell(node, f"{why}: {refusal}")
        if node.way is None:
            raise rejected(refusal, f"<{shown(node.address, 320)}>: {shown(refusal.text, 200)}")
        if len(self.refusals) < PAGE:
            self.refusals.append(refusal)
        given = replace(node.given, refusal=str(refusal))
        return [replace(node, given=given, is_final=True)]

    def _recipient(self, node: _Node) -> list[Found]:
        # A target once for each alias: which of them may have it says the access table (services/access.py).
        told = f"{node.given.target}\0{node.given.refusal}\0{plain_path(node.address)}"
        mark = blake2b(told.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        if mark in self._seen:
            return []
        self._seen.add(mark)
        if len(self._seen) > self._rules.limit:
            raise Rejected(TOO_MANY_RECIPIENTS, f"expands to more than {self._rules.limit} recipients")
        if not node.given.refusal:
            self.count += 1
            self._tell(node, f"handed over to {node.given.target}" if node.given.target else "recipient")
        return [(replace(node.given, forward_path=node.address), node.group)]

    def _qualified(self, target: str) -> str:
        return target if "@" in target else f"{target}@{self._rules.local_domains[0]}"

    def _tell(self, node: _Node, what: str) -> None:
        if self._trace:
            self._trace(node.depth, node.address, what)


def rejected(refusal: Refusal, detail: str) -> Rejected:
    """Give the error for a door from a table's own words."""
    rows = {row.enhanced: row for row in (NO_SUCH_USER, NO_SUCH_DOMAIN, ROUTING_LOOP)}
    by_class = DEFERRED_BY_TABLE if refusal.code // 100 == 4 else REFUSED_BY_TABLE  # noqa: PLR2004 (RFC 5321 4.2.1)
    row = rows.get(refusal.status, by_class)
    status = replace(row, smtp=refusal.code, detail=refusal.status.partition(".")[2], text=refusal.text)
    return Rejected(status, detail)


def _is_path(target: str) -> bool:
    try:
        parse_path(target, smtputf8=True)
    except ValueError:
        return False
    return True


def _no_such_user(address: str) -> Refusal:
    return Refusal(
        NO_SUCH_USER.smtp, NO_SUCH_USER.enhanced, f"the virtusertable makes no address of {shown(address, 320)}"
    )


def _loop(text: str) -> Refusal:
    return Refusal(ROUTING_LOOP.smtp, ROUTING_LOOP.enhanced, text)


def _is_on(way: _Step | None, key: str) -> bool:
    while way is not None:
        if way.key == key:
            return True
        way = way.before
    return False


def _shown_way(way: _Step | None, last: str) -> str:
    keys = [last.removeprefix("alias ")]
    while way is not None and len(keys) < 10:  # noqa: PLR2004 (one line)
        keys.append(way.key.removeprefix("alias "))
        way = way.before
    return " -> ".join(reversed(keys))
