"""Creating and changing stored objects: defaults, admission, validation, allocation, the write, what follows it.

Nothing here knows HTTP. A dry run goes the whole way but for the write, and gives everything back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import orjson

from netsim.api import errors, kinds
from netsim.api.defaults import set_defaults, set_pod_defaults
from netsim.api.errors import Cause, bad_request
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import deletion_timestamp
from netsim.api.pod_defaults import qos_class
from netsim.api.validate_metadata import given_deletion, given_uid
from netsim.api.validation import validate_create, validate_update
from netsim.server import admission, admission_rbac, csr, managed, quota, roles, strategy
from netsim.server.admission_security import admit_secure
from netsim.server.codec import encode, key_of, shown_key
from netsim.server.core import Core
from netsim.server.managed import SERVER, Manager
from netsim.server.pod_specs import SPECS
from netsim.server.rbac import User
from netsim.server.service_values import carry_over
from netsim.server.services import Reservation
from netsim.store.types import Item, KeyExists, RevisionMismatch

_NAME_TRIES = 8
_WRITE_TRIES = 64
_OWN_RULES = ("binding", "ephemeralcontainers", "resize")  # which change what an ordinary update of a pod may not

Change = Callable[[Obj], Obj]
"""From the present object, which is shared and stays untouched, to the wanted one."""


class Outcome(NamedTuple):
    """A write's result: the object, the stored item unless it was a dry run or the object is gone, what a changed
    object was before, and what admission warns its author of."""

    obj: Obj
    item: Item | None = None
    removed: bool = False
    old: Obj | None = None
    warnings: Sequence[str] = ()

    def body(self, core: Core, kind: Kind) -> bytes:
        """JSON of the object."""
        return core.wire(kind, self.item) if self.item is not None else orjson.dumps(self.obj)


def _check_new(obj: Obj) -> None:
    metadata = obj["metadata"]
    # Kubernetes overlooks what is no number, and answers 500 to what is one, though the mistake is the client's.
    if str(metadata.get("resourceVersion") or "0").strip("0").isdecimal():
        raise bad_request("resourceVersion should not be set on objects to be created")


def check_identity(kind: Kind, namespace: str, name: str, obj: Obj) -> None:
    """400 when the body's namespace or name contradicts the URL. A namespace of what is in none is overlooked."""
    found = obj["metadata"].get("namespace")
    if kind.namespaced and found and found != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    given = obj["metadata"].get("name")
    if name and given and given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def check_named(name: str, obj: Obj) -> None:
    """400 when the body of a change does not say its object's name."""
    if not (obj.get("metadata") or {}).get("name"):
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")


def check_uid(kind: Kind, patched: Obj, old: Obj) -> None:
    """422 when a patch says another uid. A replacement that does is held to mean another object: that is a 409."""
    _refuse(kind, old["metadata"]["name"], list(given_uid(patched, old)))


async def create_object(
    core: Core, kind: Kind, namespace: str, obj: Obj, user: User, *, dry_run: bool = False, manager: Manager = SERVER
) -> Outcome:
    """Create an object of `kind` (complete, with metadata) as `manager`'s; raises StatusError."""
    check_identity(kind, namespace, "", obj)
    given, prefix = (obj["metadata"].get(field) or "" for field in ("name", "generateName"))
    if kind is kinds.LIMIT_RANGES and not prefix:
        given = given or core.new_uid()
    if kind.namespaced:
        await admission.check_namespace(core, kind, namespace, given or prefix)
    _check_new(obj)
    for attempt in range(1 if given else _NAME_TRIES):
        name = given or (core.new_name(prefix) if prefix else "")  # without either, all that is wrong is told
        try:
            return await _create_once(core, kind, namespace, name, obj, user, dry_run, manager)
        except KeyExists:
            if given or attempt == _NAME_TRIES - 1:
                found = await core.find(kind, namespace if kind.namespaced else "", name)
                leaving = found is not None and deletion_timestamp(found) is not None
                raise errors.already_exists(kind, name, leaving=leaving) from None
    raise errors.internal("no name was tried")


async def _create_once(
    core: Core, kind: Kind, namespace: str, name: str, obj: Obj, user: User, dry_run: bool, manager: Manager
) -> Outcome:
    stamp = strategy.Stamp(name, core.new_uid(), core.now())
    new = strategy.prepare_create(kind, obj, namespace, stamp)
    new = SPECS.with_defaults(new) if kind is kinds.PODS else set_defaults(kind, new)
    entries = managed.after_create(kind, obj, new, manager, stamp.now)
    new = managed.with_entries(await admission.admit_create(core, kind, new, user), entries)
    _refuse(kind, name, SPECS.problems(new) if kind is kinds.PODS else validate_create(kind, new))
    warnings = await admit_secure(core, kind, new, None)
    key = key_of(kind, namespace, name)
    if dry_run and await core.store.get(key) is not None:
        raise KeyExists(key)
    new, reservation = await _reserve(core, kind, new, None, dry_run)
    if dry_run:
        reservation.undo()
        await quota.check(core, kind, namespace, new, None)
        return Outcome(new, warnings=warnings)
    write = quota.held(core, kind, namespace, new, None, lambda: core.store.create(key, encode(kind, new)))
    item = await _reserved_write(reservation, write)
    await _after_write(core, kind, new)
    return Outcome(with_version(new, item.revision), item, warnings=warnings)


def with_version(obj: Obj, revision: int) -> Obj:
    """The object with that resourceVersion."""
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}


def _refuse(kind: Kind, name: str, causes: list[Cause]) -> None:
    if causes:
        raise errors.invalid(kind, name, causes)


async def _reserve(core: Core, kind: Kind, new: Obj, old: Obj | None, dry_run: bool) -> tuple[Obj, Reservation]:
    if kind is not kinds.SERVICES:
        return new, Reservation()
    return await core.services.secure(new, old, dry_run=dry_run)


async def _reserved_write(reservation: Reservation, write: Awaitable[Item]) -> Item:
    try:
        item = await write
    except BaseException:
        reservation.undo()
        raise
    reservation.commit()
    return item


async def _after_write(core: Core, kind: Kind, obj: Obj) -> None:
    if kind.group == roles.GROUP:
        core.authorizer.invalidate()
    elif kind is kinds.NAMESPACES and deletion_timestamp(obj) is None:
        await core.furnish_namespace(obj["metadata"]["name"])


class Request(NamedTuple):
    """A change on its way: who makes it, through which subresource, as which manager, and whether only to see."""

    user: User
    sub: str = ""
    dry_run: bool = False
    manager: Manager = SERVER


async def update_object(
    core: Core, kind: Kind, namespace: str, name: str, change: Change, user: User, *, sub: str = "",
    dry_run: bool = False, manager: Manager = SERVER,
) -> Outcome:  # fmt: skip
    """Change an object with `change`, tried anew when somebody else was faster, unless the wanted object names a
    resourceVersion: then that is a 409. Writes that change nothing are no writes."""
    request = Request(user, sub, dry_run, manager)
    for _ in range(_WRITE_TRIES):
        item = await core.item(kind, namespace, name)
        try:
            return await _update_once(core, kind, item, change, request)
        except RevisionMismatch:
            continue
    raise errors.conflict(kind, name)


async def _update_once(core: Core, kind: Kind, item: Item, change: Change, request: Request) -> Outcome:
    old = core.decoder.whole(item)
    entries = managed.entries_of(old)
    wanted = change(old)
    kept = strategy.as_kept(kind, old, wanted)
    if kept is not old:
        old, wanted = kept, change(kept)
    name, sub = old["metadata"]["name"], request.sub
    _check_preconditions(kind, item, wanted, old)
    new = strategy.prepare_update(kind, wanted, old, sub)
    if kind is kinds.PODS and sub == "status":
        admission.check_node_labels(new, old, request.user)
    if kind is kinds.SERVICES and not sub:
        new = carry_over(new, old)
    if kind is kinds.PERSISTENT_VOLUMES and sub:
        new = strategy.with_phase_time(new, old, core.now())
    if kind is kinds.CERTIFICATE_SIGNING_REQUESTS and sub:
        new = csr.with_times(new, old, core.now())
    new = with_version(_with_defaults(kind, new, old, sub), item.revision)
    if kind.group == roles.GROUP and not strategy.same_object(new, old):
        await admission_rbac.check_escalation(core, kind, new, request.user)
    if kind is kinds.CERTIFICATE_SIGNING_REQUESTS and sub == "approval":
        await admission.check_approval(core, new, old, request.user)
    if not sub:
        await admission.check_update(core, kind, new)
    if sub not in _OWN_RULES:
        _refuse(kind, name, [*given_deletion(wanted, old), *validate_update(kind, new, old, sub)])
    warnings = await admit_secure(core, kind, new, old, sub)
    given = wanted["metadata"].get("managedFields")
    after = managed.after_change(kind, entries, given, old, new, request.manager, sub, core.now())
    new, reservation = await _reserve(core, kind, managed.with_entries(new, after), old, request.dry_run)
    if after == entries and strategy.same_object(new, old):
        reservation.undo()
        return Outcome(old, item, old=old)
    outcome = await _write(core, kind, item, old, new, reservation, dry_run=request.dry_run)
    return outcome._replace(old=old, warnings=warnings)


def _with_defaults(kind: Kind, new: Obj, old: Obj, sub: str) -> Obj:
    """As `set_defaults`, for what was `old` and has had its defaults then. A pod's spec, by far its larger part, hardly
    ever changes; where it is equal it is taken from `old`, so that all that follows sees it to be the same at once. A
    binding adds a node's name to it, which no default depends on."""
    if kind is kinds.PODS and (sub == "binding" or new.get("spec") == old.get("spec")):
        spec = new["spec"] if sub == "binding" else old["spec"]
        return set_pod_defaults(new, spec, (new.get("status") or {}).get("qosClass") or qos_class(spec))
    return set_defaults(kind, new)


async def _write(
    core: Core, kind: Kind, item: Item, old: Obj, new: Obj, reservation: Reservation, *, dry_run: bool
) -> Outcome:
    namespace = new["metadata"].get("namespace", "")
    if dry_run:
        reservation.undo()
        await quota.check(core, kind, namespace, new, old)
        return Outcome(new)
    if may_vanish(kind, new):
        reservation.undo()
        return await remove(core, kind, item, with_version(new, item.revision))
    body = encode(kind, new)
    write = quota.held(core, kind, namespace, new, old, lambda: core.store.update(item.key, body, item.revision))
    written = await _reserved_write(reservation, write)
    if kind.group == roles.GROUP:
        core.authorizer.invalidate()
    tell_decoder(core, kind, (item, old), (written, new))
    return Outcome(with_version(new, written.revision), written)


def tell_decoder(core: Core, kind: Kind, *known: tuple[Item, Obj]) -> None:
    """Spare watchers the decoding of a pod before and after a change: each agent's looks at the node it is on."""
    if kind is kinds.PODS:
        for item, obj in known:
            core.decoder.hand_over(item, obj)


def _check_preconditions(kind: Kind, item: Item, wanted: Obj, old: Obj) -> None:
    metadata, name, uid = wanted["metadata"], old["metadata"]["name"], old["metadata"]["uid"]
    check_meant(kind, item.key, name, metadata.get("uid") or "", uid)
    if metadata.get("resourceVersion") and metadata["resourceVersion"] != str(item.revision):
        raise errors.conflict(kind, name)


def check_meant(kind: Kind, key: str, name: str, wanted: str, found: str) -> None:
    """409 when a write is meant for another object of that name ("": for whichever there is) than the one `found`."""
    if wanted in ("", found):
        return
    why = (
        f"StorageError: invalid object, Code: 4, Key: {shown_key(kind, key)}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )
    raise errors.conflict(kind, name, why)


def may_vanish(kind: Kind, obj: Obj) -> bool:
    """Whether an object marked as deleted has nothing left to wait for: no finalizer, no grace (pods), and for a
    namespace no spec.finalizers."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if kind is kinds.PODS:
        return not metadata.get("deletionGracePeriodSeconds")
    return kind is not kinds.NAMESPACES or not (obj.get("spec") or {}).get("finalizers")


async def remove(core: Core, kind: Kind, item: Item, last: Obj) -> Outcome:
    """Delete the stored object and give back what it held; raises RevisionMismatch when it has changed meanwhile.
    `last` is the object to answer with."""
    revision = await core.store.delete(item.key, item.revision)
    if kind is kinds.SERVICES:
        core.services.release(core.decoder(item))
    core.decoder.drop(item.key)
    if kind.group == roles.GROUP:
        core.authorizer.invalidate()
    return Outcome(with_version(last, revision), removed=True)
