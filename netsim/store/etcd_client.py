"""A client of etcd's JSON gateway (`/v3/…`) over our own HTTP: several endpoints, TLS, user and password."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import cast

import orjson

from netsim.http.client import HttpClient
from netsim.http.types import Request, Response
from netsim.store.etcd_config import EtcdConfig
from netsim.store.etcd_wire import Message
from netsim.store.types import Unavailable

CONNECTIONS = 16
_TIMEOUT = 5.0
_INVALID, _OUT_OF_RANGE, _UNAUTHENTICATED = 3, 11, 16
_UNKNOWN_OUTCOME = frozenset({1, 2, 4, 10, 13, 14})
"""gRPC's CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, ABORTED, INTERNAL, UNAVAILABLE: etcd may have acted nevertheless."""


class EtcdRefused(Unavailable):
    """etcd answered with an error; nothing was changed."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"etcd: {message}")
        self.code = code

    @property
    def compacted(self) -> bool:
        """Whether the asked revision is gone (or, for a compaction, has been compacted before)."""
        return self.code == _OUT_OF_RANGE and "compacted" in str(self)


class EtcdLost(Unavailable):
    """No answer that tells whether etcd acted."""


class EtcdClient:
    """Asks one endpoint until it fails, then the next."""

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        context = _context(config)
        self._http = [
            HttpClient(endpoint, ssl=context, timeout=_TIMEOUT, connections=CONNECTIONS)
            for endpoint in config.endpoints
        ]
        self._current = 0
        self._token = ""

    async def ask(self, path: str, body: bytes) -> Message:
        """One call. Raises EtcdRefused or EtcdLost."""
        try:
            return await self._ask(path, body)
        except EtcdRefused as error:
            # Tokens end, also with the member that gave them.
            if not self._config.user or (error.code != _UNAUTHENTICATED and not _lacks_token(error)):
                raise
        await self._authenticate()
        return await self._ask(path, body)

    async def ask_all(self, path: str, body: bytes) -> list[Message]:
        """One call of every endpoint (maintenance is each member's own)."""
        await self.ask("kv/range", b'{"key":"AA==","keys_only":true}')  # for a token, if one is needed
        return [_message(await self._post(client, path, body)) for client in self._http]

    async def watch(self, body: bytes) -> AsyncIterator[list[Message]]:
        """Messages of a stream as they come, several that come together at once."""
        if self._config.user and not self._token:
            await self._authenticate()
        client = self._http[self._current]
        try:
            response = await client.stream(self._request("watch", body))
        except OSError as error:
            raise self._lost(client, error) from error
        if isinstance(response.body, bytes):
            _message(response)
            raise EtcdLost(f"etcd: watch: answer {response.status} is no stream")
        async for messages in self._messages(client, response.body):
            yield messages

    async def _messages(self, client: HttpClient, chunks: AsyncIterator[bytes]) -> AsyncIterator[list[Message]]:
        rest = b""
        try:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                if lines:
                    yield [_result(line) for line in lines if line]
        except OSError as error:
            raise self._lost(client, error) from error
        finally:
            with contextlib.suppress(AttributeError):  # an iterator that needs no closing
                await chunks.aclose()  # type: ignore[attr-defined]
        raise self._lost(client, ConnectionResetError("the watch ended"))

    async def _ask(self, path: str, body: bytes) -> Message:
        client = self._http[self._current]
        return _message(await self._post(client, path, body))

    async def _post(self, client: HttpClient, path: str, body: bytes) -> Response:
        try:
            return await client(self._request(path, body))
        except OSError as error:
            raise self._lost(client, error) from error

    def _request(self, path: str, body: bytes) -> Request:
        headers = [("authorization", self._token)] if self._token else []
        return Request("POST", f"/v3/{path}", headers=headers, body=body)

    def _lost(self, client: HttpClient, error: OSError) -> EtcdLost:
        which = self._http.index(client)
        if which == self._current:
            self._current = (which + 1) % len(self._http)
        return EtcdLost(f"etcd at {self._config.endpoints[which]} does not answer: {error or type(error).__name__}")

    async def _authenticate(self) -> None:
        credentials = {"name": self._config.user, "password": self._config.password}
        self._token = ""
        self._token = (await self._ask("auth/authenticate", orjson.dumps(credentials)))["token"]

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._http))


def _lacks_token(error: EtcdRefused) -> bool:
    return error.code == _INVALID and "user name is empty" in str(error)


def _context(config: EtcdConfig) -> ssl.SSLContext | None:
    if not any(endpoint.startswith("https:") for endpoint in config.endpoints):
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file or None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(name for name in (config.ca_file, config.cert_file, config.key_file) if name)
        raise Unavailable(f"etcd: TLS files {files}: {error}") from error
    return context


def _parsed(data: bytes) -> Message:
    try:
        return cast(Message, orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise EtcdLost(f"etcd: the answer is not JSON; is this etcd's client port? {error}") from None


def _message(response: Response) -> Message:
    body = _parsed(response.body if isinstance(response.body, bytes) else b"")
    if response.status != 200:
        _refuse(body)
    return body


def _result(line: bytes) -> Message:
    """A message of a stream."""
    body = _parsed(line)
    if "error" in body:
        error = body["error"]
        _refuse({"code": error.get("grpc_code", 2), **error} if isinstance(error, dict) else body)
    return cast(Message, body["result"])


def _refuse(body: Message) -> None:
    code, message = int(body.get("code", 2)), str(body.get("message") or body.get("error") or "unknown error")
    if code in _UNKNOWN_OUTCOME:
        raise EtcdLost(f"etcd: {message}")
    raise EtcdRefused(code, message)
