"""A container's image and the events that tell of it, in kubelet's words."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from netsim.agent.images.policy import pull_duration
from netsim.agent.images.provider import Had, NoImage
from netsim.agent.model import Obj

if TYPE_CHECKING:
    from netsim.agent.worker import PodWorker

FAILED = {"ErrImagePull": "Failed", "InvalidImageName": "InspectFailed"}
"""The reasons of events that are called otherwise than the container's reason to wait."""


async def obtain_image(worker: PodWorker, pod: Obj, spec: Obj) -> Had:
    """The container's image, pulled if need be. Raises NoImage, StatusError, OSError."""
    image, name = spec["image"], spec["name"]
    pulling = partial(worker.event, "Pulling", f'Pulling image "{image}"', container=name)
    had = await worker.context.engine.image(pod, spec, pulling)
    text = f'Container image "{image}" already present on machine and can be accessed by the pod'
    if had.seconds is not None:
        took = pull_duration(had.seconds)
        text = (
            f'Successfully pulled image "{image}" in {took} ({took} including waiting). Image size: {had.size} bytes.'
        )
    worker.event("Pulled", text, container=name)
    return had


def tell_no_image(worker: PodWorker, spec: Obj, error: NoImage) -> None:
    """Why a container has no image."""
    text = f'Failed to pull image "{spec["image"]}": {error}' if error.reason == "ErrImagePull" else str(error)
    worker.event(FAILED.get(error.reason, error.reason), text, warning=True, container=spec["name"])
    worker.event("Failed", f"Error: {error.reason}", warning=True, container=spec["name"])
