"""
SES v1's operations on templates, and the rendering of one to look at.

Next: services/templates.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_model import SES_V1
from paravion.api.ses_templates import preview, template_page
from paravion.domain.email_template import EmailTemplate
from paravion.services import templates

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@SES_V1.operation("CreateTemplate")
def create_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make a template. Raises Rejected, Unavailable."""
    templates.create(_template(given), call.principal, call.deps)
    return {}


@SES_V1.operation("GetTemplate")
def get_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show a template. Raises Rejected, Unavailable."""
    template, _ = templates.show(given["TemplateName"], call.principal, call.deps)
    parts = {"SubjectPart": template.subject, "TextPart": template.text or None, "HtmlPart": template.html or None}
    return {"Template": {"TemplateName": template.name, **parts}}


@SES_V1.operation("ListTemplates")
def list_templates(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List templates by name. Raises SesFault, Unavailable."""
    page, token = template_page(given, "MaxItems", call)
    items = [{"Name": name, "CreatedTimestamp": created} for name, created in page]
    return {"TemplatesMetadata": items, "NextToken": token}


@SES_V1.operation("UpdateTemplate")
def update_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Change a template. Raises Rejected, Unavailable."""
    templates.update(_template(given), call.principal, call.deps)
    return {}


@SES_V1.operation("DeleteTemplate")
def delete_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a template; one that is not there is no error, as SES has it. Raises Unavailable."""
    templates.delete(given["TemplateName"], call.principal, call.deps)
    return {}


@SES_V1.operation("TestRenderTemplate")
def test_render_template(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show the message that a template and its data make. Raises Rejected, Unavailable."""
    return {"RenderedTemplate": preview(given["TemplateName"], given["TemplateData"], call)}


def _template(given: dict[str, Any]) -> EmailTemplate:
    own = given["Template"]
    return EmailTemplate(
        own["TemplateName"], own.get("SubjectPart", ""), own.get("TextPart", ""), own.get("HtmlPart", "")
    )
