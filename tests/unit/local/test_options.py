"""What `paravion up` can be told, as infra/local/options.py reads it."""

import os
from pathlib import Path

import pytest

from infra.local.options import BadOptions, Options, join_address, parameter_name, parse_address, read_options

TEMPLATE = Path("template.yaml")


def read(words=None, assignments=(), environ=None) -> Options:
    """Read options."""
    return read_options(TEMPLATE, words or {}, assignments, environ or {})


def test_defaults() -> None:
    """Without a word, local mode has its own defaults, on loopback."""
    assert Options(TEMPLATE) == read()


def test_words_win_over_variables() -> None:
    """Command-line words win over variables, those over defaults; settings likewise."""
    found = read(
        {"api": "127.0.0.1:1"},
        ["queue_warn_s=2", "hostname=a.example"],
        {
            "PARAVION_API": "127.0.0.1:9",
            "PARAVION_SMTP": "[::1]:3",
            "PARAVION_QUEUE_WARN_S": "x",
            "PARAVION_QUEUE_RETURN_S": "7",
        },
    )
    assert (("127.0.0.1", 1), ("::1", 3)) == (found.api, found.smtp)
    assert {
        "hostname": "a.example",
        "identity_check": "off",
        "sweep_interval_s": "1",
        "queue_warn_s": "2",
        "queue_return_s": "7",
    } == dict(found.settings)


@pytest.mark.parametrize(
    ("words", "assignments", "environ", "expected"),
    [
        ({}, [], {"PARAVION_RELAY": "mx"}, "mx"),
        ({}, ["relay=127.0.0.1:2"], {"PARAVION_RELAY": "mx"}, "127.0.0.1:2"),
        ({"relay": "inbox"}, ["relay=mx"], {}, "inbox"),
        ({}, [], {}, "inbox"),
    ],
)
def test_relay_is_option_and_setting(words, assignments, environ, expected) -> None:
    """--relay, --set relay= and PARAVION_RELAY mean one thing, in this order."""
    assert expected == read(words, assignments, environ).relay


def test_all_problems_at_once() -> None:
    """Every unknown name and bad value is named, and a secret never is."""
    with pytest.raises(BadOptions) as caught:
        read(
            {"api": "nowhere", "engine": "steam", "secret_key": ""},
            ["nosuch=1", "queue_warn_s=-1", "word", "spool=x", "relay=no"],
            {"PARAVION_LOG_LEVEL": "LOUD", "PARAVION_SMTP": "x:70000"},
        )
    text = "\n".join(caught.value.problems)
    for part in (
        "--api",
        "--engine",
        "--secret-key",
        "nosuch",
        "queue_warn_s",
        "word",
        "spool",
        "--relay",
        "LOUD",
        "PARAVION_SMTP",
    ):
        assert part in text
    assert (10, True) == (len(caught.value.problems), caught.value.in_words)


def test_problems_of_the_environment_only() -> None:
    """Bad variables alone are a matter of configuration, not of usage."""
    with pytest.raises(BadOptions) as caught:
        read(environ={"PARAVION_QUEUE_WARN_S": "soon"})
    assert not caught.value.in_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:25", ("::1", 25)), ("a.example:65535", ("a.example", 65535))],
)
def test_address_round_trip(text, expected) -> None:
    """HOST:PORT, IPv6 in brackets, there and back."""
    assert (expected, text) == (parse_address(text), join_address(expected))


@pytest.mark.parametrize("text", ["", ":1", "h", "h:", "h:x", "h:65536", "::1:25", "h:-1"])
def test_bad_address(text) -> None:
    """Everything else is refused."""
    with pytest.raises(ValueError):
        parse_address(text)


def test_parameter_name() -> None:
    """A setting's template parameter is its name in CamelCase."""
    assert parameter_name("retry_intervals_s") == "RetryIntervalsS"


def test_assignments_reach_the_settings() -> None:
    """`--set` words."""
    options = read(assignments=["retry_intervals_s=2,4,8", "queue_warn_s=7"])
    assert (options.settings["retry_intervals_s"], options.settings["queue_warn_s"]) == ("2,4,8", "7")


@pytest.mark.parametrize("word", ["colour=blue", "queue_warn_s", "relay=nowhere", "relay=h:70000", "queue_warn_s=-1"])
def test_bad_assignment_is_named(word: str) -> None:
    """Unknown name, no value, bad value."""
    with pytest.raises(BadOptions, match=word.split("=", maxsplit=1)[0]):
        read(assignments=[word])


@pytest.mark.parametrize(
    ("words", "cores", "expected"),
    [
        ({"relay": "mx"}, 2, 2),
        ({"relay": "mx"}, 1, 1),
        ({"relay": "mx", "processes": "1"}, 2, 1),
        ({"relay": "mx", "processes": "2"}, 1, 2),
        ({}, 2, 1),
        ({"relay": "mx", "engine": "moto"}, 2, 1),
        ({"relay": "mx", "processes": "3"}, 2, "must be auto, 1 or 2"),
        ({"processes": "2"}, 2, "--processes 2: the inbox is kept in one process; give --relay"),
        ({"relay": "mx", "engine": "moto", "processes": "2"}, 2, "--processes 2: the moto engine has one"),
    ],
)
def test_processes_are_as_many_as_serve(
    words: dict[str, str], cores: int, expected: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two where there are two cores and mail leaves the process that shows it."""
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    if isinstance(expected, int):
        assert expected == read(words).processes
        return
    with pytest.raises(BadOptions, match=expected):
        read(words)


def test_options_reach_a_child_as_they_are() -> None:
    """Tuples, paths and settings included."""
    from infra.local.embedded_process import decode_options, encode_options  # it loads the engine

    options = read({"relay": "mx", "smtps": "[::1]:465"}, ["hostname=mail.example.org"])
    assert decode_options(encode_options(options)) == options


def test_log_of_several_processes_has_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a pipe, so many at once as are written in one piece."""
    from infra.local.embedded_process import LogFile

    pieces: list[bytes] = []
    monkeypatch.setattr("os.write", lambda _, octets: pieces.append(octets) or len(octets))
    lines = [f"{n} {'x' * (n * 37 % 900)}\n" for n in range(60)]
    lines.insert(7, "y" * 9000 + "\n")
    read_end, write_end = os.pipe()
    LogFile(write_end).write("".join(lines))
    os.close(read_end)
    os.close(write_end)
    assert b"".join(pieces) == "".join(lines).encode()
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert all(len(piece) <= 4096 or piece.count(b"\n") == 1 for piece in pieces)
