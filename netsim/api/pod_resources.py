"""What a pod asks for in all: containers, init containers, sidecars, the pod as a whole, and its overhead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

Read = Callable[[Obj], Mapping[str, Any]]


def aggregate(spec: Obj, read: Read) -> Counter[str]:
    """The containers' amounts together, or the largest init container's where that is more; sidecars (init
    containers that restart Always) run beside both. Amounts of the pod as a whole (KEP-2837) stand instead of its
    containers'. `read` gives the amounts of a container or of the pod's spec. Zero amounts are left out."""
    total: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        total.update(read(container))
    if not spec.get("initContainers") and not spec.get("resources"):
        return +total
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars.update(read(container))
        else:
            peak |= sidecars + Counter(read(container))
    return +Counter({**((total + sidecars) | peak), **read(spec)})


def quantities(given: Mapping[str, Any] | None) -> dict[str, Fraction]:
    """A ResourceList as numbers."""
    return {name: parse_quantity(text) for name, text in (given or {}).items()}


def pod_amounts(spec: Obj, field: str) -> dict[str, Fraction]:
    """The pod's "requests" or "limits", with its overhead where it has any."""
    found = aggregate(spec, lambda holder: quantities((holder.get("resources") or {}).get(field)))
    for name, amount in quantities(spec.get("overhead")).items():
        if field == "requests" or name in found:
            found[name] += amount  # type: ignore[assignment]
    return dict(found)  # type: ignore[arg-type]
