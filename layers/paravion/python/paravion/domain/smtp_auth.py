"""
AUTH in SMTP, without I/O: from an open session to one that the host knows us in.

`authenticate` is a generator like those of domain/smtp_dialogue.py and driven the same way, after `introduce`.
Every step of it has Stage.AUTH: what is written and answered there is never recorded, and no outcome holds it.

    the host                                          the mail
    ------------------------------------------------  ---------------------------------------------------------
    235, and it proved itself where it must           goes on
    454, 432, 421, 4yz                                waits: asked again at the next attempt
    535, 534, 5yz                                     waits: the credential is the operator's to correct
    offers no AUTH, or no mechanism of the credential waits, 4.3.5
    can only be reached in clear                      waits, 4.7.0; the credential is not sent

Never does it bounce: no sender is at fault for our own credential. In clear AUTH is spoken only where the route
says `tls=none` and the address is a private one: a tunnel or the same machine.

RFC: 4954; 3207 4.2 (what was offered in clear is forgotten: the session is the one after STARTTLS).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from paravion.domain import sasl, status
from paravion.domain.next_hop import is_refused
from paravion.domain.reply import Malformed, Reply
from paravion.domain.smtp_dialogue import Refusal, Session, Step
from paravion.domain.verdict import Fault, Scope, Stage, is_positive, judge, ours

if TYPE_CHECKING:
    from collections.abc import Generator

    from paravion.domain.verdict import Answer

_COMMAND_OCTETS: Final = 512
"""RFC 5321 4.5.3.1.4, which holds for AUTH as well: a longer initial response waits for the host's 334."""

_ROUNDS: Final = 8
"""No mechanism here has more than three challenges."""

_GO_ON: Final = 334


def authenticate(  # noqa: PLR0911 (one exit for each line of the table)
    session: Session, who: sasl.Credential, nonce: str, *, clear: bool = False
) -> Generator[Step, Answer, Session | Refusal]:
    """
    Log in.

    Args:
        session: As `introduce` gave it, the one under TLS if there is any.
        nonce: For SCRAM: unguessable, new each time, printable ASCII without a comma.
        clear: The route says `tls=none`: a private address may hear the credential in clear.

    Returns:
        The session, or why there is none; the connection is of no more use then.
    """
    peer = session.peer
    if not peer.tls and not (clear and is_refused(peer.address)):
        text = f"{peer.name} can't be reached under TLS: the credential is not sent in clear"
        return Refusal(ours(status.TLS_FAILED, text, Stage.AUTH, peer, Scope.HOST))

    def refused(text: str) -> Refusal:
        return Refusal(ours(status.MISCONFIGURED, text, Stage.AUTH, peer, Scope.HOST))

    offered = session.extensions.keywords.get("AUTH", "").upper().split()
    mechanism = sasl.choose(who, offered)
    if not mechanism:
        wanted = who.mechanism or ("XOAUTH2" if who.token else "a mechanism for passwords")
        return refused(f"{peer.name} does not offer {wanted}; AUTH it offers: {' '.join(offered) or 'none'}"[:500])
    try:
        exchange = sasl.begin(mechanism, who, nonce)
    except sasl.SaslError as exc:
        return refused(str(exc))
    answer, problem = yield from _exchange(exchange)
    if problem:
        return refused(f"AUTH {mechanism} with {peer.name}: {problem}")
    if is_positive(Stage.AUTH, answer):
        if not exchange.is_proved:
            return refused(f"AUTH {mechanism}: {peer.name} did not prove that it knows the password")
        return session
    return Refusal(judge(Stage.AUTH, _without_secrets(answer, who), peer))


def _exchange(exchange: sasl.Exchange) -> Generator[Step, Answer, tuple[Answer, str]]:
    """Ask and answer until the host decides, or until we cancel: then the second part says why."""
    command = f"AUTH {exchange.name}".encode()
    first = exchange.initial
    if first is not None:
        with_first = command + b" " + (base64.b64encode(first) or b"=")
        if len(with_first) + 2 <= _COMMAND_OCTETS:
            command, first = with_first, None
    answer = yield Step(command + b"\r\n", Stage.AUTH)
    for _ in range(_ROUNDS):
        if not isinstance(answer, Reply) or answer.code != _GO_ON:
            return answer, ""
        try:
            said = first if first is not None else exchange.answer(_challenge(answer) if exchange.reads else b"")
        except sasl.SaslError as exc:
            # RFC 4954 4: whatever the host answers (501), the exchange is over.
            answer = yield Step(b"*\r\n", Stage.AUTH)
            return answer, str(exc)
        first = None
        answer = yield Step(base64.b64encode(said) + b"\r\n", Stage.AUTH)
    return answer, "the host asks without end"


def _challenge(reply: Reply) -> bytes:
    text = "".join(reply.lines).strip()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise sasl.SaslError("a challenge is not base64") from exc


def _without_secrets(answer: Answer, who: sasl.Credential) -> Answer:
    """A host that does not know AUTH may repeat our command in its complaint; what has three letters is no secret."""
    if isinstance(answer, Fault):
        return answer
    secrets = [secret for secret in (who.password, who.token) if len(secret) > 3]  # noqa: PLR2004
    plain = f"\0{who.user}\0{who.password}"
    bearer = f"user={who.user}\x01auth=Bearer {who.token}\x01\x01"
    secrets += [base64.b64encode(secret.encode()).decode() for secret in (*secrets, plain, bearer)]

    def cleaned(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    if isinstance(answer, Malformed):
        return Malformed(cleaned(answer.text))
    return replace(answer, lines=tuple(map(cleaned, answer.lines)))
