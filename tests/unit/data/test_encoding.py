"""The cache of encoded splits: read once made, whole under any number of makers."""

import json
import multiprocessing as mp

import numpy as np
import pyarrow as pa

from lushan.data.encoding import Encoded, code_version, encode, fingerprint_of

SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("length", pa.int32()),
        ("targets", pa.int32()),
        ("example", pa.int64()),
    ]
)


def encoder(rows, first):
    ids = [[ord(c) for c in text] for text in rows["text"]]
    return {
        "input_ids": ids,
        "length": [len(i) for i in ids],
        "targets": [1] * len(ids),
        "example": list(range(first, first + len(ids))),
    }


def make(folder, texts=("ab", "", "庐山xyz")):
    table = pa.table({"text": list(texts)})
    return encode(
        table,
        encoder,
        SCHEMA,
        fingerprint="f",
        cache_dir=folder,
        count=lambda f: {"features": len(f["length"])},
    )


def test_what_was_encoded_is_read_back(tmp_path):
    encoded = make(tmp_path)
    assert len(encoded) == 3
    assert encoded.lengths.tolist() == [2, 0, 5]
    rows = encoded.rows([2, 1])
    assert rows[0]["input_ids"].tolist() == [ord(c) for c in "庐山xyz"]
    assert rows[1]["input_ids"].tolist() == []
    assert encoded.meta == {"features": 3}
    assert encoded.examples.tolist() == [0, 1, 2]


def test_the_second_time_nothing_is_encoded(tmp_path):
    make(tmp_path)

    def refuse(rows, first):
        raise AssertionError

    again = encode(
        pa.table({"text": ["other"]}), refuse, SCHEMA, fingerprint="f", cache_dir=tmp_path
    )
    assert len(again) == 3


def test_an_empty_split(tmp_path):
    assert len(make(tmp_path, texts=())) == 0


def _make(folder):
    make(folder, texts=["x" * n for n in range(3000)])


def test_two_processes_that_build_it_at_once_both_get_a_whole_one(tmp_path):
    context = mp.get_context("forkserver")
    makers = [context.Process(target=_make, args=(tmp_path,)) for _ in range(2)]
    for process in makers:
        process.start()
    for process in makers:
        process.join()
    assert [p.exitcode for p in makers] == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["f.arrow"]
    assert len(Encoded(tmp_path / "f.arrow")) == 3000


def test_fingerprints_tell_content_options_and_code_apart():
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})
    assert fingerprint_of("a", "b") != fingerprint_of("ab")
    assert code_version(encode) == code_version(Encoded)
    assert code_version(encode) != code_version(json.dumps)
    assert np.asarray(fingerprint_of("庐山")).shape == ()
