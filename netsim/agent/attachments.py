"""What a node's CNI network was asked for each sandbox."""

from __future__ import annotations

from typing import Any

import orjson

from netsim.agent.rows import Rows

Record = dict[str, Any]


class Attachments:
    """The records of one node by container id, for any thread. Methods raise OSError when the database cannot be used.

    One killed while it saves leaves the record as it was, or the new one.
    """

    def __init__(self, path: str) -> None:
        self._rows = Rows(path, "attachment", "container")

    def save(self, container: str, record: Record) -> None:
        """Keep a record in the place of the one that may be there."""
        self._rows.save(container, orjson.dumps(record))

    def read(self, container: str) -> Record | None:
        """A record, None when there is none."""
        found = self._rows.read(container)
        return None if found is None else dict(orjson.loads(found))

    def forget(self, container: str) -> None:
        """Drop a record; none is no error."""
        self._rows.forget(container)

    def containers(self) -> list[str]:
        """Whose records there are."""
        return self._rows.keys()
