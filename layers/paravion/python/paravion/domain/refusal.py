"""
What a table says instead of taking a mail: `error:` of the virtusertable and the mailertable, `ERROR:` of access.

Next: services/expand.py tells the caller, services/deliver.py tells the sender for a member of an alias.
RFC: 5321 4.2 (reply codes), 3463 (enhanced status).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    What a table says to a sender instead of taking the mail.

    Attributes:
        code: Reply code, 4yz or 5yz; `status` has the same class.
    """

    code: int
    status: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}"

    @classmethod
    def parse(cls, value: str) -> Refusal:
        """Read back what `str` gave. Raises ValueError for anything else."""
        code, status, text = value.split(" ", 2)
        return cls(int(code), status, text)
