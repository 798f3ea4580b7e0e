"""Tables of runs that nobody has trained."""

import csv
import io
import json
import statistics

import pytest
from tests.helpers import measuring
from tests.helpers.runs import finished

from lushan.errors import UserError
from lushan.report.groups import of_folders
from lushan.run.folder import RunFolder
from lushan.run.identity import run_id
from lushan.run.result import RunResult
from lushan.study.compare import compare
from lushan.study.table import table

SCORES = {("linear", 1): 0.50, ("linear", 2): 0.54, ("crf", 1): 0.60, ("crf", 2): 0.63}


@pytest.fixture
def place(tmp_path):
    return tmp_path / "outputs"


@pytest.fixture
def write(place):
    """Carry out a run in no time; without a value it is left interrupted."""

    def write(head, seed, value, *, lr=1e-3, data="a", name="mine", metrics=None, weights=None):
        cfg = {
            "name": name,
            "seed": seed,
            "paths": {"output_dir": str(place)},
            "task": {"head": {"_target_": f"lushan.models.heads.{head}", "dropout": 0.1}},
            "optimizer": {"lr": lr},
        }
        choices = {"task/head": head, "data": data, "optimizer": "adamw"}
        folder = RunFolder.of(cfg)
        with folder.locked():
            folder.start(cfg, choices=choices)
            if value is None:
                return folder
            numbers = metrics or {"test/entity_f1": value, "val/loss": 1 - value}
            folder.complete(
                RunResult(
                    folder=folder.path,
                    name=name,
                    run_id=run_id(cfg),
                    seed=seed,
                    metrics=numbers,
                    measures=measuring.measures_of(numbers),
                    main_metric="test/entity_f1",
                    config=cfg,
                    choices=choices,
                    data_fingerprint={"train": data, "validation": data, "test": data},
                    seconds=1.0,
                    inputs={"files": {"model.path/model.safetensors": weights}} if weights else {},
                )
            )
        return folder

    return write


@pytest.fixture
def four(write):
    for (head, seed), value in SCORES.items():
        write(head, seed, value)


def rows(text):
    """The cells of a Markdown table below its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.usefixtures("four")
def test_mean_sample_deviation_n_and_the_best_in_bold(place):
    text = table([place], rows=["task.head"]).text
    deviations = [
        statistics.stdev(v for (h, _), v in SCORES.items() if h == head)
        for head in ("linear", "crf")
    ]
    assert rows(text) == [
        ["linear", f"52.00 ± {100 * deviations[0]:.2f}", "2"],
        ["crf", f"**61.50 ± {100 * deviations[1]:.2f}**", "2"],
    ]
    assert "| task.head |" in text
    assert "test/entity_f1, %" in text
    assert "standard deviation over seed" in text


@pytest.mark.usefixtures("four")
def test_one_run_has_no_deviation_and_less_loss_is_better(place):
    text = table([place], rows=["task.head", "seed"], metrics=["loss"]).text
    assert rows(text)[-1] == ["crf", "2", "**0.3700**", "1"]
    assert sum("**" in cell for row in rows(text) for cell in row) == 1


@pytest.mark.usefixtures("four")
def test_columns_each_with_its_best(place, write):
    write("linear", 1, 0.9, lr=1e-2)
    write("crf", 1, 0.1, lr=1e-2)
    text = table([place], rows=["task/head"], columns=["optimizer.lr"]).text
    head = text.splitlines()[0]
    assert head.index("optimizer.lr=0.001") < head.index("optimizer.lr=0.01")
    assert [row[3] for row in rows(text)] == ["**90.00**", "10.00"]
    assert rows(text)[1][1].startswith("**61.50")


@pytest.mark.usefixtures("four")
def test_csv_has_all_digits(place):
    made = table([place], rows=["task.head"], format="csv", metrics=["test/entity_f1", "val/loss"])
    lines = list(csv.DictReader(io.StringIO(made.text)))
    assert [line["best"] for line in lines] == ["0", "0", "1", "1"]
    assert {line["second"] for line in lines} == {"0"}  # of two the other one is no news
    assert float(lines[2]["mean"]) == statistics.fmean([0.60, 0.63])
    assert float(lines[2]["sd"]) == statistics.stdev([0.60, 0.63])
    assert (lines[2]["metric"], lines[2]["n"], lines[2]["runs"]) == ("test/entity_f1", "2", "2")


@pytest.mark.usefixtures("four")
def test_json_has_the_same(place):
    options = {"rows": ["task.head"], "metrics": ["test/entity_f1", "val/loss"], "baseline": "crf"}
    lines = list(csv.DictReader(io.StringIO(table([place], format="csv", **options).text)))
    found = json.loads(table([place], format="json", **options).text)
    assert [
        {name: "" if value is None else str(value) for name, value in cell.items()}
        for cell in found["cells"]
    ] == lines
    assert isinstance(found["notes"], list)


@pytest.mark.usefixtures("four")
def test_latex_is_escaped(place):
    text = table([place], rows=["task.head"], format="latex").text
    assert r"test/entity\_f1, \%" in text
    assert r"crf & \textbf{61.50 $\pm$ 2.12} & 2 \\" in text
    assert text.endswith(r"\end{tabular}")


@pytest.mark.usefixtures("four")
def test_html_is_escaped(place, write):
    write("<b>", 1, 0.1)
    text = table([place], rows=["task.head"], format="html").text
    assert '<th scope="row">&lt;b&gt;</th><td class="number">10.00</td>' in text
    assert '<th scope="row">crf</th><td class="number"><b>61.50 ± 2.12</b></td>' in text
    assert text.count("<tr>") == 4


@pytest.mark.usefixtures("four")
@pytest.mark.fault(24)
def test_what_is_not_complete_is_said_and_counted(place, write):
    broken = write("crf", 3, None)
    other = write("mlp", 1, None)
    text = table([place], rows=["task.head"]).text
    assert [row[0] for row in rows(text)] == ["linear", "crf", "mlp"]
    assert rows(text)[1][2] == "2 of 3"
    assert rows(text)[2][1:] == ["–", "0 of 1"]
    for folder in (broken, other):
        assert f"Not in the table: {folder.path} (interrupted, ended without a result)." in text
    made = table([place], rows=["task.head"], format="csv")
    assert len(made.apart) == 2
    assert "Not in" not in made.text
    assert (
        f"% Not in the table: {other.path}"
        in table([place], rows=["seed"], over=["task.head"], format="latex").text
    )


@pytest.mark.usefixtures("four")
def test_a_damaged_result_is_said(place, write):
    folder = write("crf", 3, 0.6)
    folder.result_json.write_text("{}")
    text = table([place], rows=["task.head"]).text
    assert "its result.json is damaged" in text
    assert rows(text)[1][2] == "2 of 3"


@pytest.mark.usefixtures("four")
def test_runs_that_differ_in_more_are_not_averaged(place, write):
    write("crf", 1, 0.1, lr=1.0)
    with pytest.raises(UserError, match=r"optimizer\.lr"):
        table([place], rows=["task.head"])
    assert rows(table([place], rows=["task.head"], over=["seed", "optimizer"]).text)[1][2] == "3"


@pytest.mark.usefixtures("four")
def test_a_group_stands_for_the_keys_that_a_choice_of_it_changes(place):
    with pytest.raises(UserError) as caught:
        table([place], rows=["optimizer.lr"])
    assert "also differ in task.head (task.head: linear, crf)" in str(caught.value)
    assert "_target_" not in str(caught.value)


@pytest.mark.usefixtures("four")
def test_different_data_are_not_compared(place, write):
    write("crf", 5, 0.9, data="b")
    with pytest.raises(UserError, match="same data") as caught:
        table([place], rows=["task.head"])
    assert "--columns data" in str(caught.value)
    text = table([place], rows=["task.head"], columns=["data"]).text
    assert "data=a" in text
    assert rows(text)[0][3] == "–"


@pytest.mark.usefixtures("four")
def test_a_run_in_two_folders_is_counted_once(place, write):
    write("crf", 1, 0.60, name="again")
    text = table([place], rows=["task.head"]).text
    assert rows(text)[1][2] == "2"
    assert "Counted once" in text


def test_a_run_of_the_same_config_with_other_weights_is_another(place, write):
    one = write("crf", 1, 0.60, name="p", weights="a")
    other = write("crf", 1, 0.70, name="p2", weights="b")
    write("crf", 1, 0.60, name="q", weights="a")  # a copy of the first
    assert one.path.name == other.path.name
    made = table([place], rows=["name"])
    shown = {row[0]: row[1].strip("*") for row in rows(made.text)}
    assert shown == {"p": "60.00", "p2": "70.00"}
    assert made.text.count("Counted once") == 1
    with pytest.raises(UserError, match=r"inputs: model\.path/model\.safetensors") as caught:
        table([place], rows=["task.head"])
    assert "Add name to --rows" in str(caught.value)


def test_seeds_made_from_other_weights_are_not_averaged(place, write):
    write("crf", 1, 0.60, weights="a")
    write("crf", 2, 0.70, weights="b")
    with pytest.raises(UserError, match=r"inputs: model\.path/model\.safetensors"):
        table([place], rows=["task.head"])


def test_two_splits_are_not_mixed(place, write):
    write("crf", 1, 0.5)
    write("crf", 2, 0.5, metrics={"val/entity_f1": 0.7})
    text = table([place], rows=["task.head"]).text
    assert rows(text) == [["crf", "50.00", "1 of 2"]]
    assert "has no test/entity_f1." in text


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ({"rows": ["task.haed"]}, "Did you mean 'task.head'"),
        ({"rows": ["task.head"], "columns": ["optimiser.lr"]}, "optimizer.lr"),
        ({"rows": ["task.head"], "metrics": ["test/entity_f2"]}, "test/entity_f1"),
        ({"rows": ["task.head"], "format": "mdx"}, "Did you mean 'md'"),
        ({"rows": []}, "--rows"),
    ],
)
@pytest.mark.usefixtures("four")
def test_mistakes(place, options, printed):
    with pytest.raises(UserError) as caught:
        table([place], **options)
    assert printed in str(caught.value)


def test_nothing_to_show(place, write, tmp_path):
    with pytest.raises(UserError, match="the folder does not exist"):
        table([tmp_path / "none"], rows=["seed"])
    with pytest.raises(UserError, match="contains no runs"):
        table([tmp_path], rows=["seed"])
    write("crf", 1, None)
    with pytest.raises(UserError, match="no run is complete yet"):
        table([place], rows=["seed"])


def test_runs_that_were_not_evaluated_have_no_metrics(place):
    for seed in (1, 2):
        config = {"seed": seed, "task": {"head": "crf"}}
        run = finished(place, config, {}, main_metric="val/accuracy")
    for metrics in ([], ["accuracy"], ["val/loss"]):
        with pytest.raises(UserError, match="the runs have no metrics: they had neither") as error:
            table([place], rows=["seed"], metrics=metrics)
        assert "There are ." not in str(error.value)
    with pytest.raises(UserError, match="the run has no metrics: it had neither validation nor"):
        compare(run, run)
    (made,) = of_folders([place]).tables
    assert made.endswith("the runs have no metrics: they had neither validation nor test.")
