"""
The replies of the SMTP dialogue that say nothing about a message: greeting, sequence, syntax, limits.

Outcomes of a submission come from domain/status.py by `of_status`, or from the API. The class digit of an
enhanced status is the reply code's own, never typed twice.

RFC: 5321 4.2 and 4.3.2, 2034 and 3463 (enhanced codes; none in the greeting, EHLO, 3yz), 4954 6 (AUTH).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from paravion.domain.status import Status

_LONGEST_TEXT: Final = 480
"""A reply line has 512 octets with code and CRLF, RFC 5321 4.5.3.1.5."""


def reply(code: int, detail: str, text: str) -> str:
    """
    Give a reply line with its enhanced status.

    Args:
        code: Reply code.
        detail: `subject.detail` of RFC 3463.
        text: Made printable ASCII and cut to fit.
    """
    return f"{code} {code // 100}.{detail} {plain(text)}"


def of_status(status: Status, detail: str = "") -> str:
    """
    Give the reply for a row of the taxonomy.

    Args:
        status: The row.
        detail: What exactly is wrong, or "".
    """
    return reply(status.smtp, status.detail, f"{status.text}: {detail}" if detail else status.text)


def plain(text: str) -> str:
    """Make a text fit for a reply line: one line, printable ASCII, bounded."""
    clean = "".join(char if " " <= char <= "~" else "?" for char in text)
    return clean if len(clean) <= _LONGEST_TEXT else clean[: _LONGEST_TEXT - 3] + "..."


GREETING: Final = "220 {hostname} ESMTP paravion"
GO_AHEAD: Final = "354 End data with <CR><LF>.<CR><LF>"
CHALLENGE: Final = "334 {challenge}"

OK: Final = reply(250, "0.0", "Ok")
SENDER_OK: Final = reply(250, "1.0", "Sender ok")
RECIPIENT_OK: Final = reply(250, "1.5", "Recipient ok")
BYE: Final = reply(221, "0.0", "Bye")
HELP: Final = reply(214, "0.0", "See RFC 5321 and docs/smtp.md")
CANNOT_VERIFY: Final = reply(252, "5.0", "Send some mail, I'll try my best")
CHUNK_OK: Final = reply(250, "0.0", "Chunk taken")
READY_FOR_TLS: Final = reply(220, "0.0", "Ready to start TLS")
AUTHENTICATED: Final = reply(235, "7.0", "Authentication successful")

STOPPING: Final = reply(421, "3.2", "Service is stopping, try again later")
TIMED_OUT: Final = reply(421, "4.2", "Waited too long, closing")
TOO_MANY_CONNECTIONS: Final = reply(421, "7.0", "Too many concurrent SMTP connections")
TOO_MANY_TRANSACTIONS: Final = reply(421, "7.0", "Too many transactions in one connection, connect again")
TOO_MANY_ERRORS: Final = reply(421, "7.0", "Too many errors, closing")
ENDLESS: Final = reply(421, "7.0", "A line without end, closing")
TOO_MUCH_REFUSED: Final = reply(421, "7.0", "Too much refused content, closing")
BROKEN: Final = reply(421, "3.0", "Internal error, closing")

AUTH_BAD: Final = reply(535, "7.8", "Authentication Credentials Invalid")
AUTH_THROTTLED: Final = reply(454, "7.0", "Too many failed authentications from your address, try again later")
AUTH_CROWDED: Final = reply(454, "7.0", "Too many concurrent connections with this credential")
AUTH_AWAY: Final = reply(454, "7.0", "Temporary authentication failure")
TOO_MANY_RECIPIENTS: Final = reply(452, "5.3", "Too many recipients in this transaction")
LEARNT_TOO_MANY: Final = reply(452, "5.3", "Too many recipients in this transaction: fewer are taken at once")
BUSY: Final = reply(451, "3.2", "Not accepting mail now, try again later")
NO_SPACE: Final = reply(452, "3.1", "Not enough room for this message now")

UNKNOWN_COMMAND: Final = reply(500, "5.1", "Command not recognized")
LINE_TOO_LONG: Final = reply(500, "5.2", "Line too long")
BAD_LINE: Final = reply(500, "5.2", "A line must end with CR LF and hold no CR, LF or NUL")
NOT_UTF8: Final = reply(501, "5.2", "Arguments must be UTF-8")
NO_ARGUMENTS: Final = reply(501, "5.4", "No arguments are taken")
NEEDS_HELO: Final = reply(501, "5.4", "Syntax: EHLO hostname")
BAD_CHUNK: Final = reply(501, "5.4", "Syntax: BDAT octets [LAST]")
BAD_AUTH_SYNTAX: Final = reply(501, "5.4", "Syntax: AUTH mechanism [initial-response]")
BAD_BASE64: Final = reply(501, "5.2", "Response is not base64 of the form that the mechanism has")
AUTH_CANCELLED: Final = reply(501, "7.0", "Authentication cancelled")
NOT_OFFERED: Final = reply(502, "5.1", "Command not offered")
HELO_FIRST: Final = reply(503, "5.1", "Send EHLO first")
MAIL_FIRST: Final = reply(503, "5.1", "Send MAIL first")
RCPT_FIRST: Final = reply(503, "5.1", "Send RCPT first")
NESTED_MAIL: Final = reply(503, "5.1", "A transaction is open already")
CONTENT_BEGUN: Final = reply(503, "5.1", "BDAT has begun the content")
TLS_ALREADY: Final = reply(503, "5.1", "TLS is on already")
AUTH_ALREADY: Final = reply(503, "5.1", "Authenticated already")
NO_AUTH_NOW: Final = reply(503, "5.1", "AUTH is not allowed here")
UNKNOWN_MECHANISM: Final = reply(504, "5.4", "Authentication mechanism not offered")
TLS_FIRST: Final = reply(530, "7.0", "Must issue a STARTTLS command first")
AUTH_NEEDS_TLS: Final = reply(538, "7.11", "Encryption required for requested authentication mechanism")
SMTPUTF8_WANTED: Final = reply(553, "6.7", "Address is not ASCII: say SMTPUTF8 in MAIL")


def bad_parameter(text: str) -> str:
    """Say what is wrong with a parameter of MAIL or RCPT."""
    return reply(501, "5.4", text)


def unknown_parameter(name: str) -> str:
    """Say that a parameter of MAIL or RCPT is not known, RFC 5321 4.1.1.11."""
    return reply(555, "5.4", f"Parameter not recognized: {name}")
