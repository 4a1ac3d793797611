"""cli/sendmail_options.py: every option is honoured, harmless by nature, or refused by name."""

import string
from pathlib import Path

import pytest

from paravion.cli.sendmail_options import BadUsage, Options, parse_options
from paravion.cli.sendmail_table import REFUSED, ROWS, WORKS, render

HONOURED = {
    "-t": (["-t"], {"from_header": True}),
    "-i": (["-i"], {"dot_ends": False}),
    "-oi": (["-oi"], {"dot_ends": False}),
    "-O IgnoreDots": (["-O", "IgnoreDots=true"], {"dot_ends": False}),
    "bundle": (["-ti", "b@y"], {"from_header": True, "dot_ends": False, "recipients": ["b@y"]}),
    "bundle with a value": (["-tif", "a@x"], {"from_header": True, "dot_ends": False, "sender": "a@x"}),
    "-f apart": (["-f", "a@x", "b@y"], {"sender": "a@x", "recipients": ["b@y"]}),
    "-f at the letter": (["-fa@x"], {"sender": "a@x"}),
    "-f null": (["-f", ""], {"sender": ""}),
    "-r": (["-r", "a@x"], {"sender": "a@x"}),
    "-F": (["-F", "A. B."], {"full_name": "A. B."}),
    "-N": (["-N", "success,FAILURE"], {"notify": ("SUCCESS", "FAILURE")}),
    "-N never": (["-Nnever"], {"notify": ("NEVER",)}),
    "-R": (["-R", "hdrs"], {"ret": "HDRS"}),
    "-V": (["-V", "Q+2B1"], {"envid": "Q+2B1"}),
    "-B": (["-B8bitmime"], {"body_type": "8BITMIME"}),
    "-U": (["-U"], {"smtputf8": True}),
    "-v": (["-v"], {"verbose": True}),
    "-bm": (["-bm"], {"mode": "m"}),
    "-bp": (["-bp"], {"mode": "p"}),
    "-bi": (["-bi"], {"mode": "i"}),
    "-I": (["-I"], {"mode": "i"}),
    "-odb": (["-odb"], {"delivery_mode": "b"}),
    "-O DeliveryMode": (["-ODeliveryMode=queue-only"], {"delivery_mode": "q"}),
    "-oQ": (["-oQ/q"], {"queue_folder": "/q"}),
    "-q": (["-q"], {"mode": "q"}),
    "-q!I -qR": (
        ["-q!Iab", "-qRx", "-v"],
        {"mode": "q", "selectors": [("I", "ab", True), ("R", "x", False)], "verbose": True},
    ),
    "-q30m": (["-q30m"], {"mode": "q", "interval_s": 1800}),
    "-q1h30m": (["-q1h30m"], {"mode": "q", "interval_s": 5400}),
    "-q15": (["-q15"], {"mode": "q", "interval_s": 900}),
    "-qf10s": (["-qf10s"], {"mode": "q", "interval_s": 10, "foreground": True}),
    "-Ac -q": (["-Ac", "-q"], {"mode": "q", "half": "c"}),
    "-bi -oA": (["-bi", "-oA/a,/b"], {"mode": "i", "alias_files": "/a,/b"}),
    "-bp -qQ": (["-bp", "-qQ"], {"mode": "p", "held": True}),
    "-p": (["-pesmtp:h"], {"protocol": "ESMTP", "client": "h"}),
    "-d0.1": (["-d0.1"], {"mode": "version"}),
    "-oeq": (["-oeq"], {"quiet": True}),
    "-C": (["-C", "/x.toml"], {"config_path": "/x.toml"}),
    "--": (["--", "-t"], {"recipients": ["-t"]}),
    "a lone dash": (["-"], {"recipients": ["-"]}),
    "php's own": (["-t", "-i", "-fa@x"], {"from_header": True, "dot_ends": False, "sender": "a@x"}),
    "cron's own": (
        ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"],
        {"full_name": "CronDaemon", "dot_ends": False, "body_type": "8BITMIME", "recipients": ["root"]},
    ),
}


@pytest.mark.parametrize(("words", "expected"), HONOURED.values(), ids=HONOURED)
def test_option_is_honoured(words, expected):
    """Nothing but what the words say differs from the default."""
    assert vars(Options()) | expected == vars(parse_options(words))


EXAMPLES = [(row, example) for row in ROWS for example in row.examples]


@pytest.mark.parametrize(("row", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_table_is_true(row, example):
    """sendmail(8) in full: what works changes the call, what is harmless does not, the rest is refused by its name."""
    words = example.split(" ")
    if row.disposition == REFUSED:
        with pytest.raises(BadUsage) as refused:
            parse_options(words)
        assert 64 == refused.value.exit
        assert words[0][:2] in str(refused.value)
        return
    changed = vars(Options()) != vars(parse_options(words))
    assert (row.disposition == WORKS) == changed or "odi" in row.forms


def test_every_letter_is_in_the_table_or_refused_as_unknown():
    """No option is parsed and ignored."""
    known = {word[:2] for row in ROWS for example in row.examples for word in example.split(" ")[:1]} - {"--"}
    for letter in string.ascii_letters + string.digits:
        if f"-{letter}" in known:
            continue
        with pytest.raises(BadUsage) as refused:
            parse_options([f"-{letter}", "x"])
        assert 64 == refused.value.exit
        assert f"-{letter}" in str(refused.value)


def test_docs_have_the_table():
    """docs/commands.md holds what sendmail_table.py prints."""
    assert render() in (Path(__file__).parents[3] / "docs/commands.md").read_text()


NOT_HEEDED = {
    "-bs": ["-t", "-f a@x"],
    "-bv": ["-t", "-f a@x", "-F Doe", "-N never", "-R hdrs", "-V id", "-B 8BITMIME", "-U", "-p ESMTP"],
    "-bp": ["-t", "-f a@x", "-n"],
    "-bi": ["-t", "-F Doe", "-n"],
    "-q": ["-t", "-f a@x", "-V id", "-n"],
}


@pytest.mark.parametrize(("mode", "word"), [(mode, word) for mode, words in NOT_HEEDED.items() for word in words])
def test_what_a_mode_does_not_heed_is_refused_by_name(mode, word):
    """It says something of a message, and no message of the call would be so."""
    with pytest.raises(BadUsage, match=f"^{word[:2]} has no meaning with {mode}$") as refused:
        parse_options([*word.split(), mode])
    assert 64 == refused.value.exit


@pytest.mark.parametrize("words", [["-z"], ["-tz"], ["-bz"], ["-f"], ["-N", "often"], ["-N", "never,delay"], ["-R", "some"],
                                   ["-V", "a=b"], ["-B", "9BIT"], ["-ox"], ["-O", "X=1"], ["-oez"], ["-Ax"], ["--help"], ["-h", "x"], ["-qI"], ["-qZ"], ["-q0"], ["-q5y"], ["-qfm"], ["-q30m", "-qIx"], ["-q30m", "-Am"], ["-odx"], ["-oQq"]], ids=" ".join)  # fmt: skip
def test_bad_usage_exits_64(words):
    """sysexits: the command was used wrongly."""
    with pytest.raises(BadUsage) as refused:
        parse_options(words)
    assert 64 == refused.value.exit
