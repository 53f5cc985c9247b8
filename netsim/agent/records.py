"""Pod records, from which a restarted agent knows what it runs."""

from __future__ import annotations

import logging
import os
from glob import glob

from netsim.agent.model import PodState, dump_state, load_state
from netsim.agent.rows import Rows

log = logging.getLogger(__name__)


class Records:
    """The records of one node. They live on a tmpfs: a reboot ends the pods and the records alike. Methods raise
    OSError when they cannot be read or written."""

    def __init__(self, run_dir: str) -> None:
        self.directory = f"{run_dir}/pods"
        self._rows = Rows(f"{run_dir}/records.sqlite", "pod", "uid")

    def save(self, state: PodState) -> None:
        """Write a pod's record whole or not at all. From the first on the pod has its directory, without which its
        logs are not written."""
        os.makedirs(f"{self.directory}/{state.uid}", exist_ok=True)
        self._rows.save(state.uid, dump_state(state))

    def forget(self, uid: str) -> None:
        """Drop a pod's record; none is no error."""
        self._rows.forget(uid)

    def load(self) -> dict[str, PodState]:
        """All records by uid; a damaged one is reported and dropped, so that its pod is removed as an orphan."""
        self._take_over()
        found = {}
        for uid, record in self._rows.items():
            try:
                found[uid] = load_state(record)
            except (ValueError, KeyError, TypeError) as error:
                log.warning("record of pod %s: %s; its remains are removed", uid, error)
                self.forget(uid)
        return found

    def _take_over(self) -> None:
        """The records of an older agent, which kept each in a file: its pods go on, too."""
        for name in glob("*/record.json", root_dir=self.directory):
            path = f"{self.directory}/{name}"
            with open(path, "rb") as file:
                self._rows.save(os.path.dirname(name), file.read())
            os.unlink(path)
