"""Name rules (RFC 1123 and RFC 1035 labels and subdomains as Kubernetes reads them) and generated names."""

from __future__ import annotations

import re
from collections.abc import Callable

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_NAME_LIMIT = 63

LABEL_PATTERN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_1035_PATTERN = "[a-z]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN_PATTERN = rf"{LABEL_PATTERN}(\.{LABEL_PATTERN})*"
QUALIFIED_PATTERN = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_VALUE_PATTERN = f"({QUALIFIED_PATTERN})?"

_LABEL = re.compile(LABEL_PATTERN)
_LABEL_1035 = re.compile(LABEL_1035_PATTERN)
_SUBDOMAIN = re.compile(SUBDOMAIN_PATTERN)
_QUALIFIED = re.compile(QUALIFIED_PATTERN)
_LABEL_VALUE = re.compile(LABEL_VALUE_PATTERN)


def is_dns1123_label(text: str) -> bool:
    """Lower case letters, digits and '-', at most 63."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_dns1035_label(text: str) -> bool:
    """As an RFC 1123 label, but starting with a letter (Service names)."""
    return len(text) <= 63 and _LABEL_1035.fullmatch(text) is not None


def is_dns1123_subdomain(text: str) -> bool:
    """Labels joined by dots, at most 253 characters."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_qualified_name(text: str) -> bool:
    """A label or annotation key: [PREFIX/]NAME, prefix a subdomain, name at most 63 of [A-Za-z0-9-_.]."""
    prefix, slash, name = text.rpartition("/")
    if slash and not is_dns1123_subdomain(prefix):
        return False
    return 0 < len(name) <= 63 and _QUALIFIED.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    """A label's value: empty, or at most 63 of [A-Za-z0-9-_.] starting and ending alphanumeric."""
    return len(text) <= 63 and _LABEL_VALUE.fullmatch(text) is not None


def generate_name(prefix: str, rand: Callable[[int], str]) -> str:
    """`prefix` cut to 58 characters plus `rand(5)`: that many characters, drawn from SUFFIX_ALPHABET (vowel-free,
    so that no words arise)."""
    return prefix[: _NAME_LIMIT - _SUFFIX_LENGTH] + rand(_SUFFIX_LENGTH)
