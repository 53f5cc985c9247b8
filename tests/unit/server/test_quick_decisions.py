"""What is decided once says the same as deciding anew: rights, times, random draws, write options."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from netsim.http.types import Request
from netsim.server.authz import Authorizer
from netsim.server.codec import Decoder
from netsim.server.rbac import Attributes, User, compile_policy
from netsim.server.requests import parse_write_options
from netsim.server.serve import Random

NAMES = st.sampled_from(["", "a", "b"])
RULES = st.fixed_dictionaries(
    {"verbs": st.sampled_from([["get"], ["*"]]), "apiGroups": st.just([""])},
    optional={
        "resources": st.sampled_from([["pods"], ["pods/log"], ["*"]]), "resourceNames": st.lists(NAMES, max_size=2),
        "nonResourceURLs": st.sampled_from([["/a"], ["/*"]]),
    },
)  # fmt: skip
ASKED = st.builds(
    Attributes, st.sampled_from(["get", "list"]), st.just(""), st.sampled_from(["pods", "nodes", ""]),
    st.sampled_from(["", "log"]), NAMES, NAMES, st.sampled_from(["/a", "/b"]),
)  # fmt: skip
USERS = (User("x"), User("y", ("g",)), User("z", ("system:masters",)))


def binding(scope: str, subject: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"namespace": scope}, "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [subject]}


@given(st.lists(RULES, max_size=3), NAMES, st.lists(st.tuples(st.sampled_from(USERS), ASKED), max_size=20))
def test_remembered_rights_are_those_of_the_rules(
    rules: list[Any], scope: str, asked: list[tuple[User, Attributes]]
) -> None:
    subjects = [{"kind": "User", "name": "x"}, {"kind": "Group", "name": "g"}]
    policy = compile_policy(
        [{"metadata": {"name": "r"}, "rules": rules}], [], [], [binding(scope, subject) for subject in subjects]
    )
    authorizer = Authorizer(cast(Any, None), Decoder())
    authorizer._policy = policy

    async def decide() -> list[bool]:
        return [await authorizer.allows(user, attributes) for user, attributes in asked]

    assert asyncio.run(decide()) == [policy.allows(user, attributes) for user, attributes in asked]


async def test_a_second_is_told_until_it_is_over(api: Any) -> None:
    core, clock = api.app.core, api.clock
    start = clock.now
    for step, text in ((0.0, "00"), (0.999999, "00"), (1.0, "01"), (59.5, "59"), (0.5, "00"), (-1.0, "59")):
        clock.now = start + timedelta(seconds=step)
        assert core.now()[-3:-1] == text, step


def test_draws_are_even_and_in_range() -> None:
    draw = Random()
    seen = Counter(draw(5) for _ in range(20_000))
    assert set(seen) == set(range(5)) and min(seen.values()) > 3_500
    assert draw(1) == 0 and {draw(1 << 128).bit_length() <= 128 for _ in range(2_000)} == {True}
    assert len({draw(1 << 64) for _ in range(5_000)}) == 5_000


def test_options_without_a_query_are_those_of_an_empty_one() -> None:
    for agent in ("", "kubectl/v1.37", "x" * 300, "a\tb"):
        headers = [("user-agent", agent)]
        plain = parse_write_options(Request("POST", "/", [], headers), "CreateOptions")
        assert plain == parse_write_options(Request("POST", "/", [("dryRun", "")], headers), "CreateOptions")
