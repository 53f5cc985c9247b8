"""The one door of the controllers to the API: executes the writes of a reconcile, many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.api.objects import name_of, namespace_of
from netsim.client.rest import Client
from netsim.controllers.controller import PARALLEL
from netsim.controllers.writes import Announce, Create, Delete, Note, Patch, Requeue, Update, Write, Writes

log = logging.getLogger(__name__)

BATCH_GROWTH = 4

Recorder = Callable[[Note], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a write: the object answered (None for a deletion), or the server's refusal."""

    write: Write
    obj: Obj | None = None
    error: StatusError | None = None

    @property
    def gone(self) -> bool:
        """The object to change or delete is not there (any more), which is what a deletion wanted."""
        return self.error is not None and self.error.reason == "NotFound"

    @property
    def outdated(self) -> bool:
        """The caches were behind: somebody else wrote first."""
        return self.error is not None and self.error.code == 409

    @property
    def failed(self) -> bool:
        return self.error is not None and not self.gone and not self.outdated


async def apply_writes(client: Client, writes: Writes, record: Recorder) -> list[Outcome]:
    """Execute `writes`: changes and deletions together, creations in growing batches (the rest is dropped after a
    batch with a failure), then the writes to subresources. Notes go to `record`. API refusals come back as
    outcomes; anything else is raised."""
    changes, creates, subs = _stages(writes)
    for note in (write for write in writes if isinstance(write, Note)):
        record(note)
    if changes and creates:
        both = await asyncio.gather(_all(client, changes), _in_batches(client, creates))
        outcomes = [*both[0], *both[1]]
    else:
        outcomes = [*await _all(client, changes), *await _in_batches(client, creates)]
    outcomes += await _all(client, subs)
    for outcome in outcomes:
        _announce(outcome, record)
    return outcomes


def _stages(writes: Writes) -> tuple[list[Write], list[Write], list[Write]]:
    active = [write for write in writes if not isinstance(write, Note | Requeue)]
    creates: list[Write] = [write for write in active if isinstance(write, Create)]
    subs: list[Write] = [write for write in active if isinstance(write, Update | Patch) and write.sub]
    changes: list[Write] = [
        write for write in active if not isinstance(write, Create) and not getattr(write, "sub", "")
    ]
    return changes, creates, subs


async def _all(client: Client, writes: Sequence[Write]) -> list[Outcome]:
    """Side by side; a single one without the tasks that this takes, as most rounds write one object."""
    if len(writes) == 1:
        return [await _apply(client, writes[0])]
    outcomes: list[Outcome] = []
    for start in range(0, len(writes), PARALLEL):
        outcomes += await asyncio.gather(*(_apply(client, write) for write in writes[start : start + PARALLEL]))
    return outcomes


async def _in_batches(client: Client, creates: Sequence[Write]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    size = 1
    while len(outcomes) < len(creates):
        batch = creates[len(outcomes) : len(outcomes) + size]
        answers = await asyncio.gather(*(_apply(client, write) for write in batch))
        outcomes += answers
        if any(answer.error for answer in answers):
            break
        size = min(size * BATCH_GROWTH, PARALLEL)
    return outcomes


async def _apply(client: Client, write: Write) -> Outcome:
    if isinstance(write, Delete) and write.first is not None:
        before = await _apply(client, write.first)
        if before.error is not None:
            return before
    try:
        return Outcome(write, await _send(client, write))
    except StatusError as error:
        return Outcome(write, error=error)


def _send(client: Client, write: Write) -> Awaitable[Obj | None]:
    match write:
        case Create(kind, obj):
            return client.create(kind, obj, namespace_of(obj) or None)
        case Update(kind, obj, sub):
            return client.update(kind, obj, sub)
        case Patch(kind, name, namespace, patch, patch_type, sub):
            return client.patch(kind, name, patch, namespace or None, type=patch_type, sub=sub)
        case Delete(kind, name, namespace, uid, grace, propagation):
            return client.delete(kind, name, namespace or None, grace=grace, propagation=propagation, uid=uid or None)
    raise TypeError(f"{write!r} is not sent to the API")


def _announce(outcome: Outcome, record: Recorder) -> None:
    announce = getattr(outcome.write, "announce", None)
    note = None if announce is None or outcome.gone else _note(announce, outcome)
    if note is not None:
        record(note)


def _note(announce: Announce, outcome: Outcome) -> Note | None:
    told = announce.done if outcome.error is None else announce.failed
    if told is None:
        return None
    error = "" if outcome.error is None else outcome.error.message
    text = told[1].format(name=_name(outcome), error=error)
    return Note(announce.about, told[0], text, "Normal" if outcome.error is None else "Warning")


def _name(outcome: Outcome) -> str:
    write = outcome.write
    if isinstance(write, Delete | Patch):
        return write.name
    return name_of(outcome.obj or getattr(write, "obj", {}))


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """The messages of the writes that really failed."""
    return [outcome.error.message for outcome in outcomes if outcome.failed and outcome.error]
