"""Caches of which some file is damaged: the numbers stay what they were."""

import json

import pytest

from lushan.run import caches
from tests.conftest import trained
from tests.helpers import corpora
from tests.helpers.command import LANGUAGE


def flipped(path):
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content), 97):
        content[place] ^= 1
    path.write_bytes(content)


def swapped(path):
    """Let it hold what another file of its kind holds, where there is one."""
    others = [p for p in sorted(path.parent.glob(f"*{path.suffix}")) if p != path]
    path.write_bytes(others[0].read_bytes() if others else b"other")


def overrides_of(kind, folder):
    if kind == "ner":
        return ["task=ner", "data=conll", *corpora.overrides(corpora.conll(folder))]
    train = folder / "train.txt"
    train.write_text("".join(f"the cat {i} sat\n\n" for i in range(200)), encoding="utf-8")
    if kind == "text":
        data = ["data=text", f"data.train={train}", "data.document=paragraph"]
        return [*LANGUAGE, "task=causal_lm", *data]
    rows = folder / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "the cat {i} sat"}}\n' for i in range(200)), "utf-8")
    data = ["data=stream", f"data.path={rows}", "data.window_documents=64", "data.validation=16"]
    small = [o for o in LANGUAGE if not o.startswith("data.limit")]
    return [*small, "task=causal_lm", *data, "trainer.max_epochs=null", "trainer.max_steps=4"]


@pytest.mark.slow
@pytest.mark.fault(67)
@pytest.mark.parametrize("kind", ["ner", "text", "stream"])
def test_every_file_of_a_cache_is_proved_and_made_again(kind, tmp_path, caplog):
    """Train the same run again and again, each time with all files of the cache damaged."""
    overrides = overrides_of(kind, tmp_path)

    def metrics(name):
        run = trained(tmp_path, *overrides, f"name={name}")
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        return result["metrics"], result["weights_sha256"]

    first = metrics("first")
    for damage in (flipped, swapped):
        files = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
        assert len(files) >= 4
        for path in files:
            damage(path)
        caches._proved.clear()  # as another process would see them
        assert metrics(damage.__name__) == first
