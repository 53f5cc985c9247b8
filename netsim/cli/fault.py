"""The error a verb raises for its user."""

from __future__ import annotations

import os


class Fault(Exception):
    """One message that names the object, the field and the mend; ends the command with exit status `status`."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def sudo_netsim() -> str:
    """How to call netsim as root on the same lab: sudo keeps no environment variable that it is not given."""
    lab = os.environ.get("NETSIM_LAB")
    return f"sudo NETSIM_LAB={lab} netsim" if lab else "sudo netsim"


def first_cause(error: BaseException) -> BaseException:
    """The first error of (nested) groups."""
    return first_cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
