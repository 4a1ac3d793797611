"""
A second verifier that is not ours: mailauth, in node, with the DNS answered from a file.

`PARAVION_MAILAUTH` names a folder in which `npm install mailauth` was run; without it, or without node, skipped.
(The first is dkimpy: tests/unit/domain/test_dkim.py.)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from paravion.domain import dkim, dkim_keys
from paravion.domain.headers import split_header
from tests.support.dkim_keys import active_ring, txt_of

FOLDER = os.environ.get("PARAVION_MAILAUTH")
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    not (FOLDER and NODE), reason="no node with mailauth (PARAVION_MAILAUTH names the folder of its node_modules)"
)

VERIFY = """
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import fs from 'node:fs';
const records = JSON.parse(fs.readFileSync(process.argv[2]));
const resolver = async (name, kind) => {
    if (kind === 'TXT' && records[name]) return [[records[name]]];
    throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
};
const { results } = await dkimVerify(fs.readFileSync(process.argv[3]), { resolver });
console.log(JSON.stringify(results.map((r) => [r.algo, r.status.result, r.status.aligned])));
"""
HEADER = (
    b"Received: by x\r\nFrom: me@news.example.org\r\nTo: a@b.example,\r\n\tc@d.example\r\nSubject:  x\t y \r\n"
    b"List-Unsubscribe: <https://u.example>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@example.org>\r\n"
)
BODIES = {
    "empty": b"",
    "white space": b"a  \t b \r\n\r\n \r\n\r\n",
    "empty lines only": b"\r\n\r\n",
    "long": "für\r\n.\r\n".encode() * 50_000,
    "run": b"\t x\r\n\r\ny" + b" " * 5000 + b"z\r\n",
}


@pytest.mark.parametrize("change", [b"", b"Subject: another\r\n"], ids=["as sent", "with another Subject"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_mailauth_takes_both_signatures(tmp_path, body, change):
    """Both pass, aligned with From's domain above; an added Subject breaks both."""
    ring = active_ring()
    fields = dkim.sign(
        split_header(HEADER), dkim.body_hash(body), dkim_keys.signing_keys("example.org", ring), now=1_700_000_000
    )
    (tmp_path / "records.json").write_text(json.dumps(txt_of("example.org", ring)))
    (tmp_path / "mail.eml").write_bytes(change + fields + HEADER + b"\r\n" + body)
    script = Path(str(FOLDER)) / "verify-for-paravion.mjs"  # node looks for modules beside the script
    script.write_text(VERIFY)
    command = [str(NODE), script, tmp_path / "records.json", tmp_path / "mail.eml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    result = "fail" if change else "pass"
    found = json.loads(done.stdout)
    assert [algorithm for algorithm, *_ in found] == ["rsa-sha256", "ed25519-sha256"]
    assert [status for _, status, _ in found] == [result] * 2
    if not change:
        assert [aligned for *_, aligned in found] == ["example.org"] * 2
