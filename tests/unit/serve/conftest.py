"""What tests of servers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest


@pytest.fixture(scope="module")
def client_of() -> Iterator[Callable]:
    """The official client of a server."""
    import openai

    made = []

    def of(url: str, key: str = "none") -> openai.OpenAI:
        made.append(openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=120))
        return made[-1]

    yield of
    for client in made:
        client.close()
