"""`import lushan`: what the command line does, from Python."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from tests.helpers import command

import lushan
from lushan.cli.app import main


def test_all_names_are_there_and_none_costs_an_import():
    program = (
        "import json, sys, lushan; assert set(lushan.__all__) <= set(dir(lushan));"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not {"torch", "hydra", "pandas", "numpy"} & set(json.loads(done.stdout))
    for name in lushan.__all__:
        assert getattr(lushan, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'tables'"):
        _ = lushan.tables  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two seeds of a tagger, trained by the functions alone."""
    folder = tmp_path_factory.mktemp("api")
    places = [f"paths.output_dir={folder}/outputs", f"paths.cache_dir={folder}/cache"]
    for seed in (1, 2):
        lines = [*command.SMALL, *places, "experiment=sample/ner", "task/head=crf", f"seed={seed}"]
        config = lushan.compose(lines)
        result = lushan.train(config)
        assert result.folder == config.folder
    return config, result


@pytest.mark.slow
def test_a_config_says_what_its_run_is(study):
    config, result = study
    assert config["seed"] == 2
    assert config.run_id == result.run_id
    assert config.choices["task/head"] == "crf"
    assert "seed: 2" in config.to_yaml()
    assert set(config) == set(dict(config))


def test_a_complete_run_is_answered_by_its_stored_result(study):
    config, result = study
    before = (config.folder / "result.json").stat().st_mtime_ns
    again = lushan.train(config.overrides)
    assert again.metrics == result.metrics
    assert (config.folder / "result.json").stat().st_mtime_ns == before


def test_runs_and_tables_are_data_frames(study):
    config, result = study
    root = config.folder.parents[1]
    found = lushan.runs(root)
    assert list(found["seed"]) == [1, 2]
    assert found.iloc[1]["test/entity_f1"] == result.metrics["test/entity_f1"]
    assert len(lushan.runs(root, where=["seed=2"])) == 1
    table = lushan.table(root, rows="task.head", metrics=["test/entity_f1", "test/loss"])
    numbers = found["test/entity_f1"]
    assert table.loc[("crf",), ("test/entity_f1", "mean")] == pytest.approx(numbers.mean())
    assert table.loc[("crf",), ("test/entity_f1", "sd")] == pytest.approx(numbers.std())
    assert table.loc[("crf",), ("test/loss", "n")] == 2
    assert isinstance(table.attrs["notes"], list)


def test_a_folder_without_runs_is_an_empty_frame(tmp_path):
    assert list(lushan.runs(tmp_path).columns[:3]) == ["run", "name", "state"]
    assert len(lushan.runs(tmp_path)) == 0


def test_a_result_shows_its_metrics_in_a_notebook(study):
    _, result = study
    shown = result._repr_html_()
    assert "<th>test/entity_f1, %</th>" in shown
    assert str(result.folder) in shown


def test_a_result_is_printed_in_a_line(study):
    _, result = study
    shown = str(result)
    assert shown == repr(result)
    value = f"{100 * result.metrics['test/entity_f1']:.2f}"
    for part in (result.run_id, result.name, "seed 2", f"test/entity_f1, %: {value}"):
        assert part in shown
    assert str(result.folder) in shown
    assert len(shown) < 200 + len(str(result.folder))
    ends = " to ".join(f"{100 * end:.2f}" for end in (0.25, 0.5))
    assert f"({ends})" in repr(dataclasses.replace(result, ci={result.headline: [0.25, 0.5]}))
    assert "no metric" in repr(dataclasses.replace(result, metrics={}))


@pytest.mark.slow(1)
def test_rows_of_a_run_that_reads_no_text_are_explained(tmp_path):
    lines = ["task=recommend", "data=sample_interactions", "trainer=cpu", "trainer.max_epochs=1"]
    places = [f"paths.output_dir={tmp_path}/outputs", f"paths.cache_dir={tmp_path}/cache"]
    model = lushan.load(lushan.train([*lines, *places]).folder)
    with pytest.raises(lushan.UserError, match="which field contains the history") as caught:
        model.predict(["River 1"])
    assert str(caught.value).startswith("rows: ")
    assert "Write rows with" in str(caught.value)
    assert "+data" not in str(caught.value)


def test_predictions_are_those_of_the_command(ner_run, tmp_path, capsys):
    texts = ["Anna lives in Paris .", "Nobody \u2028 does."]
    model = lushan.load(ner_run)
    assert repr(model) == f"<NER of tokens: {ner_run}>"
    found = model.predict(texts)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    sys_argv, sys.argv = sys.argv, ["lushan", "predict", str(ner_run), "--input", str(rows)]
    try:
        assert main() == 0
    finally:
        sys.argv = sys_argv
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["entities"] for row in found] == [row["entities"] for row in written]
    assert [row["id"] for row in found] == ["<rows>:1", "<rows>:2"]
    assert model.predict([]) == []


def test_texts_are_written_as_by_the_seed(lm_run):
    model = lushan.load(lm_run)
    first, second = (
        model.generate(["the", "a"], seed=3, max_new_tokens=5, num_samples=2) for _ in range(2)
    )
    assert first == second
    assert [len(texts) for texts in first] == [2, 2]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda model: model.predict("Anna"), "rows: this is a list"),
        (lambda model: model.predict({"text": "Anna"}), "rows: this is a list"),
        (lambda model: model.predict(None), "rows: this is a list"),
        (lambda model: model.predict(["Anna", {"text": 3}]), "rows[1]: the text is not text"),
        (lambda model: model.predict(["Anna", 3]), "rows[1]: this is not a row (found 3)"),
        (lambda model: model.predict(["Anna", None]), "rows[1]: this is not a row (found 'None')"),
        (lambda model: model.predict(["Anna", {}]), "rows[1]: the text is missing"),
        (lambda model: model.predict(["Anna", b"Bob"]), "rows[1]: this is not a row"),
        (lambda model: model.predict([{"text": {1}}]), "rows[0]: set cannot be written as JSON"),
        (lambda model: model.predict(["Anna", "\ud800"]), "rows[1]: a text holds half of a surro"),
        (
            lambda model: model.predict([{"tokens": ["a"]}, {"tokens": [2]}]),
            "rows[1]: tokens must be a list of words (found [2])",
        ),
        (lambda model: model.generate(["Anna"]), "does not generate text from a prompt"),
        (lambda model: model.generate(["Anna"], wide=3), "wide: unknown setting of generation"),
        (lambda model: model.embed(["Anna"]), "does not compute text vectors"),
    ],
)
def test_mistakes_are_user_errors(ner_run, call, says):
    with pytest.raises(lushan.UserError) as caught:
        call(lushan.load(ner_run))
    assert says in str(caught.value)


def test_mistakes_of_a_config_are_user_errors(tmp_path):
    for call, says in (
        (lambda: lushan.compose("experiment=sample/ner"), "overrides must be a list"),
        (lambda: lushan.compose(["task=nerr"]), "nerr"),
        (lambda: lushan.load(tmp_path / "nowhere"), "the folder does not exist"),
        (lambda: lushan.table(tmp_path, rows=[]), "name the keys of the rows"),
    ):
        with pytest.raises(lushan.UserError) as caught:
            call()
        assert says in str(caught.value)


@pytest.mark.slow(1)
def test_vectors_have_length_one(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query": f"what is {i}", "positive": f"{i} is a number"} for i in range(8)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = [f"paths.output_dir={tmp_path}/outputs", f"paths.cache_dir={tmp_path}/cache"]
    data = ["data=jsonl", f"data.train={pairs}", "data.validation=0.5", "test=false"]
    result = lushan.train([*command.SMALL, *places, *data, "task=embedding"])
    vectors = lushan.load(result.folder).embed(["a", "b c"], role="query")
    assert vectors.shape[0] == 2
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
