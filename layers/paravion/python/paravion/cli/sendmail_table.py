"""
Every option of sendmail(8) and what becomes of it: a table for people and for the tests, not for the command itself.

`python -m paravion.cli.sendmail_table` prints the tables of docs/commands.md.
"""

# ruff: noqa: E501 (a row is a line, as in the document)

from __future__ import annotations

from typing import Final, NamedTuple

WORKS, HARMLESS, REFUSED = "works", "harmless", "refused"


class Row(NamedTuple):
    """
    One option.

    Attributes:
        forms: As written, in Markdown.
        disposition: WORKS: changes what the call does; HARMLESS: there is nothing that it could change; REFUSED:
            exit 64, and the option's name on standard error.
        examples: Words that it is tried with by the test, one call each.
        text: What it does, or why not.
    """

    forms: str
    disposition: str
    examples: tuple[str, ...]
    text: str


ROWS: Final = (
    Row("`-t`, `-ot`", WORKS, ("-t", "-ot"), "recipients from To, Cc and Bcc as well, or from the topmost Resent-To, -Cc and -Bcc; Bcc is taken out"),
    Row("`-i`, `-oi`, `-O IgnoreDots`", WORKS, ("-i", "-oi", "-O IgnoreDots"), "a line that is a lone dot does not end the message"),
    Row("`-f`, `-r` *sender*", WORKS, ("-f a@x", "-ra@x"), "reverse path; `''` and `'<>'` are the null one. Default: `PARAVION_SENDER`, else the login name at our host name"),
    Row("`-F` *name*", WORKS, ("-F Doe",), "display name for the From field, if the message has none"),
    Row("`-B` `7BIT`\\|`8BITMIME`", WORKS, ("-B 8BITMIME",), "body type"),
    Row("`-N` *dsn*", WORKS, ("-N never", "-Nsuccess,delay"), "`never`, or a list of `success`, `failure`, `delay` (RFC 3461), for every recipient"),
    Row("`-R` `full`\\|`hdrs`", WORKS, ("-R hdrs",), "what a delivery report returns"),
    Row("`-V` *envid*", WORKS, ("-V id1",), "envelope id, xtext"),
    Row("`-U`", WORKS, ("-U",), "the message needs SMTPUTF8"),
    Row("`-n`", WORKS, ("-n",), "expand no aliases and virtual users"),
    Row("`-h` *hops*", HARMLESS, ("-h 3",), "Received fields are counted; above 100 the call exits 69"),
    Row("`-p` *protocol*[`:`*host*]", WORKS, ("-p ESMTP:h.example",), "for the Received field: `SMTP`, `ESMTP`, `ESMTPA`, `ESMTPS` or `ESMTPSA`, and the host that it came from"),
    Row("`-v`, `-ov`", WORKS, ("-v", "-ov"), "print the queue id; with `-bp` when each is due, with `-bv` every step, with `-q` what was done"),
    Row("`-C` *file*", WORKS, ("-C /x.toml",), "read this configuration file"),
    Row("`-odi`, `-O DeliveryMode=i`", WORKS, ("-odi", "-O DeliveryMode=interactive"), "wait for the service's answer; the default"),
    Row("`-odb`, `-O DeliveryMode=b`", WORKS, ("-odb",), "keep it in the client queue, exit, and hand it in from the background"),
    Row("`-odq`, `-odd`, `-O DeliveryMode=q`", WORKS, ("-odq", "-odd", "-O DeliveryMode=q"), "keep it in the client queue until the next run"),
    Row("`-oQ`*dir*, `-O QueueDirectory=`*dir*", WORKS, ("-oQ/q", "-O QueueDirectory=/q"), "directory of the client queue"),
    Row("`-oeq`, `-eq`, `-O ErrorMode=quiet`", WORKS, ("-oeq", "-eq", "-O ErrorMode=q"), "say nothing, only exit"),
    Row("`-oem`, `-oep`, `-oew`, `-oee`, `-e…`, `-O ErrorMode=…`", HARMLESS, ("-oem", "-ep", "-oew", "-oee", "-O ErrorMode=m"), "errors of the call are always told at once, later ones by mail"),
    Row("`-m`, `-om`, `-O MeToo`", HARMLESS, ("-m", "-om", "-O MeToo"), "the sender stays in lists anyway"),
    Row("`-oo`, `-O OldStyleHeaders`", HARMLESS, ("-oo", "-O OldStyleHeaders"), "addresses that only blanks separate are refused where they stand"),
    Row("`-os`, `-O SuperSafe`", HARMLESS, ("-os", "-O SuperSafe=true"), "what is accepted is on a disk anyway"),
    Row("`-oL`*n*, `-O LogLevel`, `-L` *tag*", HARMLESS, ("-oL9", "-O LogLevel=9", "-L tag"), "syslog hears of what the client queue gives up, and of nothing else"),
    Row("`-Ac`, `-Am`", WORKS, ("-Ac", "-Am"), "with `-bp`, `-bP` and `-q`: this machine's queue alone, or the service's alone; otherwise without effect"),
    Row("`-bm`", HARMLESS, ("-bm",), "deliver; the default"),
    Row("`-bs`", WORKS, ("-bs",), "SMTP on standard input and output"),
    Row("`-bp`, called as `mailq`", WORKS, ("-bp",), "[`mailq`](#mailq); with `-qQ` what is held"),
    Row("`-bP`", WORKS, ("-bP",), "how many messages wait on this machine, and jobs in the service"),
    Row("`-bv` *address…*", WORKS, ("-bv",), "what would happen to mail for each address: verdict, recipients with their hosts, why their mail would be held, and their entries of the [suppression list](suppression.md), with `-v` every step; nothing is sent. An operator's credential; exit 0, or 67, 68, 69, 75, 77 for an address that gets no mail"),
    Row("`-bi`, `-I`, called as `newaliases`", WORKS, ("-bi", "-I"), "[`newaliases`](#newaliases)"),
    Row("`-oA`*file*, `-O AliasFile=`*file*", WORKS, ("-oA/a", "-O AliasFile=/a"), "alias files for `-bi`, separated by commas"),
    Row("`-bh`, called as `hoststat`", WORKS, ("-bh",), "`paravion hosts list`"),
    Row("`-bC`", WORKS, ("-bC",), "check the configuration"),
    Row("`-q`, `-qf`", WORKS, ("-q", "-qf"), "hand in what waits in the [client queue](#the-client-queue), and with an operator's credential have the service try at once what it has deferred; `-v` tells what was done in both"),
    Row("`-q`[`!`]`I`*id*, `-q`[`!`]`R`*recipient*, `-q`[`!`]`S`*sender*", WORKS, ("-qIabc", "-q!Ra@x", "-qSa@x"), "the same for those whose id, recipient or sender holds the text (`!`: does not), given-up ones too; with `-bp` show them (of the service's jobs those among the first 1000, which is said then). All that waits in the service is gone through, 200 jobs with each call; where that breaks off, or is broken off by a signal, it says how far it came, and the same call goes on with the rest"),
    Row("`-q`*time*, `-qp`*time*, `-qf`*time*", WORKS, ("-q30m", "-q1h30m", "-q15", "-qp5m", "-qf30m"), "hand in what waits on this machine, and again after each `s`, `m`, `h`, `d` or `w` (minutes without a unit), until a signal ends it: in the background, with `-qf` in the foreground"),
    Row("`-d0`, `-d0.1`", WORKS, ("-d0", "-d0.1"), "print the version"),
    Row("`--`", WORKS, ("-- -t",), "the options end"),
    Row("`-qG`*group*, `-q`[`!`]`Q`*reason*, `-qQ` without `-bp`, `-qp` alone", REFUSED, ("-qGx", "-qQ", "-qQreason", "-q!Qreason", "-qp"), "there are no queue groups; held mail is let go by `paravion release`"),
    Row("`-bd`, `-bD`, called as `smtpd`", REFUSED, ("-bd", "-bD"), "see `paravion smtpd`"),
    Row("`-ba`, `-bt`, `-bH`", REFUSED, ("-ba", "-bt", "-bH"), "ARPANET mode; address test, for which there is `-bv`; purging host status, for which there is `paravion hosts reset`"),
    Row("`-G`", REFUSED, ("-G",), "gateway submission"),
    Row("`-X` *file*, `-D` *file*, `-d…`", REFUSED, ("-X log", "-D log", "-d8.1"), "traffic and debug logs: see `paravion show --transcript`"),
    Row("`-M…`, `-Q`[*reason*], `-p` with another protocol", REFUSED, ("-Mx", "-Q", "-Qspam", "-p UUCP"), "macros; quarantine, for which there is `paravion hold`; UUCP"),
)  # fmt: skip


def render() -> str:
    """Give the tables as Markdown."""
    titles = {WORKS: "option | what it does", HARMLESS: "taken without effect | because"}
    titles[REFUSED] = "refused by name, exit 64 | instead"
    parts = []
    for disposition, title in titles.items():
        rows = "".join(f"| {row.forms} | {row.text} |\n" for row in ROWS if row.disposition == disposition)
        parts.append(f"| {title} |\n|---|---|\n{rows}")
    return "\n".join(parts)


if __name__ == "__main__":
    print(render(), end="")
