"""
The page docs/schedule.md: python -m tests.support.schedule_table writes it, with PYTHONPATH as for the tests.

Its table of times is made by the function that plans, under the default settings; tests/unit/test_docs.py holds the
page to it.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from paravion.domain.priority import Priority
from paravion.domain.schedule import is_expired, next_attempt_at
from paravion.settings import BY_NAME, RetrySettings

if TYPE_CHECKING:
    from paravion.domain.schedule import Plan

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "schedule.md"

_TEXT: Final = """\
# When mail is tried again, told of and returned

A mail that could not be delivered is tried again after waits that grow, its sender is warned once when it takes long, and it is returned when its time is up.
Whatever a host says of its own wait counts more: who names a time ("greylisted, try again in 5 minutes") is asked then, not earlier, and for the first five attempts not later either.
Of several recipients each is asked at his host's time, and the others by the schedule meanwhile; nobody within a minute.
An operator who flushes, requeues or releases mail asks everybody at once, and so does the last attempt.
The last attempt is made when the time is up.

## The times

Under the default settings, where no host names a time.
Up to a tenth of each wait is added at random ([retry_jitter_ratio](settings.md#retry_jitter_ratio)), so that mail that failed together does not come back together.
A warning goes out when its time has come, within the minute of the sweep: no host is asked sooner or more often for it.

{table}

The settings are [retry_intervals_s](settings.md#retry_intervals_s), [queue_warn_s](settings.md#queue_warn_s) and [queue_return_s](settings.md#queue_return_s), each with its `…_by_priority`.
This page is made by `python -m tests.support.schedule_table`, the table by the function that plans; a test holds it to that.

## Priorities

| priority | is the mail |
|---|---|
| `urgent` | with `Priority: urgent` |
| `normal` | that says nothing |
| `non-urgent` | with `Priority: non-urgent` |
| `bulk` | with `Precedence:` `bulk`, `list` or `junk` |
| `dsn` | that is a report of our own; nobody can ask for it |

Who says it, the first that does:

1. the request: `priority` of [POST /v1/messages](http-api.md), `paravion send --priority`
2. the configuration set: `priority` of [PUT /v1/configuration-sets/{{name}}](configuration-sets.md)
3. `Precedence:` of the header, if it is one of these three words
4. `Priority:` of the header (RFC 2156)

`sendmail` has no option for it, as sendmail has none: a field of the header does.
Precedence comes before Priority since a list multiplies what its author thought urgent; sendmail sends no warnings for these three either.
Other words are passed on and mean nothing, as do X-Priority and Importance, which are for the reader, and List-Id, which stands on mail that somebody waits for as well.

A priority decides about the waits, the warning and the return of that mail, and about nothing else.
It lets no mail overtake another: SQS keeps no order, every first attempt is made at once, and hosts that ask for less get less ([pacing.md](pacing.md)) whatever the priority.
It is not told to the next host.

## Deadlines

DELIVERBY (RFC 2852): `BY=` of MAIL at the [SMTP door](smtp.md), `deliver_by` with `deliver_by_mode` and `deliver_by_trace` of [POST /v1/messages](http-api.md), `paravion send --by` and `--return-by`.
The time runs from MAIL.

| | by-mode N, `notify` | by-mode R, `return` |
|---|---|---|
| when the time is over | the sender gets a delay report, once, and the mail goes on | returned with 5.4.7; a last attempt is made in the minutes before |
| a next host that offers DELIVERBY | gets the mail with the time that is left, also if that is below 0 | the same; below its own least time, or 0, returned with 5.4.7 |
| a next host that does not | gets the mail; the sender is told `relayed`, and of NOTIFY it gets DELAY added | does not get the mail, which is returned with 5.4.7 |
| a time that is over when we get the mail | taken; nobody is told again | refused: `501`, over HTTP 422 |

With by-trace (`T`) the sender is told `relayed` in any case.
NOTIFY=NEVER keeps all these reports back but not the return; NOTIFY without DELAY the delay report.
Reports have `Deliver-By-Date`.

Hardly any host on the Internet offers DELIVERBY, so that mail with by-mode R comes back from nearly all of them, as the RFC wants it.
Mail that is merely of no use later has a configuration set with [MaxDeliverySeconds](configuration-sets.md) instead.

Of several ends the first counts: the priority's return, the configuration set's MaxDeliverySeconds, the deadline with by-mode R.
Time in hold and the wait for a release do not count towards the first two; a deadline is an instant, and stays.
At the deadline of a mail in hold its sender is told with by-mode N, as he asked, though not that it is held, nor why; with by-mode R it is returned when it is released.
Mail that would be released (FUTURERELEASE, `send_at`) only at or after its deadline is refused.
What a mailing list makes of a mail has no deadline.
"""


def page() -> str:
    """Give the page."""
    plan = _default_plan()
    rows = ["| priority | attempts after | warned after | returned after |", "|---|---|---|---|"]
    rows += [_row(priority, plan.by_priority.get(priority, plan)) for priority in Priority]
    return _TEXT.format(table="\n".join(rows))


def _default_plan() -> Plan:
    known = {field.name: BY_NAME[field.name] for field in fields(RetrySettings)}
    return RetrySettings(**{name: setting.parse(setting.default or "") for name, setting in known.items()}).plan()


def _row(priority: Priority, plan: Plan) -> str:
    ages = [0.0]
    while not is_expired(0.0, ages[-1], plan):
        ages.append(next_attempt_at(0.0, ages[-1], len(ages), plan, 0.0))
    steps = [later - earlier for earlier, later in pairwise(ages)]
    steady = steps.index(max(steps)) + 1
    first = ", ".join(["0", *(_span(age) for age in ages[1 : steady + 1])])
    told = "never" if plan.warn_s >= plan.return_s or priority is Priority.DSN else _span(plan.warn_s)
    then = f"then every {_span(max(steps))}, at last {_span(ages[-1])}: {len(ages)} in all"
    return f"| `{priority}` | {first}, {then} | {told} | {_span(plan.return_s)} |"


def _span(seconds: float) -> str:
    days, rest = divmod(round(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


if __name__ == "__main__":
    PAGE.write_text(page())
