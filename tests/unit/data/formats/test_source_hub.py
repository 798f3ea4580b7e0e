"""Sets read by `datasets`: local files through the same code, and a hub out of reach."""

from __future__ import annotations

import json
import time
import types
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from lushan.data.formats import Hub, Stream
from lushan.data.labels import labels_of
from lushan.text import hub as reach


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reach, "reachable", lambda: False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of Parquet files whose tags and labels are numbers with names."""
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.Sequence(datasets.Value("string")),
            "ner_tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER", "I-PER"])),
        }
    )
    rows = {"id": ["0", "1"], "tokens": [["Li", "Bai"], ["no"]], "ner_tags": [[1, 2], [0]]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    place = tmp_path / "words"
    place.mkdir()
    for split in ("train", "validation", "test"):
        whole.to_parquet(place / f"{split}.parquet")
    return place


def test_words_and_the_names_of_their_tags(folder: Path) -> None:
    source = Hub(path=str(folder))
    read = source.read()
    assert list(read.splits) == ["train", "validation", "test"]
    assert (next(iter(read.fields)), read.scheme) == ("tokens", "iob2")
    first = read.splits["test"].to_pylist()[0]
    assert first == {
        "id": "0",
        "tokens": ["Li", "Bai"],
        "tags": ["B-PER", "I-PER"],
        "line": 1,
        "file": f"{folder}[test]",
    }
    assert labels_of(read) == ["PER"]


def test_fingerprint_follows_content(folder: Path) -> None:
    before = Hub(path=str(folder)).fingerprint()
    assert set(before) == {"train", "validation", "test"}
    assert before == Hub(path=str(folder), limit=1).fingerprint()
    (folder / "more.txt").write_text("x")
    assert before != Hub(path=str(folder)).fingerprint()


def jsonl(path: Path, *labels: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    rows = ({"text": f"text {i}", "label": label} for i, label in enumerate(labels))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_one_file_and_shares(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", *("a", "b") * 10)
    read = Hub(path=str(path), validation=0.2, test=None).read()
    assert {s: t.num_rows for s, t in read.splits.items()} == {"train": 16, "validation": 4}


def test_saved_to_disk(tmp_path: Path) -> None:
    part = datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]}).select([1])
    datasets.DatasetDict({"train": part}).save_to_disk(tmp_path / "saved")
    read = Hub(path=str(tmp_path / "saved"), validation=None, test=None).read()
    assert read.splits["train"]["text"].to_pylist() == ["b"]


def test_labels_that_are_kept_back(tmp_path: Path, refused) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])}
    )
    place = tmp_path / "glue"
    place.mkdir()
    for split, label in (("train", 1), ("test", -1)):
        rows = {"text": ["a"], "label": [label]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(place / f"{split}.parquet")
    error = refused(Hub(path=str(place), validation=None).read)
    assert error.file == f"{place}[test]"
    assert "data.test=null" in error.hint
    assert (
        Hub(path=str(place), validation=None, test=None).read().splits["train"]["label"][0].as_py()
        == "y"
    )


def test_a_split_that_the_set_has_not(folder: Path, refused) -> None:
    error = refused(Hub(path=str(folder), validation="dev").read)
    assert error.key == "data.validation"
    assert "train, validation, test" in error.hint


def test_a_config_that_the_set_has_not(folder: Path, refused) -> None:
    assert refused(Hub(path=str(folder), config="other").read).key == "data.config"


@pytest.mark.parametrize("path", ["conll2003", "owner/name"])
def test_the_hub_cannot_be_reached(path: str, refused, monkeypatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    for action in (Hub(path=path).read, Hub(path=path).fingerprint):
        error = refused(action)
        assert sum(waited) < 5  # between tries, however many
        assert error.key == "data.path"
        assert "cannot be reached" in error.problem


def test_a_folder_that_is_not_there(refused) -> None:
    for action in (Hub(path="./not/there").read, Hub(path="./not/there").fingerprint):
        assert "folder or file does not exist" in refused(action).problem


def test_a_commit_needs_no_hub() -> None:
    commit = "0" * 40
    assert Hub(path="owner/name", revision=commit).fingerprint()


def test_the_commit_that_the_local_cache_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    refs = tmp_path / "datasets--owner--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("a" * 40)
    one = Hub(path="owner/name").fingerprint()
    assert one == Hub(path="owner/name", revision="a" * 40).fingerprint()


def builder_of(*names: str) -> Callable[..., object]:
    """`load_dataset_builder`, of a set with these files."""
    config = types.SimpleNamespace(data_files={"train": list(names)})
    return lambda *_, **__: types.SimpleNamespace(config=config)


@pytest.mark.fault(62)
@pytest.mark.parametrize("name", ["/home/me/secret.txt", "https://elsewhere/x.jsonl"])
@pytest.mark.parametrize("source", [Hub, Stream])
def test_a_set_of_the_hub_reads_its_own_files_alone(
    source: type[Hub], name: str, monkeypatch: pytest.MonkeyPatch, refused
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(reach, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: asked.append("read"))
    own = "hf://datasets/owner/name@abc/train.jsonl"
    monkeypatch.setattr(datasets, "load_dataset_builder", builder_of(own, name))
    error = refused(source(path="owner/name", validation=None, test=None).read)
    assert error.value == name
    assert not asked


def test_a_set_made_by_a_script_is_read_from_its_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(path: str, config: str | None, *, revision: str | None) -> object:
        asked.append((path, config, revision))
        if revision is None:
            raise RuntimeError("Dataset scripts are no longer supported, but found conll2003.py")
        rows = {"tokens": [["a"]], "ner_tags": [["B-X"]]}
        return datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)})

    monkeypatch.setattr(reach, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "load_dataset_builder", builder_of())
    read = Hub(path="conll2003", validation=None, test=None).read()
    assert asked == [("conll2003", None, None), ("conll2003", None, "refs/convert/parquet")]
    assert read.splits["train"]["tags"].to_pylist() == [["B-X"]]


def test_files_that_are_no_data(tmp_path: Path, refused) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a", "lab')
    assert refused(Hub(path=str(tmp_path / "x.jsonl"), test=None).read).key == "data.path"
    (tmp_path / "x.pkl").write_text("x")
    assert "Supported" in refused(Hub(path=str(tmp_path / "x.pkl")).read).hint


def test_nobody_hears_of_what_lies_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` counts what it reads, local files too, and waits for an answer."""
    asked: list[str] = []
    monkeypatch.setattr("datasets.load.get_session", lambda: asked.append("the hub"))
    for place in (folder, folder / "train.parquet"):
        Hub(path=str(place), validation=None, test=None).read()
    assert asked == []


@pytest.mark.parametrize(
    ("files", "problem", "hint"),
    [
        ({"train.csv": "text,label\ncafé,x\n".encode("latin1")}, "not UTF-8", "iconv -f latin1"),
        ({"train.jsonl": b'{"text": "a"}\n{"text": \n'}, "Invalid value", "data=jsonl"),
        ({"train.csv": b'text,label\n"a",b\n1,2,3\n'}, "Expected 2 fields", "data=table"),
        (
            {"train-1.csv": b"text,label\na,b\n", "train-2.csv": b"id,more\na,c\nb,d\n"},
            "differ in their columns",
            "data.path=FILE",
        ),
        (
            {"train-1.csv": b"text,label\na,b\n", "train-2.csv": b"text,score\na,b\n"},
            "differ in their columns",
            "data.path=FILE",
        ),
    ],
    ids=["latin1", "JSON", "CSV", "more columns", "other columns"],
)
def test_what_datasets_cannot_read(
    files: dict[str, bytes], problem: str, hint: str, tmp_path: Path, refused, capfd
) -> None:
    place = tmp_path / "rows"
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    error = refused(Hub(path=str(place), validation=None, test=None).read)
    assert problem in error.problem
    assert hint in error.hint
    assert error.file == str(place / list(files)[-1]) or error.key == "data.path"
    assert "generating the dataset" not in str(error)
    assert capfd.readouterr() == ("", "")
