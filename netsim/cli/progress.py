"""Progress of long work: a line for each step done, with the time since the start."""

from __future__ import annotations

import sys
import time


class Progress:
    """Prints `  1.2 s  text` per step; on a terminal also what is being waited for, on one changing line."""

    def __init__(self, quiet: bool = False) -> None:
        self._start = time.monotonic()
        self._quiet = quiet
        self._live = sys.stdout.isatty() and not quiet
        self._waiting = False

    def done(self, text: str) -> None:
        """A step is finished."""
        self._clear()
        if not self._quiet:
            print(f"{self.elapsed:5.1f} s  {text}", flush=True)

    def waiting(self, text: str) -> None:
        """What is being waited for now; shown on a terminal only."""
        if self._live:
            self._clear()
            sys.stdout.write(f"{self.elapsed:5.1f} s  … {text}"[:79])
            sys.stdout.flush()
            self._waiting = True

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def _clear(self) -> None:
        if self._waiting:
            sys.stdout.write("\r\033[K")
            self._waiting = False
