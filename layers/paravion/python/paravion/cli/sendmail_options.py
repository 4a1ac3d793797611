"""
What the words after `sendmail` mean: every option is honoured, named harmless with the reason, or refused.

sendmail(8)'s own getopt rules: letters may be bundled (`-ti`), a value may stand at its letter or in the next word,
`--` ends the options. What is not offered is named and exits 64, like what nobody has. sendmail_table.py has a row for
each option, held against this module by a test.
"""

from __future__ import annotations

from paravion.cli.client import EX_UNAVAILABLE, EX_USAGE

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_WITH_VALUE = frozenset("ABCFLMNORVXbdefhmopqrDQ")
_VALUE_AT_LETTER_ONLY = frozenset("dqeoQM")
"""sendmail takes these letters' values only without a blank; -e and -o are historic forms of -o."""

MODES = "mpPivshC"
_NO_MODES = {
    "t": "address test mode (-bt) is not offered; see sendmail -bv",
    "d": "the daemon (-bd) is paravion smtpd",
    "D": "the daemon (-bD) is paravion smtpd",
    "a": "ARPANET mode (-ba) is not offered",
    "H": "host status purge (-bH) is not offered; see paravion hosts reset",
}
_REFUSED = {
    "D": "-D (debug log file) is not offered",
    "M": "-M (define a macro) is not offered: there are none",
    "Q": "-Q (quarantine) is not offered; see paravion hold",
    "X": "-X (traffic log) is not offered; see paravion show --transcript",
}
_BODY_TYPES = ("7BIT", "8BITMIME")
_DELIVERY_MODES = {
    "i": "i", "interactive": "i", "b": "b", "background": "b", "q": "q", "queue": "q", "queue-only": "q",
    "d": "q", "deferred": "q", "defer": "q",
}  # fmt: skip
_ERROR_MODES = ("m", "p", "w", "q", "e", "mail", "print", "write", "quiet", "berkeley")
_PROTOCOLS = ("SMTP", "ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA")
_YES, _NO = ("", "true", "t", "yes", "y"), ("false", "f", "no", "n")
_HARMLESS_LONG = ("metoo", "supersafe", "loglevel", "oldstyleheaders")
_OF_A_MESSAGE = {
    "t": "from_header", "f": "sender", "F": "full_name", "n": "aliasing", "N": "notify", "R": "ret", "V": "envid",
    "B": "body_type", "U": "smtputf8", "p": "protocol",
}  # fmt: skip
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST_NUMBER = 6
MAX_HOPS = 100
"""As the API counts Received fields; sendmail's own MaxHopCount is 25."""


class BadUsage(Exception):
    """The call is wrong, or asks for something that is not there; `exit` is its sysexits code."""

    def __init__(self, text: str, exit_code: int = EX_USAGE) -> None:
        super().__init__(text)
        self.exit = exit_code


class Options:
    """
    A call of sendmail.

    Attributes:
        mode: "m" deliver, "p" mailq, "P" count, "i" newaliases, "v" verify addresses, "s" SMTP, "h" hosts,
            "C" check the configuration, "q" run the client queue, "version" for -d0.
        dot_ends: A lone dot ends the message.
        sender: Reverse path as given; None: not given.
        notify: As in domain/envelope.Recipient.
        aliasing: -n says no.
        config_path: -C, "" for the usual places.
        delivery_mode: "i", "b" or "q" as in config.Config; "" as configured.
        queue_folder: Of the client queue, "" as configured.
        selectors: Of -q: kind (I, R, S), text, whether negated. Every one must hold.
        held: -qQ: with -bp, show what is held.
        interval_s: -q30m: run the queue again and again; 0: once.
        foreground: -qf.
        half: -A: "c" this machine's queue alone, "m" the service's alone, "" both.
        alias_files: -oA, separated by commas; "" as configured.
        protocol, client: For the Received field.
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
        self.delivery_mode = ""
        self.queue_folder = ""
        self.selectors: list[tuple[str, str, bool]] = []
        self.held = False
        self.interval_s = 0
        self.foreground = False
        self.half = ""
        self.alias_files = ""
        self.protocol = ""
        self.client = ""


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
    if options.held and options.mode != "p":
        raise BadUsage("-qQ: held mail is shown by -bp -qQ, and let go by paravion release")
    _check_is_heard(options)
    if options.interval_s and (options.selectors or options.half == "m"):
        raise BadUsage("-q with an interval runs all that waits on this machine, and nothing else")
    return options


def _check_is_heard(options: Options) -> None:
    """Refuse what a mode would not heed: it says of a message what no message of this call would be."""
    if options.mode in {"m", "version"}:
        return
    heeded = {"s": "FnNRVBUp", "v": "n"}.get(options.mode, "")
    default = vars(Options())
    for letter, name in _OF_A_MESSAGE.items():
        if letter not in heeded and getattr(options, name) != default[name]:
            mode = "-q" if options.mode == "q" else f"-b{options.mode}"
            raise BadUsage(f"-{letter} has no meaning with {mode}")


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
        raise BadUsage("-G (gateway submission) is not offered")
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
    elif letter == "h":
        _check_hops(value)
    elif letter == "p":
        _set_protocol(options, value)
    elif letter == "q":
        _set_queue_run(options, value)
    elif letter == "A":
        # Which of sendmail's two queues; there is one configuration.
        if value not in {"c", "m"}:
            raise BadUsage(f"-A {value}: must be c or m")
        options.half = value
    elif letter == "L":
        pass  # The tag of sendmail's lines in syslog: only what is given up is written there, by our name.
    elif letter == "d" and (value == "0" or value.startswith("0.")):
        options.mode = "version"
    else:
        raise BadUsage(_REFUSED.get(letter) or f"-{letter}{value} is not offered")


def _set_mode(options: Options, value: str) -> None:
    if len(value) == 1 and value in MODES:
        options.mode = value
    elif value in _NO_MODES:
        raise BadUsage(_NO_MODES[value])
    else:
        raise BadUsage(f"unknown mode -b{value}")


def _set_queue_run(options: Options, value: str) -> None:
    negated = value.startswith("!")
    kind, text = value[negated : negated + 1], value[negated + 1 :]
    if kind == "Q" and not text and not negated:
        options.held = True
        return
    if kind in {"I", "R", "S"}:
        if not text:
            raise BadUsage(f"-q{value} needs a text to look for")
        options.selectors.append((kind, text, negated))
    elif kind in {"G", "Q"}:
        what = {"G": "queue groups", "Q": "a quarantine with reasons"}[kind]
        raise BadUsage(f"-q{value} is not offered: there are no {what}".replace("no a ", "no "))
    else:
        _set_interval(options, value)
    if options.mode == "m":
        options.mode = "q"


def _set_interval(options: Options, value: str) -> None:
    """-q, -qf, -q30m, -qp30m, -qf30m: sendmail's units, minutes where there is none."""
    rest = value[1:] if value[:1] in {"f", "p"} else value
    options.foreground = options.foreground or value[:1] == "f"
    if value == "p":
        raise BadUsage("-qp needs an interval here, such as -qp30m")
    seconds, number = 0, ""
    for char in rest:
        if char.isascii() and char.isdecimal() and len(number) < _LONGEST_NUMBER:
            number += char
        elif char in _UNITS_S and number:
            seconds, number = seconds + int(number) * _UNITS_S[char], ""
        else:
            raise BadUsage(f"unknown option -q{value}")
    seconds += int(number or 0) * 60
    if rest and not seconds:
        raise BadUsage(f"-q{value}: the interval must be more than 0")
    options.interval_s = seconds or options.interval_s


def _set_protocol(options: Options, value: str) -> None:
    protocol, _, host = value.partition(":")
    if protocol.upper() not in _PROTOCOLS:
        raise BadUsage(f"-p {value}: the protocol must be one of {', '.join(_PROTOCOLS)}")
    options.protocol, options.client = protocol.upper(), host


def _check_hops(value: str) -> None:
    if not value.isascii() or not value.isdecimal():
        raise BadUsage(f"-h {value}: must be a number")
    if int(value) > MAX_HOPS:
        raise BadUsage(f"-h {value}: too many hops, mail loops", EX_UNAVAILABLE)


def _set_short_option(options: Options, value: str) -> None:
    name, rest = value[:1], value[1:]
    if name == "i" and not rest:
        options.dot_ends = False
    elif name == "e":
        _set_error_mode(options, rest, f"-o{value}")
    elif name == "d":
        _set_delivery_mode(options, rest, f"-o{value}")
    elif name == "Q":
        _set_queue_folder(options, rest, f"-o{value}")
    elif name == "A" and rest:
        options.alias_files = rest
    elif (name in {"m", "o", "s"} and rest.lower() in _YES) or (name == "L" and rest.isdecimal()):
        pass  # as the long names MeToo, OldStyleHeaders, SuperSafe, LogLevel
    elif name == "t" and not rest:
        options.from_header = True
    elif name == "v" and not rest:
        options.verbose = True
    else:
        raise BadUsage(f"option -o{value} is not offered")


def _set_long_option(options: Options, value: str) -> None:
    name, _, rest = value.partition("=")
    word = f"-O {value}"
    if name.lower() == "ignoredots" and rest.lower() in _YES:
        options.dot_ends = False
    elif name.lower() == "ignoredots" and rest.lower() in _NO:
        options.dot_ends = True
    elif name.lower() == "errormode":
        _set_error_mode(options, rest, word)
    elif name.lower() == "deliverymode":
        _set_delivery_mode(options, rest, word)
    elif name.lower() == "aliasfile" and rest:
        options.alias_files = rest
    elif name.lower() == "queuedirectory":
        _set_queue_folder(options, rest, word)
    elif name.lower() in _HARMLESS_LONG:
        # The sender stays in lists; what is accepted is on the disk; there is no log here; lists of addresses that
        # are separated by blanks are refused by name, where they stand.
        pass
    else:
        raise BadUsage(f"option -O {value} is not offered")


def _set_delivery_mode(options: Options, value: str, word: str) -> None:
    if value not in _DELIVERY_MODES:
        raise BadUsage(f"{word}: unknown delivery mode")
    options.delivery_mode = _DELIVERY_MODES[value]


def _set_queue_folder(options: Options, value: str, word: str) -> None:
    if not value.startswith("/"):
        raise BadUsage(f"{word}: must be an absolute path")
    options.queue_folder = value


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
