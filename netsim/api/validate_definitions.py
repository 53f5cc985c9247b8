"""What a CustomResourceDefinition must satisfy (apiextensions.k8s.io/v1), in Kubernetes' words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api.causes import (
    LABEL_1035_MESSAGE,
    dns_1035_label,
    dns_subdomain,
    invalid,
    one_of,
    required,
    unchanged,
    unsupported,
)
from netsim.api.errors import Cause
from netsim.api.jsonpath import PathError, dotted, parse_path
from netsim.api.kinds import KINDS, Obj
from netsim.api.names import is_dns1035_label
from netsim.api.objects import condition
from netsim.api.structural_rules import schema_errors

APPROVAL = "api-approved.kubernetes.io"
_PROTECTED = (".k8s.io", ".kubernetes.io")
_APPROVAL_PAGE = "https://github.com/kubernetes/enhancements/pull/1111"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_MAX_SELECTABLE = 8
_SCOPES = ("Cluster", "Namespaced")
_OWN = frozenset((kind.group, kind.plural) for kind in KINDS)
"""Resources of the server itself: a definition of that name would read, write and at last delete their objects."""


def is_protected(group: str) -> bool:
    """Whether the group belongs to the Kubernetes community, so that its definitions need an approval."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith(_PROTECTED)


def definition(crd: Obj) -> Iterator[Cause]:
    """The rules of creation, for a defaulted definition."""
    spec, metadata = crd.get("spec") or {}, crd.get("metadata") or {}
    names = spec.get("names") or {}
    if metadata.get("name") and metadata["name"] != f"{names.get('plural', '')}.{spec.get('group', '')}":
        yield invalid("metadata.name", metadata.get("name"), 'must be spec.names.plural+"."+spec.group')
    if is_protected(spec.get("group") or "") and not (metadata.get("annotations") or {}).get(APPROVAL):
        why = f'protected groups must have approval annotation "{APPROVAL}", see {_APPROVAL_PAGE}'
        yield required(f"metadata.annotations[{APPROVAL}]", why)
    yield from _group(spec.get("group") or "")
    if (spec.get("group"), names.get("plural")) in _OWN:
        yield invalid("spec.names.plural", names["plural"], "is a resource of this server in that group; name another")
    yield from one_of("spec.scope", spec.get("scope"), _SCOPES)
    yield from _names(names, "spec.names")
    yield from _conversion(spec)
    yield from _versions(spec.get("versions") or [])


def definition_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """What may not change: the resource's name always; scope and kind once objects may be stored."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    established = (condition(old, "Established") or {}).get("status") == "True"
    paths = [("group",), ("names", "plural"), *([("scope",), ("names", "kind")] if established else [])]
    for path in paths:
        yield from unchanged(".".join(("spec", *path)), _at(spec, path), _at(before, path))
    declared = {version.get("name") for version in spec.get("versions") or ()}
    for index, name in enumerate((new.get("status") or {}).get("storedVersions") or ()):
        if name not in declared:
            field = f"status.storedVersions[{index}]"
            yield invalid(field, name, "missing from spec.versions; " + _MIGRATE.format(name=name))


_MIGRATE = "{name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"  # noqa: E501


def _at(spec: Obj, path: tuple[str, ...]) -> Any:
    found: Any = spec
    for name in path:
        found = (found or {}).get(name)
    return found


def _group(group: str) -> Iterator[Cause]:
    if not group:
        yield required("spec.group")
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    else:
        yield from dns_subdomain("spec.group", group)


def _names(names: Obj, path: str) -> Iterator[Cause]:
    for field in ("plural", "singular", "kind", "listKind"):
        text = names.get(field) or ""
        if not text:
            yield required(f"{path}.{field}")
        elif field in ("plural", "singular"):
            yield from dns_1035_label(f"{path}.{field}", text)
        elif not is_dns1035_label(text.lower()):
            why = f"may have mixed case, but should otherwise match: {LABEL_1035_MESSAGE}"
            yield invalid(f"{path}.{field}", text, why)
    for field in ("shortNames", "categories"):
        for index, text in enumerate(names.get(field) or ()):
            yield from dns_1035_label(f"{path}.{field}[{index}]", text)
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield invalid(f"{path}.listKind", names["listKind"], "kind and listKind may not be the same")


def _conversion(spec: Obj) -> Iterator[Cause]:
    strategy = (spec.get("conversion") or {}).get("strategy")
    if strategy == "Webhook":
        why = 'conversion webhooks are not served here; write "None", which changes only the apiVersion'
        yield invalid("spec.conversion.strategy", strategy, why)
    elif strategy not in (None, "None"):
        yield unsupported("spec.conversion.strategy", strategy, ("None", "Webhook"))
    if spec.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield invalid("spec.preserveUnknownFields", True, why)


def _versions(versions: list[Obj]) -> Iterator[Cause]:
    names = [version.get("name", "") for version in versions]
    for index, name in enumerate(names):
        yield from dns_1035_label(f"spec.versions[{index}].name", name)
    if len(set(names)) < len(names):
        yield invalid("spec.versions", versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid("spec.versions", versions, "must have exactly one version marked as storage version")
    for index, version in enumerate(versions):
        base = f"spec.versions[{index}]"
        if index == 0 or not _alike(versions, "schema"):
            where = "spec.validation" if _alike(versions, "schema") else f"{base}.schema"
            given = (version.get("schema") or {}).get("openAPIV3Schema")
            yield from schema_errors(
                given, f"{base}.schema.openAPIV3Schema" if given is None else f"{where}.openAPIV3Schema"
            )
        yield from _columns(version, "spec" if _alike(versions, "additionalPrinterColumns") else base)
        yield from _scale(version, "spec" if _alike(versions, "subresources") else base)
        yield from _selectable(version, "spec" if _alike(versions, "selectableFields") else base)
        if version.get("deprecationWarning") is not None and not version.get("deprecated"):
            why = "can only be set for deprecated versions"
            yield invalid(f"{base}.deprecationWarning", version["deprecationWarning"], why)


def _alike(versions: list[Obj], field: str) -> bool:
    """Whether all versions say the same: then Kubernetes names the field once, at the top."""
    return all(version.get(field) == versions[0].get(field) for version in versions)


def _columns(version: Obj, base: str) -> Iterator[Cause]:
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        where = f"{base}.additionalPrinterColumns[{index}]"
        if not column.get("name"):
            yield required(f"{where}.name")
        yield from one_of(f"{where}.type", column.get("type"), _COLUMN_TYPES)
        path = column.get("jsonPath") or ""
        if not path:
            yield required(f"{where}.jsonPath")
            continue
        try:
            parse_path(path)
        except PathError as error:
            yield invalid(f"{where}.jsonPath", path, str(error))


def _scale(version: Obj, base: str) -> Iterator[Cause]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    rules = (("specReplicasPath", (".spec.",)), ("statusReplicasPath", (".status.",)))
    for field, roots in (*rules, ("labelSelectorPath", (".spec.", ".status."))):
        where, path = f"{base}.subresources.scale.{field}", scale.get(field) or ""
        if not path and field != "labelSelectorPath":
            yield required(where)
        elif path and not dotted(path):
            yield invalid(where, path, "must be a simple json path starting with .")
        elif path and not path.startswith(roots):
            places = " or ".join(root.removesuffix(".") for root in roots)
            yield invalid(where, path, f"should be a json path under {places}")


def _selectable(version: Obj, base: str) -> Iterator[Cause]:
    fields = version.get("selectableFields") or []
    if len(fields) > _MAX_SELECTABLE:
        why = f"Too many: {len(fields)}: must have at most {_MAX_SELECTABLE} items"
        yield Cause("FieldValueTooMany", why, f"{base}.selectableFields")
    for index, field in enumerate(fields):
        where, path = f"{base}.selectableFields[{index}].jsonPath", field.get("jsonPath") or ""
        if not path:
            yield required(where)
        elif not dotted(path):
            yield invalid(where, path, "must be a simple path of names, such as .spec.color")
        elif path.startswith(".metadata."):
            yield invalid(where, path, "must not point to fields in metadata")
        elif _kind_at(version, path) not in ("string", "boolean", "integer"):
            yield invalid(where, path, "must point to a field of type string, boolean or integer")


def _kind_at(version: Obj, path: str) -> str:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    for _, name in parse_path(path):
        schema = (schema.get("properties") or {}).get(name) or {}
    return str(schema.get("type", ""))
