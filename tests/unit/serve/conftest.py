"""What tests of servers share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import trained
from tests.helpers import command

from lushan.inference.generator import open_generator


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


@pytest.fixture(scope="module")
def lm(lm_run):
    """A generator of plain texts."""
    return open_generator(lm_run)


@pytest.fixture(scope="module")
def talk(chat_run):
    """A generator of answers."""
    return open_generator(chat_run)


@pytest.fixture(scope="module")
def assistant(tmp_path_factory):
    """The config of an assistant that knows one answer."""
    folder = tmp_path_factory.mktemp("shop")
    row = {"id": "1", "of": "Red Barn", "q": "Is there parking?", "a": "Yes, behind Red Barn."}
    (folder / "faq.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "shop.yaml").write_text(
        "knowledge: {file: faq.jsonl, question: q, answer: a, entity: of, key: [id]}\n"
        "indexes: [words]\nthresholds: chosen.json\nrefusal: A colleague will help you.\n"
    )
    (folder / "chosen.json").write_text(json.dumps({"thresholds": {"entry": -9.0}}))
    build = ("index", "build", "faq.jsonl", "--text", "q", "--model", "bm25", "--output", "words")
    assert command.inside(*build, cwd=folder).code == 0
    return folder / "shop.yaml"


@pytest.fixture(scope="module")
def embedding_run(tmp_path_factory):
    """A run that makes vectors of texts."""
    folder = tmp_path_factory.mktemp("vectors")
    rows = [{"query": f"what is {w}", "positive": f"{w} is a word"} for w in "abcdefgh"]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = [f"data.train={path}", f"data.validation={path}", f"data.test={path}"]
    return trained(folder, "task=embedding", "data=jsonl", *files)
