"""Running a command: argument lists only, always with a time limit, never a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Debian package of each command we run.
PACKAGES = {
    "iptables": "iptables",
    "iptables-save": "iptables",
    "iptables-restore": "iptables",
    "ip6tables": "iptables",
    "ip6tables-save": "iptables",
    "ip6tables-restore": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "bridge": "iproute2",
    "tc": "iproute2",
    "runc": "runc",
    "conmon": "conmon",
    "ping": "iputils-ping",
    "dig": "bind9-dnsutils",
    "nslookup": "bind9-dnsutils",
    "curl": "curl",
    "skopeo": "skopeo",
    "tcpdump": "tcpdump",
}


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended."""

    returncode: int
    stdout: bytes
    stderr: bytes


class CommandFailed(Exception):
    """A command ended with a status other than 0, or did not end in time (returncode -1)."""

    def __init__(self, argv: Sequence[str], returncode: int, stderr: bytes | str) -> None:
        text = stderr if isinstance(stderr, str) else stderr.decode(errors="replace")
        super().__init__(f"{' '.join(argv)}: status {returncode}: {text.strip() or 'no message'}")
        self.argv = list(argv)
        self.returncode = returncode
        self.stderr = text


class CommandMissing(Exception):
    """A command is not installed."""

    def __init__(self, command: str) -> None:
        package = PACKAGES.get(command)
        mend = f"install it with: apt-get install {package}" if package else "put it on PATH"
        super().__init__(f"command {command!r} not found: {mend}")
        self.command = command
        self.package = package


def run(
    argv: Sequence[str],
    *,
    input: bytes | None = None,
    timeout: float = 10.0,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Completed:
    """Run a command in the calling thread's namespaces and wait for its end, at most `timeout` seconds.

    With `quiet`, what it prints on standard output is thrown away.
    Raises CommandMissing, CommandFailed (time out, or with `check` a status other than 0).
    """
    try:
        done = subprocess.run(
            list(argv),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=False,
            env=None if env is None else dict(env),
        )
    except FileNotFoundError:
        raise CommandMissing(argv[0]) from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(argv, -1, f"no end within {timeout:g} s") from None
    if check and done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr)
    return Completed(done.returncode, done.stdout or b"", done.stderr)
