"""When an image is pulled, and which texts are names of images at all. Pure."""

from __future__ import annotations

import re

from netsim.agent.model import Obj
from netsim.agent.runtime.catalogue import parse_reference

_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?)"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?", re.ASCII)


def is_reference(text: str) -> bool:
    """Whether a text is a reference as github.com/distribution/reference reads it."""
    return _NAME.fullmatch(text) is not None


def pull_policy(container: Obj) -> str:
    """imagePullPolicy, or what the API server makes of none: Always for the tag "latest" or no tag."""
    reference = parse_reference(container["image"])
    floating = not reference.digest and reference.tag in ("", "latest")
    return str(container.get("imagePullPolicy") or ("Always" if floating else "IfNotPresent"))


def pull_duration(seconds: float) -> str:
    """How long a pull took, to the millisecond, as Go writes durations: "345ms", "1.5s", "2m3.25s"."""
    whole = round(seconds * 1000)
    if whole < 1000:
        return f"{whole}ms"
    minutes, rest = divmod(whole, 60_000)
    return (f"{minutes}m" if minutes else "") + f"{rest / 1000:g}s"
