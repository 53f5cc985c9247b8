from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.errors import StatusError
from netsim.api.kinds import PODS
from netsim.client.state import BadWatchLine, Bookmark, Event, LineSplitter, Relist, WatchState, is_newer
from netsim.server.codec import encode, wire


def line(kind: str, revision: int | str, **metadata: object) -> bytes:
    return orjson.dumps({"type": kind, "object": {"metadata": {"resourceVersion": str(revision), **metadata}}})


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=20), st.integers(1, 9))
def test_lines_are_the_same_however_the_bytes_are_cut(lines: list[bytes], size: int) -> None:
    data = b"".join(text + b"\n" for text in lines)
    splitter = LineSplitter()
    cut = [out for start in range(0, len(data), size) for out in splitter.feed(data[start : start + size])]
    assert cut == [text for text in lines if text.strip()]


def test_an_unfinished_line_is_kept_back() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b'{"a"') == []
    assert splitter.feed(b":1}\n\n{") == [b'{"a":1}']


@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]), st.integers(1, 60))),
)
def test_revisions_only_rise_and_each_is_told_once(start: int, stream: list[tuple[str, int]]) -> None:
    state = WatchState(str(start))
    reached = start
    for kind, revision in stream:
        result = state.feed(line(kind, revision))
        if kind == "BOOKMARK":
            assert isinstance(result, Bookmark)
        elif revision > reached:
            assert isinstance(result, Event)
            assert result.type == kind
        else:
            assert result is None
        reached = max(reached, revision)
        assert state.revision == str(reached)


_TEXTS = st.text(st.sampled_from('],"name:{}[\\é'), max_size=12)


@given(st.lists(st.dictionaries(_TEXTS, st.one_of(_TEXTS, st.dictionaries(_TEXTS, _TEXTS)))), _TEXTS)
def test_of_the_servers_lines_all_but_the_managed_fields_is_read(entries: list[dict[str, object]], text: str) -> None:
    metadata = {"name": "n", "labels": {"name": text}, "finalizers": ["a"], "ownerReferences": [{"name": text}]}
    rest = {"kind": "Pod", "apiVersion": "v1", "spec": {"managedFields": [text], "name": text}}
    stored = encode(PODS, {**rest, "metadata": {**metadata, "managedFields": entries}})
    event = WatchState("1").feed(b'{"type":"MODIFIED","object":%s}' % wire(PODS, stored, 7))
    assert event == Event("MODIFIED", {**rest, "metadata": {**metadata, "resourceVersion": "7"}})


@given(st.lists(st.integers(1, 100), unique=True, max_size=30), st.data())
def test_resuming_anywhere_neither_skips_nor_repeats(revisions: list[int], data: st.DataObject) -> None:
    revisions.sort()
    state, told = WatchState("0"), []
    for _ in range(3):
        # A server resumes after some revision not beyond ours: it may repeat, never skip.
        start = data.draw(st.integers(0, int(state.revision)))
        stream = [revision for revision in revisions if revision > start]
        for revision in stream[: data.draw(st.integers(0, len(stream)))]:
            if state.feed(line("MODIFIED", revision)) is not None:
                told.append(revision)
    assert told == revisions[: len(told)]


def test_bookmark_tells_the_end_of_initial_events() -> None:
    marked = line("BOOKMARK", 7, annotations={"k8s.io/initial-events-end": "true"})
    assert WatchState("3").feed(marked) == Bookmark("7", True)
    assert WatchState("3").feed(line("BOOKMARK", 9)) == Bookmark("9")
    assert WatchState("7").feed(marked) == Bookmark("7", True)


def error(code: int, reason: str) -> bytes:
    return orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code, "reason": reason, "message": "m"}})


@pytest.mark.parametrize("refusal", [error(410, "Expired"), error(410, "Gone")])
def test_gone_asks_for_a_relist(refusal: bytes) -> None:
    assert WatchState("3").feed(refusal) == Relist("m")


def test_other_errors_are_raised() -> None:
    with pytest.raises(StatusError, match="m"):
        WatchState("3").feed(error(500, "InternalError"))


@pytest.mark.parametrize(
    "junk", [b"{", b"[]", b'{"type":"ADDED"}', b'{"type":"X","object":{}}', b'{"type":"ADDED","object":1}']
)
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(BadWatchLine):
        WatchState("3").feed(junk)


def test_revisions_compare_as_numbers() -> None:
    assert is_newer("10", "9")
    assert not is_newer("9", "10")
    assert is_newer("1", "")
    assert is_newer("opaque-b", "opaque-a")
