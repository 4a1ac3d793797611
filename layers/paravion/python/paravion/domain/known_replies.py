"""
What hosts' replies mean by their words: a library of texts, and what stands where no text is known.

A reply's code says whether to come again; why, stands in its text or its enhanced status, and hosts agree on
neither. Texts go first, the more specific before the more general, in the order of `_TEXTS`; then the
enhanced status (RFC 3463, 5248, 7372, 7504, 7505), then the code. Who asks: domain/verdict.py for the
verdict, domain/classification.py for the names that SES gives to bounces and delays.

The texts were collected from hosts' own documentation and from bounces in the wild; every one of
tests/unit/domain/replies.py is held to its meaning. Expressions are compiled at the first reply that needs
them: most invocations see none.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final


class Cause(StrEnum):
    """Why mail was not taken. The value is the name in the event log; docs/verdicts.md has a line for each."""

    GREYLISTING = "greylisting"
    RATE_LIMIT = "rate_limit"
    BLOCK_LIST = "block_list"
    SENDER_AUTHENTICATION = "sender_authentication"
    SPAM = "spam"
    ATTACHMENT = "attachment"
    POLICY = "policy"
    MAILBOX_FULL = "mailbox_full"
    MAILBOX_UNKNOWN = "mailbox_unknown"
    MAILBOX_DISABLED = "mailbox_disabled"
    DOMAIN_UNKNOWN = "domain_unknown"
    RELAY_DENIED = "relay_denied"
    MESSAGE_TOO_BIG = "message_too_big"
    AUTH_REQUIRED = "auth_required"
    TLS_REQUIRED = "tls_required"
    SYSTEM_BUSY = "system_busy"
    PROTOCOL_ERROR = "protocol_error"
    SUPPRESSED = "suppressed"
    NO_ANSWER = "no_answer"
    LOCAL = "local"
    UNKNOWN = "unknown"


# In lower case, line ends and runs of space as one space. What is listed above another is asked first.
_TEXTS: Final[tuple[tuple[Cause, tuple[str, ...]], ...]] = (
    (Cause.GREYLISTING, (
        r"gr[ea]y[- ]?list",
        r"postgrey",
        r"internal resources? (is |are )?temporarily (un|not )available",  # Mimecast's, which means greylisting
        r"triplet|first (attempt|time).{0,40}(deferred|try|retry)",
        r"temporarily (rejected|deferred).{0,30}unknown sender",
    )),
    (Cause.TLS_REQUIRED, (
        r"(must|need to|please) (issue|use|do)( a)? \"?(starttls|tls)",
        r"starttls (is )?(required|first)|requires? (the use of )?(starttls|tls|encrypt)",
        r"(starttls|tls|encryption|secure connection)( is)? (required|needed|enforced|mandatory)",
        r"senders to use tls/ssl|encrypted connection (is )?required|not (sent|delivered) over (a )?tls",
    )),
    (Cause.AUTH_REQUIRED, (
        r"authentication (is )?(required|needed|failed|unsuccessful|not allowed|credentials invalid)",
        r"auth(entication)? first|authenticat(e|ion) before|please (authenticate|log ?in|turn on smtp authentication)",
        r"(username and password|credentials) (not accepted|invalid|incorrect)",
        r"invalid (login|credentials)(?! for relay)",
        r"application-specific password|client was not authenticated|unauthenticated senders not allowed",
        r"please log in (with|through|via) your web browser|too many login attempts",
        r"smtp auth(entication)? (is )?required|authrequired|authentification requise|need to authenticate",
        r"temporary authentication (failure|problem)",
    )),
    (Cause.PROTOCOL_ERROR, (
        r"duplicate header|rfc ?\d{4} compliant|not rfc|exceeded \d+ hops",
    )),
    (Cause.SENDER_AUTHENTICATION, (
        r"\bdmarc\b|\bdkim\b",
        r"\bspf\b|sender policy framework|purported responsible address",
        r"unauthenticated (e-?mail|mail)|sender is unauthenticated",
        r"(meet|pass|required) (the )?(required )?authentication",
        r"authentication (checks|requirements|information|level)",
        r"\bptr\b|reverse[- ]?(dns|host|lookup)|\brdns\b|ip name lookup failed",
        r"(can ?not|unable to|could ?n[o']t) (find|resolve) your (reverse )?hostname",
        r"anti-spoofing|spoof",
        r"sending (address|ipv6 address).{0,60}must have",
        r"mismatches client ip|mail from not owned",
        r"sender (address )?(verify|verification|callout)",
        r"dns check failure|fcrdns|return[- ]?path|forge(d|ry)|sender'?s? (domain|host|mx)\b",
        r"(callout|sender) verif|verification failed for|unroute?able sender|callout verification",
    )),
    (Cause.RATE_LIMIT, (
        r"frequency limit|temporarily rate limited|thread limit",
    )),
    (Cause.BLOCK_LIST, (
        r"spamhaus|spamcop|\bsorbs|barracudacentral|barracudanetworks\.com/reputation|uceprotect|surriel|invaluement",
        r"cloudmark|csi\.|senderscore|hostkarma|junkemailfilter|abuseat|\bpsbl\b|mailspike|truncate\.gbudb|spamrl",
        r"\bdnsbl|\brbl\b|\bxbl\b|\bsbl\b|\bpbl\b|cdrbl|cxbl|realtime block|block ?list|black ?list|deny ?list",
        r"black listed",
        r"(is|are|was|been|host|address|ip|sender|domain|client)( \S+)? (is )?listed (in|on|at|by)\b",
        r"\b(client|host|ip|address|server|sender|network)\b[^;]{0,60}(blocked|banned|blacklisted)|:blocked\)",
        r"banned (sender|sending ip)|blocked (using|by|for spam)|blocked - see|has been blocked (by|for|due)",
        r"(poor|bad|low|negative) (ip |domain |sender |email )?reputation|reputation.{0,40}(too low|poor|bad|block)",
        r"mail sent from your ip address has been blocked",
        (r"(unsolicited|unwanted) (e-?mail|mail|messages?) (have been sent |originating |coming )?from (your|"
         r"the following)"),
        r"permanently deferred|spammer|dynamic (ip|address)|not accepting connections",
        r"ipts04|\[ts+07\]|\[bl2[0-9]\]|\(rtr:(sc|bl)\)|\(bl\)|\bcon:b1\b|rly:b",
        r"connections? (will )?not (be )?accepted from|access to (this|submit messages).{0,60}(rejected|denied)",
        r"open relay|host network not allowed|ip not in whitelist|not in allowlist",
        r"(no|not) (authorized|allowed) to (send email|send mail|connect).{0,20}(directly)?( to our)?",
        r"address ?ip source bloquee|adresse ip source bloquee|bad ip\b",
    )),
    (Cause.RATE_LIMIT, (
        r"rate[- ]?limit|throttl|too (quickly|fast)|slow(ing)? down|frequency limit",
        r"(receiving mail|sending) at (a|too high a) (rate|faster)",
        r"too many[a-z ]{0,30}(connections?|sessions?|messages?|e-?mails?|mails|recipients|users)",
        r"concurrent connections|too much mail from",
        r"trop de connexions|excessive volume|unexpected volume|unusual (rate|traffic)",
        (r"(rate|volume|quota|limit)[^.]{0,40}(exceed|reached)(?!.{0,40}(mailbox|size|hop))[^.]{0,40}(hour|"
         r"minute|day|connection|rate|relay|send|messages?\b)"),
        (r"(daily|hourly|sending|relay|connection|message|delivery) (rate|quota|limit|threshold)s?( has been|"
         r" was)? (exceeded|reached)"),
        r"daily (user |smtp )?(relay |sending |recipient )+(quota|limit)",
        r"peak smtp relay limit|max(imum)? (number of )?messages? per (connection|session)",
        r"(message )?threshold exceeded",
        r"maximum number of (invalid|unknown|bad) (users|recipients|addresses)",
        r"received too (much|many).{0,40}(mail|message)|per[- ](hour|minute|second|day) (limit|exceeded)",
        r"exceeded the (max|rate|limit|maximum (number of )?(connections|messages))",
        r"temporarily deferred( due|\b)|deferred due to",
        r"\[tss?0[0-9]\]",
    )),
    (Cause.POLICY, (
        r"sender (address )?(is )?(rejected|refused|denied|invalid|not allowed)|domain of sender address",
    )),
    (Cause.MAILBOX_FULL, (
        (r"(mail ?box|inbox|user|account|recipient|storage)[^.;]{0,50}(is |has |was )?(over ?quota|full|"
         r"exceeded|out of storage)"),
        r"over[- ]?quota|quota (is |has been |was )?(exceeded|full|limit exceeded)",
        r"exceed(s|ed)? (its |the |his )?(storage |disk |mailbox |mail )?quota",
        r"(not enough|insufficient) (space|storage|room)[^.;]{0,30}(mailbox|user|account|recipient)",
        r"mailbox (would )?(exceed|size limit)|boite du destinataire pleine|postfach (ist )?voll|casella piena",
        r"(not enough|insufficient|out of|over( (its|his|the))?) (quota|storage)|quota dépassé|buzón lleno",
        r"shutoffquota|recipient storage full|too much mail data|quota limit",
    )),
    (Cause.MESSAGE_TOO_BIG, (
        r"(message|mail|e-?mail|size|content|headers?)[^.;]{0,40}(too (big|large|long)|exceeds?|exceeded|larger than)",
        r"message (length|size)|size limit|sizelimit|too large for this recipient|taille limite",
    )),
    (Cause.ATTACHMENT, (
        r"virus|malware|infected|trojan|phish",
        r"attachment|executable|banned (file|content)|forbidden (file|extension)|file type",
        r"content presents a potential security issue",
    )),
    (Cause.SPAM, (
        r"\bspam|\bub?[ce]e\b|backscatter|junk ?mail|unsolicited|bulk (mail|email)|objectionable|user complaints?",
        r"scored as|content[^.;]{0,40}(reject|not (accepted|allowed)|refused|block|filter|denied)",
        r"(rejected|refused|blocked)[^.;]{0,40}content|message (was )?(filtered|looks like)|suspicious",
        r"mail rejete|mail rejected\.|\bib212\b|message refused\b|mcspamsignature|not accepted by (content|our) filter",
        r"disallowed (url|link)|uribl|surbl|\bdbl\b|blocked url",
    )),
    (Cause.RELAY_DENIED, (
        r"relay(ing)?( access)? (is )?(denied|not (permitted|allowed)|prohibited|refused)",
        r"(unable|not (permitted|allowed|configured)) to relay",
        r"relaying|do(es)? not relay|no relay|we do ?n[o']t relay|mail relay denied|insecure mail relay",
        r"not (one of|in) (our|my|the) (list of )?(allowed )?(domains|rcpthosts|customers?)|rcpthosts",
        r"invalid credentials for relay",
        r"(domain|host)[^.;]{0,30}(isn'?t|is not) (in my list|local|hosted|handled|allowed to relay|one of)",
        r"not our (customer|user)|is not a registered gateway user",
    )),
    (Cause.MAILBOX_DISABLED, (
        (r"(account|mailbox|user|recipient|address)[^.;]{0,60}(disabled|inactive|suspended|frozen|discontinued|"
         r"deactivated|expired|closed|blocked|no longer (valid|active|available|accept|on server))"),
        r"(disabled|inactive|suspended|deactivated|archived) (recipient|e-?mail|account|user|mailbox|address)",
        r"is no longer (valid|on server|available)|compte du destinataire est bloque|has (been )?moved",
    )),
    (Cause.MAILBOX_UNKNOWN, (
        (r"(user|mailbox|recipient|account|address|alias|person|addressee|"
         r"local ?part)s?('?s)?( \S+){0,2} ?(is |was )?(unknown|not (found|known|exist|valid|listed|recognized))"),
        (r"(unknown|invalid|nonexistent|non-existent|no such|bad|illegal|unroutable|unrouteable) (local ?part|"
         r"user|recipient|mailbox|account|address|e-?mail|person|alias|destination|virtual|"
         r"mail drop|directory|or illegal)(?!('s)? (domain|host|server))"),
        r"(user|mailbox|recipient|account|address|e-?mail)[^.;]{0,60}(does ?n[o']t|do not|not) exist",
        r"does not exist|does ?n[o']t have an? |no mailbox here|no (mail ?box|user) (by|with|here)|recipnotfound",
        r"recipientnotfound|recipient not found",
        r"(recipient|user|mailbox|address) (could|can) ?not be found",
        r"no such (user|person|recipient|mailbox)|user not (found|exist|known)",
        r"not a (valid|known) (user|mailbox|recipient|address)",
        r"^(?![245]\.7\.).*(address|recipient)( address)? rejected( \S+)?\.?$",
        r"recipient address rejected: (undeliverable|unverified|user unknown|invalid|unknown)",
        r"^5\.4\.1 .{0,100}recipient address rejected: access denied|adresse .{0,40}(invalide|inconnue)",
        (r"(destinatario|utente|usuario|cuenta|buzón|buzon|casella|indirizzo|destinatário|usuário|utilisateur|"
         r"destinataire|compte|bo[iî]te|adresse|empf[aä]nger|benutzer|postfach|konto|gebruiker|ontvanger)[^.;]{0,40}"
         r"(sconosciut|desconoc|inexist|non esiste|no existe|não existe|nao existe|inconnu|n'existe|unbekannt|"
         r"existiert nicht|gibt es nicht|nicht gefunden|onbekend|bestaat niet)"),
        r"nie ma takiego|unbekannt|mailbox not found|unknown user|badrcptto|not a registered",
        r"^5\.5\.0 .{0,80}mailbox unavailable",
        r"rcp-p1|keine mailbox|account that you tried to reach does not exist",
    )),
    (Cause.DOMAIN_UNKNOWN, (
        (r"(domain|host)( name)?( \S+)? (is )?(not found|unknown|does ?n[o']t exist|does not exist|invalid|"
         r"not reachable)"),
        r"(unknown|invalid|no such|bad) ((recipient|destination|target)('s)? )?(domain\b|host\b|system\b)",
        r"host unknown|name or service not known",
        r"(host|domain|host/domain|server) does ?n[o']?t? ?(not )?accept (e?mail|any mail)|null ?mx",
        r"domain is not reachable",
    )),
    (Cause.SYSTEM_BUSY, (
        r"(try|retry|come) (it )?(again|back|later)|please (retry|resend)|essayer plus tard|ressayer|later\b.{0,10}$",
        (r"(server|system|service|host|agent|site) (is )?(too |currently |temporarily )*(busy|overloaded|"
         r"unavailable|down|not available)"),
        r"temporar(y|ily)|insufficient (system |disk )?(storage|resources|space)|not enough (disk |free )?space",
        r"disk (is )?full|out of memory",
        r"service (is )?(not available|refuse)|resources? (temporarily|exhausted|unavailable)|under (maximum )?load",
        r"load average|\bldap\b|database|lookup (failed|failure)|backend|system error",
        r"local error|internal (server |system )?error|upstream error|queue file write error|could not load",
        r"server configuration",
        r"closing (transmission channel|connection)|timeout|timed out|shutting down|maintenance",
    )),
    (Cause.PROTOCOL_ERROR, (
        r"bad sequence|need (rcpt|mail|helo|ehlo)|rcpt first|mail first|start afresh|improper sequence|must precede",
        r"no valid recipients|all rcpt",
        r"syntax error|command (not |un)(recogni[sz]ed|implemented|known)|unrecogni[sz]ed command",
        r"parameter not (implemented|recognized)|protocol (error|violation)",
        r"too many (errors|hops|received headers|bad commands|protocol errors)|(mail|routing) loop|hop count",
        r"loops? back|looping|loop detected",
        r"malformed|bare (lf|cr|line ?feed)|8-bit data|invalid (helo|ehlo)|helo/ehlo|duplicate header",
        r"header (error|fields?)",
        r"missing a valid|multiple addresses in from|no recipients",
    )),
    (Cause.POLICY, (
        r"polic(y|ies)|access denied|not (permitted|allowed|authorized|accepted)|denied|prohibited|administrative",
        r"client host rejected|blocked|refused|forbidden|invalid sender",
        r"geographical|country|rejected by (the )?(recipient|user|system)|e-?mail rejected|mail rejected",
        r"helo command rejected|firewall|security|\bonly (members|subscribers)|members only|from members|restrict",
        r"(is|are) not accepting (mail|e-?mail|messages)|not accept (mail|e-?mail|messages) from|not in my contacts",
        r"gesperrt|abgelehnt|políti(ca|que)|politica|réputation|reputaci[oó]n|\bbloqu",
        r"^([245][.0-9]+ )?rejected|emetteur invalide|not verified",
    )),
)  # fmt: skip

# By `subject.detail` where the class says nothing more (RFC 3463 and the IANA registry).
_DETAILS: Final[dict[str, Cause]] = {
    "1.1": Cause.MAILBOX_UNKNOWN,
    "1.2": Cause.DOMAIN_UNKNOWN,
    "1.3": Cause.MAILBOX_UNKNOWN,
    "1.4": Cause.MAILBOX_UNKNOWN,
    "1.6": Cause.MAILBOX_DISABLED,
    "1.7": Cause.POLICY,
    "1.8": Cause.POLICY,
    "1.10": Cause.DOMAIN_UNKNOWN,
    "2.1": Cause.MAILBOX_DISABLED,
    "2.2": Cause.MAILBOX_FULL,
    "2.3": Cause.MESSAGE_TOO_BIG,
    "3.1": Cause.SYSTEM_BUSY,
    "3.2": Cause.SYSTEM_BUSY,
    "3.4": Cause.MESSAGE_TOO_BIG,
    "4.1": Cause.SYSTEM_BUSY,
    "4.2": Cause.SYSTEM_BUSY,
    "4.3": Cause.SYSTEM_BUSY,
    "4.4": Cause.DOMAIN_UNKNOWN,
    "4.5": Cause.RATE_LIMIT,
    "4.6": Cause.PROTOCOL_ERROR,
    "5.1": Cause.PROTOCOL_ERROR,
    "5.2": Cause.PROTOCOL_ERROR,
    "5.3": Cause.RATE_LIMIT,
    "5.4": Cause.PROTOCOL_ERROR,
    "5.6": Cause.AUTH_REQUIRED,
    "6.1": Cause.POLICY,
    "6.0": Cause.PROTOCOL_ERROR,
    "7.0": Cause.POLICY,
    "7.1": Cause.POLICY,
    "7.2": Cause.POLICY,
    "7.8": Cause.AUTH_REQUIRED,
    "7.9": Cause.AUTH_REQUIRED,
    "7.10": Cause.TLS_REQUIRED,
    "7.11": Cause.TLS_REQUIRED,
    "7.13": Cause.MAILBOX_DISABLED,
    "7.17": Cause.MAILBOX_UNKNOWN,
    "7.20": Cause.SENDER_AUTHENTICATION,
    "7.21": Cause.SENDER_AUTHENTICATION,
    "7.22": Cause.SENDER_AUTHENTICATION,
    "7.23": Cause.SENDER_AUTHENTICATION,
    "7.24": Cause.SENDER_AUTHENTICATION,
    "7.25": Cause.SENDER_AUTHENTICATION,
    "7.26": Cause.SENDER_AUTHENTICATION,
    "7.27": Cause.DOMAIN_UNKNOWN,
    "7.28": Cause.RATE_LIMIT,
    "7.29": Cause.SENDER_AUTHENTICATION,
    "7.30": Cause.TLS_REQUIRED,
}

# By code, the last resort; 550 and 554 say too little for one.
_CODES: Final[dict[int, Cause]] = {
    421: Cause.SYSTEM_BUSY,
    432: Cause.AUTH_REQUIRED,
    451: Cause.SYSTEM_BUSY,
    452: Cause.SYSTEM_BUSY,
    454: Cause.AUTH_REQUIRED,
    455: Cause.PROTOCOL_ERROR,
    500: Cause.PROTOCOL_ERROR,
    501: Cause.PROTOCOL_ERROR,
    502: Cause.PROTOCOL_ERROR,
    503: Cause.PROTOCOL_ERROR,
    504: Cause.PROTOCOL_ERROR,
    523: Cause.MESSAGE_TOO_BIG,
    530: Cause.AUTH_REQUIRED,
    534: Cause.AUTH_REQUIRED,
    535: Cause.AUTH_REQUIRED,
    538: Cause.TLS_REQUIRED,
    555: Cause.PROTOCOL_ERROR,
    556: Cause.DOMAIN_UNKNOWN,
}

_LIST: Final = (
    r"(?:using|by|at|in|on|from|blocked|the|see)\s+(?:the\s+|list:?\s+)?"
    r"([a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:org|net|com|de|zap|info|eu|ru|uk))\b"
)
_LIST_NAMES: Final = (
    r"spamhaus(?:[ -](?:xbl|sbl|pbl|zen|dbl|css))?|spamcop|barracuda(?: reputation)?|sorbs|cloudmark(?: csi)?"
    r"|invaluement|hostkarma|trend micro rbl\+?|uceprotect|senderscore|proofpoint"
)
_URL: Final = r"(?i)https?://[^\s<>()\[\]\"']+"
_COME_BACK: Final = (
    r"(try|retry)( it| this| your message| sending)? (again|back|later)|come back"
    r"|please (retry|resend)|essayer plus tard"
)
_ADDRESS: Final = r"[^\s<>()\[\],;:\"'/]{1,64}@[a-z0-9.-]{1,255}"
"""What an address that a reply quotes spells is not what the host says: spam@example.com may be unknown."""


@lru_cache(maxsize=512)
def cause_of_text(enhanced: str, text: str) -> Cause | None:
    """
    Give what a reply's text (without codes, lines joined by LF) says of the cause, None if nothing known.

    The enhanced status ("" for none) is read with it: some texts mean something else behind another one.
    """
    words = re.sub(_ADDRESS, "@", _plain(f"{enhanced} {text}"))
    return next((cause for cause, pattern in _patterns() if pattern.search(words)), None)


def cause_of_status(enhanced: str) -> Cause | None:
    """Give what an enhanced status says of the cause, whatever its class; None if nothing."""
    return _DETAILS.get(enhanced.partition(".")[2])


def cause_of_code(code: int) -> Cause | None:
    """Give what a basic code says of the cause, None if nothing."""
    return _CODES.get(code)


def asks_to_come_back(text: str) -> bool:
    """Say whether the text itself invites another attempt."""
    return re.search(_COME_BACK, _plain(text)) is not None


def list_named(text: str) -> str:
    """Give the block list's page, or its name, if the text of a BLOCK_LIST reply has one; "" otherwise."""
    url = re.search(_URL, text.replace("\n", " "))
    if url is not None:
        return url[0].rstrip(".,;:")[:200]
    words = _plain(text)
    zone = re.search(_LIST, words)
    if zone is not None:
        return zone[1]
    name = re.search(_LIST_NAMES, words)
    return name[0] if name is not None else ""


@cache
def _patterns() -> tuple[tuple[Cause, re.Pattern[str]], ...]:
    return tuple((cause, re.compile("|".join(parts))) for cause, parts in _TEXTS)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
