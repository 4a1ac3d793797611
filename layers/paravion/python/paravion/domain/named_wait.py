"""
The wait that a reply names: "try again in 4 minutes and 58 seconds", "please come back in 00:05:00".

Hosts name many times that are none to wait for: timeouts, the period of a limit, how long a mailbox was not used.
So a time counts where the text itself asks us to come back then; and where the reply is known to be greylisting or a
limit of a rate, also where it merely stands behind "for" or "in", in brackets, or before "remaining".

Never too early: what is said in two parts is added up, of "5 to 10 minutes" the later counts. What can't be read is no
time, and the schedule's own counts. Expressions are bounded, and compiled at the first reply with a number.

Next: domain/classification.py asks for deferrals, domain/asked.py for when.
"""

from __future__ import annotations

import re
from typing import Final

LIMIT_S: Final = 86_400
"""A longer wait is none: whoever names that means something else."""

_WORDS: Final = {
    word: number
    for number, words in {
        0.5: "half",
        1: "a an one ein eine einer einem une un una uno",
        2: "two zwei deux dos",
        3: "three drei trois tres",
        4: "four vier quatre cuatro",
        5: "five fünf cinq cinco",
        6: "six sechs",
        7: "seven",
        8: "eight",
        9: "nine",
        10: "ten zehn dix diez",
        12: "twelve",
        15: "fifteen fünfzehn quinze quince",
        20: "twenty zwanzig vingt veinte",
        30: "thirty dreißig trente treinta",
        45: "forty-five",
        60: "sixty",
    }.items()
    for word in words.split()
}

_UNITS: Final = (
    (86_400, r"d(?:ays?)?|tage?n?|jours?|d[ií]as?"),
    (3600, r"h(?:ours?|rs?|\.)?|stunden?|std|heures?|horas?|ore"),
    (60, r"m(?:ins?|inutes?|inuten?|inutos?|inuti)?|mn"),
    (1, r"s(?:ecs?|econds?|ekunden?|ek|econdes?|egundos?|econdi)?"),
)

_WORD: Final = "|".join(sorted(_WORDS, key=len, reverse=True))
_NUMBER: Final = r"\d{1,6}(?:[.,]\d{1,2})?"
_UNIT: Final = "|".join(pattern for _, pattern in _UNITS)
_TO: Final = r" ?(?:-|to|or|bis|à) ?"
_PART: Final = (
    rf"(?:{_NUMBER}(?:{_TO}{_NUMBER})?[ -]?(?:{_UNIT})"
    rf"|(?:{_WORD})(?:{_TO}(?:{_WORD}))?(?: an?)?[ -](?=[^\W\d_]{{3}})(?:{_UNIT}))"
    r"(?:\([sn]\))?(?![^\W_])\.?"
)
_JOINT: Final = r"(?:,? ?(?:and|und|et|y) |, ?| ?)"
_SPAN: Final = re.compile(rf"(?<![\w.:/-]){_PART}(?:{_JOINT}{_PART}){{0,3}}")
_PIECE: Final = re.compile(
    rf"(?P<number>{_NUMBER}|(?<!\w)(?:{_WORD})(?=[ -]))(?:{_TO}(?P<upper>{_NUMBER}|{_WORD}))?(?: an?)?"
    rf"[ -]?(?P<unit>{_UNIT})(?![^\W_])"
)
_COMPACT: Final = re.compile(
    r"(?<![\w.:/-])(?=\d)(?:(\d{1,3})d)?(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,5})s)?(?![\w:])"
)
_CLOCK: Final = re.compile(r"(?<![\w.:/-])(\d{1,2}):([0-5]\d)(?::([0-5]\d))?(?![\w:-])")
_BARE: Final = re.compile(r"\bretry[-_ ]?(?:after|in)?(?: ?[:=] ?| )(\d{1,6})(?= ?(?:[.;,)\]]|$))")

_AGAIN: Final = (
    r"(?:re-?try(?:ing)?|try(?: it| this| your \w+| sending| delivery)? again|tr(?:y|ies)|retries|come|back|again|later"
    r"|re-?send|re-?submit|re-?connect|re-?attempt(?:ed)?|re-?deliver|wait(?:ing)?|delay(?:ed)?|postponed|hold"
    r"|versuchen|erneut|warten|r[ée]essay\w+|attend\w+|int[ée]nt\w+|reint\w+|esper\w+|riprov\w+)"
)
_FILLER: Final = (
    r"(?:again|back|later|please|it|this|that|your?|e-?mail|mail|message|delivery|delivering|sending|connecting|the|to"
    r"|sie|es|bitte|no|not|but|sooner|earlier|than|only|until|de|nuevo|nouveau|before|once|more|minimum|time|is|of|period|interval|needs"
    r"|another|a|further)"
)
_BEFORE: Final = r"(?:in|for|after|at least|within|dans|en|tra|fra|nach|apr[eè]s|um|por)"
_ABOUT: Final = (
    r"(?:about|approximately|approx\.?|around|roughly|at least|a further|another|the next|next|some|more than|ca\.?"
    r"|etwa|mindestens|environ|unos|at most|up to|a minimum of|minimum)"
)
_GAP: Final = r"[ ,:=(\"'-]{1,3}"
_ASKS: Final = re.compile(
    rf"(?<![^\W_]){_AGAIN}(?:{_GAP}{_FILLER}){{0,6}}(?:{_GAP}{_BEFORE})?(?:{_GAP}{_ABOUT}){{0,2}}{_GAP}$"
)
_ASKS_AFTER: Final = re.compile(
    r"[)\].,:;]? ?(?:and |then |und |before |please |kindly )*"
    r"(?:re-?try|try(?:ing)?\b(?: \w+)? again|come back|re-?send|re-?connect|later\b|erneut"
    r"|before (?:another|you|next))"
)
_STANDS: Final = re.compile(
    rf"(?:(?<![^\W_])(?:in|for|after|another|next|of|is|delay|minimum|period|interval|time|remaining|left)|[:=(\[])"
    rf"(?:[ :=(]{{1,2}}{_ABOUT}){{0,2}}[ :=(]{{0,2}}$"
)
_STANDS_BEFORE: Final = re.compile(r" ?(?:remaining|left|to go|more\b)")
_MEANS_ELSE: Final = re.compile(
    r"(?<![^\W_])(?:\d+|\d+ \w+|messages|mails|e-?mails|connections|recipients|times|sessions|users|attempts|sent|seen"
    r"|received|created|active|inactive|idle|unused|timeout|timed out|expired?|older|newer|last|past|previous|per|every"
    r"|each|limit|allowed|maximum|max|exceeded|quota|lifetime|cached?|ttl)"
    rf"(?:{_GAP}(?:is|of|was|were))?(?:{_GAP}(?:in|for|after|within|over|during|than|the|to))*{_GAP}$"
)
_DIGIT: Final = re.compile(r"\d|hour|minute|second|stunde|heure|hora|ora\b")


def named_wait_s(text: str, *, is_asked_to_wait: bool = False) -> int | None:
    """
    Give the wait in seconds, e.g. 298 for "try again in 4 minutes and 58 seconds"; None if the reply names none.

    Args:
        text: The reply's, lines joined by LF, without codes.
        is_asked_to_wait: The reply is known to be greylisting or a limit of a rate, so that a time in it is the wait.
    """
    words = " ".join(text.lower().split())
    if not _DIGIT.search(words):
        return None
    found = [(start, end, wait) for start, end, wait in _times(words) if 0 < wait <= LIMIT_S]
    for start, end, wait in found:
        before = words[max(0, start - 90) : start]
        is_else = _MEANS_ELSE.search(before)
        if not is_else and (_ASKS.search(before) or _ASKS_AFTER.match(words, end)):
            return wait
    bare = _BARE.search(words)
    if bare is not None and 0 < int(bare[1]) <= LIMIT_S:
        return int(bare[1])
    for start, end, wait in found if is_asked_to_wait else ():
        before = words[max(0, start - 90) : start]
        if not _MEANS_ELSE.search(before) and (_STANDS.search(before) or _STANDS_BEFORE.match(words, end)):
            return wait
    return None


def _times(words: str) -> list[tuple[int, int, int]]:
    """Give every length of time: where it begins and ends, and its seconds, rounded up."""
    found = [(match.start(), match.end(), _seconds(match[0])) for match in _SPAN.finditer(words)]
    for match in _COMPACT.finditer(words):
        parts = [int(part or 0) for part in match.groups()]
        if sum(part is not None for part in match.groups()) > 1:
            days, hours, minutes, seconds = parts
            found.append((match.start(), match.end(), 86_400 * days + 3600 * hours + 60 * minutes + seconds))
    for match in _CLOCK.finditer(words):
        # Of two parts, hours and minutes: the longer of the two ways to read it.
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        is_time_of_day = re.search(r"(?:after|at|until|since|before|nach|um) $", words[: match.start()]) and hours
        if not is_time_of_day:
            found.append((match.start(), match.end(), 3600 * hours + 60 * minutes + seconds))
    return sorted(found)


def _seconds(span: str) -> int:
    total = 0.0
    for piece in _PIECE.finditer(span.replace("(s)", "").replace("(n)", "")):
        unit_s = next(seconds for seconds, pattern in _UNITS if re.fullmatch(pattern, piece["unit"]))
        total += unit_s * max(_number(piece["number"]), _number(piece["upper"] or "0"))
    return int(-(-total // 1))


def _number(word: str) -> float:
    return float(word.replace(",", ".")) if word[0].isdigit() else _WORDS[word]
