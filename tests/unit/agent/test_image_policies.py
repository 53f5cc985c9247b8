"""Which image a container gets, and why it gets none: policies, kept images, the catalogue, pulling."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from netsim.agent.config import AgentConfig
from netsim.agent.images import skopeo
from netsim.agent.images.oci import ImageError
from netsim.agent.images.provider import Had, Images, NoImage
from netsim.agent.runtime.catalogue import KEPT
from support.images import ARCHITECTURE, layer, write_docker

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def images(tmp_path: Path) -> Images:
    state = tmp_path / "node-1"
    found = Images(AgentConfig("node-1", "lab", "172.30.0.11", str(tmp_path / "run"), str(state), "/none"))
    saved = write_docker(tmp_path / "x.tar", "acme/shop:1", [layer({"a": b"1"})], Cmd=["/a"], User="7", WorkingDir="/w")
    found.store.load(str(saved), ARCHITECTURE)
    return found


@pytest.fixture
def pulls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """skopeo's pulls, which fail."""
    asked: list[str] = []

    def pull(_store: object, reference: str, *_more: object) -> None:
        asked.append(reference)
        raise ImageError("no such host")

    monkeypatch.setattr(skopeo, "available", lambda: True)
    monkeypatch.setattr(skopeo, "pull", pull)
    return asked


async def ask(images: Images, **container: Any) -> tuple[Had | NoImage, list[str]]:
    told: list[str] = []

    async def no_credentials() -> dict[str, object]:
        return {}

    try:
        return await images.ensure(container, lambda: told.append("pulling"), no_credentials), told
    except NoImage as error:
        return error, told


async def test_a_kept_image_is_used_as_it_says(images: Images, pulls: list[str]):
    had, told = await ask(images, image="docker.io/acme/shop:1")
    assert isinstance(had, Had) and had.seconds is None and not told and not pulls
    found = had.image
    assert (found.kind, found.args, found.user, found.cwd) == (KEPT, ("/a",), "7", "/w")
    assert os.path.isfile(f"{found.layers[0]}/a")
    had, _ = await ask(images, image="acme/shop:1", imagePullPolicy="Never")
    assert isinstance(had, Had)


async def test_the_catalogue_needs_no_pull_whatever_the_policy(images: Images, pulls: list[str]):
    for policy in ("Always", "IfNotPresent", "Never"):
        had, _ = await ask(images, image="nginx", imagePullPolicy=policy)
        assert isinstance(had, Had) and had.image.kind == "http"
    assert not pulls


@pytest.mark.parametrize(
    ("container", "reason", "text"),
    [
        ({"image": "acme/none:1", "imagePullPolicy": "Never"}, "ErrImageNeverPull", "is not present with"),
        ({"image": "Acme:1"}, "InvalidImageName", "couldn't parse image name \"Acme:1\": invalid reference format"),
        ({"image": "ngnix"}, "ErrImagePull", "no such host; nor is 'ngnix' in .* the nearest name .* 'nginx'"),
        ({"image": "acme/shop:1", "imagePullPolicy": "Always"}, "ErrImagePull", "no such host"),
    ],
)  # fmt: skip
async def test_why_there_is_none(images: Images, pulls: list[str], container: dict[str, str], reason: str, text: str):
    error, told = await ask(images, **container)
    assert isinstance(error, NoImage) and error.reason == reason
    with pytest.raises(NoImage, match=text):
        raise error
    assert (told, pulls) == ((["pulling"], [container["image"]]) if reason == "ErrImagePull" else ([], []))


@pytest.mark.parametrize(("image", "text"), [("ngnix", "netsim image load"), ("acme/shop:1", "IfNotPresent")])
async def test_without_skopeo_the_mend_is_named(images: Images, monkeypatch, image: str, text: str):
    monkeypatch.setattr(skopeo, "available", lambda: False)
    error, _ = await ask(images, image=image, imagePullPolicy="Always")
    assert isinstance(error, NoImage) and error.reason == "ErrImagePull" and text in str(error)


async def test_a_catalogue_file_is_read_when_it_comes_and_its_error_told(images: Images, pulls: list[str]):
    directory = Path(images.directory, "catalogue")
    directory.mkdir()
    (directory / "own.yaml").write_text("images: {acme/echo: {kind: tcp-echo, ports: [9]}}")
    had, _ = await ask(images, image="acme/echo")
    assert isinstance(had, Had) and had.image.kind == "tcp-echo"
    (directory / "own.yaml").write_text("images: {acme/echo: {kind: what}}")
    error, _ = await ask(images, image="acme/echo:other")
    assert isinstance(error, NoImage) and "kind: 'what' is none of" in str(error)


def test_what_a_node_reports(images: Images):
    assert images.reported() == [{"names": ["docker.io/acme/shop:1"], "sizeBytes": 1}]
