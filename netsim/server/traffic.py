"""What the server counts of its requests. Counting is a few additions, without a lock: all of it is on one loop."""

from __future__ import annotations

import time

from netsim.http.types import Request
from netsim.server.requests import CONNECTS, Target

_VERBS = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "post": "POST", "put": "PUT", "head": "HEAD",
}  # fmt: skip
_READS = frozenset(("GET", "HEAD"))
_APPLY = "application/apply-patch"

Labels = tuple[str, str, str, str, str, str, int]
"""verb, group, version, resource, subresource, scope, code."""


class Traffic:
    """`requests` answered, by their labels; `reading` and `writing` are being answered now (watches and streams only
    until they have begun). `started` is the epoch second of the server's start."""

    def __init__(self) -> None:
        self.requests: dict[Labels, int] = {}
        self.reading = self.writing = 0
        self.started = time.time()

    def begin(self, request: Request) -> None:
        if request.method in _READS:
            self.reading += 1
        else:
            self.writing += 1

    def end(self, request: Request) -> None:
        if request.method in _READS:
            self.reading -= 1
        else:
            self.writing -= 1

    def count(self, request: Request, target: Target, code: int) -> None:
        """One more request with that answer. Only names that are served become labels: there is an end to them."""
        labels = labels_of(request, target, code)
        self.requests[labels] = self.requests.get(labels, 0) + 1


def labels_of(request: Request, target: Target, code: int) -> Labels:
    """Under which labels a request is counted, as Kubernetes names them."""
    verb, kind, sub = _VERBS.get(target.verb, "OTHER"), target.kind, target.subresource
    if kind is None:
        return verb, "", "", "", "", "", code
    if sub in CONNECTS:
        verb = "CONNECT"
    if sub and kind.subresource(sub) is None:
        sub = ""
    if verb == "PATCH" and request.header("content-type").startswith(_APPLY):
        verb = "APPLY"
    scope = "resource" if target.name else "namespace" if target.namespace else "cluster"
    return verb, kind.group, kind.version, kind.plural, sub, scope, code
