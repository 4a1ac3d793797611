"""cli/main.py, mailq, newaliases, show and credentials."""

import base64
import json

import pytest

from paravion import __version__
from paravion.adapters.memory import MemorySecrets
from paravion.cli import credentials, main, newaliases, sendmail, show
from paravion.domain.ses_smtp_password import smtp_password
from tests.unit.cli.fake_api import FakeApi, error

JOB = {
    "queue_id": "a" * 26, "chunk": 0, "state": "deferred", "reverse_path": "a@x.example", "attempts": 2,
    "queued_at": "2025-11-03T10:00:00.000Z", "due_at": "2025-11-03T10:10:00.000Z",
    "recipients": [
        {"forward_path": "b@y.example", "state": "deferred", "text": "450 4.2.0 Try \x1b[31mlater"},
        {"forward_path": "c@y.example", "state": "deferred", "text": "450 4.2.0 Try \x1b[31mlater"},
    ],
}  # fmt: skip


@pytest.fixture
def api(monkeypatch):
    """An API that the environment names."""
    with FakeApi() as api:
        monkeypatch.setenv("PARAVION_API", api.url)
        monkeypatch.setenv("PARAVION_ACCESS_KEY", "AKIATEST")
        monkeypatch.setenv("PARAVION_SECRET_KEY", "secret")
        yield api


@pytest.mark.parametrize(
    "command", [lambda: sendmail.main(["-bp"]), lambda: main.main(["queue"])], ids=["mailq", "queue"]
)
def test_mailq_prints_sendmails_columns(api, capsys, command):
    """Id, tries, arrival, sender, then the reason once and each recipient; nothing steers the terminal."""
    api.answers["/v1/queue?limit=1000"] = {"jobs": [JOB, {**JOB, "reverse_path": ""}]}
    assert 0 == command()
    lines = capsys.readouterr().out.splitlines()
    assert "a" * 26 + "       2 2025-11-03 10:00:00 a@x.example" == lines[1]
    assert " " * 17 + "(450 4.2.0 Try ?[31mlater)" == lines[2]
    assert ["b@y.example", "c@y.example"] == [line.strip() for line in lines[3:5]]
    assert lines[5].endswith(" <>")
    assert "Total jobs: 2" == lines[-1].strip()
    assert len({line.index("b@y.example") for line in lines if "b@y.example" in line}) == 1


def test_mailq_says_empty(api, capsys):
    """As sendmail does."""
    api.answers["/v1/queue?limit=1000"] = {"jobs": []}
    assert 0 == sendmail.main(["-bp"])
    assert "Mail queue is empty\n" == capsys.readouterr().out


def test_mailq_v_says_when(api, capsys):
    """-v."""
    api.answers["/v1/queue?limit=1000"] = {"jobs": [JOB]}
    assert 0 == sendmail.main(["-bp", "-v"])
    assert "(due 2025-11-03T10:10:00.000Z, deferred)" in capsys.readouterr().out


def test_mailq_exit_codes(api, capsys, monkeypatch):
    """64 usage, 77 refused, 78 not configured."""
    assert 64 == sendmail.main(["-bp", "-x"])
    api.script.append(error(403, "auth_invalid", 535, "5.7.8"))
    assert 77 == sendmail.main(["-bp"])
    monkeypatch.delenv("PARAVION_API")
    assert 78 == sendmail.main(["-bp"])
    assert 3 == capsys.readouterr().err.count("\n")


def _files_of(tmp_path):
    members = tmp_path / "members"
    members.write_text("a@z.example\n:include:elsewhere\n")
    aliases = tmp_path / "aliases"
    aliases.write_text(f"team: :include:{members}\n")
    return members, aliases


def test_newaliases_loads_lists_and_aliases_in_one_request(api, tmp_path, capsys):
    """What is not on this machine is left to the API."""
    members, aliases = _files_of(tmp_path)
    loaded = [{"kind": f"include{members}", "entries": 1}, {"kind": "aliases", "entries": 1}]
    api.script.append((200, {"tables": loaded}))
    assert 0 == newaliases.main(["--aliases", str(aliases)])
    (request,) = api.requests
    assert (request.method, request.path) == ("PUT", "/v1/tables")
    tables = request.fields["tables"]
    assert [table["kind"] for table in tables] == ["include", "aliases"]
    assert [base64.b64decode(table["files"][0]["content"]) for table in tables] == [
        members.read_bytes(),
        aliases.read_bytes(),
    ]
    assert capsys.readouterr().out == f"{members}: 1 members\naliases: 1 aliases\n"


def test_newaliases_leaves_it_to_the_api_which_targets_are_allowed(api, tmp_path, capsys):
    """The settings are the installation's: only how a target is written can be checked here."""
    members, aliases = tmp_path / "members", tmp_path / "aliases"
    members.write_text("sqs:arn:aws:sqs:eu-west-1:123456789012:inbox\n")
    aliases.write_text(f"support: lambda:tickets, https://hooks.example.org/mail\nteam: :include:{members}\n")
    loaded = [{"kind": f"include{members}", "entries": 1}, {"kind": "aliases", "entries": 2}]
    api.script.append((200, {"tables": loaded}))
    assert 0 == newaliases.main(["--aliases", str(aliases)])
    aliases.write_text("support: https://bad host/\n")
    assert 65 == newaliases.main(["--aliases", str(aliases)])
    assert len(api.requests) == 1
    assert f"{aliases}:1:" in capsys.readouterr().err


def test_newaliases_loads_lists_before_what_includes_them_if_it_is_too_much(api, tmp_path, capsys):
    """The included file goes first."""
    members, aliases = _files_of(tmp_path)
    api.script.append(error(413, "message_too_big", 552, "5.3.4"))
    for kind, entries in ((f"include{members}", 1), ("aliases", 1)):
        api.script.append((200, {"kind": kind, "entries": entries, "generation": "g", "loaded_at": ""}))
    assert 0 == newaliases.main(["--aliases", str(aliases)])
    _, first, second = api.requests
    assert (first.method, first.path.partition("?")[0]) == ("PUT", "/v1/tables/include")
    assert (second.method, second.path.partition("?")[0]) == ("PUT", "/v1/tables/aliases")
    assert (first.body, second.body) == (members.read_bytes(), aliases.read_bytes())
    captured = capsys.readouterr()
    assert "1 aliases" in captured.out
    assert "too much for one swap" in captured.err


def test_newaliases_sends_nothing_of_a_bad_table(api, tmp_path, capsys):
    """File and line of each problem; exit 65, 66 and 64 as sysexits has them."""
    bad = tmp_path / "aliases"
    bad.write_text("good: a@z.example\nbad\nprog: |x\n")
    assert 65 == newaliases.main(["--aliases", str(bad)])
    err = capsys.readouterr().err
    assert "/aliases:2: no colon" in err
    assert "/aliases:3: '|x': programs are never run here" in err
    assert not api.requests
    assert 66 == newaliases.main(["--aliases", str(tmp_path / "missing")])
    assert 64 == newaliases.main(["x"])


def test_several_alias_files_are_one_table(api, tmp_path):
    """As AliasFile of sendmail."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{name}: {name}@z.example\n")
    api.script.append((200, {"kind": "aliases", "entries": 2, "generation": "g", "loaded_at": ""}))
    assert 0 == newaliases.main(["--aliases", str(tmp_path / "one"), str(tmp_path / "two")])
    assert [file["name"] for file in api.requests[0].fields["files"]] == [str(tmp_path / n) for n in ("one", "two")]


def test_bv_prints_verdict_and_routes(api, capsys):
    """Exit code of the address that gets no mail; -v adds the steps."""
    api.script.append((200, {
        "address": "team", "verdict": "deliverable", "status": "2.0.0", "text": "", "exit": 0, "recipient_count": 3,
        "steps": [{"depth": 0, "address": "team@l", "step": "alias team"}],
        "recipients": [
            {"forward_path": "a@a", "owner": "o@o", "refusal": "", "route": {"next_hop": "a", "hosts": ["mx:25"], "status": "", "text": ""}},
            {"forward_path": "b@b", "owner": "", "refusal": "550 5.1.1 gone", "route": None},
        ],
    }))  # fmt: skip
    refused = {"address": "x@y.example", "verdict": "refused", "status": "5.1.1", "text": "gone", "exit": 67}
    api.script.append((200, {**refused, "recipient_count": 0, "steps": [], "recipients": []}))
    assert 67 == sendmail.main(["-bv", "-v", "team", "x@y.example"])
    assert ["/v1/addresses/team", "/v1/addresses/x%40y.example"] == [request.path for request in api.requests]
    assert capsys.readouterr().out.splitlines() == [
        "team... deliverable: 3 recipients",
        "  team@l: alias team",
        "  a@a: mailer smtp, host mx:25, from o@o",
        "  b@b: 550 5.1.1 gone",
        "  and 1 more",
        "x@y.example... refused: 5.1.1 gone",
    ]
    assert 64 == sendmail.main(["-bv"])
    api.script += [(200, {**refused, "recipient_count": 0, "steps": [], "recipients": []})] * 2
    assert 67 == sendmail.main(["-bv", "-n", "team", "\\x@y.example"])
    assert ["/v1/addresses/%5Cteam", "/v1/addresses/%5Cx%40y.example"] == [r.path for r in api.requests[-2:]]


def test_tables_commands(api, tmp_path, capsys):
    """Load, show, list and unload; a list's name is its path."""
    table = tmp_path / "virt"
    table.write_text("a@b.example c@d.example\n")
    info = {"kind": "virtusertable", "entries": 1, "generation": "g", "loaded_at": "t"}
    api.script.append((200, info))
    assert 0 == main.main(["tables", "load", "virtusertable", str(table)])
    api.script.append((200, {**info, "count": 1, "entries": [{"key": "a@b.example", "value": ["c@d.example"]}]}))
    assert 0 == main.main(["tables", "show", "virtusertable", "a@b.example"])
    api.script.append((200, {"tables": [info]}))
    assert 0 == main.main(["tables", "list"])
    api.script.append((204, b""))
    assert 0 == main.main(["tables", "unload", "include", "--name", "x"])
    assert ["PUT", "GET", "GET", "DELETE"] == [request.method for request in api.requests]
    assert api.requests[3].path == "/v1/tables/include?name=x"
    assert "a@b.example\tc@d.example" in capsys.readouterr().out
    api.script.append(error(400, "bad_request", 501, "5.5.4", "Request is malformed", "virt:1: no"))
    assert 65 == main.main(["tables", "load", "virtusertable", str(table)])
    assert 66 == main.main(["tables", "load", "virtusertable", str(tmp_path / "missing")])


MESSAGE = {
    "queue_id": "a" * 26, "state": "done", "reverse_path": "", "kind": "mail", "door": "smtp",
    "queued_at": "2025-11-03T10:00:00.000Z", "octets": 1234, "notices_owed": [], "due_at": None,
    "recipients": [
        {"forward_path": "b@y.example", "state": "delivered", "status": "2.0.0", "code": 250, "text": "Ok queued",
         "command": "DATA", "mx_host": "mx.y.example", "tls": "TLSv1.3", "attempts": 2,
         "tls_facts": {"policy": "sts", "version": "TLSv1.3", "cipher": "c", "verified": True, "result": ""}, "at": "2025-11-03T10:05:00.000Z"},
        {"forward_path": "c@y.example", "state": "queued", "status": "", "code": 0, "text": "", "command": "",
         "mx_host": "", "tls": "", "attempts": 0, "at": None},
    ],
    "timeline": [
        {"at": "2025-11-03T10:00:00.000Z", "event": "Reception", "attempt": 0, "recipients": ["b@y.example"], "text": ""},
        {"at": "2025-11-03T10:05:00.000Z", "event": "Delivery", "attempt": 2, "recipients": ["b@y.example"], "text": "Ok"},
    ],
}  # fmt: skip


def test_show_prints_the_timeline(api, capsys):
    """State, envelope, each recipient with the last reply, then what happened."""
    api.answers["/v1/messages/" + "a" * 26] = MESSAGE
    assert 0 == main.main(["show", "a" * 26])
    assert [
        "a" * 26 + "  done",
        "  from   <>",
        "  came   2025-11-03T10:00:00.000Z, by smtp, 1234 octets, kind mail",
        "  to     b@y.example  delivered",
        "         250 2.0.0 Ok queued",
        "         host mx.y.example, in answer to DATA, TLS TLSv1.3, verified, policy sts, attempts 2",
        "  to     c@y.example  queued",
        "  timeline",
        "    2025-11-03T10:00:00.000Z  Reception  b@y.example",
        "    2025-11-03T10:05:00.000Z  Delivery (attempt 2)  b@y.example  Ok",
    ] == capsys.readouterr().out.splitlines()


def test_show_and_mailq_tell_of_priority_and_deadline(api, capsys):
    """mailq where it is asked for more; nothing of what all mail has."""
    wishes = {"priority": "urgent", "deliver_by": "2025-11-04T10:00:00.000Z", "deliver_by_mode": "return"}
    plain = {"priority": "normal", "deliver_by": None, "deliver_by_mode": ""}
    job = {"queue_id": "a" * 26, "state": "deferred", "attempts": 1, "due_at": "x", "recipients": []}
    for more, count in ((wishes, 2), (plain, 0)):
        api.answers["/v1/messages/" + "a" * 26] = {**MESSAGE, **more}
        assert main.main(["show", "a" * 26]) == 0
        lines = capsys.readouterr().out.splitlines()
        told = [
            line for line in lines if line in {"  prio   urgent", "  by     2025-11-04T10:00:00.000Z, then returned"}
        ]
        assert (len(told), len(lines)) == (count, 10 + count)
        for words in (["queue"], ["queue", "-v"]):
            api.script.append((200, {"jobs": [{**job, **more}]}))
            assert main.main(words) == 0
            out = capsys.readouterr().out
            assert ("(priority urgent)" in out) is ("deliver by 2025-11-04" in out) is (count > 0 and "-v" in words)


TRANSCRIPT = {
    "queue_id": "a" * 26, "missing": [{"attempt": 1, "chunk": 0}], "is_whole": False,
    "attempts": [
        {"attempt": 2, "chunk": 3, "at": "2025-11-03T10:05:00.000Z", "next_hop": "y.example", "lines": [
            {"ms": 0, "kind": "*", "text": "connecting to mx.y.example [192.0.2.1]:25"},
            {"ms": 12, "kind": "<-", "text": "220 mx.y.example\x1b[31m"},
            {"ms": 1012, "kind": "->", "text": "EHLO us.example"},
        ]},
    ],
}  # fmt: skip


def test_show_prints_the_transcript(api, capsys):
    """Like a session's log, with times; a host's words steer no terminal."""
    api.answers["/v1/messages/" + "a" * 26] = MESSAGE
    api.answers["/v1/messages/" + "a" * 26 + "/transcript"] = TRANSCRIPT
    assert 0 == main.main(["show", "a" * 26, "--transcript"])
    assert [
        "  transcript of attempt 2, chunk 3, to y.example, 2025-11-03T10:05:00.000Z",
        "          0 ms  *  connecting to mx.y.example [192.0.2.1]:25",
        "         12 ms  <- 220 mx.y.example?[31m",
        "       1012 ms  -> EHLO us.example",
        "  transcript of attempt 1: not there (yet), or older than 14 days",
        "  (there is more: ask for one attempt with --attempt)",
    ] == capsys.readouterr().out.splitlines()[10:]
    api.answers["/v1/messages/" + "a" * 26 + "/transcript?attempt=7"] = {"attempts": [], "missing": []}
    assert 0 == main.main(["show", "a" * 26, "--transcript", "--attempt", "7"])
    assert "  no transcript" == capsys.readouterr().out.splitlines()[-1]
    assert 64 == main.main(["show", "a" * 26, "--attempt", "1"])
    assert 64 == main.main(["show", "a" * 26, "--transcript", "--attempt", "0"])


def test_show_knows_ids(api, capsys):
    """An id that is none is not asked for; one that is unknown is reported."""
    assert 64 == main.main(["show", "../x"])
    assert [] == api.requests
    api.script.append(error(404, "not_found", 550, "5.5.1", "No such thing"))
    assert 65 == main.main(["show", "b" * 26])
    assert "paravion: No such thing\n" in capsys.readouterr().err


def test_show_prints_what_it_gets():
    """Missing fields are blanks, not tracebacks."""
    assert list(show.render({}))
    removal = {"at": "2026-01-02T03:04:05Z", "text": "by AKIA: a\x1btypo"}
    lines = list(show.render({"recipients": [{"forward_path": "b@y", "state": "removed", "removal": removal}]}))
    assert lines[3:5] == ["  to     b@y  removed", "         2026-01-02T03:04:05Z  by AKIA: a?typo"]


def test_a_credential_is_made_and_stored():
    """Access key AKIA + 16, secret of 40, SES's SMTP password; stored as services/authenticate.py reads it."""
    store = MemorySecrets()
    made = credentials.create(store, region="us-east-1", operator=False)
    assert made["access_key"].startswith("AKIA")
    assert (20, 40, 44) == tuple(len(made[name]) for name in ("access_key", "secret_key", "smtp_password"))
    assert smtp_password(made["secret_key"], "us-east-1") == made["smtp_password"]
    stored = json.loads(store.get(f"credentials/{made['access_key']}"))
    assert {"secret_key": made["secret_key"], "enabled": True, "operator": False} == stored


def test_credentials_create_prints_once(monkeypatch, capsys):
    """To standard output, for who redirects it."""
    store = MemorySecrets()
    prefixes = []
    monkeypatch.setattr(credentials, "ssm_store", lambda prefix: prefixes.append(prefix) or store)
    assert 0 == main.main(["credentials", "create", "--stack", "mail"])
    assert ["/paravion/mail"] == prefixes
    lines = capsys.readouterr().out.splitlines()
    assert ["access key", "secret key", "SMTP password"] == [line[:13].strip() for line in lines]
    assert 64 == main.main(["credentials", "create", "--prefix", "x/"])


def test_version_and_usage(capsys):
    """0 and 64."""
    assert 0 == main.main(["version"])
    assert f"paravion {__version__}\n" == capsys.readouterr().out
    assert 64 == main.main([])
    assert 64 == main.main(["nonsense"])
    assert 0 == main.main(["--help"])


def test_smtpd_wants_an_api(capsys, monkeypatch):
    """78, with words; the other options are parsed."""
    for name in ("PARAVION_API", "PARAVION_ACCESS_KEY", "PARAVION_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert 78 == main.main(["smtpd"])
    assert 78 == main.main(["smtpd", "--api", "http://127.0.0.1:9", "--trusted-networks", "127.0.0.0/8"])
    assert 78 == main.main(["smtpd", "--api", "http://127.0.0.1:9", "--listen", "nonsense"])
    assert 3 == capsys.readouterr().err.count("smtpd: ")


QUEUE_ID = "a" * 26
HELD = {
    "jobs": [
        {
            "queue_id": QUEUE_ID,
            "state": "held",
            "held": "looks odd",
            "reverse_path": "a@x",
            "attempts": 0,
            "queued_at": "2026-01-02T03:04:05.678Z",
            "due_at": "2026-01-16T03:04:05.678Z",
            "recipients": [],
        }
    ]
}


@pytest.mark.parametrize("command", [lambda: sendmail.main(["-bp", "-qQ"]), lambda: main.main(["queue", "-qQ"])])
def test_mailq_qq_asks_for_what_is_held_and_says_why(api, capsys, command):
    """sendmail's view of its quarantine."""
    api.script.append((200, HELD))
    assert 0 == command()
    assert "(held: looks odd)" in capsys.readouterr().out
    assert api.requests[-1].path == "/v1/queue?held=true&limit=1000"


@pytest.mark.parametrize(
    ("words", "method", "tail", "body"),
    [
        (["hold", QUEUE_ID, "--reason", "why not"], "POST", "/hold", b'{"reason":"why not"}'),
        (["hold", QUEUE_ID], "POST", "/hold", b'{"reason":"held by hand"}'),
        (["release", QUEUE_ID], "POST", "/release", b"{}"),
        (["flush", QUEUE_ID, "--reason", "up"], "POST", "/flush", b'{"reason":"up"}'),
        (["requeue", QUEUE_ID], "POST", "/requeue", b"{}"),
        (["cancel", QUEUE_ID, "--reason", "no"], "POST", "/cancel", b'{"reason":"no"}'),
        (["remove", QUEUE_ID], "DELETE", "", b""),
        (["remove", QUEUE_ID, "--reason", "no"], "DELETE", "?reason=no", b""),
    ],
)
def test_hold_release_and_remove_ask_the_api(api, capsys, words, method, tail, body):
    """One request for each id."""
    (api.flushes if tail == "/flush" else api.script).append(
        (200, {"queue_id": QUEUE_ID, "changed": 1, "jobs": [{"state": "held"}]})
    )
    assert 0 == main.main(words)
    request = api.requests[-1]
    assert (request.method, request.path, request.body) == (method, f"/v1/messages/{QUEUE_ID}{tail}", body)
    assert f"{QUEUE_ID}: 1 job " in capsys.readouterr().out


def test_hold_tells_what_one_id_is_refused_for_and_does_the_others(api, capsys):
    """The exit is the last refusal's."""
    api.script.append(error(409, "wrong_state", 554, "5.5.0", "Not possible as things stand", "it is done"))
    api.script.append((200, {"queue_id": QUEUE_ID, "changed": 1, "jobs": [{"state": "removed"}]}))
    assert 0 != main.main(["remove", "b" * 26, QUEUE_ID])
    captured = capsys.readouterr()
    assert "it is done" in captured.err
    assert QUEUE_ID in captured.out


def test_hold_refuses_what_is_no_id(capsys):
    """Before anything is asked."""
    assert 64 == main.main(["hold", "../x"])
    assert "not a queue id" in capsys.readouterr().err
