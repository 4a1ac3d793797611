"""
What of SES's API is not here, and why: by operation, for docs/ses.md and for the error that says so.

What is offered is not listed: it is what is registered. An operation that is neither registered nor named here is "not
built yet". `FLEET` are those that only make sense for Amazon's own fleet and its console.
"""

from __future__ import annotations

from typing import Final

PAGE: Final = "docs/ses.md"

OFFERED: Final = "offered"
OF_THE_FLEET: Final = "not here"
NOT_YET: Final = "not built yet"

_REASONS: Final[dict[str, tuple[str, ...]]] = {
    "Amazon's dedicated addresses; which address mail leaves from is your network's affair (docs/deploy.md)": (
        "CreateDedicatedIpPool", "DeleteDedicatedIpPool", "GetDedicatedIp", "GetDedicatedIpPool", "GetDedicatedIps",
        "ListDedicatedIpPools", "PutAccountDedicatedIpWarmupAttributes",
        "PutDedicatedIpInPool", "PutDedicatedIpPoolScalingAttributes", "PutDedicatedIpWarmupAttributes",
    ),
    "Amazon's Virtual Deliverability Manager": (
        "BatchGetMetricData", "ListRecommendations", "PutAccountVdmAttributes", "PutConfigurationSetVdmOptions",
    ),
    "Amazon's validation of addresses": ("GetEmailAddressInsights",),
    "Amazon's deliverability dashboard": (
        "CreateDeliverabilityTestReport", "GetBlacklistReports", "GetDeliverabilityDashboardOptions",
        "GetDeliverabilityTestReport", "GetDomainDeliverabilityCampaign", "GetDomainStatisticsReport",
        "ListDeliverabilityTestReports", "ListDomainDeliverabilityCampaigns", "PutDeliverabilityDashboardOption",
    ),
    "Amazon's regions; one installation is in one place": (
        "CreateMultiRegionEndpoint", "DeleteMultiRegionEndpoint", "GetMultiRegionEndpoint", "ListMultiRegionEndpoints",
    ),
    "SES's tenants; here a credential has one (docs/credentials.md)": (
        "CreateTenant", "CreateTenantResourceAssociation", "DeleteTenant", "DeleteTenantResourceAssociation",
        "GetTenant", "ListResourceTenants", "ListTenantResources", "ListTenants",
        "PutTenantSuppressionAttributes",
    ),
    "Amazon's judgement of its customers' reputation": (
        "GetReputationEntity", "ListReputationEntities", "UpdateReputationEntityCustomerManagedStatus",
        "UpdateReputationEntityPolicy",
    ),
    "receiving mail: paravion sends": (
        "CloneReceiptRuleSet", "CreateReceiptFilter", "CreateReceiptRule", "CreateReceiptRuleSet",
        "DeleteReceiptFilter", "DeleteReceiptRule", "DeleteReceiptRuleSet", "DescribeActiveReceiptRuleSet",
        "DescribeReceiptRule", "DescribeReceiptRuleSet", "ListReceiptFilters", "ListReceiptRuleSets",
        "ReorderReceiptRuleSet", "SetActiveReceiptRuleSet", "SetReceiptRulePosition", "UpdateReceiptRule",
    ),
    "Amazon's archive (Mail Manager); what is sent is kept by your own means": ("PutConfigurationSetArchivingOptions",),
    "Amazon's prices": ("PutAccountPricingAttributes",),
}  # fmt: skip

_LATER: Final[dict[str, tuple[str, ...]]] = {
    "open and click tracking": (
        "PutConfigurationSetTrackingOptions", "CreateConfigurationSetTrackingOptions",
        "UpdateConfigurationSetTrackingOptions", "DeleteConfigurationSetTrackingOptions",
    ),
    "S/MIME": (
        "AssociateEmailIdentityCertificate", "DisassociateEmailIdentityCertificate", "ListEmailIdentityCertificates",
        "UpdateConfigurationSet",
    ),
    "statistics: nothing counts mail; events tell of each (docs/events.md)": ("GetSendStatistics",),
    "jobs of import and export; paravion export and import move all that is set up": (
        "CreateExportJob", "GetExportJob", "ListExportJobs", "CancelExportJob", "CreateImportJob", "GetImportJob",
        "ListImportJobs",
    ),
}  # fmt: skip

FLEET: Final = {name: why for why, names in _REASONS.items() for name in names}
LATER: Final = {name: why for why, names in _LATER.items() for name in names}


def reason(operation: str) -> tuple[str, str]:
    """Give why an operation that is not registered is not here: its state, and one line, "" where there is none."""
    if operation in FLEET:
        return OF_THE_FLEET, FLEET[operation]
    return NOT_YET, LATER.get(operation, "")


def refusal(operation: str) -> str:
    """Give what a caller of such an operation is told."""
    state, why = reason(operation)
    return f"Operation {operation} is not offered by paravion: {state}{f' ({why})' if why else ''}. See {PAGE}."
