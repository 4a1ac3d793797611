"""The HTTP doors: SES v2, SES v1 and native wire formats, and the signature that guards them."""
