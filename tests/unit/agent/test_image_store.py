"""The images that a lab keeps: their names, what an image says of itself, and how they go."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from netsim.agent.images.oci import ImageError, parse_config
from netsim.agent.images.provider import reported_names
from netsim.agent.images.store import ImageStore
from netsim.agent.images.stored import StoredImage, find_image, full_name, image_names
from netsim.agent.runtime.image_volumes import own_volumes
from netsim.agent.runtime.spec import Bind
from support.images import ARCHITECTURE, config, layer, sha, write_docker, write_layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")  # a layer's owners are those of the image


def nobody(_image: StoredImage) -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "store"))


def test_names(tmp_path: Path, store: ImageStore):
    first = write_docker(tmp_path / "1.tar", "app:1", [layer({"a": b"1"})])
    second = write_docker(tmp_path / "2.tar", "app:1", [layer({"a": b"2"})])
    unnamed = write_docker(tmp_path / "3.tar", None, [layer({"a": b"3"})])
    old = store.load(str(first), ARCHITECTURE)[0]
    new = store.load(str(second), ARCHITECTURE)[0]
    assert store.find("app:1") == new and store.find(old.id) is None
    assert {i.id: i.names for i in store.images()} == {old.id: (), new.id: ("docker.io/library/app:1",)}
    with pytest.raises(ImageError, match="give one with --name"):
        store.load(str(unnamed), ARCHITECTURE)
    assert store.load(str(unnamed), ARCHITECTURE, "mine")[0].names == ("docker.io/library/mine:latest",)
    assert image_names(["1.0"], "reg.example/app") == ("reg.example/app:1.0",)
    assert find_image(store.images(), f"x@{new.id}") == new


def test_removing(tmp_path: Path, store: ImageStore):
    shared = layer({"a": b"1"})
    store.load(str(write_docker(tmp_path / "1.tar", "one", [shared])), ARCHITECTURE)
    store.load(str(write_docker(tmp_path / "2.tar", "two", [shared, layer({"b": b"1"})])), ARCHITECTURE)
    with pytest.raises(ImageError, match="'two' is in use by default/web"):
        store.remove("two", lambda image: ["default/web"] if len(image.layers) == 2 else [])
    assert store.find("two")
    store.remove("two", nobody)
    assert store.find("two") is None and len(os.listdir(f"{store.directory}/layers")) == 1
    store.remove(store.images()[0].id[:20], nobody)
    assert store.images() == [] and os.listdir(f"{store.directory}/layers") == []
    with pytest.raises(ImageError, match="there is no image 'two'"):
        store.remove("two", nobody)


def test_an_index_of_another_version_is_read(tmp_path: Path, store: ImageStore):
    [loaded] = store.load(str(write_docker(tmp_path / "1.tar", "app:1", [layer({"a": b"1"})])), ARCHITECTURE)
    index = Path(store.directory) / "index.json"
    written = json.loads(index.read_text())
    for entry in written["images"]:
        entry["layers"] = list(loaded.layers)
        del entry["config"]["volumes"]
    index.write_text(json.dumps(written))
    assert ImageStore(store.directory).images() == [loaded]


def test_an_image_pulled_by_digest_has_no_tag(tmp_path: Path, store: ImageStore):
    asked = "acme/shop:1@" + sha(b"the index of all platforms, which is not what is kept")
    layout = write_layout(tmp_path / "layout", None, [layer({"a": b"1"})])
    [found] = store.load(str(layout), ARCHITECTURE, full_name(asked))
    assert found.names == ("docker.io/acme/shop@" + asked.partition("@")[2],)
    assert store.find(asked) == store.find(f"x@{found.digest}") == found and store.find("acme/shop") is None
    assert found.reported_id == found.names[0] and reported_names(found) == list(found.names)
    store.remove(asked, nobody)
    assert store.images() == []


def test_pruning_leaves_what_is_used(tmp_path: Path, store: ImageStore):
    shared = layer({"a": b"1"})
    for name, layers in (("one", [shared]), ("two", [shared, layer({"b": b"1"})])):
        store.load(str(write_docker(tmp_path / f"{name}.tar", name, layers)), ARCHITECTURE)
    gone = store.prune(lambda image: ["default/web"] if len(image.layers) == 1 else [])
    assert [image.names for image in gone] == [("docker.io/library/two:latest",)] and store.find("one")
    assert len(os.listdir(f"{store.directory}/layers")) == 1 and store.prune(lambda _: ["default/web"]) == []


def test_an_images_volumes_begin_with_what_it_has_there(tmp_path: Path):
    assert parse_config(config([], Volumes={"/b": {}, "/a": {}}), 0).volumes == ("/a", "/b")
    root, target = tmp_path / "root", tmp_path / "volumes"
    (root / "srv/data").mkdir(parents=True)
    (root / "srv/data/seed").write_text("1")
    os.chown(root / "srv/data", 7, 8)
    (root / "var").symlink_to("/srv")  # as the container sees it
    made = own_volumes(("/new", "/taken/", "/var/data"), [Bind("/x", "/taken")], str(root), str(target))
    assert made == [Bind(f"{target}/0", "/new", False), Bind(f"{target}/1", "/var/data", False)]
    assert (target / "1/seed").read_text() == "1" and os.stat(target / "1").st_uid == 7
    assert os.listdir(target / "0") == []
