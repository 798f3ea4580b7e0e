"""A field and a task that lushan has never seen: stored, reported, compared, and never guessed."""

import json
import re

import pytest

from lushan.report import site
from lushan.report.groups import of_folders
from lushan.run.result import RunResult
from lushan.study.compare import compare, to_text
from tests.conftest import trained
from tests.helpers import command


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUSHAN_TARGETS", "tests.")
        more = [*command.SMALL, "task=classification", "data=sample_reviews"]
        more += ["task._target_=tests.helpers.own_task.Moods", "trainer.max_epochs=1"]
        place = tmp_path_factory.mktemp("own")
        return [trained(place, *more, f"seed={seed}") for seed in (1, 2)]


def reported(runs, output):
    written = site.write(of_folders(runs), output)
    found = {}
    for file in (output / "data").glob("*.js"):
        text = re.fullmatch(r".*?JSON\.parse\('(.*)'\)\);\n", file.read_text("utf-8"))[1]
        found[file.stem] = json.loads(re.sub(r"\\(\\|')", r"\1", text))
    return written, found


@pytest.mark.slow
def test_the_result_says_what_is_stored(runs):
    stated = RunResult.read(runs[0] / "result.json").records
    assert stated["asked"] == {
        "role": "gold",
        "field": "tests.helpers.own_task.Mood",
        "options": {"key_of_mood": "name"},
    }
    assert stated["picture"] == {"role": "detail", "field": "lushan.data.fields.Image"}
    record = json.loads((runs[0] / "predictions/test.jsonl").open().readline())
    assert (runs[0] / record["picture"]["path"]).is_file()
    listed = json.loads((runs[0] / "checksums.json").read_text())["files"]
    assert record["picture"]["path"] in listed


def test_a_report_draws_it(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "tests.")
    written, data = reported(runs, tmp_path / "site")
    assert written.problems == []
    own = next(value for name, value in data.items() if name.startswith("run-"))
    part, numbers, right, marks, pairs, details = own["rows"][0]
    assert part[0] == "chips"
    assert part[1][0].endswith(" in blue")
    assert (numbers, len(pairs)) == ([], 1)
    assert marks == [[[True, "there"]], [[right, "felt"]]]
    (name, (kind, path, _)) = details[0]
    assert (name, kind) == ("picture", "image")
    from PIL import Image

    with Image.open(tmp_path / "site" / path) as copy:
        assert copy.size == (320, 240)
    shared = next(value for name, value in data.items() if name.startswith("examples-"))
    assert [one[0] for one in shared["rows"][0][1]] == ["said"]
    report = data["report"]
    assert report["confusions"][0]["caption"] == "Texts by their mood."
    assert report["scores"]
    reported(runs, tmp_path / "site")  # a report with pictures can be replaced


def test_a_comparison_asks_it_what_is_right(runs, monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "tests.")
    found = compare(*runs)
    assert found.changes.what == "a text is right where its mood is felt"
    rows = [json.loads(x) for x in (runs[0] / "predictions/validation.jsonl").open()]
    assert rows
    text = to_text(found, 2)
    if any(count for count, _ in found.changes.groups.values()):
        assert "    A: <" in text


def test_without_the_users_leave_its_class_is_not_imported(runs, tmp_path, monkeypatch):
    monkeypatch.delenv("LUSHAN_TARGETS", raising=False)
    written, data = reported(runs, tmp_path / "site")
    assert any("is shown as JSON" in problem for problem in written.problems)
    own = next(value for name, value in data.items() if name.startswith("run-"))
    kind, text = own["rows"][0][0]
    assert kind == "json"
    assert json.loads(text)["colour"] == "blue"
    assert own["rows"][0][2] is None
    # Examples are compared by the metric then.
    found = compare(*runs, metrics=["accuracy"])
    assert found.changes.what == "an example is right if accuracy says so"
