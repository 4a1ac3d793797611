"""
Look at what a sending domain has in the DNS, and say what is missing, with the record to publish.

What is judged: SPF, DKIM, DMARC, MX, the sending address's PTR with its forward confirmation, MTA-STS and TLSRPT.
The last two protect mail to the domain: without them mail still goes out, so `missing` is no fault there.
MTA-STS's policy is fetched, as senders fetch it.

RFC: 7208 (SPF), 6376 3.6 and 8301 (DKIM), 9989 and 7489 6.3 (DMARC), 5321 5.1 and 7505 (MX), 8461 3 (MTA-STS),
8460 3 (TLSRPT).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from paravion.domain import spf
from paravion.domain.alignment import self_and_above
from paravion.domain.dkim_keys import Record, is_published, key_tags
from paravion.domain.mta_sts import StsFault, StsMode, parse_policy, parse_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OK: Final = "ok"
MISSING: Final = "missing"
WRONG: Final = "wrong"
UNKNOWN: Final = "unknown"

_RSA_2048_OCTETS: Final = 294
"""Of a SubjectPublicKeyInfo with a 2048-bit modulus."""
_ED25519_OCTETS: Final = 32
_OPTIONAL: Final = frozenset({"MTA-STS", "TLSRPT"})


class NoDnsAnswer(Exception):
    """The name service did not answer: nothing can be said."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One verdict.

    Attributes:
        subject: SPF, DKIM, ...
        verdict: OK, MISSING, WRONG or UNKNOWN.
        text: What was found, or what is wrong with it; one line.
        publish: The record that would mend it, if one would.
        type: Of that record.
    """

    subject: str
    verdict: str
    text: str
    publish: Record | None = None
    type: str = "TXT"

    @property
    def is_good(self) -> bool:
        """Nothing has to be done before mail is sent."""
        return self.verdict == OK or (self.verdict == MISSING and self.subject in _OPTIONAL)


def examine(
    domain: str,
    look_up: Callable[[str, str], Sequence[str]],
    *,
    selectors: Mapping[str, str | None],
    address: str = "",
    fetch_policy: Callable[[str], bytes | StsFault] | None = None,
) -> list[Finding]:
    """
    Judge a domain (lower case, A-labels).

    Args:
        look_up: Name and type (TXT, MX, A, AAAA, PTR) to records: TXT strings, host names of MX in order (a null MX
            is "."), addresses, names. Raises NoDnsAnswer.
        selectors: DKIM selectors, each with the record's value where it is known.
        address: The sending IP address, "" if it is not known.
        fetch_policy: Domain to its MTA-STS policy file; None: it is only named.
    """
    checks: list[tuple[str, Callable[[], Finding]]] = [("SPF", partial(_spf, domain, look_up, address))]
    checks += [
        (f"DKIM {selector}", partial(_dkim, domain, look_up, selector, value)) for selector, value in selectors.items()
    ]
    if not selectors:
        checks.append(("DKIM", partial(_no_selector, domain)))
    checks += [
        ("DMARC", partial(_dmarc, domain, look_up)),
        ("MX", partial(_mx, domain, look_up)),
        ("PTR", partial(_ptr, look_up, address)),
        ("MTA-STS", partial(_mta_sts, domain, look_up, fetch_policy)),
        ("TLSRPT", partial(_tlsrpt, domain, look_up)),
    ]
    findings = []
    for subject, check in checks:
        try:
            findings.append(check())
        except NoDnsAnswer as exc:
            findings.append(Finding(subject, UNKNOWN, f"the name service does not answer: {exc}"))
    return findings


def _spf(  # noqa: PLR0911 (one for each way it can be wrong)
    domain: str, look_up: Callable[[str, str], Sequence[str]], address: str
) -> Finding:
    found = spf.spf_records(look_up(domain, "TXT"))
    mechanism = "ip4:YOUR-SENDING-ADDRESS"
    if address:
        mechanism = f"ip{ipaddress.ip_address(address).version}:{address}"
    if not found:
        return Finding("SPF", MISSING, "no v=spf1 record", Record(domain, f"v=spf1 {mechanism} -all"))
    if len(found) > 1:
        return Finding("SPF", WRONG, f"{len(found)} v=spf1 records; receivers ignore them all: keep one")
    (record,) = found
    if {"all", "+all"} & set(record.lower().split()):
        return Finding("SPF", WRONG, f"it lets everybody send: {record}", Record(domain, f"v=spf1 {mechanism} -all"))
    if not address:
        return Finding("SPF", OK, f"{record} (not held against an address: none was given)")
    result = spf.check_spf(domain, address, look_up)
    if result == "pass":
        return Finding("SPF", OK, f"{address} passes: {record}")
    if result == "unknown":
        return Finding("SPF", UNKNOWN, f"it uses macros, exists or ptr, which are not followed here: {record}")
    words = record.split()
    mended = " ".join([words[0], mechanism, *words[1:]])
    text = f"{address} comes out as {result}: {record}"
    return Finding("SPF", WRONG, text, None if result == "permerror" else Record(domain, mended))


def _no_selector(domain: str) -> Finding:
    return Finding("DKIM", MISSING, f"no selector to look for: paravion identity add {domain}, or --selector")


def _dkim(  # noqa: PLR0911 (one for each way it can be wrong)
    domain: str, look_up: Callable[[str, str], Sequence[str]], selector: str, value: str | None
) -> Finding:
    subject, name = f"DKIM {selector}", f"{selector}._domainkey.{domain}"
    texts = [text for text in look_up(name, "TXT") if "p" in key_tags(text)]
    mend = Record(name, value) if value else None
    if not texts:
        return Finding(subject, MISSING, f"no key at {name}", mend)
    if len(texts) > 1:
        return Finding(subject, WRONG, f"{len(texts)} keys at {name}: which one counts is undefined (RFC 6376 3.6.2.2)")
    if mend is not None and not is_published(texts, mend):
        return Finding(subject, WRONG, f"another key than ours at {name}", mend)
    tags = key_tags(texts[0])
    kind = tags.get("k", "rsa")
    try:
        octets = len(base64.b64decode(tags["p"], validate=True))
    except binascii.Error:
        return Finding(subject, WRONG, f"p= at {name} is not base64", mend)
    if octets == 0:
        return Finding(subject, WRONG, f"the key at {name} is revoked (p= is empty)", mend)
    if (kind == "rsa" and octets < _RSA_2048_OCTETS) or (kind == "ed25519" and octets != _ED25519_OCTETS):
        return Finding(subject, WRONG, f"the {kind} key at {name} is too short or cut off", mend)
    if tags.get("t", "").split(":").count("y"):
        return Finding(subject, WRONG, f"the key at {name} says that it is a test (t=y)", mend)
    return Finding(subject, OK, f"{kind} key at {name}")


def _dmarc(domain: str, look_up: Callable[[str, str], Sequence[str]]) -> Finding:
    mend = Record(f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}")
    for above in self_and_above(domain):
        name = f"_dmarc.{above}"
        found = [text for text in look_up(name, "TXT") if text.replace(" ", "").lower().startswith("v=dmarc1")]
        if not found:
            continue
        if len(found) > 1:
            return Finding("DMARC", WRONG, f"{len(found)} records at {name}: receivers ignore them all")
        tags = key_tags(found[0])
        policy = (tags.get("sp") if above != domain else None) or tags.get("p", "")
        if policy not in {"none", "quarantine", "reject"}:
            return Finding("DMARC", WRONG, f"no policy in {found[0]}", mend)
        note = "; nothing is asked of receivers yet" if policy == "none" else ""
        return Finding("DMARC", OK, f"policy {policy} at {name}{note}")
    return Finding("DMARC", MISSING, f"no record at _dmarc.{domain} nor above", mend)


def _mx(domain: str, look_up: Callable[[str, str], Sequence[str]]) -> Finding:
    hosts = look_up(domain, "MX")
    if not hosts:
        if look_up(domain, "A") or look_up(domain, "AAAA"):
            return Finding("MX", OK, f"none: mail and reports go to {domain} itself")
        text = "no MX and no address: replies and reports of failure can't come back"
        return Finding("MX", MISSING, text, Record(domain, "10 YOUR-MAIL-HOST."), "MX")
    if "." in hosts:
        return Finding("MX", WRONG, "a null MX: replies and reports can't come back, and receivers refuse such senders")
    without = [host for host in hosts if not (look_up(host, "A") or look_up(host, "AAAA"))]
    if without:
        return Finding("MX", WRONG, f"no address at {', '.join(without)}")
    return Finding("MX", OK, ", ".join(hosts))


def _ptr(look_up: Callable[[str, str], Sequence[str]], address: str) -> Finding:
    if not address:
        return Finding("PTR", OK, "not looked at: give the sending address by --address")
    ip = ipaddress.ip_address(address)
    name = ip.reverse_pointer
    names = look_up(name, "PTR")
    mend = Record(name, "YOUR-HOSTNAME.")
    if not names:
        return Finding("PTR", MISSING, f"{address} has no name; whoever routes it to you sets it", mend, "PTR")
    family = "A" if ip.version == 4 else "AAAA"  # noqa: PLR2004 (IPv4)
    confirmed = [n for n in names if any(ipaddress.ip_address(a) == ip for a in look_up(n, family))]
    if not confirmed:
        text = f"{address} is called {', '.join(names)}, but that name does not lead back to it"
        return Finding("PTR", WRONG, text, Record(names[0], address), family)
    return Finding("PTR", OK, f"{address} is {confirmed[0]}, and back")


def _mta_sts(
    domain: str,
    look_up: Callable[[str, str], Sequence[str]],
    fetch_policy: Callable[[str], bytes | StsFault] | None,
) -> Finding:
    name = f"_mta-sts.{domain}"
    found = [text for text in look_up(name, "TXT") if text.lower().startswith("v=stsv1")]
    mend = Record(name, "v=STSv1; id=1")
    if not found:
        return Finding("MTA-STS", MISSING, "no record: mail to you may be sent without checked TLS", mend)
    if parse_record(found) is None:
        return Finding("MTA-STS", WRONG, "not one record with an id of letters and digits", mend)
    host = f"mta-sts.{domain}"
    if not (look_up(host, "A") or look_up(host, "AAAA")):
        return Finding("MTA-STS", WRONG, f"{host} has no address, so nobody can fetch the policy")
    if fetch_policy is None:
        return Finding("MTA-STS", OK, f"{found[0]} (https://{host}/.well-known/mta-sts.txt was not fetched)")
    return _sts_policy(domain, look_up, fetch_policy(domain))


def _sts_policy(domain: str, look_up: Callable[[str, str], Sequence[str]], fetched: bytes | StsFault) -> Finding:
    if isinstance(fetched, StsFault):
        return Finding("MTA-STS", WRONG, f"the policy can't be fetched ({fetched.result}): {fetched.text}")
    try:
        policy = parse_policy(fetched)
    except ValueError as exc:
        return Finding("MTA-STS", WRONG, f"the policy is invalid: {exc}")
    if policy.mode is StsMode.NONE:
        return Finding("MTA-STS", OK, "mode none: senders are told that there is no policy")
    hosts = [host for host in look_up(domain, "MX") if host != "."] or [domain]
    left_out = [host for host in hosts if not policy.allows(host)]
    if left_out:
        text = f"mode {policy.mode}, but no mx of the policy matches {', '.join(left_out)}"
        return Finding("MTA-STS", WRONG, text)
    return Finding("MTA-STS", OK, f"mode {policy.mode} for {policy.max_age_s} s: {', '.join(policy.mx)}")


def _tlsrpt(domain: str, look_up: Callable[[str, str], Sequence[str]]) -> Finding:
    name = f"_smtp._tls.{domain}"
    found = [text for text in look_up(name, "TXT") if text.lower().startswith("v=tlsrptv1")]
    mend = Record(name, f"v=TLSRPTv1; rua=mailto:postmaster@{domain}")
    if not found:
        return Finding("TLSRPT", MISSING, "no record: nobody tells you of failed TLS", mend)
    if len(found) > 1 or not key_tags(found[0]).get("rua", "").startswith(("mailto:", "https:")):
        return Finding("TLSRPT", WRONG, "not one record with a rua of mailto: or https:", mend)
    return Finding("TLSRPT", OK, found[0])
