"""Images from archives: what is read, what is refused, what a container is told; tiny ones made here."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.agent.images import layers as unpacking
from netsim.agent.images.oci import ImageError, parse_config
from netsim.agent.images.store import ImageStore
from support.images import ARCHITECTURE, config, layer, sha, write_docker, write_layout

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
pytestmark = root_only  # a layer's owners are those of the image


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "store"))


def entry(kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def unpacked(tmp_path: Path, data: bytes) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    unpacking.unpack(io.BytesIO(data), str(root))
    return root


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


COMPRESSIONS = [
    bytes, gzip.compress, lzma.compress,
    pytest.param(zstd, marks=pytest.mark.skipif(not shutil.which("zstd"), reason="needs zstd")),
]  # fmt: skip


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_a_layouts_image_is_kept(tmp_path: Path, store: ImageStore, compress):
    data = layer({"bin": None, "bin/hello": b"#!/bin/sh\n"})
    layout = write_layout(
        tmp_path / "layout", "docker.io/acme/hello:1", [data], compress=compress, architecture=ARCHITECTURE, Cmd=["a"]
    )
    [image] = store.load(str(layout), ARCHITECTURE)
    assert image.names == ("docker.io/acme/hello:1",) and image.config.cmd == ("a",) and image.size == 10
    assert image.reported_id == f"docker.io/acme/hello@{image.digest}"
    [lower] = store.lowers(image)
    assert Path(lower, "bin/hello").read_bytes() == b"#!/bin/sh\n"
    assert store.find("acme/hello:1") == image and store.find(f"acme/hello@{image.digest}") == image
    assert store.find("acme/hello") is None
    assert sorted(os.listdir(store.directory)) == ["index.json", "layers", "write.lock"]


@pytest.mark.parametrize("blobs", [False, True])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_saved_image_is_kept(tmp_path: Path, store: ImageStore, blobs: bool, compress):
    below, above = layer({"etc": None, "etc/a": b"1"}), layer({"etc/a": b"2"})
    saved = write_docker(tmp_path / "saved.tar", "hello", [below, above], blobs=blobs, Entrypoint=["/x"], User="7:8")
    saved.write_bytes(compress(saved.read_bytes()))
    [image] = store.load(str(saved), ARCHITECTURE)
    assert image.names == ("docker.io/library/hello:latest",) and image.reported_id == image.id == sha(
        config([below, above], Entrypoint=["/x"], User="7:8")
    )
    top, bottom = store.lowers(image)
    assert (Path(top, "etc/a").read_text(), Path(bottom, "etc/a").read_text()) == ("2", "1")


def test_older_dockers_link_a_layer_that_is_there_twice(tmp_path: Path, store: ImageStore):
    data = layer({"a": b"1"})
    saved = write_docker(tmp_path / "saved.tar", "twice", [data, data])
    with tarfile.open(saved) as old, tarfile.open(tmp_path / "linked.tar", "w") as new:
        for member in old:
            content = old.extractfile(member)
            twice = member.name == "1/layer.tar"
            link = entry(tarfile.SYMTYPE, name=member.name, linkname="../0/layer.tar")
            new.addfile(link if twice else member, None if twice else content)
    [image] = store.load(str(tmp_path / "linked.tar"), ARCHITECTURE)
    assert len(image.layers) == 2 and image.size == 1


def test_whiteouts_and_kinds_of_files(tmp_path: Path):
    long_ago = 1_000_000_000
    root = unpacked(
        tmp_path,
        layer(
            [
                ("d", None),
                ("d/.wh.gone", b""),
                ("d/.wh..wh..opq", b""),
                ("dev", None),
                ("dev/null", entry(tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)),
                ("pipe", entry(tarfile.FIFOTYPE, mode=0o600)),
                ("su", entry(mode=0o4755, uid=0, gid=5)),
                ("own", entry(uid=1234, gid=2345, mode=0o640, mtime=long_ago)),
                ("cap", entry(mode=0o755, pax_headers={"SCHILY.xattr.user.colour": "blue"})),
                ("hard", entry(tarfile.LNKTYPE, linkname="own")),
                ("link", "/d/x"),
                ("twice", None),
                ("twice", b"file"),
            ]
        ),
    )
    gone, null = os.lstat(root / "d/gone"), os.lstat(root / "dev/null")
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    assert os.getxattr(root / "d", "trusted.overlay.opaque") == b"y"
    assert not (root / "d/.wh..wh..opq").exists()
    assert stat.S_ISCHR(null.st_mode) and null.st_rdev == os.makedev(1, 3) and null.st_mode & 0o777 == 0o666
    assert stat.S_ISFIFO(os.lstat(root / "pipe").st_mode)
    assert os.stat(root / "su").st_mode & 0o7777 == 0o4755 and os.stat(root / "su").st_gid == 5
    own = os.stat(root / "own")
    assert (own.st_uid, own.st_gid, own.st_mode & 0o777, own.st_mtime, own.st_nlink) == (1234, 2345, 0o640, long_ago, 2)
    assert os.getxattr(root / "cap", "user.colour") == b"blue"
    assert os.readlink(root / "link") == "/d/x" and (root / "twice").read_bytes() == b"file"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("../out", b"x")], "leads out of the image"),
        ([("a/../../out", b"x")], "leads out of the image"),
        ([("up", "../.."), ("up/out", b"x")], "by a symbolic link"),
        ([("d", None), ("d/up", "../../.."), ("d/up/out", b"x")], "by a symbolic link"),
        ([("a", "b"), ("b", "a"), ("a/x", b"x")], "too many symbolic links"),
        ([("h", entry(tarfile.LNKTYPE, linkname="/etc/passwd"))], "which is not there"),
        ([("h", entry(tarfile.LNKTYPE, linkname="../../etc/passwd"))], "leads out"),
        ([("x", entry(pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"}))], "belongs to overlayfs"),
        ([(".wh...", b"")], "no whiteout of anything"),
        ([("x", entry(uid=2**40))], "layer entry 'x': "),
        ([("x", entry(mtime=1e30))], "layer entry 'x': "),
        ([("x/" * 1500 + "x", b"")], "layer entry 'x/x/.*: maximum recursion"),
    ],
)
def test_no_entry_gets_out_of_the_image(tmp_path: Path, entries, message: str):
    with pytest.raises(ImageError, match=message):
        unpacked(tmp_path, layer(entries))
    assert os.listdir(tmp_path) == ["root"]


def test_links_on_the_way_stay_inside(tmp_path: Path):
    root = unpacked(tmp_path, layer([("usr", None), ("lib", "/usr/lib"), ("lib/x", b"x"), ("usr/y", b"y")]))
    assert (root / "usr/lib/x").read_bytes() == b"x"


def test_a_directorys_time_is_not_set_behind_a_later_link(tmp_path: Path):
    outside = tmp_path / "outside" / "x"
    outside.mkdir(parents=True)
    before = os.stat(outside).st_mtime_ns
    root = unpacked(tmp_path, layer([("a", None), ("a/x", None), ("a", str(outside.parent))]))
    assert os.readlink(root / "a") == str(outside.parent) and os.stat(outside).st_mtime_ns == before


names = st.lists(st.sampled_from(["a", "b", "..", ".", "/", ".wh.a", ".wh..wh..opq"]), min_size=1, max_size=4)
kinds = st.sampled_from([b"data", None, "..", "../..", "/", "a", "/a/../.."])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names.map("/".join), kinds), max_size=8))
def test_whatever_a_layer_says_nothing_is_made_outside(tmp_path_factory, entries):
    top = tmp_path_factory.mktemp("layer")
    (top / "root").mkdir()
    try:
        unpacking.unpack(io.BytesIO(layer(entries)), str(top / "root"))
    except (ImageError, OSError):
        pass
    finally:
        assert os.listdir(top) == ["root"]
        shutil.rmtree(top)


def broken(saved: Path, how: str) -> Path:
    data = saved.read_bytes()
    if how == "cut":
        saved.write_bytes(data[: len(data) // 2])
    elif how == "text":
        saved.write_text("this is no archive at all")
    elif how == "flipped":
        at = data.index(b"content-of-a-file")
        saved.write_bytes(data[:at] + b"C" + data[at + 1 :])
    else:
        saved.write_bytes(gzip.compress(data)[:200])
    return saved


@pytest.mark.parametrize("how", ["cut", "text", "flipped", "cut gzip"])
def test_of_a_broken_archive_nothing_is_kept(tmp_path: Path, store: ImageStore, how: str):
    good = layer({"good": b"1"})
    saved = write_docker(tmp_path / "saved.tar", "x", [good, layer({"f": b"content-of-a-file" * 600})])
    with pytest.raises(ImageError, match=r"saved\.tar: "):
        store.load(str(broken(saved, how)), ARCHITECTURE)
    assert store.images() == []
    store.load(str(write_docker(tmp_path / "other.tar", "y", [layer({"y": b"1"})])), ARCHITECTURE)
    assert len(os.listdir(f"{store.directory}/layers")) == 1, "the next load removes what the first one left"


KILLED = """
import os, signal, sys
from netsim.agent.images.store import ImageStore
where, directory, saved, architecture = sys.argv[1:]
setattr(os, where, lambda *_words, **_named: os.kill(os.getpid(), signal.SIGKILL))
ImageStore(directory).load(saved, architecture)
"""


@pytest.mark.parametrize("where", ["utime", "rename", "replace"])
def test_a_load_that_is_killed_leaves_nothing_that_counts(tmp_path: Path, store: ImageStore, where: str):
    saved = write_docker(tmp_path / "saved.tar", "x", [layer({"a": None, "a/b": b"1"})])
    argv = [sys.executable, "-c", KILLED, where, store.directory, str(saved), ARCHITECTURE]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    assert store.images() == []
    [image] = store.load(str(saved), ARCHITECTURE)
    assert Path(store.lowers(image)[0], "a/b").read_bytes() == b"1"
    assert sorted(os.listdir(store.directory)) == ["index.json", "layers", "write.lock"]
    assert len(os.listdir(f"{store.directory}/layers")) == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": b"1"}, "neither manifest.json"),
        ({"manifest.json": b"[]"}, "expected a list of images"),
        ({"manifest.json": b"{"}, "not JSON"),
        ({"manifest.json": b'[{"Config": "c", "Layers": ["../../etc/passwd"]}]'}, "c is missing"),
        ({"index.json": b'{"manifests": [{"digest": "sha256:../../x"}]}'}, "is no sha256 digest"),
        ({"index.json": b'{"manifests": []}'}, "names no image"),
        ({"index.json": b"[" * 100_000}, "not JSON"),
        ({"manifest.json": b'[{"Config": "c", "Layers": [], "RepoTags": 1}]'}, "RepoTags: 1 is no list"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, store: ImageStore, files, message: str):
    (tmp_path / "x.tar").write_bytes(layer(files))
    with pytest.raises(ImageError, match=message):
        store.load(str(tmp_path / "x.tar"), ARCHITECTURE)


def test_another_machines_image_is_refused(tmp_path: Path, store: ImageStore):
    layout = write_layout(tmp_path / "l", "x:1", [layer({"a": b"1"})], architecture="s390x")
    with pytest.raises(ImageError, match=f"no image for linux/{ARCHITECTURE}; platforms in it: linux/s390x"):
        store.load(str(layout), ARCHITECTURE)


def test_configuration_and_manifest_must_agree():
    with pytest.raises(ImageError, match="has 1 layers"):
        parse_config(config([b"x"]), 2)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "configuration: .* is no object"),
        ({"rootfs": []}, "rootfs: .* is no object"),
        ({"rootfs": {"diff_ids": 1}}, "diff_ids: 1 is no list"),
        ({"config": "x"}, "config: 'x' is no object"),
        ({"config": {"Cmd": "sh -c x"}}, "Cmd: 'sh -c x' is no list"),
        ({"config": {"ExposedPorts": [80]}}, "ExposedPorts: .* is no object"),
    ],
)
def test_a_configuration_of_another_shape_is_refused(document, message: str):
    with pytest.raises(ImageError, match=message):
        parse_config(json.dumps(document).encode(), 0)
