"""
paravion: a serverless sendmail.

See docs/architecture.md for the road that a message takes through these packages.
"""

__version__ = "0.1.0"
