"""Restoring over a store that is there: whole or not at all, and never under a server that has it open."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsim.store.backup import LEAP, read_backup, restore_file, write_backup
from netsim.store.database import Database
from netsim.store.types import Item, Unavailable

KEPT, LATE = Item("/registry/a", b"kept", 3, 2), Item("/registry/b", b"late", 5, 5)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_store_is_replaced_and_nothing_of_it_stays(tmp_path: Path) -> None:
    backup, target = tmp_path / "backup", tmp_path / "store.db"
    write_backup(backup, [KEPT], 4)
    write_backup(target, [KEPT, LATE], 2 * LEAP)
    revision = restore_file(backup, target)
    assert revision > 2 * LEAP
    assert read_backup(target) == ([KEPT], revision)
    assert names(tmp_path) == {"backup", "store.db", "store.db.lock"}


def test_a_store_is_made_where_there_is_none(tmp_path: Path) -> None:
    write_backup(tmp_path / "backup", [KEPT], 4)
    assert restore_file(tmp_path / "backup", tmp_path / "store.db") == 4 + LEAP
    assert read_backup(tmp_path / "store.db") == ([KEPT], 4 + LEAP)


def test_a_store_in_use_is_left_alone(tmp_path: Path) -> None:
    backup, target = tmp_path / "backup", tmp_path / "store.db"
    write_backup(backup, [KEPT], 4)
    write_backup(target, [LATE], 5)
    server = Database(target)
    with pytest.raises(Unavailable, match="stop that one first"):
        restore_file(backup, target)
    assert list(server.load()[1]) == [LATE.key]
    server.close()


def test_nobody_can_open_the_store_before_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, replaced = tmp_path / "store.db", []
    write_backup(tmp_path / "backup", [KEPT], 4)

    def replace(old: Path, new: Path) -> None:
        with pytest.raises(Unavailable, match="in use"):
            Database(target)
        replaced.append(old.rename(new))

    monkeypatch.setattr("netsim.store.database.os.replace", replace)
    restore_file(tmp_path / "backup", target)
    assert replaced == [target]


def test_of_a_backup_that_fails_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        write_backup(tmp_path / "backup", [KEPT, KEPT], 4)
    assert names(tmp_path) == set()
