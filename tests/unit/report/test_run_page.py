"""A run's page: its numbers, its curves, and what its model writes."""

import json
import shutil

import pytest
from tests.helpers.runs import listed_anew

from lushan.common.wording import plural
from lushan.errors import UserError
from lushan.report import run_page


def test_it_tells_what_the_run_has_recorded(ner_run, tmp_path):
    output = tmp_path / "deep" / "README.md"
    run_page.write(ner_run, output, title="A title", command=["page", "RUN"])
    text = output.read_text(encoding="utf-8")
    assert text.startswith("# A title\n\n```\nlushan train ")
    assert "| **test/entity_f1, %** |" in text
    assert "tokens trained on" in text
    recorded = json.loads((ner_run / "manifest.json").read_text("utf-8"))["threads"]
    assert f", {plural(recorded, 'thread')}." in text
    assert text.endswith("This page was made by `lushan page RUN`.\n")
    assert (output.parent / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_samples_keep_their_lines(ner_run, tmp_path):
    output = tmp_path / "README.md"
    run_page.write(ner_run, output, samples=[{"prompt": "明月", "text": "几时有\n把酒问青天"}])
    assert "> **明月**几时有  \n> 把酒问青天  " in output.read_text(encoding="utf-8")


def test_an_answer_begins_on_a_line_of_its_own(ner_run, tmp_path):
    output = tmp_path / "README.md"
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello\n"}]
    run_page.write(ner_run, output, samples=[{"prompt": prompt, "text": "Hi."}], continues=False)
    assert "> **Be brief.**  \n> **Hello**  \n> Hi.  " in output.read_text(encoding="utf-8")


def test_absolute_paths_are_reported_from_where_one_is(ner_run, tmp_path, monkeypatch):
    """The folder of somebody's data is nothing that a page has to show."""
    run, data = tmp_path / "run", tmp_path / "data" / "set"
    shutil.copytree(ner_run, run)
    data.mkdir(parents=True)
    (run / "overrides.yaml").write_text(f"- data.dir={data}\n- data.text=/no/such/place\n")
    listed_anew(run)
    monkeypatch.chdir(run)
    run_page.write(run, tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "\nlushan train data.dir=../data/set data.text=/no/such/place\n" in text


def test_a_run_that_is_not_complete_has_no_page(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        run_page.write(tmp_path, tmp_path / "README.md")
    (tmp_path / "config.yaml").write_text("{}\n")
    with pytest.raises(UserError, match="not complete"):
        run_page.write(tmp_path, tmp_path / "README.md")


def test_threads_are_those_that_computed(ner_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(ner_run, run)
    manifest = json.loads((run / "manifest.json").read_text("utf-8"))
    manifest["threads"], manifest["machine"]["threads_usable"] = 3, 64
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    listed_anew(run)
    run_page.write(run, tmp_path / "README.md", title="A", command=[])
    assert ", 3 threads." in (tmp_path / "README.md").read_text("utf-8")
