"""What the processes of a control group have used: CPU time and memory, from v1's or v2's files."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from netsim.host.cgroup import CgroupLayout, check_path, detect


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU nanoseconds since the group was made; memory in bytes: all that is charged to the group, and the working
    set, which leaves out the file pages that have not been used lately (as cadvisor counts it)."""

    cpu_ns: int
    memory: int
    working_set: int


def read_usage(path: str) -> Usage | None:
    """Usage of a group and those below it; None when it is not there, or the machine does not account for both."""
    layout = detect()
    try:
        return _read_v1(layout, path) if "cpuacct" in layout.controllers else _read_v2(f"{layout.tree}/{path}")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):  # ENODEV: removed after its file was opened
            return None
        raise


def oom_kills(path: str) -> int:
    """How many processes of a group the kernel has killed for want of memory; 0 for a group that is not there."""
    try:
        return parse_flat(_text(oom_file(detect(), path))).get("oom_kill", 0)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return 0
        raise


def oom_file(layout: CgroupLayout, path: str) -> str:
    """The file that counts them: v1's (and a hybrid's) memory.oom_control, v2's memory.events (pure)."""
    if "memory" in layout.controllers:
        return f"{layout.controllers['memory']}/{check_path(path)}/memory.oom_control"
    return f"{layout.tree}/{check_path(path)}/memory.events"


def _read_v1(layout: CgroupLayout, path: str) -> Usage:
    cpu = int(_text(f"{layout.controllers['cpuacct']}/{check_path(path)}/cpuacct.usage"))
    memory = f"{layout.controllers['memory']}/{path}" if "memory" in layout.controllers else ""
    if not memory:
        return Usage(cpu, 0, 0)
    used = int(_text(f"{memory}/memory.usage_in_bytes"))
    return Usage(cpu, used, working_set(used, parse_flat(_text(f"{memory}/memory.stat")).get("total_inactive_file", 0)))


def _read_v2(directory: str) -> Usage:
    cpu = parse_flat(_text(f"{directory}/cpu.stat"))["usage_usec"] * 1000
    used = int(_text(f"{directory}/memory.current"))
    return Usage(cpu, used, working_set(used, parse_flat(_text(f"{directory}/memory.stat")).get("inactive_file", 0)))


def working_set(used: int, inactive_file: int) -> int:
    """Bytes in use that the kernel could not simply drop (pure)."""
    return max(0, used - inactive_file)


def parse_flat(text: str) -> dict[str, int]:
    """Lines of "name number" by name (pure)."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
