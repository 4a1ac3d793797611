"""
SES v2's operations on e-mail templates, and the rendering of one to look at.

Next: services/templates.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_model import SES_V2
from paravion.api.ses_templates import preview, template_page
from paravion.domain.email_template import EmailTemplate
from paravion.domain.status import NO_SUCH_TEMPLATE, Rejected
from paravion.services import templates

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@SES_V2.operation("CreateEmailTemplate")
def create_email_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make a template. Raises Rejected, Unavailable."""
    templates.create(_template(given), call.principal, call.deps, tags=given.get("Tags", ()))
    return {}


@SES_V2.operation("GetEmailTemplate")
def get_email_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show a template. Raises Rejected, Unavailable."""
    template, record = templates.show(given["TemplateName"], call.principal, call.deps)
    content = {"Subject": template.subject, "Text": template.text or None, "Html": template.html or None}
    return {"TemplateName": template.name, "TemplateContent": content, "Tags": record.get("Tags", [])}


@SES_V2.operation("ListEmailTemplates")
def list_email_templates(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List templates by name. Raises SesFault, Unavailable."""
    page, token = template_page(given, "PageSize", call)
    items = [{"TemplateName": name, "CreatedTimestamp": created} for name, created in page]
    return {"TemplatesMetadata": items, "NextToken": token}


@SES_V2.operation("UpdateEmailTemplate")
def update_email_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Change a template. Raises Rejected, Unavailable."""
    templates.update(_template(given), call.principal, call.deps)
    return {}


@SES_V2.operation("DeleteEmailTemplate")
def delete_email_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a template. Raises Rejected, Unavailable."""
    name = given["TemplateName"]
    if not templates.delete(name, call.principal, call.deps):
        raise Rejected(NO_SUCH_TEMPLATE, f"Template {ascii(name)[1:-1][:64]} does not exist.")
    return {}


@SES_V2.operation("TestRenderEmailTemplate")
def test_render_email_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show the message that a template and its data make. Raises Rejected, Unavailable."""
    return {"RenderedTemplate": preview(given["TemplateName"], given["TemplateData"], call)}


def _template(given: dict[str, Any]) -> EmailTemplate:
    content = given["TemplateContent"]
    return EmailTemplate(
        given["TemplateName"], content.get("Subject", ""), content.get("Text", ""), content.get("Html", "")
    )
