"""A container's image and the events that tell of it, in kubelet's words."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from netsim.agent.images.policy import pull_duration
from netsim.agent.images.provider import Had, NoImage
from netsim.agent.model import Failure, Obj

if TYPE_CHECKING:
    from netsim.agent.worker import PodWorker

FAILED = {"ErrImagePull": "Failed", "InvalidImageName": "InspectFailed"}
"""The reasons of events that are called otherwise than the container's reason to wait."""


async def obtain_image(worker: PodWorker, pod: Obj, spec: Obj) -> Had:
    """The container's image, pulled if need be. Raises NoImage, StatusError, OSError."""
    image, name = spec["image"], spec["name"]
    pulling = partial(worker.event, "Pulling", f'Pulling image "{image}"', container=name)
    had = await worker.context.engine.image(pod, spec, pulling)
    if had.seconds is not None:
        took = pull_duration(had.seconds)
        text = f'Successfully pulled image "{image}" in {took} ({took} including waiting).'
        worker.event("Pulled", f"{text} Image size: {had.size} bytes.", container=name)
    return had


async def obtain_volumes(worker: PodWorker, pod: Obj, spec: Obj) -> None:
    """Have the images that are volumes of a container mounted. Raises NoImage, StatusError, OSError."""
    mounted = {mount["name"] for mount in spec.get("volumeMounts") or ()}
    for volume in pod["spec"].get("volumes") or ():
        if "image" in volume and volume["name"] in mounted:
            reference, policy = volume["image"]["reference"], volume["image"].get("pullPolicy")
            asked = {"name": spec["name"], "image": reference, "imagePullPolicy": policy}
            try:
                had = await obtain_image(worker, pod, asked)
                await worker.context.engine.mount_image(pod, volume["name"], had.image)
            except NoImage as error:
                raise NoImage(error.reason, str(error), reference) from error
            tell_present(worker, asked, had)


def tell_present(worker: PodWorker, spec: Obj, had: Had) -> None:
    """That an image did not have to be pulled."""
    if had.seconds is None:
        text = f'Container image "{spec["image"]}" already present on machine and can be accessed by the pod'
        worker.event("Pulled", text, container=spec["name"])


def tell_no_image(worker: PodWorker, spec: Obj, error: NoImage) -> None:
    """Why a container has no image."""
    text = (
        f'Failed to pull image "{error.image or spec["image"]}": {error}'
        if error.reason == "ErrImagePull"
        else str(error)
    )
    worker.event(FAILED.get(error.reason, error.reason), text, warning=True, container=spec["name"])
    worker.event("Failed", f"Error: {error.reason}", warning=True, container=spec["name"])


def tell_back_off(worker: PodWorker, name: str, failure: Failure) -> None:
    """A failed pull has been reported as such; from now on it is one that waits."""
    text = f'Back-off pulling image "{failure.image}"'
    failure.reason, failure.message = "ImagePullBackOff", f"{text}: ErrImagePull: {failure.message}"
    worker.event("BackOff", text, container=name)
    worker.event("Failed", "Error: ImagePullBackOff", warning=True, container=name)
