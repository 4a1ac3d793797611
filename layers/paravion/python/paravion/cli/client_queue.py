"""
The client queue: messages that this machine has promised to hand in once the API can be reached.

    df<id>  the content's octets                  tf<id>  a qf or Qf that is being written
    qf<id>  JSON: the submission, its idempotency key, what happened so far; the message counts while this is there
    Qf<id>  as qf, but refused for good or too old: kept with its df and the reason until somebody decides

`put` writes df, then tf, and renames tf to qf; **that rename, once the directory is synced, is the promise**. A run
asks for each message under the idempotency key that is kept with it, so whatever a crash leaves is repeated as the
same message: the API knows a key for 16 days, a message stays here for at most 14. Only after the API's 2xx qf goes,
then df. A df or tf without its qf was never promised, or is done, and is swept.

One run at a time: a lock that dies with its process. `put` needs none.

Next on the message's path: client.py. Standard: none; the letters are those of sendmail's queue.
"""

from __future__ import annotations

import os
import time

from paravion.cli import process, quick_json
from paravion.cli.client import EX_TEMPFAIL, ApiAway, ApiError

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from paravion.cli.config import Config

SWEEP_AFTER_S = 3600.0
"""A file that belongs to no message is nobody's after this: no `put` takes as long."""

LOG_OCTETS = 1_000_000
"""Then a new log is begun, in place of the one before."""

FAULTS_IN_A_ROW = 3
"""After so many transient refusals a run stops: the service is ill, not the messages."""

_FIRST_CLOCK = 1_577_836_800.0
"""2020: before there was any of this. A machine without a battery begins in 1970."""
_NUMBERS_END = 1 << 40
_LONGEST_KEY = 128
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


class QueueUnavailable(Exception):
    """Nothing can be kept here; the text says why. Exit 75."""


class Entry:
    """
    A message that waits.

    Attributes:
        id: 20 hexadecimal digits; earlier messages have lesser ones.
        key: Idempotency key.
        fields: As Client.submit takes them.
        queued_at, tried_at: Seconds since the epoch; 0.0 for never.
        tries: How often it was asked for.
        reason: Why it still waits, or why it is dead.
        is_dead: Not tried any more by itself.
    """

    __slots__ = ("fields", "id", "is_dead", "key", "octets", "queued_at", "reason", "tried_at", "tries")

    def __init__(self, entry_id: str, values: dict[str, Any], *, is_dead: bool = False) -> None:
        """Raises KeyError, ValueError or TypeError for what is no entry."""
        self.id = entry_id
        self.key = str(values["key"])
        self.fields: dict[str, Any] = dict(values["fields"])
        self.octets = int(values["octets"])
        self.queued_at = float(values["queued_at"])
        self.tried_at = float(values["tried_at"])
        self.tries = int(values["tries"])
        self.reason = str(values["reason"])
        self.is_dead = is_dead
        if not all(0 <= number < _NUMBERS_END for number in (self.octets, self.queued_at, self.tried_at, self.tries)):
            raise ValueError("a number out of range")
        if not self.key.isascii() or not self.key.isprintable() or len(self.key) > _LONGEST_KEY:
            raise ValueError("a key that is none")
        if not isinstance(self.fields.get("recipients", []), list):
            raise ValueError("recipients that are none")  # noqa: TRY004 (of a file, not of a caller)

    def encode(self) -> bytes:
        """Give the file's octets."""
        return quick_json.dumps({
            "key": self.key, "fields": self.fields, "octets": self.octets, "queued_at": int(self.queued_at),
            "tried_at": int(self.tried_at), "tries": self.tries, "reason": self.reason,
        })  # fmt: skip

    @property
    def sender(self) -> str:
        """Reverse path, "" for the null one."""
        return str(self.fields.get("reverse_path") or "")

    @property
    def recipients(self) -> list[str]:
        """Forward paths; none if they stand in the header only."""
        return [
            str(item.get("forward_path")) if isinstance(item, dict) else str(item)
            for item in self.fields.get("recipients", [])
        ]


class Run:
    """What a run came to: numbers of messages handed in, still waiting and newly dead; `fault` if it was cut short."""

    def __init__(self) -> None:
        self.sent = self.waiting = self.dead = 0
        self.fault = ""
        self.is_elsewhere = False


class ClientQueue:
    """
    One user's queue in one directory; made when the first message comes.

    Args:
        folder: Absolute; it must be ours alone (0700).
        lifetime_s: How long a message may wait.
        max_octets: Of all contents together.
        clock: Seconds since the epoch.
        given_up: Gets a line for each message that a run gives up: the only word that anybody has of it by himself.
    """

    def __init__(
        self,
        folder: str,
        *,
        lifetime_s: float,
        max_octets: int,
        clock: Callable[[], float] = time.time,
        given_up: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self._lifetime_s = lifetime_s
        self._max_octets = max_octets
        self._clock = clock
        self._given_up = given_up

    def put(self, fields: dict[str, Any], content: bytes | bytearray, key: str, reason: str) -> str:
        """
        Keep a message; once this returns it is on the disk.

        Args:
            fields, content, key: As for Client.submit.
            reason: Why it is not handed in now.

        Returns:
            Its id here.

        Raises:
            QueueUnavailable: Nothing was promised.
        """
        now = self._clock()
        entry_id = f"{int(now * 1000):012x}{os.urandom(4).hex()}"
        entry = Entry(entry_id, {
            "key": key, "fields": fields, "octets": len(content), "queued_at": now, "tried_at": now if reason else 0.0,
            "tries": 1 if reason else 0, "reason": reason,
        })  # fmt: skip
        try:
            _make_private(self.folder)
            self._check_room(len(content))
            try:
                self._write(f"df{entry_id}", content)
                step("content written")
                self._rewrite(entry, f"qf{entry_id}")
            except OSError:
                # Also where only the last sync failed: the caller is told that it is not kept.
                for letters in ("qf", "df", "tf"):
                    self._forget(f"{letters}{entry_id}")
                raise
        except OSError as exc:
            raise QueueUnavailable(f"{self.folder}: {exc.strerror or exc}") from exc
        self.note(f"{entry_id} kept: {reason or 'to be handed in later'}")
        return entry_id

    def is_empty(self) -> bool:
        """Say whether nothing waits; cheap, and no error."""
        return not any(name.startswith("qf") for name in self._names())

    def entries(self) -> list[Entry]:
        """Give what is kept, the dead as well, earliest first; what can't be read comes with that as its reason."""
        # Both are there between two steps of giving up: that was decided.
        files = {name[2:]: name for name in sorted(self._names(), reverse=True) if name[:2] in {"qf", "Qf"}}
        return [self._read(files[entry_id]) for entry_id in sorted(files)]

    def run(
        self,
        submit: Callable[[dict[str, Any], bytes, str], dict[str, Any]],
        wanted: Callable[[Entry], bool] | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> Run:
        """
        Hand in what waits, earliest first; ends early while the API is away.

        Args:
            submit: Client.submit.
            wanted: Which; then also of the dead ones. None: all that wait.
            told: Gets a line for each message.

        Raises:
            QueueUnavailable: The directory can't be read, or what is done can't be taken out of it.
        """
        done = Run()
        seen: set[str] = set()
        # Who comes while we run finds the lock taken and leaves its message to us: so look again once it is free.
        while os.path.isdir(self.folder) and not done.fault:  # noqa: PTH112 (pathlib's import is dear)
            with _Lock(self.folder) as is_ours:
                if not is_ours:
                    done.is_elsewhere = True
                    break
                try:
                    self._run_once(submit, wanted, told, done, seen)
                except OSError as exc:  # such as a disk that may only be read by now
                    raise QueueUnavailable(f"{self.folder}: {exc.strerror or exc}") from exc
            if all(name[2:] in seen for name in self._names() if name[:2] == "qf"):
                break
        return done

    def _run_once(
        self,
        submit: Callable[[dict[str, Any], bytes, str], dict[str, Any]],
        wanted: Callable[[Entry], bool] | None,
        told: Callable[[str], None],
        done: Run,
        seen: set[str],
    ) -> None:
        self._sweep()
        faults = 0
        for entry in self.entries():
            is_new = entry.id not in seen
            seen.add(entry.id)
            if not is_new or (entry.is_dead if wanted is None else not wanted(entry)):
                continue
            if done.fault or not entry.key:
                done.waiting += 1
            else:
                faults = self._try(entry, submit, done, told, faults)

    def holds(self, entry_id: str) -> bool:
        """Say whether there is a message of this id here."""
        return not {f"qf{entry_id}", f"Qf{entry_id}"}.isdisjoint(self._names())

    def remove(self, entry_id: str) -> bool:
        """Drop a message for good; False if there is none of this id."""
        with _Lock(self.folder) as is_ours:
            if not is_ours:
                raise QueueUnavailable("the queue is being run: try again")
            names = set(self._names()) & {f"qf{entry_id}", f"Qf{entry_id}"}
            for name in names:
                self._forget(name)
            if names:
                self._done(entry_id)
                self.note(f"{entry_id} removed by hand")
            return bool(names)

    def note(self, text: str) -> None:
        """Write a line to the queue's log; that it can't be written stops nothing."""
        line = "".join([char if char.isprintable() else "?" for char in text])
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        path = f"{self.folder}/log"
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE_FILE)
            try:
                os.write(file, f"{stamp} {line}\n".encode())
                if os.fstat(file).st_size > LOG_OCTETS:
                    os.replace(path, f"{path}.1")  # noqa: PTH105
            finally:
                os.close(file)
        except OSError:
            return

    # -- one message of a run

    def _try(
        self,
        entry: Entry,
        submit: Callable[[dict[str, Any], bytes, str], dict[str, Any]],
        done: Run,
        told: Callable[[str], None],
        faults: int,
    ) -> int:
        """Hand one in; gives the number of transient refusals in a row."""
        now = self._clock()
        if entry.queued_at < _FIRST_CLOCK or entry.queued_at > now + 86400:
            entry.queued_at = now  # It was written by a clock that was not set yet: its time here begins now.
        if not entry.is_dead and now - entry.queued_at > self._lifetime_s:
            self._bury(entry, f"not handed in within {int(self._lifetime_s // 86400)} days; last: {entry.reason}")
            done.dead += 1
            told(f"{entry.id} is too old: {entry.reason}")
            return faults
        try:
            content = self._content(entry)
        except OSError as exc:
            done.waiting += 1
            told(f"{entry.id} can't be read: {exc.strerror}")
            return faults
        fault = ""
        try:
            receipt = submit(entry.fields, content, entry.key)
        except ApiAway as exc:
            fault, done.fault = str(exc), str(exc)
        except ApiError as exc:
            if exc.exit != EX_TEMPFAIL and not exc.is_of_credential:
                self._bury(entry, exc.text)
                done.dead += 1
                told(f"{entry.id} refused: {exc.text}")
                return 0
            fault, faults = exc.text, faults + 1
            if exc.is_of_credential or faults >= FAULTS_IN_A_ROW:
                done.fault = exc.text
        if fault:
            done.waiting += 1
            told(f"{entry.id} waits: {fault}")
            self._postpone(entry, fault)
            return faults
        step("answered")
        # A crash here or in between: asked for again under the same key, which is the same message.
        self._forget(f"qf{entry.id}")
        self._forget(f"Qf{entry.id}")
        step("envelope removed")
        self._done(entry.id)
        done.sent += 1
        self.note(f"{entry.id} handed in: queued as {receipt['queue_id']}")
        told(f"{entry.id} handed in: queued as {receipt['queue_id']}")
        return 0

    def _postpone(self, entry: Entry, reason: str) -> None:
        entry.tries, entry.tried_at, entry.reason = entry.tries + 1, self._clock(), reason
        try:
            self._rewrite(entry, f"{'Qf' if entry.is_dead else 'qf'}{entry.id}")
        except OSError:
            return  # As it was, it waits as well: on a full disk the reason is what we can do without.

    def _bury(self, entry: Entry, reason: str) -> None:
        entry.tries, entry.tried_at, entry.reason = entry.tries + 1, self._clock(), reason
        try:
            self._rewrite(entry, f"Qf{entry.id}")
        except OSError:
            return  # It stays as it was, and is refused again the next time.
        step("dead written")
        if not entry.is_dead:
            self._forget(f"qf{entry.id}")
        self._sync()
        self.note(f"{entry.id} from <{entry.sender}> is dead: {reason}")
        self._given_up(
            f"{entry.id} from <{entry.sender}> to {', '.join(entry.recipients) or 'those of its header'} "
            f"is given up, and kept (mailq): {reason}"
        )

    def _done(self, entry_id: str) -> None:
        self._sync()
        self._forget(f"df{entry_id}")

    # -- files

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)  # noqa: PTH208
        except OSError:
            return []

    def _read(self, name: str) -> Entry:
        try:
            with _opened(f"{self.folder}/{name}") as file:
                return Entry(name[2:], quick_json.loads(file.read()), is_dead=name[0] == "Q")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
            nothing = {"key": "", "fields": {}, "octets": 0, "queued_at": 0, "tried_at": 0, "tries": 0}
            return Entry(name[2:], {**nothing, "reason": f"{name} can't be read: {exc}"}, is_dead=name[0] == "Q")

    def _content(self, entry: Entry) -> bytes:
        with _opened(f"{self.folder}/df{entry.id}") as file:
            content: bytes = file.read()
        if len(content) != entry.octets:
            raise OSError(0, f"df{entry.id} has {len(content)} octets instead of {entry.octets}")
        return content

    def _write(self, name: str, octets: bytes | bytearray) -> None:
        file = os.open(f"{self.folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _PRIVATE_FILE)
        try:
            view = memoryview(octets)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        finally:
            os.close(file)

    def _rewrite(self, entry: Entry, name: str) -> None:
        temporary = f"tf{entry.id}"
        self._forget(temporary)
        self._write(temporary, entry.encode())
        step("envelope written")
        os.rename(f"{self.folder}/{temporary}", f"{self.folder}/{name}")  # noqa: PTH104
        step("envelope renamed")
        self._sync()
        step("directory synced")

    def _forget(self, name: str) -> None:
        try:
            os.unlink(f"{self.folder}/{name}")  # noqa: PTH108
        except FileNotFoundError:
            return

    def _sync(self) -> None:
        _sync_folder(self.folder)

    def _check_room(self, octets: int) -> None:
        with os.scandir(self.folder) as found:
            for item in found:
                if item.name.startswith("df"):
                    try:
                        octets += item.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:
                        continue
        if octets > self._max_octets:
            raise QueueUnavailable(f"{self.folder}: full: more than {self._max_octets // 1_000_000} MB")

    def _sweep(self) -> None:
        """Drop what belongs to no message: left by a crash before the promise, behind the answer, or in giving up."""
        names = set(self._names())
        for name in names:
            if name[:2] == "Qf":
                self._forget(f"qf{name[2:]}")
            if name[:2] not in {"df", "tf"} or (name[0] == "d" and {f"qf{name[2:]}", f"Qf{name[2:]}"} & names):
                continue
            try:
                if self._clock() - os.stat(f"{self.folder}/{name}").st_mtime > SWEEP_AFTER_S:  # noqa: PTH116
                    self._forget(name)
            except OSError:
                continue


def step(name: str) -> None:
    """Mark an instant at which a crash must be harmless; tests put theirs in its place."""


class _Lock:
    """Whoever holds it runs the queue; True from `with` if that is us."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._file = -1

    def __enter__(self) -> bool:
        import fcntl

        try:
            self._file = os.open(f"{self._folder}/lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE_FILE)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise QueueUnavailable(f"{self._folder}: {exc.strerror or exc}") from exc
        return True

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)


def _opened(path: str) -> Any:
    """Open for reading what is a file of ours: nobody else's, and no link."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    return os.fdopen(file, "rb")


def _make_private(folder: str, levels: int = 3) -> None:
    """
    Make a directory, for good, or see that it is ours alone; of what is above it `levels` are made, but no home.

    Raises:
        OSError, QueueUnavailable
    """
    try:
        found = os.stat(folder)  # noqa: PTH116
    except FileNotFoundError:
        pass
    else:
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise QueueUnavailable(f"{folder}: must belong to the caller, with mode 0700")
        return
    above = os.path.dirname(folder)  # noqa: PTH120
    if levels and not os.path.isdir(above):  # noqa: PTH112
        _make_private(above, levels - 1)
    try:
        os.mkdir(folder, _PRIVATE_FOLDER)  # noqa: PTH102
    except FileExistsError:
        return
    _sync_folder(above)


def _sync_folder(folder: str) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def selection(selectors: Sequence[tuple[str, str, bool]]) -> Callable[[Entry], bool] | None:
    """Give a test of -qI, -qR and -qS and their opposites; None if there are none."""
    if not selectors:
        return None
    return lambda entry: is_selected(selectors, entry.id, entry.recipients, entry.sender)


def is_selected(
    selectors: Sequence[tuple[str, str, bool]], entry_id: str, recipients: Sequence[str], sender: str
) -> bool:
    """
    Say whether id, a recipient or the sender holds each selector's text, in any case of letters.

    Args:
        selectors: Kind ("I", "R" or "S"), text, and whether it must not be so.
    """
    values = {"I": [entry_id], "R": recipients, "S": [sender]}
    return all(
        any(text.lower() in value.lower() for value in values[kind]) != negated for kind, text, negated in selectors
    )


def expected_folder(configured: str, environ: Mapping[str, str]) -> str:
    """Give the directory: the configured one's part for this user, or the user's own under XDG_STATE_HOME."""
    if configured:
        return f"{configured.rstrip('/')}/{os.geteuid()}"
    from paravion.cli.config import home_folder

    home = home_folder(environ)
    try:
        if os.stat(home).st_uid != os.geteuid():  # noqa: PTH116
            home = home_folder({})  # sudo may leave the other user's, where ours would be in his way
    except OSError:
        pass
    state = environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
    return f"{state}/paravion/queue"


def users_queue(config: Config, environ: Mapping[str, str], folder: str = "") -> ClientQueue | None:
    """Give this user's queue, in `folder` if that is named; None if there is to be none."""
    return None if config.queue == "off" and not folder else open_queue(config, environ, folder)


def open_queue(config: Config, environ: Mapping[str, str], folder: str = "") -> ClientQueue:
    """Give this user's queue where there is to be one; what it gives up is told to the system's log and to us."""

    def given_up(line: str) -> None:
        process.say(f"sendmail: {line}", error=True)
        process.log(line)

    return ClientQueue(
        folder or expected_folder(config.queue, environ),
        lifetime_s=config.queue_lifetime_s,
        max_octets=config.queue_octets,
        given_up=given_up,
    )


def parts_of(folder: str) -> Iterator[tuple[int, str]]:
    """Give the users' parts of a common directory, each with its owner, for a run by root."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return
    for name in names:
        path = f"{folder}/{name}"
        found = os.lstat(path)
        if name.isdecimal() and found.st_uid == int(name) and not os.path.islink(path):  # noqa: PTH114
            yield int(name), path
