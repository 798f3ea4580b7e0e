"""A study from its file to its page, in one process."""

import json

import pytest
from tests.helpers import command, narrow, quick
from tests.helpers.runs import finished, listed_anew

STUDY = """\
title: Does a CRF help?
base: [data=sample_ner, data.limit=40,
  SMALL,
  name=crf]
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
""".replace("SMALL", ", ".join(narrow.narrowed(command.SMALL)))


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

    shown = cli_inside("study", "table", file, "--write", "README.md")
    assert shown.code == 0, shown.err
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# Does a CRF help?")
    assert "--write README.md    # this page" in page
    cli_inside("study", "table", file, "--write", "MORE.md")
    other = (tmp_path / "MORE.md").read_text(encoding="utf-8")
    assert other == page.replace("--write README.md", "--write MORE.md")
    assert "| linear |" in page
    assert "\n- Nothing is learned here.\n" in page
    assert "![val/loss by head: mean and standard deviation over n = 2 seeds](plot.png)" in page
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "head=crf: val/loss < 100: **holds**" in page
    assert "crf beats linear on val/entity_f1: **undecided**" in page
    found = json.loads(cli_inside("study", "table", file, "--json").out)
    assert {cell["n"] for cell in found["tables"][0]["cells"]} == {2}
    assert [claim["verdict"] for claim in found["claims"]] == ["holds", "undecided"]

    other = cli_inside("study", "verify", file, "--runs", "1")
    assert other.code == 0, other.out
    assert "1 of 4 complete runs retrained: 1 bit-equal" in other.out
    result = json.loads(runs[0].read_text())
    result["metrics"]["val/loss"] += 1e-9
    runs[0].write_text(json.dumps(result))
    assert cli_inside("reproduce", runs[0].parent).code == 2  # the run did not write that
    listed_anew(runs[0].parent)
    near = cli_inside("reproduce", runs[0].parent)
    assert near.code == 0
    assert near.out.rstrip().endswith("within tolerance")
    result["metrics"]["val/entity_f1"] = 0.99
    runs[0].write_text(json.dumps(result))
    listed_anew(runs[0].parent)
    assert cli_inside("reproduce", runs[0].parent).code == 1


def test_what_is_wrong_in_a_cell_is_reported_before_anything_runs(file, cli_inside, tmp_path):
    file.write_text(STUDY.replace("task/head=crf]", "task/head=crv]"), encoding="utf-8")
    done = cli_inside("study", "run", file)
    assert done.code == 2
    assert "crv" in done.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["table", "--format", "docx"], "unknown format"),
        (["run", "--jobs", "2", "--launcher", "joblib"], "requires --launcher fork"),
        (["run", "--retry", "-1"], "--retry"),
        (["run", "--jobs", "0"], "--jobs"),
        (["run", "--launcher", "forc"], "hydra/launcher"),
        (["run", "--option", "optimizer.lr=3"], "is not a launcher setting"),
        (["table", "--write", "page.yaml"], "must be a Markdown file"),
        (["table", "--output", "study.yaml"], "this is an input file"),
        (["verify", "--tolerance", "-1"], "--tolerance"),
        pytest.param(["verify"], "the study has no complete run", marks=pytest.mark.slow),
        pytest.param(["table"], "no run is complete", marks=pytest.mark.slow),
    ],
)
def test_mistakes(file, cli_inside, words, printed):
    done = cli_inside("study", words[0], file, *words[1:])
    assert done.code == 2
    assert printed in done.err
    assert file.read_text(encoding="utf-8") == STUDY


MISPLACED = [
    ("task/head=crf]", "task/head=crv]", "study.yaml:6, task/head"),
    ("bert_tiny", "nosuch", "study.yaml:3, model"),
    ("name=crf", "name=crf, optimizer.lrr=3", "study.yaml:4, optimizer.lrr"),
    ("[1, 2]", f"[1, {2**70}]", "study.yaml:7, seed"),
    ("metrics: [val/entity_f1]", "metrics: [val/f1]", "study.yaml:9, tables.0.metrics.0"),
    ("metric: val/loss", "metric: val/los", "study.yaml:11, plots.0.metric"),
    ("val/loss <", "val/los <", "study.yaml:15, claims.0"),
]


@pytest.mark.parametrize(("there", "instead", "place"), quick.only(MISPLACED[1:6:2], MISPLACED))
def test_a_mistake_of_the_file_is_reported_with_its_line(file, cli_inside, there, instead, place):
    file.write_text(STUDY.replace(there, instead), encoding="utf-8")
    done = cli_inside("study", "status", file)
    assert done.code == 2
    assert place in done.err


def test_its_state_for_programs(file, cli_inside):
    shown = json.loads(cli_inside("study", "status", file, "--json").out)
    assert shown["counts"] == {"new": 4}
    assert shown["runs"][-1]["cell"] == {"head": "crf"}
    assert shown["runs"][-1]["overrides"][-1] == "seed=2"


@pytest.mark.slow
def test_a_run_that_is_refused_before_it_has_a_folder_is_reported(file, cli_inside):
    wrong = STUDY.replace("data=sample_ner", "data=conll, data.train=no.conll")
    file.write_text(wrong.replace("data.limit=40, ", ""), encoding="utf-8")
    done = cli_inside("study", "run", file, "--launcher", "basic")
    assert done.code == 1
    assert done.out.count("failed: head=") == 4
    assert "no.conll" in done.out
    assert "4 runs: 4 failed" in done.out


@pytest.mark.slow
def test_a_damaged_result_is_not_done(file, cli, cli_inside, tmp_path):
    file.write_text(STUDY.replace("seeds: [1, 2]", "seeds: [1]"), encoding="utf-8")
    assert cli("study", "run", file).code == 0
    results = sorted(tmp_path.glob("outputs/crf/*/result.json"))
    results[0].write_text("{")
    done = cli_inside("study", "run", file)
    assert done.code == 1
    assert "2 runs: 1 complete, 1 failed" in done.out
    assert "delete its folder" in done.out
    table = cli_inside("study", "table", file)
    assert table.code == 0, table.err
    assert "its result.json is damaged" in table.out

    folder = results[1].parent
    kept = (folder / "manifest.json").read_text()
    for content in ("[]", '{"machine": 3}'):
        (folder / "manifest.json").write_text(content)
        assert cli_inside("reproduce", folder).code == 2
    (folder / "manifest.json").write_text(kept)
    with (folder / "predictions" / "test.jsonl").open("a") as file:
        file.write("{\n")
    for words in (["reproduce", folder], ["audit", "--run", folder]):
        damaged = cli_inside(*words)
        assert damaged.code == 2
        assert "test.jsonl: this file was changed" in damaged.err


PER_BYTE = """\
base: [task=causal_lm, data=sample_text, model=gpt2_tiny, trainer=cpu, name=lm]
axes:
  processor: {pieces: [processor=bpe], other: [OTHER]}
tables:
  - {rows: processor, metrics: [METRIC]}
"""


def per_byte(folder, other, metric="val/bits_per_byte"):
    text = PER_BYTE.replace("OTHER", other).replace("METRIC", metric)
    path = folder / "bytes.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("metric", ["bits_per_byte", "val/bits_per_byte"])
@pytest.mark.parametrize("other", ["processor=wordpiece", "processor=chars"])
def test_bits_per_byte_of_a_tokenizer_that_loses_text_is_no_metric_of_a_study(
    metric, other, cli_inside, tmp_path
):
    done = cli_inside("study", "run", per_byte(tmp_path, other, metric))
    assert done.code == 2
    assert "bytes.yaml:5" in done.err
    assert "is not comparable between runs: processor=other seed=1" in done.err
    assert "processor=chars_and_bytes" in done.err
    assert not (tmp_path / "outputs").exists()
    assert cli_inside("study", "status", per_byte(tmp_path, other, "perplexity")).code == 0


def test_nor_is_one_of_which_a_run_has_measured_it(cli_inside, tmp_path):
    from lushan.config.check import check
    from lushan.config.compose import compose

    file = per_byte(tmp_path, "processor=unigram")
    assert cli_inside("study", "status", file).code == 0
    lines = ["task=causal_lm", "data=sample_text", "model=gpt2_tiny", "trainer=cpu", "name=lm"]
    places = [f"paths.output_dir={tmp_path}/outputs"]
    config = check(compose([*lines, "processor=unigram", "seed=1", *places]))
    metrics = {"val/perplexity": 9.0, "val/bits_per_byte": 2.0}
    config = {k: v for k, v in config.items() if k not in ("name", "seed", "paths")}
    run = finished(tmp_path / "outputs", config | {"name": "lm"}, metrics)
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    result["not_comparable"] = {"val/bits_per_byte": "2 of 9 texts change when"}
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    listed_anew(run)
    done = cli_inside("study", "table", file)
    assert (done.code, "2 of 9 texts change when" in done.err) == (2, True), done.err
    shown = cli_inside("table", run, "--rows", "processor.kind", "--metric", "bits_per_byte")
    assert shown.code == 0, shown.err
    assert "2 of 9 texts change when" in shown.out
