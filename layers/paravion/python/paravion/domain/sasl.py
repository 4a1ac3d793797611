"""
SASL's client side, without I/O: what proves to a smarthost who we are.

    mechanism        says                                              proves to us
    ---------------  ------------------------------------------------  ---------------------------------
    SCRAM-SHA-256    that we know the password, never the password     that the host knows it as well
    XOAUTH2          the token                                         nothing
    PLAIN, LOGIN     the password                                      nothing

Strongest first is the order of choice, unless the credential forces one; a token goes by XOAUTH2 alone. The
octets here are bare: base64 and the commands around it are domain/smtp_auth.py's, and so is the rule that none
of it is said in clear. Owns no randomness: the nonce is an argument.

RFC: 4422 (SASL), 4616 (PLAIN), 5802 and 7677 (SCRAM-SHA-256), 4013 (SASLprep). LOGIN is
draft-murchison-sasl-login-00, XOAUTH2 Google's "OAuth 2.0 Mechanism", which Microsoft took over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import stringprep
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MECHANISMS: Final = ("SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2")
"""Those offered, of passwords strongest first."""

_ITERATIONS: Final = range(4096, 600_001)
"""RFC 7677 4 asks for at least 4096; more than this stops a function of a third of a CPU for a second."""

_STORED_OCTETS: Final = 4096
"""A secret of the store has no more (SSM, standard parameters); so no answer passes the 12,288 of RFC 4954 4."""

_MAPPED_TO_NOTHING: Final = stringprep.in_table_b1
_PROHIBITED: Final = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9,
)  # fmt: skip


class SaslError(Exception):
    """The exchange can't go on; says why in printable words that hold no secret."""


@dataclass(frozen=True, slots=True)
class Credential:
    """
    What a route logs in with. Its representation shows no secret.

    Attributes:
        user: Account name at the host.
        password, token: One of them; the token is an OAuth 2.0 access token.
        mechanism: Of MECHANISMS, or "" for the strongest that the host offers.
    """

    user: str
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    mechanism: str = ""

    @property
    def kind(self) -> str:
        """`password` or `token`."""
        return "token" if self.token else "password"

    def encode(self) -> str:
        """Give the text that the secret store keeps."""
        stored = {"user": self.user, self.kind: self.token or self.password, "mechanism": self.mechanism}
        return json.dumps(stored, ensure_ascii=False)


def credential(user: object, password: object = "", token: object = "", mechanism: object = "") -> Credential:
    """
    Make a credential of what somebody gave.

    Raises:
        ValueError: What is wrong with it, without showing it.
    """
    checked = []
    for name, value in (("user", user), ("password", password), ("token", token), ("mechanism", mechanism)):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be text")  # noqa: TRY004 (whoever asks gets one kind of error)
        if any(unicodedata.category(char) in {"Cc", "Cs"} for char in value):
            raise ValueError(f"{name} must have no control characters")
        checked.append(value)
    made = Credential(checked[0], checked[1], checked[2], checked[3].upper())
    if not made.user:
        raise ValueError("a user is needed")
    if bool(made.password) == bool(made.token):
        raise ValueError("either a password or a token is needed")
    if made.mechanism and made.mechanism not in MECHANISMS:
        raise ValueError(f"mechanism must be one of {', '.join(MECHANISMS)}")
    if made.mechanism and (made.mechanism == "XOAUTH2") != bool(made.token):
        raise ValueError("XOAUTH2 takes a token, every other mechanism a password")
    if made.token and not re.fullmatch(r"[\x21-\x7e]+", made.token):
        raise ValueError("a token is printable ASCII without spaces")
    if len(made.encode().encode()) > _STORED_OCTETS:
        raise ValueError(f"all together it has more than the {_STORED_OCTETS} octets that can be stored")
    return made


def parse_credential(text: str) -> Credential:
    """
    Read what `Credential.encode` gave.

    Raises:
        ValueError: It is something else.
    """
    given = json.loads(text)
    if not isinstance(given, dict):
        raise ValueError("not an object")  # noqa: TRY004 (as for every other fault of the text)
    return credential(given.get("user", ""), given.get("password", ""), given.get("token", ""),
                      given.get("mechanism", ""))  # fmt: skip


class Exchange:
    """
    One login.

    Attributes:
        name: The mechanism.
        initial: What we say unasked; None where the host speaks first.
        is_proved: The host may say yes now; for SCRAM only once it has proved itself.
        reads: What a challenge holds matters; otherwise only that there is one.
    """

    name = ""
    reads = False
    initial: bytes | None = None
    is_proved = True

    def answer(self, challenge: bytes) -> bytes:  # noqa: ARG002 (for those that say more)
        """
        Answer a challenge.

        Raises:
            SaslError: There is no answer to this; the exchange must be cancelled.
        """
        raise SaslError("the host asks for more than there is to say")


class _Plain(Exchange):
    name = "PLAIN"

    def __init__(self, who: Credential) -> None:
        self.initial = b"\0".join((b"", who.user.encode(), who.password.encode()))


class _Login(Exchange):
    name = "LOGIN"

    def __init__(self, who: Credential) -> None:
        # Whatever the two questions are ("Username:", "User Name\0", base64 or not): they come in this order.
        self._said = [who.password.encode(), who.user.encode()]

    def answer(self, challenge: bytes) -> bytes:
        return self._said.pop() if self._said else super().answer(challenge)


class _XOAuth2(Exchange):
    name = "XOAUTH2"

    def __init__(self, who: Credential) -> None:
        self.initial = f"user={who.user}\x01auth=Bearer {who.token}\x01\x01".encode()
        self._is_told = False

    def answer(self, challenge: bytes) -> bytes:
        # A challenge is the host's error, in JSON; it waits for an empty answer and then refuses.
        if self._is_told:
            return super().answer(challenge)
        self._is_told = True
        return b""


class _Scram(Exchange):
    """RFC 5802 without channel binding: neither we nor most hosts can see the same end of a TLS session."""

    name = "SCRAM-SHA-256"
    reads = True
    is_proved = False

    def __init__(self, who: Credential, nonce: str) -> None:
        user = saslprep(who.user).replace("=", "=3D").replace(",", "=2C")
        self._password = saslprep(who.password).encode()
        self._nonce = nonce
        self._first_bare = f"n={user},r={nonce}".encode()
        self._expected = b""
        self.initial = b"n,," + self._first_bare

    def answer(self, challenge: bytes) -> bytes:
        if self.is_proved:
            return super().answer(challenge)
        return self._prove_them(challenge) if self._expected else self._prove_us(challenge)

    def _prove_us(self, challenge: bytes) -> bytes:
        match = re.fullmatch(rb"r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,8})(?:,.*)?", challenge)
        if match is None:
            # Also an extension that must be understood (m=): we know none.
            raise SaslError("the host's first SCRAM message is malformed")
        nonce, salt64, count = match[1].decode(), match[2], int(match[3])
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise SaslError("the host's SCRAM nonce does not go on from ours")
        if count not in _ITERATIONS:
            raise SaslError(f"SCRAM with {count} iterations: taken are {_ITERATIONS[0]} to {_ITERATIONS[-1]}")
        try:
            salt = base64.b64decode(salt64, validate=True)
        except binascii.Error as exc:
            raise SaslError("the host's SCRAM salt is malformed") from exc
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, count)
        # "biws" is the base64 of "n,,".
        final = b"c=biws,r=" + nonce.encode()
        signed = b",".join((self._first_bare, challenge, final))
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._expected = _hmac(_hmac(salted, b"Server Key"), signed)
        return final + b",p=" + base64.b64encode(proof)

    def _prove_them(self, challenge: bytes) -> bytes:
        match = re.fullmatch(rb"v=([A-Za-z0-9+/=]+)(?:,.*)?", challenge)
        if challenge.startswith(b"e="):
            # A refusal; the reply that follows an empty answer says it again, in SMTP's terms.
            return b""
        if match is None or not hmac.compare_digest(match[1], base64.b64encode(self._expected)):
            raise SaslError("the host did not prove that it knows the password")
        self.is_proved = True
        return b""


def choose(who: Credential, offered: Collection[str]) -> str:
    """
    Choose a mechanism.

    Args:
        offered: What the host names, upper case.

    Returns:
        One of MECHANISMS, or "" if the host offers none that the credential can use.
    """
    if who.mechanism:
        usable: tuple[str, ...] = (who.mechanism,)
    else:
        usable = ("XOAUTH2",) if who.token else MECHANISMS[:3]
    return next((name for name in usable if name in offered), "")


def begin(mechanism: str, who: Credential, nonce: str) -> Exchange:
    """
    Begin a login.

    Args:
        mechanism: Of MECHANISMS.
        nonce: Unguessable, new each time; printable ASCII without a comma.

    Raises:
        SaslError: User or password can't be said in this mechanism.
    """
    makers: dict[str, Callable[[], Exchange]] = {
        "SCRAM-SHA-256": lambda: _Scram(who, nonce),
        "XOAUTH2": lambda: _XOAuth2(who),
        "PLAIN": lambda: _Plain(who),
        "LOGIN": lambda: _Login(who),
    }
    return makers[mechanism]()


def saslprep(text: str) -> str:
    """
    Give the form in which both sides compare a name or password (RFC 4013, as a query: unassigned code points stay).

    Raises:
        SaslError: It holds what may not be in one.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(" " if stringprep.in_table_c12(char) else char for char in text if not _MAPPED_TO_NOTHING(char))
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(is_prohibited(char) for char in prepared for is_prohibited in _PROHIBITED):
        raise SaslError("user or password holds a character that SASLprep prohibits")
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        raise SaslError("user or password mixes directions of writing as SASLprep prohibits")
    return prepared


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")
