"""A study from its file to its page, in one process."""

import json

import pytest

STUDY = """\
title: Does a CRF help?
base: [data=sample_ner, data.limit=40, data.batch_tokens=null, data.batch_examples=8,
  model=bert_tiny, tokenizer.vocab_size=300, trainer=cpu, trainer.precision=32-true,
  trainer.max_epochs=1, name=crf]
axes:
  head: {linear: [task/head=linear], crf: [task/head=crf]}
seeds: [1, 2]
tables:
  - {rows: head, metrics: [val/entity_f1]}
plots:
  - {x: head, metric: val/loss}
remarks:
  - Nothing is learned here.
claims:
  - "head=crf: val/loss < 100"
  - crf beats linear on val/entity_f1
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.mark.slow
def test_from_its_file_to_its_page(file, cli, cli_inside, tmp_path):
    assert "4 runs: 4 missing" in cli_inside("study", "status", file).out
    done = cli("study", "run", file)  # it forks
    assert done.code == 0, done.err
    assert "4 runs: 4 complete" in done.out
    # A run that the study knows is the same run for everybody else.
    runs = sorted(tmp_path.glob("outputs/crf/*/result.json"))
    assert len(runs) == 4
    again = cli_inside("study", "run", file)
    assert again.code == 0
    assert all(json.loads((r.parent / "run.json").read_text())["attempts"] == 1 for r in runs)

    told = cli_inside("study", "table", file, "--write", "README.md")
    assert told.code == 0, told.err
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# Does a CRF help?")
    assert "| linear |" in page
    assert "\n- Nothing is learned here.\n" in page
    assert "![val/loss by head: mean and standard deviation over n = 2 seeds](plot.png)" in page
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "head=crf: val/loss < 100: **holds**" in page
    assert "crf beats linear on val/entity_f1: **undecided**" in page

    other = cli_inside("study", "verify", file, "--runs", "1")
    assert other.code == 0, other.out
    assert "1 of 4 complete runs made again: 1 bit-equal" in other.out
    result = json.loads(runs[0].read_text())
    result["metrics"]["val/loss"] += 1e-9
    runs[0].write_text(json.dumps(result))
    near = cli_inside("reproduce", runs[0].parent)
    assert near.code == 0
    assert near.out.rstrip().endswith("within tolerance")
    result["metrics"]["val/entity_f1"] = 0.99
    runs[0].write_text(json.dumps(result))
    assert cli_inside("reproduce", runs[0].parent).code == 1


def test_what_is_wrong_in_a_cell_is_told_before_anything_runs(file, cli_inside, tmp_path):
    file.write_text(STUDY.replace("task/head=crf]", "task/head=crv]"), encoding="utf-8")
    done = cli_inside("study", "run", file)
    assert done.code == 2
    assert "crv" in done.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["table", "--format", "docx"], "no such format"),
        (["run", "--jobs", "2", "--launcher", "joblib"], "is for --launcher fork"),
        (["run", "--retry", "-1"], "--retry"),
        pytest.param(["verify"], "no run of it is complete", marks=pytest.mark.slow),
        pytest.param(["table"], "no run is complete", marks=pytest.mark.slow),
    ],
)
def test_mistakes(file, cli_inside, words, said):
    done = cli_inside("study", words[0], file, *words[1:])
    assert done.code == 2
    assert said in done.err
