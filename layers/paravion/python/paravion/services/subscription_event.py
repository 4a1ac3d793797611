"""
Tell by SES's Subscription event that somebody left a list, or came back, by the link in a mail.

Next: the event queue, from which services/publish.py takes it to the destinations of the mail's configuration set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from paravion.domain.envelope import decode_qf
from paravion.domain.ses_event import Origin, hidden_behind, mail_of, subscription_event
from paravion.errors import SpoolMissing
from paravion.services.events import identity_told, tell

if TYPE_CHECKING:
    from paravion.services.admin import AdminDeps
    from paravion.services.unsubscription import SubscriptionChange


def tell_change(change: SubscriptionChange, deps: AdminDeps) -> None:
    """
    Put the event into the event queue, if somebody is told of the mail that the link stood in.

    The spool forgets a mail, and so whom to tell, after 16 days; its link works for as long as the list does. Then the
    log alone knows.

    Raises:
        Misconfigured, Unavailable: Nothing is promised.
    """
    if deps.new_queues is None:
        return
    link, own = change.link, deps.settings
    try:
        envelope, header = decode_qf(deps.spool.get_envelope(link.queue_id))
    except (SpoolMissing, ValueError):
        return
    mail = mail_of(envelope, header, 0, hidden_behind(envelope))
    if not mail.identity:
        mail = replace(mail, identity=identity_told(deps.records, link.tenant, mail.source))
    event = subscription_event(
        mail,
        Origin(own.hostname, own.credential_region, own.account_id),
        change.at,
        contact_list=link.contact_list,
        source=change.source,
        old=change.old,
        new=change.new,
    )
    tell([event], mail, link.tenant, deps.records, deps.new_queues())
