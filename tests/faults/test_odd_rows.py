"""Rows of JSON in which any value is one of another kind: read or refused, and no traceback."""

import contextlib
import copy
import json

import pytest

from lushan.data.answers import Answers
from lushan.data.fields import DIALOGUES, LABELLED, PAIRS, WORDS, Labels, Number, Text
from lushan.data.formats import Chat, Jsonl
from lushan.errors import UserError

SURROGATE = "a\ud800b"
ODD = (SURROGATE, None, 3, 1e400, 10**30, True, [], {}, [SURROGATE], [3], {"a": "b"}, [[3]])
ROWS = {
    "text": ({"text": "a b", "label": "x"}, LABELLED),
    "labels": ({"text": "a", "label": ["x"]}, {"text": Text(), "label": Labels()}),
    "number": ({"text": "a", "label": 1.5}, {"text": Text(), "label": Number()}),
    "words": ({"tokens": ["a", "b"], "tags": ["O", "B-x"]}, WORDS),
    "spans": ({"text": "a b", "spans": [{"start": 0, "end": 1, "label": "x"}]}, WORDS),
    "mentions": ({"text": "a b", "spans": {"x": {"a": [[0, 0]]}}}, WORDS),
    "pairs": ({"source": "a", "target": "b"}, PAIRS),
    "answers": (
        {"question": "q", "context": "a b", "answers": {"text": ["a"], "answer_start": [0]}},
        {"question": Text(), "context": Text(), "answers": Answers()},
    ),
    "messages": (
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        DIALOGUES,
    ),
}


def places(node, above=()):
    """The places of all values within one, itself first."""
    yield above
    pairs = (
        node.items() if isinstance(node, dict) else enumerate(node if type(node) is list else ())
    )
    for key, value in pairs:
        yield from places(value, (*above, key))


@pytest.mark.fault(33, 36)
@pytest.mark.parametrize("kind", list(ROWS))
def test_rows_of_any_other_shape(kind, tmp_path):
    """Each value of a row in turn is one of another kind: it is read, or refused."""
    row, fields = ROWS[kind]
    row = {"id": "1", **row}
    path = tmp_path / "x.jsonl"
    for place in list(places(row))[1:]:
        for value in ODD:
            changed = node = copy.deepcopy(row)
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = value
            path.write_text(f"{json.dumps({**row, 'id': '0'})}\n{json.dumps(changed)}\n")
            source = (Chat if kind == "messages" else Jsonl)(
                train=str(path), validation=None, test=None
            )
            with contextlib.suppress(UserError):
                source.read(fields).fingerprint()
