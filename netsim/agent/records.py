"""Pod records on disk (one JSON file per pod in run_dir), from which a restarted agent knows what it runs."""

from __future__ import annotations

import errno
import logging
import os

from netsim.agent.model import PodState, dump_state, load_state

log = logging.getLogger(__name__)


class Records:
    """The records of one node. They live on a tmpfs: a reboot ends the pods and the records alike."""

    def __init__(self, run_dir: str) -> None:
        self.directory = f"{run_dir}/pods"

    def save(self, state: PodState) -> None:
        """Write a pod's record whole or not at all."""
        directory = f"{self.directory}/{state.uid}"
        content = dump_state(state)
        try:
            _write(f"{directory}/record.new", content)
        except FileNotFoundError:  # the pod's first record
            os.makedirs(directory, exist_ok=True)
            _write(f"{directory}/record.new", content)
        os.replace(f"{directory}/record.new", f"{directory}/record.json")

    def load(self) -> dict[str, PodState]:
        """All records by uid; a damaged one is reported and left out, so that its pod is removed as an orphan."""
        found = {}
        for uid in os.listdir(self.directory) if os.path.isdir(self.directory) else []:
            try:
                with open(f"{self.directory}/{uid}/record.json", "rb") as file:
                    found[uid] = load_state(file.read())
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("record of pod %s: %s; its remains are removed", uid, error)
        return found


def _write(path: str, content: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        written = file.write(content)
    if written != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
