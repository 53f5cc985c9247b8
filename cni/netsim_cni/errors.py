"""The error of the CNI specification (1.1.0, section 5 "Error"): a code, a message and details."""

from __future__ import annotations

from typing import Any

INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIG = 7
TRY_AGAIN = 11
NOT_AVAILABLE = 50
# 100 and above are the plugin's own.
NO_ADDRESS = 100
ADDRESS_TAKEN = 101
DUPLICATE_ATTACHMENT = 102
WIRING_FAILED = 103
CHECK_FAILED = 104
# What libcni has for an error that no other code describes.
INTERNAL = 999


class CniError(Exception):
    """What a runtime is told when a command fails."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(f"{msg}: {details}" if details else msg)
        self.code = code
        self.msg = msg
        self.details = details

    def document(self, version: str) -> dict[str, Any]:
        """The error as the JSON object that a runtime reads."""
        return {"cniVersion": version, "code": self.code, "msg": self.msg, "details": self.details}
