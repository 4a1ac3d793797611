"""
Find the keys that sign for a domain, and put their signatures on a message.

Keys are the secret `dkim/<domain>` (domain/dkim_keys.py) of the author's domain, or of the nearest domain above it
that has an active generation; without one the mail goes unsigned. When the secret store does not answer, or holds
something that is no key, nobody can say whether mail must be signed: the submission is refused for now (4yz, 503),
a report waits in its queue, and nothing leaves unsigned by accident.

What a warm function knows it keeps: loaded keys for as long as their secret's text stays the same (the adapter
reads it again after five minutes), the absence of keys for a minute. So a mail costs no call in the steady state.

Next on the message's path: services/commit.py keeps what was signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.domain.alignment import is_aligned, self_and_above
from paravion.domain.headers import split_header
from paravion.domain.status import NOT_ALIGNED, Rejected
from paravion.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paravion.domain.dkim import SigningKey
    from paravion.domain.message import LargeBody
    from paravion.ports import EventLog, Secrets

ABSENT_S: Final = 60.0
"""How long a domain without keys stays so; new keys sign after this at the latest."""

_ENTRIES: Final = 10_000


def secret_name(domain: str) -> str:
    """Give the name of the secret that holds a domain's keys."""
    return f"dkim/{domain}"


class Signer:
    """
    The keys of all domains, as far as they were asked for.

    Args:
        clock: Seconds; any origin.
    """

    def __init__(self, secrets: Secrets, clock: Callable[[], float]) -> None:
        self._secrets = secrets
        self._clock = clock
        self._absent: dict[str, float] = {}
        self._loaded: dict[str, tuple[str, tuple[SigningKey, ...]]] = {}

    def keys_for(self, domain: str) -> tuple[SigningKey, ...]:
        """
        Give the keys that sign for a domain (lower case, A-labels), topmost signature first; () for none.

        Raises:
            SecretsUnavailable: Nothing can be said.
            Misconfigured: A secret is there and holds no keys.
        """
        for name in self_and_above(domain):
            keys = self._keys_of(name)
            if keys:
                return keys
        return ()

    def _keys_of(self, domain: str) -> tuple[SigningKey, ...]:
        now = self._clock()
        if now < self._absent.get(domain, now):
            return ()
        text = self._secrets.get(secret_name(domain))
        if text is None:
            self._loaded.pop(domain, None)
            if len(self._absent) >= _ENTRIES:  # strangers' From addresses must not fill the memory
                self._absent.clear()
            self._absent[domain] = now + ABSENT_S
            return ()
        known, keys = self._loaded.get(domain, (None, ()))
        if known != text:
            from paravion.domain import dkim_keys

            try:
                keys = dkim_keys.signing_keys(domain, dkim_keys.decode(text))
            except ValueError as exc:
                raise Misconfigured([f"secret {secret_name(domain)}: {exc}"]) from exc
            if len(self._loaded) >= _ENTRIES:
                self._loaded.clear()
            self._loaded[domain] = (text, keys)
        return keys


def hash_to_sign(body: bytes | LargeBody, keys: tuple[SigningKey, ...]) -> bytes:
    """
    Hash a body as it will be sent, once for all headers that go out with it; b"" when nothing is signed.

    Raises:
        SpoolUnavailable: A large one can't be read.
    """
    if not keys:
        return b""
    from paravion.domain import dkim

    if isinstance(body, bytes):
        return dkim.body_hash(body)
    hashed = dkim.BodyHash()
    for piece in body.pieces():
        hashed.feed(piece)
    return hashed.digest()


def signed(header: bytes, hashed_body: bytes, keys: tuple[SigningKey, ...], now: float) -> bytes:
    """
    Give the header section with a signature of each key at its top; as it is, without keys.

    Args:
        header: As it will be sent.
        hashed_body: By `hash_to_sign`.
        now: Seconds since the epoch.
    """
    if not keys:
        return header
    from paravion.domain import dkim

    return dkim.sign(split_header(header), hashed_body, keys, now=now) + header


def check_alignment(
    authors: Iterable[str], return_domain: str, keys: tuple[SigningKey, ...], policy: str, event_log: EventLog
) -> None:
    """
    Hold every author's domain to what DMARC will ask: a signature or a reverse-path that is aligned with it.

    Args:
        authors: Domains of From, lower case, in A-labels.
        return_domain: Of the reverse-path; of our EHLO for a null one (RFC 7208 2.4).
        policy: off, warn (a record NotAligned for each) or reject.

    Raises:
        Rejected: not_aligned, the domain named.
    """
    if policy == "off":
        return
    theirs = {return_domain, *(key.domain for key in keys)}
    for author in dict.fromkeys(authors):
        if any(is_aligned(author, domain) for domain in theirs):
            continue
        if policy == "reject":
            raise Rejected(
                NOT_ALIGNED,
                f"From: {author} is neither signed for here nor the reverse-path's domain ({return_domain}); "
                f"make an identity of {author}, or send with a reverse-path in it",
            )
        event_log.emit("NotAligned", {"from_domain": author, "return_domain": return_domain})
