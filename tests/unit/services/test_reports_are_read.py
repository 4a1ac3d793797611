"""Reports as they come out at the far end of the road, read by programs that we did not write."""

from __future__ import annotations

import email
import email.policy
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from paravion.domain.envelope import Recipient
from paravion.domain.outcome import Outcome, Result
from tests.support.foreign import ENVIRON, ROOT
from tests.support.world import World
from tests.unit.golden.test_golden import SISIMAI

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SENDER = "author@example.org"
POSTMASTER = "postmaster@example.net"
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx.example", "192.0.2.7")
GONE = Outcome(Result.FAILED, "5.1.1", 550, "User unknown", "RCPT", "mx.example", "192.0.2.7")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx.example", "192.0.2.7")
HEADER = b"From: author@example.org\r\nSubject: hello\r\n"
UTF8 = "From: Jörg <author@example.org>\r\nSubject: Grüße\r\n".encode()
TEN = tuple(f"{kind}{n}@b.example" for kind, n in zip(["ok"] * 5 + ["gone"] * 3 + ["busy"] * 2, range(10), strict=True))
XTEXT = Recipient("gone1@b.example", ("FAILURE",), "rfc822;sales+2Bnorth@corp.example")

Case = tuple["Sequence[str | Recipient]", dict[str, Any], list[tuple[str, set[str], str]]]
CASES: dict[str, Case] = {
    # Recipients, what else is submitted; then of each report its action, whom it names, and how the original returns.
    "one": (["gone1@b.example"], {}, [("failed", {"gone1@b.example"}, "message/rfc822")]),
    "ten": (TEN, {}, [
        ("failed", set(TEN[5:8]), "message/rfc822"),
        ("delayed", set(TEN[8:]), "text/rfc822-headers"),
        ("failed", set(TEN[8:]), "message/rfc822"),
    ]),
    "relayed": (
        [Recipient("ok1@b.example", ("SUCCESS",))], {}, [("relayed", {"ok1@b.example"}, "text/rfc822-headers")]
    ),
    "headers": (["gone1@b.example"], {"ret": "HDRS"}, [("failed", {"gone1@b.example"}, "text/rfc822-headers")]),
    "full": (["gone1@b.example"], {"ret": "FULL"}, [("failed", {"gone1@b.example"}, "message/rfc822")]),
    "xtext": ([XTEXT], {"envid": "QQ+2B1"}, [("failed", {"sales+north@corp.example"}, "message/rfc822")]),
    "huge": (
        ["gone1@b.example"], {"content": HEADER + b"\r\n" + b"line\r\n" * 10_000},
        [("failed", {"gone1@b.example"}, "text/rfc822-headers")],
    ),
    "header in UTF-8": (
        ["gone1@b.example"], {"content": UTF8 + b"\r\nbody\r\n"}, [("failed", {"gone1@b.example"}, "message/global")]
    ),
    "never": ([Recipient("gone1@b.example", ("NEVER",)), Recipient("busy1@b.example", ("NEVER",))], {}, []),
    "null": (["gone1@b.example", "busy1@b.example"], {"sender": ""}, [
        ("failed", {"gone1@b.example"}, "message/rfc822"), ("failed", {"busy1@b.example"}, "message/rfc822"),
    ]),
    "program": (["busy1@b.example"], {"sender": "list-request@example.org"}, [
        ("failed", {"busy1@b.example"}, "message/rfc822"),
    ]),
}  # fmt: skip


@cache
def _reports(name: str) -> list[tuple[str, bytes]]:
    """The reverse-path and the octets of all that came back, in order."""
    recipients, fields, _ = CASES[name]
    paths = [r if isinstance(r, str) else r.forward_path for r in recipients]
    outcomes = {"o": OK, "g": GONE, "b": BUSY}
    world = World({path: [outcomes[path[0]]] for path in paths}, postmaster=POSTMASTER)
    world.submit(*recipients, **{"sender": SENDER, "content": HEADER + b"\r\nbody\r\n", **fields})
    world.run()
    to = fields.get("sender", SENDER) or POSTMASTER
    return [(reverse_path, content) for _, path, reverse_path, content in world.transport.accepted if path == to]


@pytest.mark.parametrize("name", CASES)
def test_report_is_what_its_readers_take_it_for(name: str) -> None:
    """
    Python's parser finds three parts and no defect; flufl.bounce, which mailing lists go by, the right addresses.

    Reports themselves go out with a null reverse-path and say that a machine wrote them.
    """
    bounce = pytest.importorskip("flufl.bounce")
    reports, expected = _reports(name), CASES[name][2]
    assert len(reports) == len(expected)
    for (reverse_path, content), (action, named, returned) in zip(reports, expected, strict=True):
        report = email.message_from_bytes(content, policy=email.policy.default)
        assert reverse_path == ""
        assert report["Auto-Submitted"] == "auto-replied"
        assert report.get_content_type() == "multipart/report"
        assert report.get_param("report-type") == "delivery-status"
        assert [defect for part in report.walk() for defect in part.defects] == []
        words, status, original = report.iter_parts()
        assert words.get_content_type() == "multipart/alternative"
        assert status.get_content_type() == "message/delivery-status"
        assert original.get_content_type() == returned
        whole, *members = status.get_payload()  # type: ignore[misc]
        assert whole["Reporting-MTA"] == "dns; mail.example.net"
        assert [member["Action"] for member in members] == [action] * len(named)
        temporary, permanent = bounce.all_failures(email.message_from_bytes(content))
        found = {"failed": permanent, "delayed": temporary}
        for kind, addresses in found.items():
            assert {address.decode() for address in addresses} == (named if kind == action else set())
    if name == "xtext":
        assert b"Original-Envelope-Id: QQ+1\r\n" in reports[0][1]


def test_sisimai_reads_them_too(tmp_path: Path) -> None:
    """The same addresses and actions, and the class of each status."""
    if not shutil.which("perl") or not (ROOT / "usr/share/perl5/Sisimai.pm").exists():
        pytest.skip("no Sisimai: make foreign")
    expected, files = set(), []
    for name, (recipients, _, reports) in CASES.items():
        final = {r if isinstance(r, str) else r.forward_path for r in recipients}
        for n, ((_, content), (action, named, _)) in enumerate(zip(_reports(name), reports, strict=True)):
            file = tmp_path / f"{name.replace(' ', '_')}_{n}.eml"
            file.write_bytes(content)
            files.append(str(file))
            expected |= {(file.stem, action, path) for path in (named & final or final)}
    environ = {**ENVIRON, "PERL5LIB": str(ROOT / "usr/share/perl5")}
    run = subprocess.run(["perl", "-e", SISIMAI, *files], env=environ, capture_output=True, check=True, text=True)
    lines = [line.split() for line in run.stdout.splitlines()]
    assert {(stem, action, path) for stem, action, _, path in lines} == expected
    classes = {"failed": {"4", "5"}, "delayed": {"4"}, "relayed": {"2"}}
    assert all(class_ in classes[action] for _, action, class_, _ in lines)
