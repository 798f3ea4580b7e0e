"""Files of a run folder: read as they were written, or refused by their name."""

import json
import logging

import pytest
from tests.helpers.runs import finished, labelled

from lushan.errors import UserError
from lushan.run import checksums
from lushan.run.checksums import add, begin, read, read_json, verified
from lushan.run.folder import RunFolder

FILES = ["config.yaml", "processor/a.json", "processor/b.json", "predictions/test.jsonl"]


@pytest.fixture
def run(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'"{name} is what it is"', encoding="utf-8")
    begin(tmp_path, "one")
    add(tmp_path, checksums.AT_END, {"result.json": "0"})
    return tmp_path


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def emptied(path):
    path.write_bytes(b"")


def removed(path):
    path.unlink()


def others(path):
    path.write_bytes(b'"another run wrote this"')


@pytest.mark.fault(70)
@pytest.mark.parametrize("damage", [flipped, cut, emptied, removed, others])
@pytest.mark.parametrize("name", FILES)
def test_what_was_not_written_by_the_run_is_refused_by_its_name(name, damage, run):
    assert name in read_json(run, name)
    damage(run / name)
    for reading in (read, verified):
        with pytest.raises(UserError) as caught:
            reading(run, name)
        assert caught.value.file == str(run / name)
    with pytest.raises(UserError):
        verified(run, name.partition("/")[0])


@pytest.mark.fault(70)
@pytest.mark.parametrize("damage", [flipped, cut, emptied, others])
def test_a_damaged_list_is_refused_itself(damage, run):
    damage(run / checksums.CHECKSUMS)
    with pytest.raises(UserError) as caught:
        read(run, "config.yaml")
    assert caught.value.file == str(run / checksums.CHECKSUMS)


@pytest.mark.fault(70)
def test_a_file_that_was_added_is_refused_where_it_would_be_read(run):
    for name in ("notes.txt", "processor/README.md", "processor/.DS_Store"):
        (run / name).write_text("mine", encoding="utf-8")
    assert verified(run, "processor") == run / "processor"
    (run / "processor" / "added_tokens.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="does not belong"):
        verified(run, "processor")


def test_a_run_that_goes_on_may_have_files_that_are_not_listed_yet(tmp_path):
    begin(tmp_path, "one")
    (tmp_path / "metrics.csv").write_text("step\n", encoding="utf-8")
    assert read(tmp_path, "metrics.csv") == b"step\n"
    with pytest.raises(FileNotFoundError):
        read(tmp_path, "task.json")


def test_what_is_listed_stays_as_it_was_listed(tmp_path):
    (tmp_path / "task.json").write_text("1", encoding="utf-8")
    begin(tmp_path, "one")
    add(tmp_path, checksums.AT_START)
    (tmp_path / "task.json").write_text("2", encoding="utf-8")
    add(tmp_path, checksums.AT_END)
    with pytest.raises(UserError):
        read(tmp_path, "task.json")


@pytest.mark.fault(70)
def test_a_run_without_a_list_is_read_with_one_note(run, caplog, monkeypatch):
    monkeypatch.setattr(checksums, "_unverified", [])
    (run / checksums.CHECKSUMS).unlink()
    with caplog.at_level(logging.WARNING):
        assert read_json(run, "config.yaml")
        assert verified(run, "processor")
    assert [str(run) in text for text in caplog.messages] == [True]


@pytest.mark.fault(70)
@pytest.mark.parametrize("damage", [cut, flipped, emptied])
def test_a_damaged_result_is_one_thing_to_every_command(damage, tmp_path, cli_inside):
    records = labelled([1, 0], [1, 1])
    run = finished(tmp_path / "outputs", {}, {"test/accuracy": 0.5}, records)
    finished(tmp_path / "outputs", {"seed": 2}, {"test/accuracy": 0.7}, records)
    damage(run / "result.json")
    with pytest.raises(UserError) as caught:
        RunFolder(run).result()
    assert caught.value.file == str(run / "result.json")
    status = RunFolder(run).status()
    assert (status.state, status.result) == ("failed", None)
    listed = json.loads(cli_inside("runs", "outputs", "--json").out)
    assert {row["state"] for row in listed if row["folder"].endswith(run.name)} == {"failed"}
    table = cli_inside("table", "outputs", "--rows", "name")
    assert "its result.json is damaged" in table.out + table.err


@pytest.mark.fault(70)
def test_the_number_that_a_listing_shows_is_that_of_the_result(tmp_path, cli_inside):
    run = finished(tmp_path / "outputs", {}, {"test/accuracy": 0.5})
    text = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").write_text(text.replace("0.5", "0.9"), encoding="utf-8")
    assert [row["value"] for row in json.loads(cli_inside("runs", "outputs", "--json").out)] == [
        0.5
    ]
