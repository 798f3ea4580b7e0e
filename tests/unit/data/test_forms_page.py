"""The conversions of docs/forms.md, run as they stand there on small files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[3] / "docs/forms.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
LINES = re.findall(r"^(?:paste|sed|jq) .*$", PAGE.rpartition("In a shell:")[2], re.MULTILINE)
CTX = {"positive_ctxs": [{"text": "p"}], "hard_negative_ctxs": [{"text": "n"}]}
STUDIO = {"value": {"start": 0, "end": 2, "labels": ["PER"]}}
COCO = {"image_id": 7, "caption": "a cat"}
ASKED = {"question_id": 1, "question": "what?"}
ANSWERED = {"question_id": 1, "image_id": 7, "multiple_choice_answer": "cat"}
FILES: dict[str, Any] = {
    "ner_dataset.csv": "Sentence #,Word,POS,Tag\n1,Li,NN,B-PER\n,null,NN,O\n2,a,N,O\n",
    "spert.json": [
        {"tokens": ["Li", "Bai", "x"], "entities": [{"type": "P", "start": 0, "end": 2}]}
    ],
    "flat.jsonl": {"context": "so it is", "question": "q", "answer": "it"},
    "captions_train2014.json": {"images": [{"id": 7, "file_name": "7.jpg"}], "annotations": [COCO]},
    "questions.json": {"questions": [ASKED]},
    "annotations.json": {"annotations": [ANSWERED]},
    "queries.jsonl": {"_id": "1", "text": "q"},
    "corpus.jsonl": {"_id": "02", "text": "d"},
    "qrels/train.tsv": "query-id\tcorpus-id\tscore\n1\t02\t1\n1\t03\t0\n",
    "PART_I.txt": "<doc>\n<summary>\n  s 1\n</summary>\n<short_text>\nt\n</short_text>\n</doc>\n"
    * 2,
    "behaviors.tsv": "1\tU1\t11/11/2019 1:05:58 PM\tN1 N2\tN5-1 N6-0\n"
    "2\tU2\t1/2/2019 12:00:00 AM\t\tN7-1\n",
    "hh.jsonl": {"chosen": "\n\nHuman: hi\n\nAssistant: yes"},
    "train_text.txt": "a\n",
    "train_labels.txt": "0\n",
    "fasttext.txt": "__label__pos so good\n",
    "Flickr8k.token.txt": "1.jpg#0\ta dog\n",
    "data.json": {"PMUL1": {"log": []}},
    "dpr.jsonl": {"question": "q", **CTX},
    "dialogues_text.txt": "Hi . __eou__ Yes . __eou__\n",
    "studio.json": [{"data": {"text": "Li x"}, "annotations": [{"result": [STUDIO]}]}],
}
PAIR = [{"query": "q", "positive": "d"}]
WRITTEN: dict[str, Any] = {
    "ner.jsonl": [
        {"tokens": ["Li", "null"], "tags": ["B-PER", "O"]},
        {"tokens": ["a"], "tags": ["O"]},
    ],
    "spert.jsonl": [{"tokens": ["Li", "Bai", "x"], "tags": ["B-P", "I-P", "O"]}],
    "answers.jsonl": [
        {
            "context": "so it is",
            "question": "q",
            "answer": "it",
            "answers": [{"text": "it", "answer_start": 3}],
        }
    ],
    "captions.jsonl": [{"image": "7.jpg", "caption": "a cat"}],
    "vqa.jsonl": [
        {"image": "COCO_train2014_000000000007.jpg", "question": "what?", "answer": "cat"}
    ],
    "pairs.jsonl": PAIR,
    "lcsts.jsonl": [{"source": "t", "target": "s 1"}] * 2,
    "mind.jsonl": [
        *({"user": "U1", "item": n, "time": "2019-11-11T13:05:58"} for n in ("N1", "N2", "N5")),
        {"user": "U2", "item": "N7", "time": "2019-01-02T00:00:00"},
    ],
    "hh_chat.jsonl": [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}
    ],
}
SHELL = {
    "paste": "a\t0\n",
    "sed -E 's/^__label__": "pos\tso good\n",
    "sed -E 's/#": "1.jpg\ta dog\n",
    "jq -c '.[]' data": '{"log":[]}\n',
    "jq -c '{query": '{"query":"q","positive":"p","negatives":["n"]}\n',
    "jq -Rc": '{"turns":["Hi .","Yes ."]}\n',
    "jq -c '.[] | {text": '{"text":"Li x","label":[[0,2,"PER"]]}\n',
}


@pytest.fixture
def inside(tmp_path, monkeypatch):
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_conversions_in_python(inside) -> None:
    assert len(BLOCKS) == len(WRITTEN)
    for block, (name, rows) in zip(BLOCKS, WRITTEN.items(), strict=True):
        exec(block, {})
        assert [json.loads(line) for line in (inside / name).read_text().splitlines()] == rows


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_conversions_in_a_shell(inside) -> None:
    assert len(LINES) == len(SHELL)
    for line, (start, content) in zip(LINES, SHELL.items(), strict=True):
        assert line.startswith(start)
        subprocess.run(["bash", "-c", line], check=True, cwd=inside)
        name = re.search(r"> (\S+)", line.partition(" #")[0])
        assert name is not None
        assert (inside / name[1]).read_text() == content
