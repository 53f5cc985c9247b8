"""The node of each of the agent's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.agent_node import Node, running_node


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with running_node() as made:
        yield made
