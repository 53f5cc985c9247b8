"""Whether a directory is empty, of which the first entries alone are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsim.host.mount import _is_empty


@pytest.mark.parametrize("name", ["a", "...", ".x", "n" * 255])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_one_name_of_any_length_is_seen(tmp_path: Path, name: str, count: int) -> None:
    assert _is_empty(str(tmp_path))
    made = [tmp_path / f"{number:02}{name}"[:255] if number else tmp_path / name for number in range(count)]
    for path in made:
        path.touch()
    assert not _is_empty(str(tmp_path))
    for path in made:
        path.unlink()
    assert _is_empty(str(tmp_path))


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _is_empty(str(tmp_path / "none"))
