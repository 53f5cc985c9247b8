"""The kinds that objects may be of: the built-in ones, and those of CustomResourceDefinitions, which come and go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netsim.api.kinds import Kind, Obj, by_kind, split_api_version
from netsim.api.objects import condition, status_of


class Served:
    """A set of kinds by resource ("deployments.apps"), one version of each; changed as definitions come and go."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._kinds = {kind.resource: kind for kind in kinds}
        self.custom: dict[str, Kind] = {}

    def __iter__(self) -> Iterator[Kind]:
        return iter((*self._kinds.values(), *self.custom.values()))

    def get(self, resource: str) -> Kind | None:
        return self._kinds.get(resource) or self.custom.get(resource)

    def of_reference(self, reference: Obj) -> Kind | None:
        """The kind that an owner reference names, in whatever version."""
        group, version = split_api_version(str(reference.get("apiVersion", "")))
        name = str(reference.get("kind", ""))
        found = by_kind(group, version, name)
        return found or next((kind for kind in self.custom.values() if (kind.group, kind.kind) == (group, name)), None)


def custom_kind(definition: Obj) -> Kind | None:
    """The kind a definition adds, in the version to read it by: the stored one, else the first served; None while it
    is not established."""
    if (condition(definition, "Established") or {}).get("status") != "True":
        return None
    spec, names = definition["spec"], status_of(definition)["acceptedNames"]
    served = [version for version in spec["versions"] if version.get("served")]
    if not served:
        return None
    version = next((version for version in served if version.get("storage")), served[0])
    return Kind(
        spec["group"], version["name"], names["kind"], names["plural"], names.get("singular", ""),
        namespaced=spec["scope"] == "Namespaced", list_name=names.get("listKind", ""),
    )  # fmt: skip
