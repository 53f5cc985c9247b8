"""What every handler of the API server shares: the store and the parts built over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from ssl import SSLContext
from typing import TYPE_CHECKING, NamedTuple

from netsim.api import errors
from netsim.api.kinds import Kind, Obj
from netsim.api.names import SUFFIX_ALPHABET, generate_name
from netsim.api.times import format_time
from netsim.http.types import Request
from netsim.server.codec import Decoder, key_of, prefix_of, stored_kind, wire
from netsim.server.hub import Hub
from netsim.server.listcache import ListCache
from netsim.server.negotiate import JSON, Format
from netsim.server.rbac import User
from netsim.server.registry import Registry
from netsim.server.requests import Target
from netsim.server.traffic import Traffic
from netsim.server.views import shown_bytes
from netsim.store.types import Item, Store

if TYPE_CHECKING:
    from netsim.server.authz import Authorizer
    from netsim.server.pki import Pki
    from netsim.server.services import ServiceAllocators
    from netsim.server.tokens import TokenSigner

Clock = Callable[[], datetime]
Rand = Callable[[int], int]
DialNode = Callable[[str, int], Awaitable[socket]]
_VERSION_4 = 0x4 << 76 | 0x8 << 60
_RANDOM_BITS = (1 << 128) - 1 ^ (0xF << 76 | 0xC << 60)


@dataclass(frozen=True, slots=True)
class Listener:
    """An open, listening socket and how to serve on it: with TLS, or `trusted` (its peers are system:masters)."""

    socket: socket
    tls: bool = True
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Everything the API server is told. Addresses are text; the node port range is inclusive.

    `advertise_address` and `advertise_port` are the endpoint of the `kubernetes` Service; `names` are further SANs of
    the server's certificate; `issuer` is the issuer and default audience of ServiceAccount tokens.
    """

    pki_dir: Path
    advertise_address: str = "127.0.0.1"
    advertise_port: int = 6443
    service_cidr: str = "10.96.0.0/16"
    node_ports: tuple[int, int] = (30000, 32767)
    cluster_domain: str = "cluster.local"
    names: tuple[str, ...] = ()
    kubelet_port: int = 10250

    @property
    def address(self) -> str:
        """host:port of the server, as it stands in URLs."""
        host = self.advertise_address
        return f"[{host}]:{self.advertise_port}" if ":" in host else f"{host}:{self.advertise_port}"

    @property
    def issuer(self) -> str:
        return f"https://kubernetes.default.svc.{self.cluster_domain}"


class _Second(NamedTuple):
    """A second in the API's form."""

    start: datetime
    end: datetime
    text: str


_NONE = _Second(datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), "")


@dataclass(slots=True)
class Core:
    """The server's parts. Objects returned from `objects` and `find` are shared: never changed in place."""

    store: Store
    config: ServerConfig
    clock: Clock
    rand: Rand
    dial_node: DialNode
    hub: Hub
    pki: Pki
    tokens: TokenSigner
    authorizer: Authorizer
    services: ServiceAllocators
    decoder: Decoder = field(default_factory=Decoder)
    lists: ListCache = field(default_factory=ListCache)
    kubelet_tls: SSLContext | None = None
    summaries: dict[str, tuple[float, Obj]] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    traffic: Traffic = field(default_factory=Traffic)
    _second: _Second = _NONE
    _process: str = ""
    _requests: int = 0

    def now(self) -> str:
        """The API time now."""
        now = self.clock()
        second = self._second
        if not second.start <= now < second.end:  # many writes share one
            start = now.replace(microsecond=0)
            second = self._second = _Second(start, start + timedelta(seconds=1), format_time(start))
        return second.text

    def new_uid(self) -> str:
        """A random UUID (RFC 9562, version 4)."""
        text = f"{self.rand(1 << 128) & _RANDOM_BITS | _VERSION_4:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def new_audit_id(self) -> str:
        """A UUID for one request: random for the process, counted up within it."""
        self._requests += 1
        if not self._process:
            self._process = self.new_uid()[:-12]
        return f"{self._process}{self._requests:012x}"

    def new_name(self, prefix: str) -> str:
        """`prefix` with five random characters (metadata.generateName)."""
        return generate_name(prefix, self._suffix)

    def _suffix(self, length: int) -> str:
        drawn, base, text = self.rand(len(SUFFIX_ALPHABET) ** length), len(SUFFIX_ALPHABET), ""
        for _ in range(length):
            drawn, index = divmod(drawn, base)
            text += SUFFIX_ALPHABET[index]
        return text

    async def item(self, kind: Kind, namespace: str, name: str) -> Item:
        """The stored item; 404 when there is none."""
        item = await self.store.get(key_of(kind, namespace, name))
        if item is None:
            raise errors.not_found(kind, name)
        return item

    async def find(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """The object or None."""
        item = await self.store.get(key_of(kind, namespace, name))
        return None if item is None else self.decoder(item)

    async def objects(self, kind: Kind, namespace: str = "") -> list[Obj]:
        """All objects of a kind, or those of one namespace."""
        page = await self.store.list(prefix_of(kind, namespace))
        return [self.decoder(item) for item in page.items]

    async def furnish_namespace(self, name: str) -> None:
        """Give a new namespace what every namespace has."""
        from netsim.server.housekeeping import furnish_namespace

        await furnish_namespace(self, name)

    def wire(self, kind: Kind, item: Item) -> bytes:
        """The item's JSON as clients of that kind see it."""
        if stored_kind(kind) is kind:
            return wire(kind, item.value, item.revision)
        return shown_bytes(kind, self.decoder(item))


@dataclass(slots=True)
class Call:
    """One request on its way: who asks for what, and how the answer is to look. `warnings` become headers."""

    request: Request
    target: Target
    user: User
    format: Format = JSON
    warnings: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """The target's kind; 404 when nothing of that name is served."""
        if self.target.kind is None:
            raise errors.no_such_resource()
        return self.target.kind

    @property
    def namespace(self) -> str:
        return self.target.namespace if self.kind.namespaced else ""
