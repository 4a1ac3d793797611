"""
The event log: one JSON line for each record, by powertools' Logger.

Names are KumoMTA's: Reception, Delivery, TransientFailure, Bounce, Expiration, Rejection; ours are Deferral
(when it is tried again), HostState (a host is slowed down, dead or back), Hold, Release and Removal (by a rule or an
operator), Report (a DSN went out),
DoubleBounceDropped, Suppressed and Unsuppressed (an address is on the suppression list, or off it),
SuppressionReasons, RenderingFailure (a template could not be filled in: nothing was sent), and Fault (our own
trouble; an error).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger

if TYPE_CHECKING:
    from collections.abc import Mapping

_ERRORS: Final = {"Fault"}


class PowertoolsEventLog:
    """ports.EventLog on standard output, where Lambda collects it."""

    def __init__(self, service: str, level: str) -> None:
        # The line in this file that logs says nothing, and logs are paid for by the octet.
        self._logger = Logger(service=service, level=level, location=None)

    def emit(self, event: str, fields: Mapping[str, object]) -> None:
        """See ports.EventLog."""
        log = self._logger.error if event in _ERRORS else self._logger.info
        # The record name is the message; our field names stay clear of the logger's own keys.
        log(event, extra=dict(fields))
