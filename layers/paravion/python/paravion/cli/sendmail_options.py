"""
What the words after `sendmail` mean: every option is honoured, named harmless with the reason, or refused.

sendmail(8)'s own getopt rules: letters may be bundled (`-ti`), a value may stand at its letter or in the
next word, `--` ends the options. Mode letters that we do not have exit 69, letters that nobody has exit 64.
"""

from __future__ import annotations

from paravion.cli.client import EX_UNAVAILABLE, EX_USAGE

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_WITH_VALUE = frozenset("ABCFLNORVXbdefhmopqrD")
_VALUE_AT_LETTER_ONLY = frozenset("dqeo")
"""sendmail takes these letters' values only without a blank; -e and -o are historic forms of -o."""

_BUILT_LATER = {
    "s": "SMTP on standard input (-bs)",
    "t": "address test mode (-bt)",
    "d": "the daemon (-bd; see paravion smtpd)",
    "D": "the daemon (-bD; see paravion smtpd)",
    "a": "ARPANET mode (-ba)",
    "h": "host status (-bh)",
    "H": "host status purge (-bH)",
    "P": "the count of queue entries (-bP)",
    "C": "configuration check (-bC)",
}
_BODY_TYPES = ("7BIT", "8BITMIME")
_DELIVERY_MODES = ("i", "b", "q", "d", "interactive", "background", "queue", "queue-only", "deferred", "defer")
_ERROR_MODES = ("m", "p", "w", "q", "e", "mail", "print", "write", "quiet", "berkeley")


class BadUsage(Exception):
    """The call is wrong, or asks for something that is not there; `exit` is its sysexits code."""

    def __init__(self, text: str, exit_code: int = EX_USAGE) -> None:
        super().__init__(text)
        self.exit = exit_code


class Options:
    """
    A call of sendmail.

    Attributes:
        mode: "m" deliver, "p" mailq, "i" newaliases, "v" verify addresses, "version" for -d0.
        dot_ends: A lone dot ends the message.
        sender: Reverse path as given; None: not given.
        notify: As in domain/envelope.Recipient.
        aliasing: -n says no.
        config_path: -C, "" for the usual places.
    """

    def __init__(self) -> None:
        self.mode = "m"
        self.recipients: list[str] = []
        self.from_header = False
        self.dot_ends = True
        self.sender: str | None = None
        self.full_name = ""
        self.notify: tuple[str, ...] = ()
        self.ret = ""
        self.envid = ""
        self.body_type = ""
        self.smtputf8 = False
        self.verbose = False
        self.quiet = False
        self.config_path = ""
        self.aliasing = True


def parse_options(words: Sequence[str]) -> Options:
    """
    Read the words after the command's name.

    Raises:
        BadUsage: Names the option and what is wrong with it.
    """
    options = Options()
    rest = iter(words)
    for word in rest:
        if word == "--":
            options.recipients += rest
        elif word.startswith("-") and len(word) > 1:
            _parse_word(options, word, rest)
        else:
            options.recipients.append(word)
    return options


def _parse_word(options: Options, word: str, rest: Iterator[str]) -> None:
    at = 1
    while at < len(word):
        letter = word[at]
        at += 1
        if letter not in _WITH_VALUE or (letter == "m" and at == len(word)):
            _set_flag(options, letter, word)
            continue
        value = word[at:]
        if not value and letter not in _VALUE_AT_LETTER_ONLY:
            taken = next(rest, None)
            if taken is None:
                raise BadUsage(f"-{letter} needs a value")
            value = taken
        _set_value(options, letter, value)
        return


def _set_flag(options: Options, letter: str, word: str) -> None:
    if letter == "t":
        options.from_header = True
    elif letter == "i":
        options.dot_ends = False
    elif letter == "v":
        options.verbose = True
    elif letter == "U":
        options.smtputf8 = True
    elif letter == "I":
        options.mode = "i"
    elif letter == "n":
        options.aliasing = False
    elif letter == "m":
        pass  # The sender stays in lists: it is never taken out.
    elif letter == "G":
        raise BadUsage("-G (gateway submission) is not offered", EX_UNAVAILABLE)
    else:
        raise BadUsage(f"unknown option -{letter}" + (f" in {word}" if len(word) > 2 else ""))  # noqa: PLR2004 (a bundle)


def _set_value(options: Options, letter: str, value: str) -> None:  # noqa: C901, PLR0912 (one branch for each letter)
    if letter in "fr":
        options.sender = value
    elif letter == "F":
        if not value.isprintable():
            raise BadUsage("-F: control characters in the name")
        options.full_name = value
    elif letter == "b":
        _set_mode(options, value)
    elif letter == "B":
        if value.upper() not in _BODY_TYPES:
            raise BadUsage(f"-B {value}: must be 7BIT or 8BITMIME")
        options.body_type = value.upper()
    elif letter == "N":
        options.notify = _checked("N", value, "notify")
    elif letter == "R":
        if value.upper() not in {"FULL", "HDRS"}:
            raise BadUsage(f"-R {value}: must be full or hdrs")
        options.ret = value.upper()
    elif letter == "V":
        options.envid = _checked("V", value, "envid")
    elif letter == "C":
        options.config_path = value
    elif letter == "o":
        _set_short_option(options, value)
    elif letter == "O":
        _set_long_option(options, value)
    elif letter == "e":
        _set_error_mode(options, value, f"-e{value}")
    elif letter == "A":
        # Which of sendmail's own two configurations to use: there is one here.
        if value not in {"c", "m"}:
            raise BadUsage(f"-A {value}: must be c or m")
    elif letter == "L":
        pass  # The tag of sendmail's lines in syslog: nothing is written there.
    elif letter == "d" and (value == "0" or value.startswith("0.")):
        options.mode = "version"
    elif letter == "q":
        raise BadUsage("-q: the service runs its queue itself; flushing by hand is not built yet", EX_UNAVAILABLE)
    else:
        raise BadUsage(f"-{letter}{value} is not offered", EX_UNAVAILABLE)


def _set_mode(options: Options, value: str) -> None:
    if value in {"m", "p", "i", "v"}:
        options.mode = value
    elif value in _BUILT_LATER:
        raise BadUsage(f"{_BUILT_LATER[value]} is not built yet", EX_UNAVAILABLE)
    else:
        raise BadUsage(f"unknown mode -b{value}")


def _set_short_option(options: Options, value: str) -> None:
    name, rest = value[:1], value[1:]
    if name == "i" and not rest:
        options.dot_ends = False
    elif name == "e":
        _set_error_mode(options, rest, f"-o{value}")
    elif name == "d" and rest in _DELIVERY_MODES:
        # When to deliver: the message is queued before we exit and tried at once, whatever is asked.
        pass
    elif name == "m" and not rest:
        pass  # as -m
    elif name == "v" and not rest:
        options.verbose = True
    else:
        raise BadUsage(f"option -o{value} is not offered")


def _set_long_option(options: Options, value: str) -> None:
    name, _, rest = value.partition("=")
    if name.lower() == "ignoredots" and rest.lower() in {"", "true", "t", "yes", "y"}:
        options.dot_ends = False
    elif name.lower() == "ignoredots" and rest.lower() in {"false", "f", "no", "n"}:
        options.dot_ends = True
    elif name.lower() == "errormode":
        _set_error_mode(options, rest, f"-O {value}")
    elif name.lower() == "deliverymode" and rest in _DELIVERY_MODES:
        pass  # as -od
    elif name.lower() == "metoo":
        pass  # as -m
    else:
        raise BadUsage(f"option -O {value} is not offered")


def _set_error_mode(options: Options, value: str, word: str) -> None:
    # How errors found in this call are told: always on standard error and by the exit code, since the caller is
    # there to hear it; errors found later always come by mail. Only `q` changes that: the exit code alone.
    if value not in _ERROR_MODES:
        raise BadUsage(f"{word}: unknown error mode")
    options.quiet = value in {"q", "quiet"}


def _checked(letter: str, value: str, check: str) -> Any:
    """Have domain/address.py judge an RFC 3461 value; its import is paid for only by who uses these options."""
    from paravion.domain import address

    try:
        if check == "notify":
            return address.check_notify(word.strip() for word in value.split(","))
        return address.check_envid(value)
    except ValueError as exc:
        raise BadUsage(f"-{letter}: {exc}") from None
