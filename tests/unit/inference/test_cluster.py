"""Prediction by the processes of a local Ray cluster."""

import json

import pytest

pytest.importorskip("ray")

from lushan.errors import UserError
from lushan.inference import cluster, pieces, predict_pieces


@pytest.mark.long
@pytest.mark.slow(60)
def test_a_cluster_writes_what_one_process_does(reviews_run, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("".join(f"a warm and clever film {n}\n" for n in range(40)))
    alone, spread = tmp_path / "alone.jsonl", tmp_path / "spread.jsonl"
    pieces.predict(reviews_run, input=file, output=alone, examples=10)
    count = predict_pieces(reviews_run, input=file, output=spread, examples=10, workers=2)
    assert count == 40
    assert spread.read_text() == alone.read_text()
    bad = tmp_path / "bad.jsonl"
    rows = [json.dumps({"sentence": "a film"}), "{"]
    bad.write_text("\n".join([*rows[:1] * 25, *rows[1:]]))
    with pytest.raises(UserError, match=r"bad.jsonl:26"):
        predict_pieces(reviews_run, input=bad, output=spread, examples=10, workers=1)
    assert spread.read_text() == alone.read_text()
    import ray

    ray.shutdown()


def test_a_cluster_has_a_worker():
    with pytest.raises(UserError, match="must be 1 or more"):
        cluster.Cluster(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray"], "requires an input file and an output file"),
        (["--output", "out.jsonl", "--workers", "2"], "requires --ray"),
    ],
)
def test_options_that_do_not_fit(reviews_run, cli_inside, tmp_path, options, message):
    (tmp_path / "a.txt").write_text("a film\n")
    done = cli_inside("predict", reviews_run, "--input", "a.txt", *options)
    assert done.code == 2
    assert message in done.err
