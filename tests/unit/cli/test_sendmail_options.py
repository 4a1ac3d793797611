"""cli/sendmail_options.py: every option is honoured, harmless by nature, or refused by name."""

import pytest

from paravion.cli.sendmail_options import BadUsage, Options, parse_options

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


@pytest.mark.parametrize(
    "words", [["-oem"], ["-oee"], ["-eq"], ["-odb"], ["-odi"], ["-odq"], ["-om"], ["-m"], ["-n"], ["-Am"], ["-L", "tag"],
              ["-O", "ErrorMode=m"], ["-O", "DeliveryMode=b"]], ids=" ".join,
)  # fmt: skip
def test_harmless_option_is_taken(words):
    """Options with no effect by nature: no aliases, no local delivery modes, errors always told."""
    assert ["b@y"] == parse_options([*words, "b@y"]).recipients


@pytest.mark.parametrize("words", [["-bs"], ["-bt"], ["-bd"], ["-bP"], ["-q"], ["-q30m"], ["-qf"], ["-X", "log"], ["-h", "3"],
                                   ["-p", "UUCP"], ["-G"], ["-D", "f"], ["-M", "x"], ["-Q"]], ids=" ".join)  # fmt: skip
def test_what_is_not_built_is_refused_by_name(words):
    """Exit 69 or 64 with words, never ignored."""
    with pytest.raises(BadUsage) as refused:
        parse_options([*words, "b@y"])
    assert refused.value.exit in {64, 69}
    assert str(refused.value)


@pytest.mark.parametrize("words", [["-z"], ["-tz"], ["-bz"], ["-f"], ["-N", "often"], ["-N", "never,delay"], ["-R", "some"],
                                   ["-V", "a=b"], ["-B", "9BIT"], ["-ox"], ["-O", "X=1"], ["-oez"], ["-Ax"], ["--help"]], ids=" ".join)  # fmt: skip
def test_bad_usage_exits_64(words):
    """sysexits: the command was used wrongly."""
    with pytest.raises(BadUsage) as refused:
        parse_options(words)
    assert 64 == refused.value.exit
