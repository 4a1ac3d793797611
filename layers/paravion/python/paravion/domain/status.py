"""
The one taxonomy of answers: what we say in SMTP, HTTP, SES and sysexits for each outcome of our own.

Nobody else writes a three-digit literal. A remote host's reply is not in here: it keeps its own code,
enhanced status and text (domain/verdict.py). The enhanced status is class + detail, so that the class
digit can never disagree with the SMTP code (tested over every row).

RFC: 5321 4.2 (replies), 3463 and 5248 (enhanced codes), sysexits.h (exit codes, as literals because
os.EX_* is Unix-only). One deviation from Postfix: EX_CONFIG is 4.3.5 here, our own faults defer mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Status:
    """
    One row.

    Attributes:
        key: The name that the native API and the log use.
        smtp: Reply code; its first digit is the class.
        detail: `subject.detail` of RFC 3463, without the class.
        http: HTTP status code.
        ses: SES's error name (v2 exception type; the v1 `Code` is api/ses_v1.py's affair).
        exit: sysexits code for the commands.
        text: Public and generic; specifics are `Rejected.detail`.
    """

    key: str
    smtp: int
    detail: str
    http: int
    ses: str
    exit: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code, e.g. `5.1.3`."""
        return f"{self.smtp // 100}.{self.detail}"

    @property
    def is_transient(self) -> bool:
        """The same submission may succeed later."""
        return self.smtp // 100 == 4  # noqa: PLR2004 (RFC 5321 4.2.1: first digit 4)


class Rejected(Exception):
    """
    A submission is refused before anything was promised; nothing of it is kept.

    Args:
        status: The row of the taxonomy; its public text opens the answer.
        detail: What exactly is wrong, for the caller: names the field, address or parameter. Printable
            ASCII only; whoever builds it escapes the rest.
        wait_s: After which it is worth trying again, where that is known; 0: it is not.
    """

    def __init__(self, status: Status, detail: str = "", *, wait_s: float = 0.0) -> None:
        super().__init__(f"{status.key}: {detail or status.text}")
        self.status = status
        self.detail = detail
        self.wait_s = wait_s


def _row(key: str, smtp: int, detail: str, http: int, ses: str, exit_: int, text: str) -> Status:
    return Status(key, smtp, detail, http, ses, exit_, text)


QUEUED: Final = _row("queued", 250, "0.0", 202, "", 0, "Ok")
SENDER_SYNTAX: Final = _row("sender_syntax", 501, "1.7", 422, "BadRequestException", 65, "Bad sender address syntax")
RECIPIENT_SYNTAX: Final = _row(
    "recipient_syntax", 501, "1.3", 422, "BadRequestException", 65, "Bad recipient address syntax"
)
NO_RECIPIENTS: Final = _row("no_recipients", 554, "5.1", 422, "BadRequestException", 65, "No valid recipients")
TOO_MANY_RECIPIENTS: Final = _row("too_many_recipients", 550, "5.3", 422, "MessageRejected", 65, "Too many recipients")
NO_SUCH_USER: Final = _row("no_such_user", 550, "1.1", 422, "MessageRejected", 67, "No such user")
SUPPRESSED: Final = _row("suppressed", 550, "1.1", 422, "MessageRejected", 69,
                         "Not sent: the address is on the suppression list")  # fmt: skip
UNSUBSCRIBED: Final = _row("unsubscribed", 550, "1.1", 422, "MessageRejected", 69,
                           "Not sent: the contact has unsubscribed")  # fmt: skip
NO_SUCH_DOMAIN: Final = _row("no_such_domain", 550, "1.2", 422, "MessageRejected", 68, "Domain does not exist")
NULL_MX: Final = _row("null_mx", 556, "1.10", 422, "MessageRejected", 68, "Domain accepts no mail")
AUTH_REQUIRED: Final = _row("auth_required", 530, "7.0", 401, "MissingAuthenticationTokenException", 77,
                            "Authentication required")  # fmt: skip
AUTH_INVALID: Final = _row("auth_invalid", 535, "7.8", 403, "InvalidClientTokenId", 77,
                           "Authentication credentials invalid")  # fmt: skip
SIGNATURE_INVALID: Final = _row("signature_invalid", 535, "7.8", 403, "SignatureDoesNotMatch", 77,
                                "The request signature does not match")  # fmt: skip
REQUEST_EXPIRED: Final = _row("request_expired", 535, "7.8", 403, "RequestExpired", 77,
                              "The request's time is too far from ours")  # fmt: skip
ACCESS_DENIED: Final = _row("access_denied", 554, "7.1", 403, "AccessDeniedException", 77, "Access denied")
RELAY_DENIED: Final = _row("relay_denied", 550, "7.1", 403, "MessageRejected", 77, "Sender is not verified")
MAIL_FROM_NOT_VERIFIED: Final = _row("mail_from_not_verified", 550, "7.1", 403, "MailFromDomainNotVerifiedException",
                                     77, "MAIL FROM domain is not verified")  # fmt: skip
NOT_ALIGNED: Final = _row("not_aligned", 550, "7.26", 403, "MessageRejected", 77,
                          "From is not aligned with any authenticated domain")  # fmt: skip
NEXT_HOP_REFUSED: Final = _row("next_hop_refused", 550, "7.1", 422, "MessageRejected", 77,
                               "Next hop has a private address")  # fmt: skip
# An operator's table refuses or defers in its own code and words (domain/refusal.py); these are its HTTP and exit.
REFUSED_BY_TABLE: Final = _row("refused_by_table", 550, "7.1", 422, "MessageRejected", 77, "Refused")
DEFERRED_BY_TABLE: Final = _row("deferred_by_table", 450, "7.1", 503, "ServiceUnavailableException", 75,
                                "Not now")  # fmt: skip
REFUSED_BY_TARGET: Final = _row("refused_by_target", 554, "6.0", 422, "MessageRejected", 65,
                                "The program behind this address refuses the message")  # fmt: skip
NO_SUCH_MESSAGE: Final = _row("no_such_message", 554, "5.0", 404, "MessageRejected", 65,
                              "Message does not exist")  # fmt: skip
NO_SUCH_TEMPLATE: Final = _row("no_such_template", 550, "5.1", 404, "NotFoundException", 65,
                               "Template does not exist")  # fmt: skip
INVALID_TEMPLATE: Final = _row("invalid_template", 501, "5.4", 400, "BadRequestException", 65,
                               "Template is malformed")  # fmt: skip
RENDERING_DATA: Final = _row("rendering_data", 501, "5.4", 400, "BadRequestException", 65,
                             "Template data is malformed")  # fmt: skip
TEMPLATE_ATTRIBUTE_MISSING: Final = _row("template_attribute_missing", 554, "6.0", 400, "BadRequestException", 65,
                                         "Template data lacks an attribute")  # fmt: skip
RENDERING_FAILED: Final = _row("rendering_failed", 554, "6.0", 400, "BadRequestException", 65,
                               "Template can't be rendered")  # fmt: skip
NO_SUCH_CONFIGURATION_SET: Final = _row("no_such_configuration_set", 554, "5.4", 422, "NotFoundException", 65,
                                        "Configuration set does not exist")  # fmt: skip
SET_PAUSED: Final = _row("configuration_set_paused", 554, "7.1", 403, "SendingPausedException", 77,
                         "Sending paused for this configuration set")  # fmt: skip
SENDING_PAUSED: Final = _row("sending_paused", 554, "7.1", 403, "SendingPausedException", 77,
                             "Sending paused for this account")  # fmt: skip
LIMIT_EXCEEDED: Final = _row("limit_exceeded", 550, "5.3", 400, "LimitExceededException", 65,
                             "No more of these are kept")  # fmt: skip
CHANGED_MEANWHILE: Final = _row("changed_meanwhile", 451, "5.0", 503, "ConcurrentModificationException", 75,
                                "Somebody else changes it at the same time")  # fmt: skip
MESSAGE_TOO_BIG: Final = _row("message_too_big", 552, "3.4", 413, "MessageRejected", 69, "Message too big")
PAYLOAD_TOO_BIG: Final = _row("payload_too_big", 552, "3.4", 413, "RequestEntityTooLargeException", 69,
                              "Request too big")  # fmt: skip
BAD_MESSAGE: Final = _row("bad_message", 554, "6.0", 400, "MessageRejected", 65, "Message is malformed")
BAD_REQUEST: Final = _row("bad_request", 501, "5.4", 400, "BadRequestException", 65, "Request is malformed")
NOT_FOUND: Final = _row("not_found", 550, "5.1", 404, "NotFoundException", 65, "No such thing")
ALREADY_EXISTS: Final = _row("already_exists", 550, "5.1", 400, "AlreadyExistsException", 65, "Exists already")
UNKNOWN_OPERATION: Final = _row("unknown_operation", 502, "5.1", 404, "UnknownOperationException", 65,
                                "Unknown operation")  # fmt: skip
NOT_OFFERED: Final = _row("not_offered", 502, "5.1", 404, "UnknownOperationException", 69,
                          "This operation is not offered here")  # fmt: skip
IDEMPOTENCY_CONFLICT: Final = _row("idempotency_conflict", 554, "5.0", 409, "ConflictException", 65,
                                   "Idempotency key was used for another message")  # fmt: skip
NO_SUCH_VERIFICATION_TEMPLATE: Final = _row(
    "no_such_verification_template", 550, "5.1", 404, "NotFoundException", 65, "No such custom verification template"
)
VERIFICATION_TEMPLATE_EXISTS: Final = _row(
    "verification_template_exists", 550, "5.1", 400, "AlreadyExistsException", 65, "Exists already"
)
VERIFICATION_TEMPLATE_INVALID: Final = _row(
    "verification_template_invalid", 501, "5.4", 400, "BadRequestException", 65, "Bad custom verification template"
)
SENDER_NOT_VERIFIED: Final = _row("sender_not_verified", 550, "7.1", 400, "BadRequestException", 77,
                                  "Sender of the custom verification mail is not verified")  # fmt: skip
EXPIRED: Final = _row("expired", 554, "4.7", 422, "MessageRejected", 69, "Could not be delivered in time")
DELIVER_BY_NOT_OFFERED: Final = _row("deliver_by_not_offered", 554, "4.7", 422, "MessageRejected", 69,
                                     "Next hop does not take deadlines")  # fmt: skip
ENCRYPTION_NEEDED: Final = _row("encryption_needed", 523, "7.10", 422, "MessageRejected", 69,
                                "The message must go over secure connections only")  # fmt: skip
REQUIRETLS_NOT_OFFERED: Final = _row("requiretls_not_offered", 550, "7.30", 422, "MessageRejected", 69,
                                     "Next hop does not promise secure connections onward")  # fmt: skip
HELD_TOO_LONG: Final = _row("held_too_long", 550, "7.1", 422, "MessageRejected", 69,
                            "Held back here and not released in time")  # fmt: skip
CONTENT_LOST: Final = _row(
    "content_lost", 554, "3.0", 422, "MessageRejected", 69, "Lost here: it is gone from the spool"
)
CANCELLED: Final = _row("cancelled", 550, "7.0", 422, "MessageRejected", 69, "Cancelled by an operator")
WRONG_STATE: Final = _row("wrong_state", 554, "5.0", 409, "ConflictException", 65,
                          "Not possible as things stand")  # fmt: skip
ROUTING_LOOP: Final = _row("routing_loop", 554, "4.6", 422, "MessageRejected", 69, "Mail loops back to us")
SMTPUTF8_NEEDED: Final = _row("smtputf8_needed", 553, "6.7", 422, "MessageRejected", 65,
                              "Next hop does not take internationalised mail")  # fmt: skip
CONVERSION_REFUSED: Final = _row("conversion_refused", 554, "6.3", 422, "MessageRejected", 65,
                                 "Next hop takes 7-bit mail only, and the message can't be converted")  # fmt: skip
RATE_EXCEEDED: Final = _row("rate_exceeded", 454, "7.0", 429, "TooManyRequestsException", 75, "Throttling failure")
QUOTA_EXCEEDED: Final = _row("quota_exceeded", 454, "7.0", 429, "LimitExceededException", 75, "Throttling failure")
RATE_LIMITED: Final = _row("rate_limited", 451, "4.5", 429, "TooManyRequestsException", 75, "Too many requests")
SYSTEM_BUSY: Final = _row("system_busy", 421, "3.2", 503, "ServiceUnavailableException", 75, "Not accepting mail now")
SPOOL_UNAVAILABLE: Final = _row("spool_unavailable", 451, "3.0", 503, "ServiceUnavailableException", 75,
                                "Temporary service failure")  # fmt: skip
DNS_TEMPFAIL: Final = _row("dns_tempfail", 451, "4.3", 503, "ServiceUnavailableException", 75,
                           "Name service does not answer")  # fmt: skip
NO_ANSWER: Final = _row("no_answer", 451, "4.1", 504, "ServiceUnavailableException", 75, "Host does not answer")
HOST_DEAD: Final = _row("host_dead", 451, "4.1", 504, "ServiceUnavailableException", 75,
                        "Host is known not to answer")  # fmt: skip
HOST_PACED: Final = _row("host_paced", 451, "4.5", 503, "ServiceUnavailableException", 75,
                         "Host is asked slowly")  # fmt: skip
CONNECTION_LOST: Final = _row("connection_lost", 451, "4.2", 504, "ServiceUnavailableException", 75,
                              "Connection lost")  # fmt: skip
ATTEMPT_BROKE_OFF: Final = _row("attempt_broke_off", 451, "3.0", 503, "ServiceUnavailableException", 75,
                                "The attempt broke off on our side")  # fmt: skip
HELD_HERE: Final = _row("held_here", 451, "3.2", 503, "ServiceUnavailableException", 75, "Waits here to be sent")
TLS_FAILED: Final = _row("tls_failed", 454, "7.0", 503, "ServiceUnavailableException", 75, "TLS is not available")
TLS_NOT_OFFERED: Final = _row("tls_not_offered", 454, "7.4", 503, "ServiceUnavailableException", 75,
                              "TLS is required, but was not offered")  # fmt: skip
TLS_UNTRUSTED: Final = _row("tls_untrusted", 454, "7.5", 503, "ServiceUnavailableException", 75,
                            "The host does not prove who it is")  # fmt: skip
MISCONFIGURED: Final = _row("misconfigured", 451, "3.5", 500, "InternalServiceErrorException", 78,
                            "System is misconfigured")  # fmt: skip
INTERNAL: Final = _row("internal", 451, "3.0", 500, "InternalServiceErrorException", 70, "Internal error")

STATUSES: Final[dict[str, Status]] = {
    row.key: row for row in tuple(value for value in globals().values() if isinstance(value, Status))
}
"""Every row by key."""
