"""A server started again on the same database: revisions go on, old watches are told, nothing is made twice."""

from __future__ import annotations

import copy
import random
from functools import partial
from pathlib import Path
from typing import Any

from netsim.api import kinds
from netsim.server.app import ApiServer
from netsim.server.codec import encode, key_of
from netsim.server.core import ServerConfig
from netsim.store.sqlite import SqliteStore

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


async def test_started_again(tmp_path: Path, api: Any) -> None:
    """`api` lends its clock and helpers; the server under test has a database of its own."""
    helper = type(api)
    directory = tmp_path / "again"
    directory.mkdir()
    config = ServerConfig(pki_dir=directory / "pki")
    revisions: list[int] = []
    for round_number in range(3):
        store = await SqliteStore.open(str(directory / "state.db"))
        rand = random.Random(round_number).randrange
        app = ApiServer(store, config, clock=api.clock, rand=rand, dial_node=api.app.core.dial_node)
        await app.start()
        try:
            here = helper(app, api.clock)
            start = int((await here.get(MAPS))["metadata"]["resourceVersion"])
            if revisions:
                assert start == revisions[-1], "a restart changed something"
                stale = await here.send("GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=1")
                first = stale.body if isinstance(stale.body, bytes) else await anext(aiter(stale.body))
                assert b'"code":410' in first or b'"resourceVersion":"' in first
            name = f"r{round_number}"
            make = partial(here.post, MAPS, {"metadata": {"name": name}})
            events = await here.watch(f"{MAPS}?watch=1&resourceVersion={start}", 1, make)
            assert events[0]["object"]["metadata"]["name"] == name
            revisions.append(start + 1)
        finally:
            await app.close()
            await store.close()
    assert len((await api.get(MAPS))["items"]) == 1


async def test_empty_fields_that_were_stored_before_are_no_change(api: Any, pod: Any) -> None:
    """They were not left out in former versions."""
    store, apps = api.app.core.store, "/apis/apps/v1/namespaces/default/daemonsets"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("t")["spec"]}
    made = {
        f"{PODS}/p": await api.post(PODS, pod("p")),
        f"{apps}/d": await api.post(
            apps, {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
        ),
    }
    for (url, obj), kind in zip(made.items(), (kinds.PODS, kinds.DAEMON_SETS), strict=True):
        name, former = obj["metadata"]["name"], copy.deepcopy(obj)
        spec = former["spec"] if kind is kinds.PODS else former["spec"]["template"]["spec"]
        spec |= {"nodeSelector": {}, "hostNetwork": False}
        spec["containers"][0] |= {"env": [], "workingDir": ""}
        item = await store.get(key_of(kind, "default", name))
        await store.update(item.key, encode(kind, former), item.revision)
        shown = await api.get(url)
        shown["metadata"]["labels"] = {"x": "y"}
        written = await api.ok("PUT", url, shown)
        assert written["metadata"].get("generation") == obj["metadata"].get("generation")
        assert written["metadata"].get("annotations") == obj["metadata"].get("annotations")
        assert written["spec"] == obj["spec"]
