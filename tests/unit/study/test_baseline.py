"""Tables with a baseline: differences, their intervals, and p corrected over the table."""

import csv
import io
import math

import numpy as np
import pytest
from tests.helpers.runs import finished, labelled

from lushan.errors import UserError
from lushan.metrics.stats.significance import (
    hierarchical,
    holm,
    mcnemar,
    paired_bootstrap,
    randomisation,
    welch,
)
from lushan.study.table import table

GOLD = ["a", "b"] * 20
ERRORS = {"bert": 16, "crf": 4, "mlp": 15}  # of 40, and as many more as the seed says
METRIC = "test/accuracy"


def right(model, seed):
    """Which examples a run has right: errors at the same places, some moved by the seed."""
    found = np.ones(40, dtype=bool)
    found[(np.arange(ERRORS[model] + seed) * 2 + 3 * seed) % 40] = False
    return found


def counts(model, seeds):
    values = np.array([right(model, seed) for seed in seeds], float)
    return np.stack([values, np.ones_like(values)], axis=-1)


def share(summed):
    return summed[..., 0] / summed[..., 1]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "outputs"


@pytest.fixture
def write(place):
    def write(model, seed, *, records=True, **more):
        answers = [
            g if ok else "x" for g, ok in zip(GOLD, right(model, seed).tolist(), strict=True)
        ]
        value = float(right(model, seed).mean())
        rows = labelled(GOLD, answers) if records else ()
        config = {"seed": seed, "model": {"kind": model}, "task": {}, **more}
        metrics = {METRIC: value, "test/loss": 1 - value}
        return finished(place, config, metrics, rows, choices={"model": model})

    return write


@pytest.fixture
def nine(write):
    for model in ERRORS:
        for seed in (1, 2, 3):
            write(model, seed)


def lines(place, **options):
    made = table([place], rows=["model"], format="csv", metrics=[METRIC], **options)
    return {line["model"]: line for line in csv.DictReader(io.StringIO(made.text))}


def numbers(line):
    return [float(line[name]) for name in ("difference", "low", "high", "p")]


@pytest.mark.parametrize("test", ["bootstrap", "randomisation", "welch"])
@pytest.mark.usefixtures("nine")
def test_differences_are_those_of_the_tests(place, test):
    found = lines(place, baseline="bert", test=test)
    seeds = (1, 2, 3)
    for model in ("crf", "mlp"):
        if test == "welch":
            sides = ([right(m, s).mean() for s in seeds] for m in (model, "bert"))
            want = welch(*sides)
        else:
            of = {"bootstrap": paired_bootstrap, "randomisation": randomisation}[test]
            want = of(counts(model, seeds), counts("bert", seeds), share)
        assert numbers(found[model]) == pytest.approx([want.effect, want.low, want.high, want.p])
        assert found[model]["test"] == test
    assert found["bert"]["difference"] == found["bert"]["p"] == ""
    p = [float(found[model]["p"]) for model in ("crf", "mlp")]
    assert [float(found[m]["p_holm"]) for m in ("crf", "mlp")] == pytest.approx(holm(p))
    assert p[0] < 0.01 < 0.05 < p[1]


def test_over_runs_and_examples(place, write):
    for seed in range(1, 6):
        write("bert", seed)
        write("crf", seed)
    found = lines(place, baseline="bert", test="hierarchical")["crf"]
    want = hierarchical(counts("crf", range(1, 6)), counts("bert", range(1, 6)), share)
    assert numbers(found) == pytest.approx([want.effect, want.low, want.high, want.p])


def test_mcnemar_compares_one_run_with_one(place, write):
    write("bert", 1)
    write("crf", 1)
    found = lines(place, baseline="bert", test="mcnemar")["crf"]
    want = mcnemar(right("crf", 1), right("bert", 1))
    assert numbers(found) == pytest.approx([want.effect, want.low, want.high, want.p])
    write("crf", 2)
    assert "one run with one" in lines(place, baseline="bert", test="mcnemar")["crf"]["undecided"]


@pytest.mark.usefixtures("nine")
def test_markdown(place):
    text = table([place], rows=["model"], baseline="bert", test="bootstrap").text
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "model",
        "test/accuracy, %",
        "difference to bert",
        "n",
    ]
    cells = {row.split("|")[1].strip(): [c.strip() for c in row.split("|")] for row in rows}
    assert cells["bert"][3] == "–"
    assert cells["crf"][3].startswith("+30.00 [+")
    assert cells["crf"][3].endswith(", p < 0.001 *")
    assert cells["mlp"][3].startswith("+2.50 [")
    assert not cells["mlp"][3].endswith("*")
    assert cells["crf"][2].startswith("**")
    assert "paired bootstrap over examples, of these runs and not of other seeds" in text
    assert "by Holm over 2 comparisons, * where it is below 0.05." in text


@pytest.mark.usefixtures("nine")
def test_latex_underlines_the_second(place):
    text = table([place], rows=["model"], baseline="crf", format="latex").text
    row = {line.split(" & ")[0]: line for line in text.splitlines() if " & " in line}
    assert r"\textbf{" in row["crf"]
    assert r"\underline{" in row["mlp"]
    assert r"\underline{" not in row["bert"]
    assert "the best in bold, the second underlined." in text
    assert r"& $-$30.00 [$-$" in row["bert"]
    assert r", p $<$ 0.001 *" in row["bert"]
    assert r"\underline{" in table([place], rows=["model"], format="latex").text


@pytest.mark.usefixtures("nine")
def test_the_default_is_the_bootstrap_and_nothing_is_tested_without_a_baseline(place):
    assert lines(place, baseline="bert") == lines(place, baseline="bert", test="bootstrap")
    known = {"model", "metric", "mean", "sd", "n", "runs", "best", "second"}
    assert set(lines(place)["crf"]) == known


def test_too_few_seeds_are_undecided_and_get_no_star(place, write):
    for seed in (1, 2):
        write("bert", seed)
        write("crf", seed)
    text = table([place], rows=["model"], baseline="bert", test="welch").text
    assert " +30.00, undecided |" in text
    assert "*" not in text.replace("**", "").partition("Each number")[0]
    reason = "Welch's t-test over runs needs 3 runs a side, but there are 2 and 2"
    assert f"Undecided: crf test/accuracy ({reason})." in text
    found = lines(place, baseline="bert", test="welch")["crf"]
    assert (found["undecided"], found["p"], found["low"]) == (reason, "", "")
    assert float(found["difference"]) == pytest.approx(0.3)
    more = lines(place, baseline="bert", test="hierarchical")["crf"]["undecided"]
    assert "needs 5 runs a side" in more
    write("crf", 3)
    unequal = lines(place, baseline="bert", test="randomisation")["crf"]
    assert "there are 3 and 2" in unequal["undecided"]
    assert lines(place, baseline="bert")["crf"]["undecided"] == ""


def test_what_is_undecided_does_not_count_for_holm(place, write):
    write("bert", 1)
    write("crf", 1)
    broken = write("mlp", 1, records=False)
    found = lines(place, baseline="bert")
    assert found["crf"]["p_holm"] == found["crf"]["p"]
    assert str(broken) in found["mlp"]["undecided"]
    assert "no stored predictions" in found["mlp"]["undecided"]


@pytest.mark.usefixtures("nine")
def test_all_metrics_and_columns_of_a_table_are_one_family(place):
    made = table(
        [place],
        rows=["model"],
        columns=["seed"],
        over=[],
        metrics=[METRIC],
        baseline="bert",
        format="csv",
    )
    found = [line for line in csv.DictReader(io.StringIO(made.text)) if line["p"]]
    assert len(found) == 6
    want = holm([float(line["p"]) for line in found])
    assert [float(line["p_holm"]) for line in found] == pytest.approx(want)
    assert any(float(line["p_holm"]) > float(line["p"]) for line in found)


@pytest.mark.usefixtures("nine")
def test_a_metric_that_is_not_stored_by_example(place):
    found = table([place], rows=["model"], metrics=["loss"], baseline="bert").text
    assert "-0.3000, undecided" in found
    assert "(loss cannot be computed from the stored statistics of examples)" in found
    text = table([place], rows=["model"], metrics=["loss"], baseline="bert", test="welch").text
    assert "-0.3000 [-" in text


def test_several_keys(place, write):
    for model in ("bert", "crf"):
        for lr in (0.1, 0.2):
            write(model, 1, optimizer={"lr": lr})
    options = {"rows": ["model", "optimizer.lr"], "format": "csv"}
    for name in ("model=bert,optimizer.lr=0.2", "optimizer.lr=0.2, model=bert"):
        made = table([place], baseline=name, **options)
        line = next(csv.DictReader(io.StringIO(made.text)))
        assert line["baseline"] == "model=bert,optimizer.lr=0.2"
        assert math.isclose(float(line["difference"]), 0.0)
    with pytest.raises(
        UserError, match=r"several rows have this name: model=bert,optimizer\.lr=0\.1"
    ):
        table([place], baseline="model=bert", **options)


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ({"baseline": "brt"}, "Did you mean 'bert'"),
        ({"baseline": "model=roberta"}, "--baseline"),
        ({"baseline": "bert", "test": "bootstap"}, "Did you mean 'bootstrap'"),
        ({"test": "welch"}, "test needs"),
    ],
)
@pytest.mark.usefixtures("nine")
def test_mistakes(place, options, printed):
    with pytest.raises(UserError) as caught:
        table([place], rows=["model"], **options)
    assert printed in str(caught.value)


@pytest.mark.usefixtures("nine")
def test_from_the_command_line(place, cli_inside):
    done = cli_inside("table", place, "--rows", "model", "--baseline", "model=bert")
    assert done.code == 0, done.err
    assert "difference to bert" in done.out
    assert cli_inside("table", place, "--rows", "model", "--baseline", "brt").code == 2
