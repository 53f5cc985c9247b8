"""A process's own mounts are seen by nobody else."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.root
SCRIPT = """
from netsim.host import private
private.own_mounts()
private.replace_file("/etc/hostname", "elsewhere\\n")
print(open("/etc/hostname").read(), end="")
"""
# Everything is shared so that others would see a change. Mounts of labs that end meanwhile may go; none may come.
HOST = """
mount --make-rshared /
before=$(cat /etc/hostname) mounts=$(cat /proc/self/mountinfo)
"$@"
[ "$(cat /etc/hostname)" = "$before" ]
! grep -vxFe "$mounts" /proc/self/mountinfo >&2
"""


def test_a_replaced_file_is_replaced_for_this_process_only():
    host = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-ec", HOST, "-"]
    done = subprocess.run([*host, sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "elsewhere\n"), done.stderr
