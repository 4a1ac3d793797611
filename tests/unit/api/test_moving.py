"""`paravion export` and `paravion import` through the doors, from one installation into another."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from paravion.cli import main, moving
from paravion.cli.client import ApiError
from paravion.domain.status import Rejected
from paravion.domain.suppression import Reason, Suppressed
from paravion.domain.unsubscribe import Link, make_token, read_keys
from paravion.ports import Identity
from paravion.services import identity_keys, unsubscribe_keys, unsubscription
from paravion.services.authenticate import Principal
from tests.unit.api.conftest import ACCESS_KEY, SECRET_KEY, World
from tests.unit.api.test_native import asked

OPERATOR = Principal(ACCESS_KEY, is_operator=True)
TABLES = {
    "include/staff/all": b'ann@far.example, "https://hooks.example.org/a,b"\n\\bob, :include:more\n"a b"@far.example\n',
    "include/more": "jörg@bücher.example\n".encode(),
    "aliases": b'team: :include:/staff/all, lambda:tickets, root\n"#odd": \\root, x@far.example\nowner-team: root\n',
    "virtusertable": b"@v.example %1@far.example\nno@v.example error:nouser No such person\nx@v.example error:4.2.2:452 full\n",
    "genericstable": b"root root@far.example\nbob@local.example rob@far.example\n",
    "access": b'From:spam@ REJECT\nConnect:192.0.2 550 Go away\nTo:x@y.example QUARANTINE:"look: at this"\nServer:z.example ERROR:4.7.1:451 later\nFrom:q@ DISCARD\n',
    "mailertable": b"a.example smtp:[relay.example]:587 auth=ses\n.b.example esmtps:one.example, [two.example]:26 tls=none\nc.example discard:\n. error:5.1.2:550 no way\n",
}  # fmt: skip


class Near:
    """cli.client.Client on a world without a wire."""

    def __init__(self, world):
        self.world = world
        self.put_queries = []

    def get(self, path, query=None):
        return self._ask("GET", path, b"", query)

    def put(self, path, query=None, body=b"", content_type=""):
        self.put_queries.append(dict(query or {}))
        return self._ask("PUT", path, body, query)

    def _ask(self, method, path, body, query):
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in (query or {}).items())
        code, answer = asked(self.world, method, path, body, query=text)
        if code // 100 != 2:
            raise ApiError(code, answer["error"]["key"], answer["error"]["detail"])
        return answer


@pytest.fixture
def new():
    """Make another installation, with an operator's credential."""

    def make():
        world = World()
        world.put_credential(operator=True)
        return world

    return make


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command against a world; gives exit code and what it said."""

    def call(world, *words):
        monkeypatch.setattr(moving, "load", lambda _: None)
        client = Near(world)
        monkeypatch.setattr(moving, "Client", lambda _: client)
        code = main.main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


RECORDS = (
    ("configuration-set", "news", {"DeliveryOptions": {"TlsPolicy": "REQUIRE"}, "created_at": 1.5}),
    ("identity-settings", "example.org", {"ConfigurationSetName": "news"}),
    ("account", "settings", {"SendingEnabled": False}),
    ("@red/template", "hello ä", {"Subject": "x" * 300_000}),
    ("@red/template", "hi", {"Subject": "y" * 300_000}),
    ("@red/contact-list", "all", {}),
    *(("@red/contact/all", f"c{n}@x.example", {"AttributesData": "z" * 9000}) for n in range(150)),
)


UNSUBSCRIBE_KEYS = json.dumps([{"name": "2b", "key": "Yg=="}, {"name": "1a", "key": "YQ=="}])


def _fill(world):
    """Everything that can be set up."""
    world.secrets.put("routes/ses", '{"user": "u", "password": "pässword", "mechanism": "PLAIN"}')
    world.secrets.put("webhooks/hooks.example.org", '{"secrets": ["whsec_2", "whsec_1"]}')
    world.secrets.put("unsubscribe/keys", UNSUBSCRIBE_KEYS)
    world.secrets.put("credentials/AKIAOTHER", '{"secret_key": "s3cret"}')
    world.secrets.put(
        "credentials/AKIAPARAVIONLOCAL000",
        json.dumps({"secret_key": "paravion-local-secret-key-not-for-production", "operator": True}),
    )
    identity_keys.make("example.org", world.admin_deps)
    world.identities.put(Identity("example.org", verified=True, token="t0ken", created_at=1700000000.123456))
    world.identities.put(Identity("me@example.net", verified=False, token="abc", created_at=1.5))
    from paravion.services.tables import load_tables

    load_tables({kind: [(kind, octets)] for kind, octets in TABLES.items()}, OPERATOR, world.admin_deps)
    from paravion.services.hosts import limit_host

    limit_host("mx.slow.example", 12.5, 3, OPERATOR, world.admin_deps)
    world.identities.put(Identity("joe@red.example", verified=True, token="r", created_at=2.0, tenant="red"))
    for kind, name, value in RECORDS:
        world.records.put(kind, name, value)
    world.suppression.set_reasons([Reason.COMPLAINT])
    for n in range(1500):
        world.suppression.put(Suppressed(f"gone{n}@far.example", Reason.BOUNCE, 1700000000.1 + n, "bounce", "q1"))
    odd = Suppressed("jörg@far.example", Reason.COMPLAINT, 5.25, "operator", "", "550 \udce4\x1b", "AKIATEST", 4e9)
    world.suppression.put(odd)


def _state(world):
    tables = {kind: {k: v for page in world.tables.pages(kind) for k, v in page.items()} for kind in world.tables.loaded()}  # fmt: skip
    hosts = {state.name: (state.max_rate, state.max_slots) for state in world.hosts.all(100)}
    secrets = {name: world.secrets.get(name) for under in ("routes", "webhooks", "unsubscribe", "dkim") for name in world.secrets.names(under)}  # fmt: skip
    records = {key: value for key, (value, _) in world.records.items.items()}
    return (
        tables,
        hosts,
        secrets,
        records,
        world.identities.all(100),
        world.suppression.items,
        world.suppression.reasons(),
    )


def test_round_trip_of_every_kind_and_a_second_import_changes_nothing(new, run, tmp_path):
    """All but the published credential; the copy's export is the same file."""
    old, other = new(), new()
    _fill(old)
    file, copy = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert run(old, "export", file, "--secrets")[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert {json.loads(line).get("kind") for line in file.read_bytes().splitlines()[1:]} == {
        "route_credential", "webhook_secret", "unsubscribe_keys", "identity", "record", "table", "host_limit",
        "suppression_reasons", "suppressed", "credential", "end",
    }  # fmt: skip
    assert b"not-for-production" not in file.read_bytes()
    code, said = run(other, "import", file)
    assert code == 0, said
    assert "suppressed: 1501 made" in said
    assert _state(other) == _state(old)
    assert json.loads(other.secrets.get("credentials/AKIAOTHER")) == {
        "secret_key": "s3cret", "enabled": True, "operator": False,
    }  # fmt: skip
    assert run(other, "export", copy, "--secrets")[0] == 0
    assert copy.read_bytes() == file.read_bytes()
    events = len(other.event_log.records)
    code, said = run(other, "import", file)
    assert (code, "made" in said, "replaced" in said) == (0, False, False)
    assert len([e for e in other.event_log.records[events:] if "Table" in str(e)]) == 0


def test_without_the_option_no_secret_is_in_it(new, run, tmp_path):
    """DKIM records only; the importer makes new keys and says so."""
    old, other = new(), new()
    _fill(old)
    file = tmp_path / "a.jsonl"
    assert run(old, "export", file)[0] == 0
    text = file.read_text()
    for secret in ("pässword", "p\\u00e4ssword", "whsec", "s3cret", SECRET_KEY, "dkim_keys", "rsa-sha256"):
        assert secret not in text
    assert "v=DKIM1" in text
    code, said = run(other, "import", file)
    assert (code, "ses: there is no such credential" in said) == (65, True), said
    assert not other.identities.all(10), "checked before anything was written"
    other.secrets.put("routes/ses", '{"user": "u", "password": "p"}')
    code, said = run(other, "import", file)
    assert code == 0, said
    assert "example.org: new DKIM keys" in said


def test_links_of_both_installations_work_after_a_move(new, run, tmp_path):
    """Keys of unsubscribe links are added to those that are here, without --replace; a key of the same name stays."""
    old, other = new(), new()
    old.secrets.put("unsubscribe/keys", UNSUBSCRIBE_KEYS)
    old.identities.put(Identity("joe@red.example", verified=True, token="r", created_at=2.0, tenant="red"))
    old.records.put("@red/contact-list", "all", {"Topics": []})
    link = Link("red", "all", "", "joe@far.example", "q")
    token = make_token(link, read_keys(UNSUBSCRIBE_KEYS))
    bare, full = tmp_path / "bare.jsonl", tmp_path / "full.jsonl"
    run(old, "export", bare)
    run(old, "export", full, "--secrets")
    assert b"YQ==" not in bare.read_bytes()
    assert run(other, "import", bare)[0] == 0
    (own,) = unsubscribe_keys.read(other.secrets)
    with pytest.raises(Rejected):
        unsubscription.look(token, other.admin_deps)
    assert run(other, "import", full)[0] == 0
    assert [key.name for key in unsubscribe_keys.read(other.secrets)] == [own.name, "2b", "1a"]
    assert unsubscription.look(token, other.admin_deps).link == link
    code, said = run(other, "import", full)
    assert (code, "unsubscribe_keys: 1 unchanged" in said) == (0, True), said
    other.secrets.put("unsubscribe/keys", json.dumps([{"name": "2b", "key": "eA=="}]))
    code, said = run(other, "import", full, "--replace")
    assert (code, "key 2b is here already and differs" in said) == (65, True)


def test_conflicts_are_refused_by_name_or_replaced(new, run, tmp_path):
    """Each kind; and the importer's own credential never."""
    old, other = new(), new()
    _fill(old)
    file = tmp_path / "a.jsonl"
    run(old, "export", file, "--secrets")
    _fill(other)
    other.identities.put(Identity("example.org", verified=True, token="another", created_at=1.0))
    other.secrets.put("routes/ses", '{"user": "other", "password": "p"}')
    other.suppression.set_reasons([])
    before = _state(other)
    code, said = run(other, "import", file)
    assert code == 65
    assert "route_credential ses is here already and differs" in said
    assert "--replace" in said
    assert _state(other) == before
    code, said = run(other, "import", file, "--replace", "--check")
    assert (code, "nothing was imported" in said) == (0, True)
    assert _state(other) == before
    code, said = run(other, "import", file, "--replace")
    assert code == 0, said
    assert _state(other) == _state(old)
    own = {"kind": "credential", "access_key": ACCESS_KEY, "secret_key": "x", "enabled": True, "operator": True}
    file.write_text(
        '{"paravion": "export", "version": 1, "secrets": true}\n'
        + json.dumps(own) + '\n{"kind": "end", "records": 1}\n'
    )  # fmt: skip
    code, said = run(other, "import", file, "--replace")
    assert (code, "the credential that this import is done with" in said) == (65, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "cut off: its end is missing"),
        (lambda lines: [*lines[:-1], lines[-1][:9]], "the file is cut off"),
        (lambda lines: [*lines[:5], *lines[6:]], "records stand here"),
        (lambda lines: [lines[0].replace(b'"version": 1', b'"version": 2'), *lines[1:]], "version 2; this paravion"),
        (lambda lines: [b"{}\n", *lines[1:]], "line 1: no export"),
        (lambda lines: [lines[0], b"[]\n", *lines[1:]], "line 2: no JSON object"),
        (lambda lines: [lines[0], b'{"kind": "x"}\n', *lines[1:]], "line 2: no kind of record"),
        (lambda lines: [*lines[:-2], lines[1], lines[-1]], "stands behind"),
        (lambda lines: [*lines, b'{"kind": "end"}\n'], "behind the end"),
        (lambda lines: [lines[0], b" " * 1_000_002 + b"\n", *lines[1:]], "longer than"),
        (lambda _: [], "line 1: empty"),
    ],
)
def test_bad_file_is_refused_before_anything_is_asked(new, run, tmp_path, change, said):
    """By line."""
    old, other = new(), new()
    _fill(old)
    file = tmp_path / "a.jsonl"
    run(old, "export", file, "--secrets")
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    code, text = run(other, "import", file)
    assert (code, said in text) == (65, True), text
    assert other.requests == []
    assert not other.identities.all(10)


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "setting", "name": "nonsense", "value": "1"},
        {"kind": "setting", "name": "tls", "value": "sometimes"},
        {"kind": "route_credential", "name": "a/b", "user": "u", "password": "p"},
        {"kind": "route_credential", "name": "a", "user": "u"},
        {"kind": "webhook_secret", "name": "../x", "secrets": ["s"]},
        {"kind": "webhook_secret", "name": "x", "secrets": []},
        {"kind": "unsubscribe_keys", "keys": []},
        {"kind": "unsubscribe_keys", "keys": [{"name": 1, "key": "YQ=="}]},
        {"kind": "unsubscribe_keys", "keys": [{"name": "a", "key": "!"}]},
        {"kind": "unsubscribe_keys", "keys": "x"},
        {"kind": "identity", "name": "t.example", "verified": True, "token": "t", "created_at": 1, "tenant": "a/b"},
        {"kind": "identity", "name": "EXAMPLE.org", "verified": True, "token": "t", "created_at": 1},
        {"kind": "identity", "name": "example.org", "verified": 1, "token": "t", "created_at": 1},
        {"kind": "identity", "name": "example.org", "verified": True, "token": "t", "created_at": 1, "more": 1},
        {"kind": "identity", "name": "example.org", "verified": True, "token": "t", "created_at": 1, "dkim_keys": [{}]},
        {"kind": "table", "table": "passwd", "lines": []},
        {"kind": "table", "table": "include/../x", "lines": []},
        {"kind": "table", "table": "aliases", "lines": ["a: |program"]},
        {"kind": "table", "table": "aliases", "lines": ["a: b\nc: d"]},
        {"kind": "host_limit", "name": "mx example", "rate_per_minute": 1, "concurrency": 0},
        {"kind": "host_limit", "name": "mx.example", "rate_per_minute": -1, "concurrency": 0},
        {"kind": "suppression_reasons", "reasons": ["SPAM"]},
        {"kind": "suppressed", "address": "X@far.example", "reason": "BOUNCE", "updated_at": 1, "source": "bounce"},
        {"kind": "suppressed", "address": "x@far.example", "reason": "SPAM", "updated_at": 1, "source": "bounce"},
        {"kind": "suppressed", "address": "x@far.example", "reason": "BOUNCE", "updated_at": "1", "source": "bounce"},
        {"kind": "suppressed", "address": ["x"], "reason": "BOUNCE", "updated_at": 1, "source": "bounce"},
        {"kind": "credential", "access_key": "A/B", "secret_key": "s", "enabled": True, "operator": False},
        {"kind": "credential", "access_key": "AKIA2", "secret_key": "s", "enabled": "yes", "operator": False},
        {"kind": "credential", "access_key": "AKIA2", "enabled": True, "operator": True,
         "secret_key": "paravion-local-secret-key-not-for-production"},
    ],
    ids=lambda record: record["kind"],
)  # fmt: skip
def test_bad_entry_names_its_line_and_nothing_is_written(new, run, tmp_path, record):
    """Whatever is wrong in it; also a good entry on another page stays out."""
    world, file = new(), tmp_path / "a.jsonl"
    good = {"kind": "setting", "name": "tls", "value": "verify"}
    lines = [{"paravion": "export", "version": 1, "secrets": True}, good, record, {"kind": "end", "records": 2}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = _state(world)
    code, said = run(world, "import", file)
    assert (code, "line 3" in said) == (65, True), said
    assert _state(world) == before


def test_settings_that_differ_are_told(new, run, tmp_path):
    """With what to write where."""
    world, file = new(), tmp_path / "a.jsonl"
    records = [
        {"paravion": "export", "version": 1, "secrets": False},
        {"kind": "setting", "name": "relay_tls", "value": "verify"},
        {"kind": "setting", "name": "sweep_interval_s", "value": "5"},
        {"kind": "setting", "name": "tls", "value": "may"},
        {"kind": "end", "records": 3},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in records))
    code, said = run(world, "import", file)
    assert code == 0
    assert "--set relay_tls=verify    deployed: parameter RelayTls " in said
    assert "--set sweep_interval_s=5    deployed: no parameter" in said
    assert "tls=may" not in said


def test_only_an_operator_may(new, run, tmp_path):
    """And what was begun leaves no file."""
    world, file = new(), tmp_path / "a.jsonl"
    world.put_credential(operator=False)
    assert run(world, "export", file)[0] == 77
    assert list(tmp_path.iterdir()) == []
    file.write_text('{"paravion": "export", "version": 1, "secrets": false}\n{"kind": "setting", "name": "tls", "value": "may"}\n{"kind": "end", "records": 1}\n')  # fmt: skip
    assert run(world, "import", file)[0] == 77


def test_file_that_is_there_is_not_overwritten(new, run, tmp_path):
    """Unless told; and what can't be written or read says so."""
    world, file = new(), tmp_path / "a.jsonl"
    file.write_text("precious")
    assert run(world, "export", file)[0] == 73
    assert file.read_text() == "precious"
    assert run(world, "export", file, "--force")[0] == 0
    assert run(world, "export", tmp_path / "none" / "a")[0] == 73
    assert run(world, "import", tmp_path / "none")[0] == 66


def test_list_of_a_hundred_thousand_members_goes_in_pieces(new, run, tmp_path):
    """Small answers and short lines; each of them and their order arrive."""
    from paravion.services.tables import load_table

    old, other, file = new(), new(), tmp_path / "a.jsonl"
    members = "".join(f"member{n}@far.example\n" for n in range(100_000)).encode()
    load_table("include/big", [("big", members)], OPERATOR, old.admin_deps)
    assert run(old, "export", file)[0] == 0
    assert max(map(len, file.read_bytes().splitlines())) < 100_000
    other.settings.max_message_octets = 10_000_000
    code, said = run(other, "import", file)
    assert code == 0, said
    assert _state(other) == _state(old)


@pytest.mark.parametrize("query", ["after=nonsense", "after=table:x", "secrets=maybe", "limit=3", "after=setting"])
def test_bad_page_is_refused(new, query):
    """By name, or taken for the beginning of a kind."""
    code, answer = asked(new(), "GET", "/v1/export", query=query)
    assert code == 400 or answer["after"] == "route_credential:"


def test_table_that_changes_ends_the_export(new):
    """Half of one and half of another would be neither."""
    from paravion.services.tables import load_table

    world = new()
    load_table("include/big", [("big", b"a@far.example\n")], OPERATOR, world.admin_deps)
    code, answer = asked(world, "GET", "/v1/export", query="after=table:include/big:0000:30")
    assert (code, "changed while it was read" in answer["error"]["detail"]) == (400, True)


@pytest.mark.parametrize(
    "record",
    [
        {"of": "template", "name": "", "value": {}},
        {"of": "../template", "name": "x", "value": {}},
        {"of": "template", "name": "x", "value": []},
        {"of": "configuration-set", "name": "x", "value": {"DeliveryOptions": 1}},
        {"of": "@red/identity-settings", "name": "x.example", "value": {"Policies": 1}},
        {"of": "account", "name": "settings"},
    ],
    ids=lambda record: str(record)[:50],
)
def test_record_that_can_not_be_read_is_not_imported(new, record):
    """Mail would wait for somebody to mend it."""
    from paravion.services.moving_in import Page, import_page

    world = new()
    page = Page([(2, {"kind": "record", **record})])
    with pytest.raises(Rejected, match="line 2: record"):
        import_page(page, OPERATOR, world.admin_deps, check=False, replace=False)
    assert world.records.items == {}
