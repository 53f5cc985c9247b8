"""What a lab takes of the machine's memory: its processes' share, and the kernel's."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from lab import Lab

_KERNEL = ("Slab", "KernelStack", "PageTables", "Percpu", "Shmem")
_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = 0.2


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB of the lab's processes (proportional set size, by role), and of the kernel as a whole."""

    processes: dict[str, float]
    kernel: dict[str, float]

    def since(self, before: Memory) -> Memory:
        grown = {name: kib - before.processes.get(name, 0.0) for name, kib in self.processes.items()}
        return Memory(grown, {name: kib - before.kernel[name] for name, kib in self.kernel.items()})

    @property
    def total_kib(self) -> float:
        return sum(self.processes.values()) + sum(self.kernel.values())

    def parts(self) -> dict[str, float]:
        return {**{f"kernel {name}": kib for name, kib in self.kernel.items()}, **self.processes}


def read_memory(lab: Lab) -> Memory:
    """The memory now. The kernel's is that of the machine: on one with other work it is known as well as that lets."""
    processes: dict[str, float] = {}
    for title, mib in lab.pss().items():
        role = _role(title)
        processes[role] = processes.get(role, 0.0) + 1024 * mib
    with open("/proc/meminfo", encoding="ascii") as file:
        facts = {line.split(":")[0]: float(line.split()[1]) for line in file}
    return Memory(processes, {name: facts.get(name, 0.0) for name in _KERNEL})


def _role(title: str) -> str:
    """ "server", "node", "workloads" … of a process title such as "4711 netsim node node-1"; else the program."""
    words = title.split()[1:]
    return words[1] if words[:1] == ["netsim"] and len(words) > 1 else (words or ["ended"])[0]


def settle(lab: Lab, longest: float = 90.0) -> None:
    """Wait until the lab's processes have nothing more to do (events are still written for a while), not for ever."""
    deadline, last = time.monotonic() + longest, _cpu(lab)
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        time.sleep(1.0)
        now = _cpu(lab)
        quiet, last = (quiet + 1 if now - last < _IDLE else 0), now


def _cpu(lab: Lab) -> float:
    """CPU seconds of the lab's living processes."""
    total = 0.0
    for pid in lab.pids():
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total
