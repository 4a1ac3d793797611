"""The fuzz targets of the `sendmail` command: its words, what is piped in, and the files of the client queue."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from paravion.cli import mailq
from paravion.cli.addresses import split_addresses
from paravion.cli.client import ApiAway, ApiError
from paravion.cli.client_queue import ClientQueue, is_selected
from paravion.cli.header import header_field, prepare
from paravion.cli.sendmail_options import BadUsage, parse_options
from paravion.cli.sendmail_table import ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEMORY: Final = next((name for name in ("/dev/shm",) if Path(name).is_dir()), None)
_OPTION_WORDS: Final = [
    *(example.split(" ")[0] for row in ROWS for example in row.examples), "-", "--", "-b", "-q!", "-q!I", "-qp", "-qf1", "-q9w9",
    "-O", "-o", "Timeout=1", "IgnoreDots=no", "-tioem", "-F", "-N", "never", "success,delay", "-V", "a+2B", "-R", "full", "-h", "7",
    "a@x.example", "root", "\\root", "", "-f", "<>", "\udcff", "é", "0", "-A", "c",
]  # fmt: skip
WORDS: Final = st.lists(
    st.one_of(st.sampled_from(_OPTION_WORDS), st.text("-!+,=<>0159abcdefhilmopqrstvwABCFGILMNOQRUVX.\n\0é", max_size=6)), max_size=8
)  # fmt: skip


def options(words: list[str]) -> None:
    """Read or refused with a reason, the same each time; nobody becomes a recipient but by a word of the call."""
    try:
        found = parse_options(words)
    except BadUsage as exc:
        _expect(bool(str(exc)) and exc.exit in {64, 65, 69}, exc)
        return
    assert vars(found) == vars(parse_options(words))
    assert set(found.recipients) <= set(words)
    assert all(not word.startswith("-") or word == "-" or "--" in words for word in found.recipients)
    assert found.interval_s >= 0
    is_selected(found.selectors, "id", found.recipients, "me")
    for word in found.recipients:
        try:
            assert all("@" in address for address in split_addresses(word, "host.example"))
        except ValueError as exc:
            _expect(str(exc).isprintable(), exc)


def _expect(holds: bool, exc: Exception) -> None:
    if not holds:
        raise AssertionError(repr(exc)) from exc


def piped(octets: bytes) -> None:
    """What is piped in becomes a header and a body; doing it again changes nothing, and no field comes in but From."""
    content = bytearray(octets)
    length = prepare(content, "host.example", "me@x.example", "Grüße")
    header, body = bytes(content[:length]), bytes(content[length:])
    assert body.startswith((b"\n", b"\r\n"))
    assert b"\0" not in body
    assert body.count(b"\r") == body.count(b"\r\n")
    assert header_field(header, b"from")
    again = bytearray(content)
    assert length == prepare(again, "host.example", "me@x.example", "Grüße")
    assert content == again
    names = {name for line in _fields(header) if (name := line.partition(b":")[0].strip().lower()) != b"from"}
    assert names <= {line.partition(b":")[0].strip().lower() for line in _fields(octets)}


def _fields(octets: bytes) -> list[bytes]:
    return [line for line in octets.splitlines() if line[:1] not in (b" ", b"\t")]


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_GOOD: Final[Mapping[str, Any]] = {
    "key": "k", "octets": 3, "queued_at": 1800000000, "tried_at": 0, "tries": 0, "reason": "",
    "fields": {"reverse_path": "me@x.example", "recipients": ["a@y.example", {"forward_path": "b@y.example"}]},
}  # fmt: skip


@st.composite
def _envelopes(draw: st.DrawFn) -> bytes:
    whole = dict(_GOOD)
    for name in draw(st.lists(st.sampled_from([*_GOOD, "other"]), max_size=3)):
        if draw(st.booleans()):
            whole.pop(name, None)
        else:
            whole[name] = draw(_JSON)
    octets = json.dumps(whole).encode()
    cut = draw(st.integers(0, len(octets)))
    return draw(st.sampled_from([octets, octets[:cut], octets + octets[:cut], octets.replace(b"1800000000", b"1e999")]))


_LETTERS: Final = st.sampled_from(["qf", "Qf", "df", "tf", "lock", "log", "x", ""])
_IDS: Final = st.sampled_from(["01", "02", "..", "\n", "é", "a" * 200, ""])
FOLDERS: Final = st.lists(
    st.tuples(_LETTERS, _IDS, st.one_of(_envelopes(), st.sampled_from([b"abc", b"", b"\xff"]))), max_size=6
)
_ANSWERS: Final = st.sampled_from(
    [None, ApiAway("away"), ApiError(422, "no_such_user", "no"), ApiError(503, "", "ill")]
)
RUNS: Final = st.tuples(
    FOLDERS, st.lists(_ANSWERS, max_size=6), st.integers(1_799_000_000, 1_801_000_000), st.booleans()
)


def queue_folders(run: tuple[list[tuple[str, str, bytes]], list[Exception | None], int, bool]) -> None:
    """Whatever stands in the directory is handed in once, waits or is given up, and is shown; a bad file stops nothing."""
    files, answers, now, is_forced = run
    asked: list[str] = []

    def submit(fields: dict[str, Any], content: bytes, key: str) -> dict[str, Any]:
        asked.append(key)
        assert content == b"abc"
        assert isinstance(fields, dict)
        assert key.isascii()
        assert key.isprintable()
        answer = answers.pop() if answers else None
        if answer is not None:
            raise answer
        return {"queue_id": "q"}

    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        for letters, entry_id, octets in files:
            if name := (letters + entry_id).strip("."):
                Path(folder, name).write_bytes(octets)
        queue = ClientQueue(folder, lifetime_s=1000.0, max_octets=10**6, clock=lambda: float(now))
        before = queue.entries()
        list(mailq.render_kept(before))
        done = queue.run(submit, (lambda _: True) if is_forced else None)
        after = queue.entries()
        list(mailq.render_kept(after))
        assert done.sent == len(before) - len(after)
        assert len(asked) <= len(before)
        assert all(entry.key in asked for entry in before if entry.id not in {left.id for left in after})
