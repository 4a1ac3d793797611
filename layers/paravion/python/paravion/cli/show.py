"""`paravion show ID`: one message's recipients, its timeline, and what was said in its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.cli.mailq import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def render(message: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines for the answer of GET /v1/messages/{queue_id}."""
    yield f"{plain(message.get('queue_id'))}  {plain(message.get('state'))}"
    yield f"  from   {plain(message.get('reverse_path')) or '<>'}"
    yield (
        f"  came   {plain(message.get('queued_at'))}, by {plain(message.get('door'))}, "
        f"{plain(message.get('octets'))} octets, kind {plain(message.get('kind'))}"
    )
    if message.get("is_lost"):
        yield "  lost   its envelope is gone from the spool: this is what the ledger knows"
    if message.get("due_at"):
        yield f"  due    {plain(message.get('due_at'))}"
    if message.get("priority", "normal") != "normal":
        yield f"  prio   {plain(message['priority'])}"
    if message.get("deliver_by"):
        end = "returned" if message.get("deliver_by_mode") == "return" else "its sender is told"
        yield f"  by     {plain(message['deliver_by'])}, then {end}"
    if message.get("held"):
        yield f"  held   {plain(message.get('held'))}"
    if message.get("notices_owed"):
        yield f"  owed   {plain(', '.join(map(str, message['notices_owed'])))}"
    for recipient in message.get("recipients", []):
        yield from _recipient(recipient)
    yield "  timeline"
    for entry in message.get("timeline", []):
        attempt = f" (attempt {plain(entry['attempt'])})" if entry.get("attempt") else ""
        whom = plain(", ".join(map(str, entry.get("recipients") or [])))
        text = plain(entry.get("text"))
        tail = "  ".join(part for part in (whom, text) if part)
        yield f"    {plain(entry.get('at'))}  {plain(entry.get('event'))}{attempt}" + (f"  {tail}" if tail else "")


def render_transcript(transcript: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines for the answer of GET /v1/messages/{queue_id}/transcript."""
    for attempt in transcript.get("attempts", []):
        chunk = f", chunk {plain(attempt['chunk'])}" if attempt.get("chunk") else ""
        yield (
            f"  transcript of attempt {plain(attempt.get('attempt'))}{chunk}, to {plain(attempt.get('next_hop'))}, "
            f"{plain(attempt.get('at'))}"
        )
        for line in attempt.get("lines", []):
            yield f"    {plain(line.get('ms')):>7} ms  {plain(line.get('kind')):2} {plain(line.get('text'))}"
    for attempt in transcript.get("missing", []):
        yield f"  transcript of attempt {plain(attempt.get('attempt'))}: not there (yet), or older than 14 days"
    if not transcript.get("attempts") and not transcript.get("missing"):
        yield "  no transcript"
    if not transcript.get("is_whole", True):
        yield "  (there is more: ask for one attempt with --attempt)"


def _tls(recipient: Mapping[str, Any]) -> list[str]:
    facts = recipient.get("tls_facts") or {}
    version, proof = plain(recipient.get("tls") or ""), ", verified" if facts.get("verified") else ""
    about = [f"TLS {version}{proof}"] if version else []
    policy = plain(facts.get("policy") or "")
    about += [f"policy {policy}"] if policy not in {"", "no-policy-found"} else []
    return about + ([f"TLS result {plain(facts['result'])}"] if facts.get("result") else [])


def _recipient(recipient: Mapping[str, Any]) -> Iterator[str]:
    yield f"  to     {plain(recipient.get('forward_path'))}  {plain(recipient.get('state'))}"
    if recipient.get("removal"):
        removal = recipient["removal"]
        yield f"         {plain(removal.get('at'))}  {plain(removal.get('text'))}".rstrip()
    # The text may carry the code and the enhanced status already, as a remote host's reply does.
    code, status, text = (plain(recipient.get(name) or "") for name in ("code", "status", "text"))
    if code and not text.startswith(code):
        text = " ".join(part for part in (code, "" if status in text else status, text) if part)
    if text:
        yield f"         {text}"
    host = plain(recipient.get("mx_host"))
    about = [f"target {plain(recipient['target'])}"] if recipient.get("target") else []
    about += [f"host {host}"] if host else []
    about += [f"in answer to {plain(recipient['command'])}"] if recipient.get("command") else []
    about += _tls(recipient)
    about += [f"attempts {plain(recipient['attempts'])}"] if recipient.get("attempts") else []
    if about:
        yield f"         {', '.join(about)}"
