"""The error a verb raises for its user."""

from __future__ import annotations


class Fault(Exception):
    """One message that names the object, the field and the mend; ends the command with exit status 1."""
