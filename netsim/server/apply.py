"""PATCH application/apply-patch+yaml: server-side apply, on objects, their status and their scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from netsim.api import errors
from netsim.api.apply import Applied, Applier, agreeing
from netsim.api.configure import misfits
from netsim.api.errors import REQUIRED, Cause, StatusError, bad_request, invalid_named
from netsim.api.fieldset import difference
from netsim.api.json_text import parse_json
from netsim.api.kinds import Kind, Obj
from netsim.api.managed import APPLY, conflict_error, recorded
from netsim.server import lifecycle, managed
from netsim.server.bodies import duplicate_problems
from netsim.server.codec import stored_kind
from netsim.server.core import Call, Core
from netsim.server.lifecycle import Change, Outcome
from netsim.server.managed import Manager
from netsim.server.requests import WriteOptions
from netsim.server.views import stored_form

Typed = Callable[[Kind, Obj], Obj]
Merge = Callable[[Obj | None], Obj]

APPLY_TYPE = "application/apply-patch+yaml"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_TRIES = 8


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a client applies to an object of `kind`: the object as far as it has an opinion, by whom, forced or not."""

    kind: Kind
    config: Obj
    manager: Manager
    force: bool


def read_configuration(call: Call, options: WriteOptions, kind: Kind | None = None) -> Configuration:
    """The request's configuration, of `kind` where a subresource takes another one; 4xx for what cannot be applied."""
    if not call.request.param("fieldManager"):
        cause = Cause(REQUIRED, "Required value: is required for apply patch", "fieldManager")
        raise invalid_named("meta.k8s.io", "PatchOptions", "", [cause])
    kind = kind or call.kind
    config, repeated = _parse(call.request.body)
    _check_type(kind, config)
    if config["metadata"].get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    _refuse_repeated(repeated, options.field_validation, call.warnings)
    return Configuration(kind, config, Manager(options.field_manager, applies=True), options.force)


def _parse(body: bytes) -> tuple[Obj, list[str]]:
    """The configuration in a body, and what is said of the fields that it gives twice."""
    from netsim.server.yaml_body import yaml_to_json

    repeated: list[str] = []
    try:
        config = parse_json(body) if body[:1] == b"{" else None
        if config is None or duplicate_problems(body, config):  # JSON is YAML, and what is repeated is told as there
            text, repeated = yaml_to_json(body)
            config = parse_json(text)
    except ValueError as error:
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from None
    if not isinstance(config, dict):
        raise bad_request(f"error decoding YAML: a configuration is an object, not a {type(config).__name__}")
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict) or any(not isinstance(metadata.get(key) or "", str) for key in _TEXTS):
        raise bad_request("error decoding YAML: metadata is not that of an object")
    return {**config, "metadata": metadata}, repeated


def _refuse_repeated(repeated: list[str], validation: str, warnings: list[str]) -> None:
    if repeated and validation == "Strict":
        listed = "\n  ".join(("yaml: unmarshal errors:", *repeated))
        raise bad_request(f"error strict decoding YAML: error converting YAML to JSON: {listed}")
    warnings += repeated if validation == "Warn" else []


_TEXTS = ("name", "namespace", "uid", "resourceVersion")


def _check_type(kind: Kind, config: Obj) -> None:
    version, name = config.get("apiVersion") or "", config.get("kind") or ""
    if (version, name) != (kind.api_version, kind.kind):
        raise bad_request(f"invalid object type: {_go_type(version, name)}")


def _go_type(version: Any, kind: Any) -> str:
    group, slash, rest = str(version).partition("/")
    return f"{group}/{rest}, Kind={kind}" if slash else f"/{group}, Kind={kind}"


def check_typed(applier: Applier, config: Obj) -> None:
    """400, in Kubernetes' words, for a configuration that is none of its type. Kubernetes makes it a 500, but the
    mistake is the client's, and a server of ours never answers 500 to what it is sent."""
    problems = list(misfits(applier.kind, config))
    if problems:
        metadata = config["metadata"]
        named = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}"
        where = f"{named}; {_go_type(config.get('apiVersion'), config.get('kind'))}"
        text = problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {text}" for text in problems)
        raise bad_request(f"failed to create typed patch object ({where}): {text}")


def merged(applier: Applier, asked: Configuration, live: Obj | None, config: Obj) -> Obj:
    """The live object with the configuration applied and the entries of that; raises the 409 of conflicts."""
    entries = managed.entries_of(live) if live is not None else []
    if live is not None:
        live = managed.with_entries(live, [])
    applied = applier.apply(live, config, entries)
    if not asked.force:
        _refuse_conflicts(applier, asked, applied, live)
    obj = applied.obj
    if asked.manager.name == _KUBECTL:
        obj = _with_last_applied(obj, config)
    return managed.with_entries(obj, applied.entries)


def _refuse_conflicts(applier: Applier, asked: Configuration, applied: Applied, live: Obj | None) -> None:
    """kubectl may take over what its client-side apply has set and nobody has changed since."""
    conflicts = applied.conflicts
    if conflicts and live is not None and asked.manager.name == _KUBECTL:
        own = _last_applied(live)
        if own.get("apiVersion") == asked.kind.api_version:
            mine = agreeing(applier.kind, recorded(own), recorded(live))
            left = [replace(conflict, fields=difference(conflict.fields, mine)) for conflict in conflicts]
            conflicts = [conflict for conflict in left if conflict.fields]
    if conflicts:
        raise conflict_error(conflicts)


def _last_applied(obj: Obj) -> Obj:
    text = (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED) or "{}"
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _with_last_applied(obj: Obj, config: Obj) -> Obj:
    """The object whose client-side apply annotation, where it has one, tells the configuration."""
    annotations = obj["metadata"].get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return obj
    metadata = dict(config["metadata"])
    if "annotations" in metadata:
        given = metadata["annotations"] or {}
        metadata["annotations"] = {key: value for key, value in given.items() if key != LAST_APPLIED}
    text = orjson.dumps({**config, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    return {**obj, "metadata": {**obj["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}}


def applying(core: Core, call: Call, options: WriteOptions, sub: str) -> tuple[Configuration, Merge]:
    """(the request's configuration, what merges it into the live object); 4xx for one that cannot be applied."""
    asked = read_configuration(call, options)
    kind = stored_kind(call.kind)
    check_typed(managed.applier(call.kind, asked.manager, sub, APPLY, core.now()), asked.config)
    lifecycle.check_identity(call.kind, call.namespace, call.target.name, asked.config)
    applier = managed.applier(kind, asked.manager, sub, APPLY, core.now())
    config = stored_form(call.kind, asked.config)
    return asked, lambda live: merged(applier, asked, live, config)


async def apply_object(
    core: Core, call: Call, options: WriteOptions, typed: Typed, sub: str = ""
) -> tuple[Outcome, bool]:
    """Apply the request's configuration; (outcome, whether that created the object). `typed` gives a merged object
    the form a decoder keeps it in."""
    asked, merge = applying(core, call, options, sub)

    def change(live: Obj | None) -> Obj:
        kind = stored_kind(call.kind)
        merged = typed(kind, merge(live))
        if live is not None:
            lifecycle.check_uid(kind, merged, live)
        return merged

    for attempt in range(_TRIES):
        try:
            return await _update(core, call, change, asked, options, sub), False
        except StatusError as error:
            if error.code != 404 or sub:
                raise
        try:
            return await _create(core, call, change(None), asked, options), True
        except StatusError as error:
            if error.reason != "AlreadyExists" or attempt == _TRIES - 1:
                raise
    raise errors.internal("no apply was tried")


async def _update(
    core: Core, call: Call, change: Change, asked: Configuration, options: WriteOptions, sub: str
) -> Outcome:
    return await lifecycle.update_object(
        core, stored_kind(call.kind), call.namespace, call.target.name, change, call.user, sub=sub,
        dry_run=options.dry_run, manager=asked.manager,
    )  # fmt: skip


async def _create(core: Core, call: Call, obj: Obj, asked: Configuration, options: WriteOptions) -> Outcome:
    """Create what is applied but not there, for who may create."""
    await core.authorizer.check(call.user, call.target._replace(verb="create"))
    name, metadata = call.target.name, obj["metadata"]
    lifecycle.check_named(name, obj)  # of an object that is there the name is known
    if metadata.get("uid"):
        why = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
        raise errors.conflict(call.kind, name, why)
    if metadata.get("resourceVersion"):
        raise errors.conflict(call.kind, name)
    obj = {**obj, "metadata": {**metadata, "name": name}}
    return await lifecycle.create_object(
        core, stored_kind(call.kind), call.namespace, obj, call.user, dry_run=options.dry_run, manager=asked.manager
    )


async def apply_scale(core: Core, call: Call, options: WriteOptions, scale: Kind, check: Change) -> Outcome:
    """Apply a Scale: its replicas become those of the object, owned under the subresource. `check` refuses bad ones."""
    asked = read_configuration(call, options, scale)
    manager = asked.manager._replace(subresource="scale")
    check_typed(managed.applier(scale, manager, "", APPLY, core.now()), asked.config)
    lifecycle.check_identity(call.kind, call.namespace, call.target.name, asked.config)
    applier = managed.applier(call.kind, manager, "scale", APPLY, core.now())
    scaled = check(asked.config)
    preconditions = {key: scaled["metadata"][key] for key in ("uid", "resourceVersion") if key in scaled["metadata"]}
    config: Obj = {"metadata": preconditions}
    replicas = (scaled.get("spec") or {}).get("replicas")
    if replicas is not None:
        config |= _nested(managed.replicas_path(call.kind), replicas)
    return await _update(
        core, call, lambda live: merged(applier, asked, live, config), replace(asked, manager=manager), options, ""
    )


def _nested(path: tuple[str, ...], value: Any) -> Obj:
    for name in reversed(path):
        value = {name: value}
    found: Obj = value
    return found
