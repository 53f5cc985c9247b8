"""When to start a component again after it ended: a pure rule, like systemd's Restart=always with a back-off."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
STEADY_AFTER = 30.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait before the next start; doubles while the component keeps dying young."""

    delay: float = FIRST_DELAY

    def after_run(self, lived: float) -> Backoff:
        """The back-off after a run of `lived` seconds: forgotten once a run was steady."""
        if lived >= STEADY_AFTER:
            return Backoff()
        return Backoff(min(self.delay * 2, LONGEST_DELAY))
