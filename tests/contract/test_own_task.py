"""A task in somebody's own package, with an image and a metric of torchmetrics: nothing lacks.

The package is `examples/own_task`: one file, one YAML, and pictures to try it with. `src` knows
nothing of it.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import transformers

from lushan.config.check import check
from lushan.config.compose import built_in_conf, compose
from lushan.config.usage import options_by_group
from tests.helpers import command, deaths, plots

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own task")]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples/own_task"
SMALL = [
    "task=brightest",
    "data.train=data/train.jsonl",
    "data.validation=0.2",
    "data.test=data/test.jsonl",
    "data.media=data/images",
    "data.batch_examples=16",
    "processor.size=16",
    "model.config.hidden_size=32",
    "model.config.num_hidden_layers=1",
    "model.config.num_attention_heads=2",
    "model.config.intermediate_size=64",
    "optimizer.lr=3e-3",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.max_epochs=6",
    "name=own",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with data, where the package may be named and is found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUSHAN_TARGETS", "own_task")
        patch.syspath_prepend(PACKAGE)
        folder = tmp_path_factory.mktemp("own task")
        patch.chdir(folder)
        from own_task import pictures

        pictures.write(folder / "data", train=160, test=40)
        yield folder
        for name in [name for name in sys.modules if name.partition(".")[0] == "own_task"]:
            del sys.modules[name]


@pytest.fixture
def lushan(place, monkeypatch):
    """A command in that folder, which must do what it is asked."""
    monkeypatch.setenv("LUSHAN_TARGETS", "own_task")

    def call(*words):
        done = command.inside(*words, cwd=place)
        assert done.code == 0, done.err
        return done

    return call


@pytest.fixture(scope="module")
def runs(place):
    """Two seeds. Look, do not touch: all tests share them."""
    with plots.undrawn():
        done = [command.inside("train", *SMALL, f"seed={seed}", cwd=place) for seed in (1, 2)]
    assert [one.code for one in done] == [0, 0], done[0].err
    return [one.folder for one in done]


@pytest.fixture(scope="module")
def exported(place, runs):
    """What is printed when the first run is exported, once for all tests."""
    done = command.inside("export", runs[0], "exported", cwd=place)
    assert done.code == 0, done.err
    return done.out


def result_of(run):
    return json.loads((run / "result.json").read_text(encoding="utf-8"))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_nothing_of_lushan_knows_it():
    theirs = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".yaml")]
    assert sorted(str(path.relative_to(PACKAGE)) for path in theirs) == [
        "own_task/__init__.py",
        "own_task/brightest.py",
        "own_task/conf/task/brightest.yaml",
        "own_task/pictures.py",
    ]
    known = re.compile(r"own_task|brightest", re.IGNORECASE)
    for folder in (ROOT / "src", built_in_conf()):
        files = [path for path in folder.rglob("*") if path.suffix in (".py", ".yaml", ".js")]
        assert [str(f) for f in files if known.search(f.read_text(encoding="utf-8"))] == []


def test_its_preset_is_found_only_where_it_is_allowed(place, monkeypatch):
    from lushan.config import search_path

    assert "brightest" in options_by_group(search_path.conf_folders())["task"]
    monkeypatch.delenv("LUSHAN_TARGETS")
    assert "brightest" not in options_by_group(search_path.conf_folders())["task"]
    refused = command.inside("train", *SMALL, cwd=place)
    assert refused.code == 2
    assert "the group task has no option 'brightest'" in refused.err


def test_it_trains_and_its_metric_chooses_the_checkpoint(runs):
    for run in runs:
        result = result_of(run)
        assert result["main_metric"] == "test/kappa"
        assert result["measures"]["test/kappa"] == {"higher_is_better": True}
        assert result["metrics"]["test/kappa"] > 0.5
        assert result["records"]["image"]["field"] == "lushan.data.fields.Image"
        record = lines(run / "predictions/test.jsonl")[0]
        assert (run / record["image"]["path"]).is_file()


def test_a_killed_run_ends_as_one_that_was_not(place, monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "own_task")
    monkeypatch.chdir(place)
    moments = deaths.Moments(monkeypatch)
    cfg = check(compose([*SMALL, "trainer.max_epochs=2", "callbacks.checkpoints.every_n_steps=3"]))
    alone = deaths.life(cfg, place / "alone")
    steps = [moment for moment in moments.seen if moment[2].endswith("training_step")]
    fatal = [steps[5], steps[13]]  # in either epoch, behind a checkpoint
    assert deaths.lives(cfg, place / "dies", moments, fatal) == alone
    assert moments.fatal == set()


def test_what_changes_an_image_in_training_changes_what_is_learned(place, monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "own_task")
    monkeypatch.chdir(place)
    short = [*SMALL, "trainer.max_epochs=1"]
    weights = [
        deaths.life(check(compose([*short, *more])), place / name)["final_weights_sha256"]
        for name, more in {"as it is": ["task.darkest=1"], "darker": []}.items()
    ]
    assert weights[0] != weights[1]


def test_it_predicts_images_however_they_are_given(lushan, place, runs):
    images = {f"{number}.png": place / f"data/images/{number}.png" for number in (160, 161)}
    (place / "new").mkdir()
    for name, path in images.items():
        shutil.copy(path, place / "new" / name)
    shutil.make_archive(str(place / "packed"), "zip", place / "new")
    rows = "".join(json.dumps({"image": name}) + "\n" for name in images)
    (place / "new/rows.jsonl").write_text(rows, encoding="utf-8")
    (place / "new/rows.csv").write_text("\n".join(["image", *images, ""]), encoding="utf-8")
    printed = {}
    for given in ("new", "packed.zip", "new/rows.jsonl", "new/rows.csv", "data/test.jsonl"):
        found = lushan("predict", runs[0], "--input", given).out.splitlines()
        printed[given] = [json.loads(line)["probabilities"] for line in found][:2]
    expected = [row["probabilities"] for row in lines(runs[0] / "predictions/test.jsonl")[:2]]
    for given, found in printed.items():
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-5), given
    alone = json.loads(lushan("predict", runs[0], "--input", "new/160.png").out)
    assert alone["id"] == "160.png"
    assert alone["probabilities"] == pytest.approx(expected[0], abs=1e-5)


def test_images_of_new_rows_lie_beside_them_or_where_those_of_the_run_do(lushan, place, runs):
    (place / "later").mkdir()
    shutil.copy(place / "data/images/3.png", place / "later/0.png")
    (place / "later/rows.jsonl").write_text('{"image": "0.png"}\n')
    beside = lushan("predict", runs[0], "--input", "later/rows.jsonl")
    assert json.loads(beside.out)["image"].endswith("later/0.png")
    stated = lushan("predict", runs[0], "--input", "later/rows.jsonl", "data.media=data/images")
    assert json.loads(stated.out)["image"] == "data/images/0.png"
    (place / "rows.jsonl").write_text('{"image": "0.png"}\n')
    of_the_run = lushan("predict", runs[0], "--input", "rows.jsonl")
    assert json.loads(of_the_run.out)["image"] == "data/images/0.png"
    assert "the images are read from data/images, the folder of the run's images" in of_the_run.err


def test_what_is_no_image_is_refused(place, runs, monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "own_task")
    (place / "bad").mkdir()
    (place / "empty").mkdir()
    (place / "bad/no.png").write_text("no image")
    for given, problem in {
        "bad": "the image no.png cannot be read",
        "bad/no.png": "the image no.png cannot be read",
        "gone.png": "there is no file gone.png",
        "empty": "there is no image in this folder",
    }.items():
        done = command.inside("predict", runs[0], "--input", given, cwd=place)
        assert done.code == 2, done.err
        assert problem in done.err


def test_it_is_compared_and_tabled_by_its_metric(lushan, runs):
    compared = lushan("compare", *runs).out
    assert "test/kappa" in compared
    assert "undecided" in compared  # nothing is known of what an example adds to it
    kappa = [result_of(run)["metrics"]["test/kappa"] for run in runs]
    table = lushan("table", "outputs/own", "--rows", "seed", "--format", "md").out
    bold = [str(seed) for seed, value in enumerate(kappa, 1) if value == max(kappa)]
    rows = [line for line in table.splitlines() if "**" in line]
    assert [row.split("|")[1].strip() for row in rows] == bold
    assert f"**{max(kappa):.4f}**" in rows[0]
    losses = lushan("table", "outputs/own", "--rows", "seed", "--metric", "test/loss").out
    lowest = min(result_of(run)["metrics"]["test/loss"] for run in runs)
    assert f"**{lowest:.4f}**" in losses


def test_a_report_draws_its_images(lushan, place, runs):
    printed = lushan("report", "outputs/own", "-o", "site")
    assert "not shown" not in printed.out + printed.err
    records = lines(runs[0] / "predictions/test.jsonl")
    copies = list((place / "site/media").glob("*.png"))
    assert len(copies) >= len(records)
    examples = "".join(f.read_text("utf-8") for f in (place / "site/data").glob("examples-*.js"))
    assert "media/" in examples


def test_a_batch_is_drawn(lushan):
    printed = lushan("train", *SMALL, "debug=batch").out
    assert "16 rows, 16 learned" in printed
    assert ".png" in printed
    assert re.search(r"→ \[\[(upper|lower) (left|right)\]\]", printed)


def test_its_exported_model_is_one_of_transformers_and_predicts(lushan, place, runs, exported):
    assert "matches the run's model" in exported
    loaded = transformers.AutoModelForImageClassification.from_pretrained(place / "exported")
    assert sorted(loaded.config.label2id) == sorted(set(loaded.config.id2label.values()))
    ours, theirs = (
        lushan("predict", folder, "--input", "data/test.jsonl").out
        for folder in (runs[0], "exported")
    )
    assert ours == theirs
    refused = command.inside("generate", runs[0], "--prompt", "x", cwd=place)
    assert refused.code == 2
    assert "does not generate text from a prompt: Brightest reads image" in refused.err


@pytest.mark.usefixtures("exported")
def test_others_start_from_it(lushan, runs):
    small = [word for word in SMALL if not word.startswith(("model.", "processor.", "name="))]
    with plots.undrawn():
        for start in (runs[0], "exported"):
            after = lushan("train", *small, f"init_from={start}", "trainer.max_steps=1")
            assert after.result["steps"] == 1
