"""The first thing a newcomer runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(300)
def test_the_demo_shows_what_it_says(tmp_path: Path):
    if not Path("/usr/local/bin/netsim").exists():
        pytest.skip("netsim is not installed; scripts/test installs it")
    done = subprocess.run(
        [ROOT / "scripts" / "demo", "--down"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Lab `demo` is gone." in done.stdout
