"""Where a control plane keeps its objects: `--store` and what goes with it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from netsim.cli.fault import Fault
from netsim.store.etcd_config import EtcdConfig
from netsim.store.sqlite import SqliteStore
from netsim.store.types import Store, Unavailable

USER_VARIABLE = "NETSIM_ETCD_USER"
_DEFAULT_PORT = 2379

StoreUrl = Annotated[
    str,
    typer.Option(
        "--store", metavar="URL", help="etcd://HOST[:PORT][,…], or etcds:// with TLS (default: own database)."
    ),
]
CaFile = Annotated[str, typer.Option("--etcd-cafile", metavar="FILE", help="CA that signed etcd's certificate.")]
CertFile = Annotated[str, typer.Option("--etcd-certfile", metavar="FILE", help="Certificate to show to etcd.")]
KeyFile = Annotated[str, typer.Option("--etcd-keyfile", metavar="FILE", help="The key of that certificate.")]
UserFile = Annotated[
    str,
    typer.Option("--etcd-userfile", metavar="FILE", help=f"File with USER:PASSWORD for etcd (or ${USER_VARIABLE})."),
]


def parse_store(
    url: str, ca_file: str = "", cert_file: str = "", key_file: str = "", user_file: str = ""
) -> EtcdConfig | None:
    """The etcd that the options name; None for the lab's own SQLite database. Raises Fault."""
    if not url:
        if ca_file or cert_file or key_file or user_file:
            raise Fault("--etcd-…: these options go with --store etcds://HOST:PORT")
        return None
    scheme, _, rest = url.partition("://")
    hosts, _, path = rest.partition("/")
    if scheme not in ("etcd", "etcds") or not hosts or "?" in url or "#" in url:
        raise Fault(f"--store {url}: give etcd://HOST:PORT[,HOST:PORT], etcds:// for TLS, or leave it out")
    if "@" in hosts:
        raise Fault(f"--store: no password in an address; put USER:PASSWORD into --etcd-userfile or ${USER_VARIABLE}")
    secure = scheme == "etcds"
    if (ca_file or cert_file or key_file) and not secure:
        raise Fault(f"--store {url}: certificates are for TLS; write etcds://")
    if bool(cert_file) != bool(key_file):
        raise Fault("--etcd-certfile and --etcd-keyfile go together")
    endpoints = tuple(_endpoint(url, host, secure) for host in hosts.split(","))
    user, _, password = _credentials(user_file).partition(":")
    ca, certificate, key = (os.path.abspath(name) if name else "" for name in (ca_file, cert_file, key_file))
    return EtcdConfig(endpoints, f"/{path}".rstrip("/"), ca, certificate, key, user, password)


def _endpoint(url: str, host: str, secure: bool) -> str:
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        raise Fault(f"--store {url}: {host}: the port is no number, or the address is none") from None
    if not parts.hostname:
        raise Fault(f"--store {url}: an empty host; give HOST:PORT")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{'https' if secure else 'http'}://{name}:{port}"


def _credentials(user_file: str) -> str:
    if not user_file:
        return os.environ.get(USER_VARIABLE, "")
    try:
        text = Path(user_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"--etcd-userfile {user_file}: {error}") from None
    if ":" not in text:
        raise Fault(f"--etcd-userfile {user_file}: its one line must be USER:PASSWORD")
    return text


def check_store(etcd: EtcdConfig | None) -> None:
    """Ask etcd once, before anything is made that needs it. Raises Fault when no endpoint answers as it should."""
    if etcd is None:
        return
    try:
        asyncio.run(_ask_once(etcd))
    except Unavailable as error:
        raise Fault(f"--store: {error}; start etcd, or mend the address, certificates or user") from None


async def _ask_once(etcd: EtcdConfig) -> None:
    from netsim.store.etcd_client import EtcdClient, EtcdLost

    client = EtcdClient(etcd)
    try:
        for left in reversed(range(len(etcd.endpoints))):  # a failed one makes way for the next
            try:
                await client.ask("kv/range", b'{"key":"AA==","keys_only":true}')
                return
            except EtcdLost:
                if not left:
                    raise
    finally:
        await client.close()


async def open_store(database: str, etcd: EtcdConfig | None) -> Store:
    """Open the store of a control plane. Raises Unavailable."""
    if etcd is None:
        return await SqliteStore.open(database)
    from netsim.store.etcd import EtcdStore

    return await EtcdStore.open(etcd)
