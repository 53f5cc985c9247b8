"""The API server as one handler: authenticate, authorise, dispatch, answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from netsim.api import errors, kinds
from netsim.api.errors import StatusError
from netsim.http.types import Request, Response
from netsim.server import components, freshness, metrics, paths, reads, reviews, subresources, watch, writes
from netsim.server.authn import effective_user
from netsim.server.authz import Authorizer
from netsim.server.backup import PATH as BACKUP
from netsim.server.backup import serve_backup
from netsim.server.bootstrap import bootstrap, service_address
from netsim.server.claims import Claims
from netsim.server.codec import Decoder
from netsim.server.core import Call, Clock, Core, DialNode, Rand, ServerConfig
from netsim.server.crd_control import Definitions
from netsim.server.custom import check_open, version_warning, warn_of_version
from netsim.server.housekeeping import Housekeeper
from netsim.server.hub import Hub
from netsim.server.negotiate import choose_format, error_format
from netsim.server.pki import Pki, ensure_pki
from netsim.server.removed import refuse_removed
from netsim.server.requests import CONNECTS, Target, parse_target
from netsim.server.responses import error_response
from netsim.server.services import ServiceAllocators
from netsim.server.shown import show, wants_indented
from netsim.server.tokens import TokenSigner
from netsim.server.upkeep import Upkeep
from netsim.server.views import shown_refusal
from netsim.store.types import Store, Unavailable

log = logging.getLogger(__name__)

_SHAPES = ("Table", "PartialObjectMetadata")
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_COMPUTED: dict[kinds.Kind, Callable[[Core, Call], Awaitable[Response]]] = {
    **dict.fromkeys(metrics.KINDS, metrics.serve),
    kinds.COMPONENT_STATUSES: components.serve,
    kinds.BINDINGS: subresources.bind,
}
_PLAIN = ("", "status", "binding")
_UNACCOUNTED = frozenset((kinds.PODS, kinds.NODES, kinds.LEASES, kinds.EVENTS))
_STREAMING = CONNECTS | {"log"}
_ONE_OBJECT: dict[str, Callable[[Core, Call], Awaitable[Response]]] = {
    "get": reads.get_object,
    "update": writes.update,
    "patch": writes.patch_object,
    "delete": writes.delete,
}
_COLLECTION: dict[str, Callable[[Core, Call], Awaitable[Response]]] = {
    "list": reads.list_objects,
    "watch": watch.watch_objects,
    "create": writes.create,
    "deletecollection": writes.delete_collection,
}


class ApiServer:
    """The handler. `start` must have run before requests come; `close` ends all watches.

    `clock` gives the time now, `rand(n)` an index below n (unpredictable: names, uids, addresses),
    `dial_node(host, port)` a connected socket to a node's kubelet.
    """

    def __init__(self, store: Store, config: ServerConfig, *, clock: Clock, rand: Rand, dial_node: DialNode) -> None:
        self.store, self.config = store, config
        self._clock, self._rand, self._dial = clock, rand, dial_node
        self.core: Core | None = None
        self._housekeeper: Housekeeper | None = None
        self._upkeep: Upkeep | None = None
        self._hub: Hub | None = None
        self._definitions: Definitions | None = None

    @property
    def pki(self) -> Pki:
        """The lab's keys; there once `start` has run."""
        return self._ready().pki

    def _ready(self) -> Core:
        if self.core is None:
            raise errors.unavailable("the API server is starting")
        return self.core

    async def start(self) -> None:
        """Load or make the keys, restore the allocators, bootstrap the cluster's own objects."""
        config = self.config
        names = (config.advertise_address, *config.names, service_address(config))
        pki = await asyncio.to_thread(ensure_pki, config.pki_dir, names, domain=config.cluster_domain)
        decoder = Decoder()
        claims = Claims(self.store) if self.store.shared else None
        core = Core(
            self.store, config, self._clock, self._rand, self._dial, Hub(self.store), pki,
            TokenSigner(pki.service_account_key, config.issuer), Authorizer(self.store, decoder),
            ServiceAllocators(config.service_cidr.split(","), config.node_ports, self._rand, claims), decoder,
        )  # fmt: skip
        self._hub = core.hub
        await core.hub.start()
        for problem in core.services.restore(await core.objects(kinds.SERVICES)):
            log.error("allocator repair: %s", problem)
        upkeep = Upkeep(core)
        await upkeep.check()
        await bootstrap(core)
        self._definitions = Definitions(core)
        await self._definitions.start()
        self._housekeeper = Housekeeper(core)
        await self._housekeeper.start()
        self._upkeep = upkeep
        await upkeep.start()
        self.core = core

    async def close(self) -> None:
        """End the watches and the server's own controllers. The store stays open."""
        if self._definitions is not None:
            await self._definitions.close()
        if self._upkeep is not None:
            await self._upkeep.close()
        if self._housekeeper is not None:
            await self._housekeeper.close()
        if self._hub is not None:
            await self._hub.close()
        self.core = None

    async def __call__(self, request: Request) -> Response:
        core = self.core
        if core is None:
            return error_response(errors.unavailable("the API server is starting"))
        warnings: list[str] = []
        target = parse_target(request, core.registry)
        core.traffic.begin(request)
        try:
            response = await self._answer(core, request, target, warnings)
        except Exception as error:
            response = error_response(refusal_of(request, error), warnings, error_format(request.header("accept")))
        finally:
            core.traffic.end(request)
        core.traffic.count(request, target, response.status)
        if target.path.startswith("/api") and target.subresource not in _STREAMING and wants_indented(request):
            show(response)
        response.headers.append(("Audit-Id", request.header("audit-id") or core.new_audit_id()))
        return response

    async def _answer(self, core: Core, request: Request, target: Target, warnings: list[str]) -> Response:
        user = await effective_user(core, request)
        call = Call(request, target, user, warnings=warnings)
        await core.authorizer.check(user, target)
        if not target.is_resource:
            return await (serve_backup(core) if request.path == BACKUP else paths.serve(core, call))
        refuse_removed(target)
        if target.group and target.kind is None and not core.registry.has_group(target.group):
            return paths.not_found()
        if target.kind is not None and version_warning(target.kind):
            return await self._warned(core, call)
        return await self._served(core, call)

    async def _warned(self, core: Core, call: Call) -> Response:
        """What is answered in a deprecated version says so, be it a refusal."""
        try:
            return warn_of_version(call.kind, await self._served(core, call))
        except StatusError:
            call.warnings.append(version_warning(call.kind))
            raise

    async def _served(self, core: Core, call: Call) -> Response:
        request, target = call.request, call.target
        if target.subresource not in _STREAMING:  # whose answers are not ours to choose a format for
            call.format = choose_format(request.header("accept"), _SHAPES)
        if target.verb in _WRITES and target.subresource not in _STREAMING and not _is_one_write(target):
            # a client that hangs up must not leave a write half accounted for
            return await asyncio.shield(asyncio.ensure_future(freshness.answer(core, call, dispatch)))
        return await freshness.answer(core, call, dispatch)


def _is_one_write(target: Target) -> bool:
    """Whether a request comes to a single write to the store, with nothing to be done after it: it may break off
    anywhere, and does without a task of its own. What quotas are charged is theirs to account for."""
    return target.kind in _UNACCOUNTED and target.subresource in _PLAIN and target.verb != "deletecollection"


def refusal_of(request: Request, error: Exception) -> StatusError:
    """The Status for an error: refusals as they are, everything unforeseen logged and a 500."""
    if isinstance(error, StatusError):
        return error
    if isinstance(error, Unavailable):
        log.error("%s %s: %s", request.method, request.path, error)
        return errors.unavailable(f"the database failed: {error}")
    log.error("%s %s", request.method, request.path, exc_info=error)
    return errors.internal(f"{type(error).__name__}: {error}")


async def dispatch(core: Core, call: Call) -> Response:
    """Answer an authorised request for a resource."""
    target, kind = call.target, call.kind
    if call.request.method == "HEAD" and target.subresource != "proxy":
        raise errors.method_not_allowed()
    if target.verb == "watch":
        watch.check_path(call)
    if target.subresource:
        return await subresources.serve(core, call)
    if target.verb not in kind.verbs and not (target.verb == "watch" and "list" in kind.verbs):
        raise errors.method_not_allowed()
    _check_scope(target)
    check_open(kind, target.verb, core.registry.closed)
    if kind in _COMPUTED:
        return await _COMPUTED[kind](core, call)
    if not kind.stored:
        return await reviews.review(core, call)
    if target.name and target.verb == "watch":
        return await watch.watch_objects(core, call)
    handler = (_ONE_OBJECT if target.name else _COLLECTION).get(target.verb)
    if handler is None:
        raise errors.method_not_allowed()
    try:
        return await handler(core, call)
    except StatusError as refusal:
        raise shown_refusal(kind, refusal) from None


def _check_scope(target: Target) -> None:
    """405 for writing namespaced kinds without a namespace; 404 for one by name, and for others with a namespace."""
    kind = target.kind
    if kind is None:
        raise errors.no_such_resource()
    if kind.namespaced and not target.namespace and (target.name or target.verb in _WRITES):
        raise errors.no_such_resource() if target.name else errors.method_not_allowed()
    if not kind.namespaced and target.namespace and kind is not kinds.NAMESPACES:
        raise errors.no_such_resource()
