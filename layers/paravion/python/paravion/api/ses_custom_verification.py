"""
SES's custom verification emails, in both versions: their templates, and sending them.

Next: services/verification_templates.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_identities import base_url
from paravion.api.ses_model import SES_V1, SES_V2
from paravion.api.ses_pages import after_of, page_size, token_of
from paravion.domain.status import NO_SUCH_VERIFICATION_TEMPLATE, Rejected
from paravion.services import verification_templates as templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@SES_V2.operation("CreateCustomVerificationEmailTemplate")
@SES_V1.operation("CreateCustomVerificationEmailTemplate")
def create_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Keep a template. Raises Rejected, Unavailable."""
    templates.create(given, call.principal, call.deps)
    return {}


@SES_V2.operation("UpdateCustomVerificationEmailTemplate")
@SES_V1.operation("UpdateCustomVerificationEmailTemplate")
def update_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Replace what is given. Raises Rejected, Unavailable."""
    templates.update(given, call.principal, call.deps)
    return {}


@SES_V2.operation("GetCustomVerificationEmailTemplate")
def get_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show a template. Raises Rejected, Unavailable."""
    value = templates.show(given["TemplateName"], call.principal, call.deps)
    return {**_shown(value), "TemplateContent": value["TemplateContent"], "Tags": value.get("Tags", [])}


@SES_V1.operation("GetCustomVerificationEmailTemplate")
def get_template_v1(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show a template. Raises Rejected, Unavailable."""
    value = templates.show(given["TemplateName"], call.principal, call.deps)
    return {**_shown(value), "TemplateContent": value["TemplateContent"]}


@SES_V2.operation("ListCustomVerificationEmailTemplates")
def list_templates(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List templates, a page at a time. Raises SesFault, Unavailable."""
    return _page(given, page_size(given, default=50), call)


@SES_V1.operation("ListCustomVerificationEmailTemplates")
def list_templates_v1(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List templates, a page at a time. Raises SesFault, Unavailable."""
    return _page(given, page_size(given, "MaxResults", default=50), call)


@SES_V2.operation("DeleteCustomVerificationEmailTemplate")
def delete_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a template. Raises Rejected, Unavailable."""
    if not templates.delete(given["TemplateName"], call.principal, call.deps):
        raise Rejected(NO_SUCH_VERIFICATION_TEMPLATE, "Custom verification email template does not exist.")
    return {}


@SES_V1.operation("DeleteCustomVerificationEmailTemplate")
def delete_template_v1(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a template; v1 has no error for one that is not there. Raises Unavailable."""
    templates.delete(given["TemplateName"], call.principal, call.deps)
    return {}


@SES_V2.operation("SendCustomVerificationEmail")
@SES_V1.operation("SendCustomVerificationEmail")
def send_custom_verification_email(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Ask an address's owner in a template's words. Raises Rejected, Unavailable."""
    return {"MessageId": templates.send(given, base_url(call), call.principal, call.deps)}


def _page(given: Mapping[str, Any], limit: int, call: Call[AdminDeps]) -> dict[str, Any]:
    found, after = templates.page(limit, after_of(given.get("NextToken")), call.principal, call.deps)
    shown = [_shown(record.value) for record in found]
    return {"CustomVerificationEmailTemplates": shown, "NextToken": token_of(after)}


def _shown(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in templates.MEMBERS if name != "TemplateContent"}
