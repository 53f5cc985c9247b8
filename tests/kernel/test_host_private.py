"""A process's own mounts are seen by nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root
SCRIPT = """
from netsim.host import private
private.own_mounts()
private.replace_file("/etc/hostname", "elsewhere\\n")
print(open("/etc/hostname").read(), end="")
"""


def test_a_replaced_file_is_replaced_for_this_process_only():
    before, mounts = Path("/etc/hostname").read_text(), Path("/proc/self/mountinfo").read_text()
    argv = ["unshare", "--net", sys.executable, "-c", SCRIPT]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "elsewhere\n"
    assert Path("/etc/hostname").read_text() == before
    assert Path("/proc/self/mountinfo").read_text() == mounts
