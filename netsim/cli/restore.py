"""`--restore FILE`: begin with the objects of a backup."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from netsim.cli.fault import Fault
from netsim.store.etcd_config import EtcdConfig
from netsim.store.types import StoreError

Restore = Annotated[
    str, typer.Option("--restore", metavar="FILE", help="Begin with the objects of this backup (`netsim backup`).")
]


def restore_backup(file: str, database: str, etcd: EtcdConfig | None) -> None:
    """Put a backup's objects into the store, whose servers must not run. Raises Fault."""
    from netsim.store.backup import restore_file

    try:
        if etcd is None:
            restore_file(Path(file), Path(database))
        else:
            asyncio.run(_restore_etcd(Path(file), etcd))
    except StoreError as error:
        raise Fault(f"--restore: {error}") from None


async def _restore_etcd(file: Path, etcd: EtcdConfig) -> None:
    from netsim.store.backup import restore_store
    from netsim.store.etcd import EtcdStore

    store = await EtcdStore.open(etcd)
    try:
        await restore_store(file, store)
    finally:
        await store.close()
