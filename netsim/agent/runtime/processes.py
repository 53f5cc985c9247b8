"""Real-process containers through conmon and runc. conmon holds the container, so an agent's death stops nothing.

All of a container lies in its bundle directory; its id is its name in runc, conmon, the cgroup and `exits/ID`.
Functions block: call them on a thread, except `ExitWatch`, which belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netsim.agent.model import Obj
from netsim.agent.runtime.capabilities import parse_capability_mask
from netsim.agent.runtime.storage import Storage
from netsim.host import cgroup, cgroup_usage
from netsim.host.exec import CommandFailed, CommandMissing, run

CREATE_SECONDS = 30.0
LOWEST_OOM_SCORE = -1000


class CreateFailed(Exception):
    """runc could not make or start the container; the text is runc's message."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended; `code` as a shell counts it (128 + signal)."""

    code: int
    oom: bool


def own_capabilities() -> frozenset[str]:
    """What this process may give to others: its bounding set."""
    with open("/proc/self/status", encoding="ascii") as file:
        mask = next(line.split()[1] for line in file if line.startswith("CapBnd:"))
    return parse_capability_mask(int(mask, 16))


def lowest_oom_score() -> int:
    """The lowest oom_score_adj that this process may give to others: without CAP_SYS_RESOURCE its own."""
    if "CAP_SYS_RESOURCE" in own_capabilities():
        return LOWEST_OOM_SCORE
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return int(file.read())


class Processes:
    """The real-process containers of one node; runc's and conmon's state is in `run_dir`, the rest in `storage`."""

    def __init__(self, run_dir: str, storage: Storage) -> None:
        self.storage = storage
        self.root = f"{run_dir}/runc"
        self.exits = f"{run_dir}/exits"

    def bundle(self, container: str) -> str:
        return self.storage.bundle(container)

    def create(self, container: str, config: Obj, log: str, terminal: Sequence[str] = ()) -> int:
        """Make and start a container whose bundle directory exists; its process id. Raises CreateFailed.

        `terminal` are the options of `terminal_args`.
        """
        bundle = self.bundle(container)
        os.makedirs(self.exits, exist_ok=True)
        os.makedirs(os.path.dirname(log), exist_ok=True)
        self._write_config(container, config)
        pid = self._conmon(container, [*self._conmon_args(container, bundle, log), *terminal])
        self._runc(["start", container])
        return pid

    def create_helper(self, container: str, config: Obj) -> None:
        """Make and start a container without conmon and without output: nobody waits for its end."""
        self._write_config(container, config)
        bundle, log = self.bundle(container), f"{self.bundle(container)}/runc.log"
        argv = ["runc", "--root", self.root, "--log", log, "run", "--detach", "--pid-file", f"{bundle}/pid"]
        argv += ["--bundle", bundle, container]
        # Not through `run`: the container keeps runc's output streams, and a pipe would never come to its end.
        null = subprocess.DEVNULL
        done = subprocess.run(argv, stdin=null, stdout=null, stderr=null, timeout=CREATE_SECONDS, check=False)
        if done.returncode != 0:
            with open(log, encoding="utf-8", errors="replace") as file:
                message = clean_message(file.read())
            self.remove(container)
            raise CreateFailed(message)

    def pid(self, container: str) -> int | None:
        """The first process of a container, None when it was never made."""
        try:
            with open(f"{self.bundle(container)}/pid", encoding="ascii") as file:
                return int(file.read())
        except (FileNotFoundError, ValueError):
            return None

    def helper_lives(self, container: str) -> bool:
        """Whether a helper was made and its process is still there."""
        return os.path.exists(f"/proc/{self.pid(container) or 'none'}")

    def _write_config(self, container: str, config: Obj) -> None:
        with open(f"{self.bundle(container)}/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)

    def _conmon_args(self, container: str, bundle: str, log: str) -> list[str]:
        runc = shutil.which("runc")
        if runc is None:
            raise CommandMissing("runc")
        return [
            *(
                "conmon",
                "--api-version",
                "1",
                "-c",
                container,
                "-u",
                container,
                "-n",
                container,
                "-r",
                runc,
                "-b",
                bundle,
            ),
            *("-p", f"{bundle}/pid", "-P", f"{bundle}/conmon.pid", "--exit-dir", self.exits, "-l", f"k8s-file:{log}"),
            *("--full-attach", "--persist-dir", bundle, "--runtime-arg", f"--root={self.root}"),
        ]

    def _conmon(self, container: str, argv: list[str]) -> int:
        """Start conmon and wait on its sync pipe for the container's process id, or for runc's complaint."""
        reader, writer = os.pipe()
        try:
            env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "_OCI_SYNCPIPE": str(writer)}
            subprocess.run(
                argv, env=env, pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=CREATE_SECONDS, check=False, cwd=self.bundle(container),
            )  # fmt: skip
        except FileNotFoundError:
            raise CommandMissing("conmon") from None
        except subprocess.TimeoutExpired as error:
            raise CreateFailed(f"conmon gave no answer within {CREATE_SECONDS:g} s") from error
        finally:
            os.close(writer)
            with os.fdopen(reader, "rb") as pipe:
                answer = pipe.readline()
        said: Obj = json.loads(answer) if answer else {"data": -1, "message": "conmon ended without an answer"}
        if said["data"] < 0:
            raise CreateFailed(clean_message(said.get("message") or f"conmon failed with {said['data']}"))
        return int(said["data"])

    def _runc(self, args: list[str], given: bytes | None = None) -> None:
        try:
            run(["runc", "--root", self.root, *args], timeout=CREATE_SECONDS, input=given)
        except CommandFailed as error:
            raise CreateFailed(clean_message(error.stderr)) from error

    def update(self, container: str, resources: Obj) -> None:
        """Change the limits of a running container to those of a `linux.resources`. Raises CreateFailed."""
        limits = {name: found for name, found in resources.items() if name != "devices"}
        self._runc(["update", "--resources", "-", container], json.dumps(limits).encode())

    def signal(self, container: str, number: int) -> None:
        """Send a signal to the container's first process; one that has ended is no error."""
        run(["runc", "--root", self.root, "kill", container, str(number)], check=False)

    def kill(self, container: str) -> None:
        """End every process of the container at once."""
        self.signal(container, signal.SIGKILL)

    def conmon_pid(self, container: str) -> int | None:
        """The process that holds the container, None when it has ended (or its id went to another program)."""
        try:
            with open(f"{self.bundle(container)}/conmon.pid", encoding="ascii") as file:
                pid = int(file.read())
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return pid if container.encode() in file.read() else None
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None

    def ended(self, container: str) -> Ended | None:
        """How a container ended, None when conmon has left no word."""
        try:
            with open(f"{self.exits}/{container}", encoding="ascii") as file:
                text = file.read().strip()
        except FileNotFoundError:
            return None
        return Ended(int(text), self._out_of_memory(container, int(text))) if text else None

    def _out_of_memory(self, container: str, code: int) -> bool:
        """conmon notes it, but may be late when the container's first process is the one that is killed."""
        if os.path.exists(f"{self.bundle(container)}/oom"):
            return True
        path = self._cgroup(container) if code == 128 + signal.SIGKILL else ""
        return bool(path) and cgroup_usage.oom_kills(path) > 0

    def remove(self, container: str) -> None:
        """Kill and remove all of a container: processes, cgroups, mounts, files. Nothing there is no error."""
        path = self._cgroup(container)
        run(["runc", "--root", self.root, "delete", "--force", container], check=False, timeout=CREATE_SECONDS)
        if path:
            cgroup.kill(path)
            cgroup.remove(path)
        pid = self.conmon_pid(container)
        if pid is not None:
            _wait_gone(pid)
        self.storage.remove_container(container)
        if os.path.exists(f"{self.exits}/{container}"):
            os.unlink(f"{self.exits}/{container}")

    def _cgroup(self, container: str) -> str:
        try:
            with open(f"{self.bundle(container)}/config.json", encoding="utf-8") as file:
                return str(json.load(file)["linux"]["cgroupsPath"]).lstrip("/")
        except (FileNotFoundError, json.JSONDecodeError):
            return ""


def terminal_args(spec: Obj) -> list[str]:
    """conmon's options for a container's stdin and tty; stdin outlives its first client unless stdinOnce (pure)."""
    stdin, once = bool(spec.get("stdin")), bool(spec.get("stdinOnce"))
    return ["-i"] * stdin + ["--leave-stdin-open"] * (stdin and not once) + ["-t"] * bool(spec.get("tty"))


def _wait_gone(pid: int) -> None:
    """conmon ends by itself once its container has; one that does not within 5 s is killed."""
    import select

    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(5000):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def clean_message(text: str) -> str:
    """runc's log line without its decoration."""
    _, found, rest = text.strip().rpartition('level=error msg="')
    return rest.rstrip().removesuffix('"').replace('\\"', '"').replace('\\"', '"') if found else text.strip()


class ExitWatch:
    """Calls back on the event loop when a process ends, also one that is not our child (pidfd_open(2))."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._handles: set[int] = set()

    def add(self, pid: int, callback: Callable[[], None]) -> None:
        """Call `callback` once `pid` has ended; soon, when it has already."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self.loop.call_soon(callback)
            return

        def ended() -> None:
            self._drop(handle)
            callback()

        self._handles.add(handle)
        self.loop.add_reader(handle, ended)

    def _drop(self, handle: int) -> None:
        self.loop.remove_reader(handle)
        self._handles.discard(handle)
        os.close(handle)

    def close(self) -> None:
        for handle in list(self._handles):
            self._drop(handle)
