"""The error of every patch format."""

from __future__ import annotations


class PatchError(ValueError):
    """The patch cannot be applied. `code` is the HTTP status it deserves: 400 malformed, 422 does not fit the
    object, 500 a list element without its merge key (as Kubernetes answers)."""

    def __init__(self, message: str, code: int = 422) -> None:
        super().__init__(message)
        self.code = code
