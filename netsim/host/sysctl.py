"""Kernel settings under /proc/sys; net.* are those of the calling thread's network namespace."""

from __future__ import annotations

import os

ROOT = "/proc/sys/"
MAX_SIZE = 4096  # the kernel gives a value in one piece


def path_of(name: str) -> str:
    """File of a setting; "net.ipv4.conf.eth0/100.rp_filter" names interface eth0.100, as in sysctl(8) (pure)."""
    if name.startswith(("/", ".")) or "//" in name or any(part in ("", "..") for part in name.split(".")):
        raise ValueError(f"{name!r} is not the name of a kernel setting, such as net.ipv4.ip_forward")
    return ROOT + name.translate(str.maketrans("./", "/."))


def read_sysctl(name: str) -> str:
    """Value without its newline; FileNotFoundError when the kernel has no such setting."""
    # /proc/sys/net follows the calling thread, as /proc/thread-self/net does, for opens made by it.
    fd = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, MAX_SIZE).decode("ascii").strip()
    finally:
        os.close(fd)


def write_sysctl(name: str, value: str | int) -> None:
    """Set a value; FileNotFoundError when the kernel has no such setting, OSError when it refuses the value."""
    with open(path_of(name), "w", encoding="ascii") as file:
        file.write(f"{value}\n")


def ensure_sysctl(name: str, value: str | int) -> bool:
    """Set a value unless it is set already; whether it was changed."""
    if read_sysctl(name) == str(value):
        return False
    write_sysctl(name, value)
    return True
