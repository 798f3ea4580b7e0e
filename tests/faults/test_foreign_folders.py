"""Folders of others that name files outside of themselves, or of a network."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
import transformers
from pyarrow import parquet as pq

from lushan.data import files, processing
from lushan.data.formats import Hub, Stream
from lushan.errors import UserError
from lushan.models import encoders, pretrained_weights

pytestmark = pytest.mark.fault(62)

URL = "http://127.0.0.1:9/x.jsonl"
Source = Callable[..., Any]


@pytest.fixture(autouse=True)
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is connected to, or looked up, in a test; nothing is by any of them."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    found: list[object] = []

    def ask(*args: object, **_: object) -> None:
        found.append(args)
        raise OSError("no network in here")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, ask)
    monkeypatch.setattr(socket, "getaddrinfo", ask)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of data beside one that is private."""
    for name, word in (("set", "open"), ("private", "SECRET")):
        folder = tmp_path / name
        folder.mkdir()
        rows(folder / "x.jsonl", *[f"{word} {i}" for i in range(4)])
    return tmp_path / "set"


def rows(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": t, "label": "a"}) + "\n" for t in texts))


def hub(place: Path) -> Any:
    return Hub(path=str(place), validation=None, test=None)


def stream(place: Path) -> Any:
    return Stream(path=str(place), validation=None, test=None)


SOURCES = [hub, stream]


def refused(source: Any) -> UserError:
    """Both what is read and what it is known by are refused."""
    with pytest.raises(UserError):
        source.fingerprint()
    with pytest.raises(UserError) as found:
        source.read()
    return found.value


def card(place: Path, path: object, *, name: str = "README.md", **more: object) -> None:
    files = [{"split": "train", "path": path}] if path else None
    entry = {"config_name": "default", **({"data_files": files} if files else {}), **more}
    text = json.dumps({"configs": [entry]})
    (place / name).write_text(f"---\n{text}\n---\n# A set\n" if name.endswith(".md") else text)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "path",
    [
        "../private/x.jsonl",
        "../private/*",
        "sub/../../private/x.jsonl",
        ["x.jsonl", "../private/x.jsonl"],
        "ABSOLUTE",
        URL,
        "hf://datasets/owner/name/x.jsonl",
        "zip://x.jsonl::../private/x.zip",
        f"simplecache::{URL}",
    ],
)
def test_a_readme_names_files_elsewhere(source, path, place, asked) -> None:
    path = str(place.parent / "private" / "x.jsonl") if path == "ABSOLUTE" else path
    card(place, path)
    error = refused(source(place))
    assert error.file == str(place / "README.md")
    assert error.value == (path if isinstance(path, str) else path[1])
    assert not asked


@pytest.mark.parametrize("folder", ["../private", "/", "http://127.0.0.1:9/"])
def test_a_readme_names_a_folder_elsewhere(folder, place, asked) -> None:
    card(place, None, data_dir=folder)
    assert refused(hub(place)).value == folder
    assert not asked


def test_another_file_with_the_same_say(place) -> None:
    card(place, "../private/x.jsonl", name=".huggingface.yaml")
    assert refused(hub(place)).file == str(place / ".huggingface.yaml")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("link", ["y.jsonl", "sub", "README.md"])
def test_a_link_leads_elsewhere(source, link, place) -> None:
    target = {"sub": ".", "README.md": "x.jsonl"}.get(link, "x.jsonl")
    (place / link).symlink_to(Path("../private") / target)
    assert refused(source(place)).file == str(place / link)


def test_a_hidden_file_is_not_read_past_the_hashes(place) -> None:
    rows(place / ".kept" / "y.jsonl", "hidden")
    card(place, ".kept/y.jsonl")
    with pytest.raises(UserError, match="not hidden"):
        hub(place).read()


@pytest.mark.parametrize("source", SOURCES)
def test_what_lies_inside_is_read_and_counts(source, place, asked) -> None:
    rows(place / "sub" / "y.jsonl", "inside")
    (place / "z.jsonl").symlink_to("sub/y.jsonl")
    card(place, ["sub/*.jsonl", "z.jsonl"])
    texts = source(place).read().splits["train"].column("text").to_pylist()
    assert texts == ["inside", "inside"]
    before = source(place).fingerprint()
    rows(place / "sub" / "y.jsonl", "changed")
    assert source(place).fingerprint() != before
    card(place, ["x.jsonl"])
    assert source(place).fingerprint() != before
    assert not asked


def test_a_snapshot_of_the_hubs_cache_is_a_folder_of_links(tmp_path) -> None:
    repository = tmp_path / "datasets--owner--name"
    rows(repository / "blobs" / "abc", "kept")
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "train.jsonl").symlink_to("../../blobs/abc")
    assert hub(snapshot).read().splits["train"].column("text").to_pylist() == ["kept"]


@pytest.fixture
def saved(place: Path) -> Path:
    """A folder that `datasets` saved, beside another one."""
    for name in ("kept", "private"):
        part = datasets.Dataset.from_dict({"text": [name], "label": ["a"]})
        datasets.DatasetDict({"train": part}).save_to_disk(place.parent / f"saved-{name}")
    return place.parent / "saved-kept"


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("absolute", [False, True])
def test_a_saved_set_names_parts_elsewhere(source, absolute, saved) -> None:
    part = "saved-private/train/data-00000-of-00001.arrow"
    name = str(saved.parent / part) if absolute else f"../../{part}"
    parts = [{"filename": name}]
    edit(saved / "train" / "state.json", lambda state: state.update(_data_files=parts))
    error = refused(source(saved))
    assert (error.file, error.value) == (str(saved / "train" / "state.json"), name)


@pytest.mark.parametrize("name", ["../saved-private/train", "train::http://127.0.0.1:9/x"])
def test_a_saved_set_names_splits_elsewhere(name, saved, asked) -> None:
    edit(saved / "dataset_dict.json", lambda index: index.update(splits=[name]))
    error = refused(hub(saved))
    assert (error.file, error.value) == (str(saved / "dataset_dict.json"), name)
    assert not asked


def test_a_saved_set_is_read(saved) -> None:
    assert hub(saved).read().splits["train"].column("text").to_pylist() == ["kept"]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("deep", [False, True])
def test_rows_that_name_images_open_none(source, deep, tmp_path, asked) -> None:
    """Their cells are paths or URLs, which `datasets` would open to show them."""
    cell = {"bytes": None, "path": "http://127.0.0.1:9/x.png"}
    image: Any = datasets.Image()
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.Value("string"),
            "seen": datasets.List({"a": image}) if deep else image,
        }
    )
    columns = {"text": ["x"], "label": ["a"], "seen": [[{"a": cell}] if deep else cell]}
    (tmp_path / "pictures").mkdir()
    table = pa.table(columns, schema=features.arrow_schema)
    pq.write_table(table, tmp_path / "pictures" / "train.parquet")
    read = source(tmp_path / "pictures").read()
    assert read.splits["train"].column("text").to_pylist() == ["x"]
    assert not asked


def test_formats_whose_files_name_others(place) -> None:
    (place / "x.jsonl").rename(place / "x.h5")
    with pytest.raises(UserError, match="this format"):
        hub(place).read()


# Patterns


@pytest.mark.parametrize("pattern", ["set/*.txt", "set/**/*.txt", "*/*.txt"])
def test_a_pattern_takes_no_link_that_leads_out_of_its_folder(
    pattern, place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.parent)
    (place.parent.parent / "far.txt").write_text("SECRET")
    (place / "near.txt").write_text("near\n")
    (place / "link.txt").symlink_to("../../far.txt")
    with pytest.raises(UserError, match="points outside of") as found:
        files.find_all(pattern, None, key="data.train")
    assert (found.value.key, found.value.file) == ("data.train", "set/link.txt")
    (place / "link.txt").unlink()
    (place / "link.txt").symlink_to("near.txt")
    named = files.find_all(pattern, None, key="data.train")
    assert named == [Path("set/link.txt"), Path("set/near.txt")]


def test_what_a_person_names_is_followed(place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    Path("one.jsonl").symlink_to("../private/x.jsonl")
    Path("all").symlink_to("../private")
    for named in ("one.jsonl", "../private/*", "../*/x.jsonl", "all/*.jsonl"):
        assert files.find_all(named, None, key="data.train")


# Models and tokenizers


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model, beside one whose weights and tokenizer are private."""
    root = tmp_path_factory.mktemp("models")
    for name, words in (("model", "abc"), ("private", "xyz")):
        vocab = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
        transformers.BertTokenizerFast(vocab=vocab).save_pretrained(root / name)
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.BertConfig(vocab_size=len(vocab), intermediate_size=8, **sizes)
        transformers.BertModel(config).save_pretrained(root / name, max_shard_size="2KB")
    return root / "model"


@pytest.fixture
def model(checkpoint: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(checkpoint.parent, tmp_path / "models")
    return tmp_path / "models" / "model"


def read_model(place: Path) -> None:
    pretrained_weights.read(str(place), "AutoModel", vocab_size=8, pad_token_id=0)


def read_tokenizer(place: Path) -> None:
    processing.pretrained(str(place))


def is_refused(place: Path, file: str, value: str | None = None) -> None:
    """Both readers refuse a folder, by the name of the file that leads out of it."""
    for read in (read_model, read_tokenizer):
        with pytest.raises(UserError) as found:
            read(place)
        assert found.value.file == str(place / file)
        assert value is None or found.value.value == value


@pytest.mark.parametrize("absolute", [False, True])
def test_an_index_of_weights_names_some_elsewhere(absolute, model, asked) -> None:
    def move(index: dict[str, Any]) -> None:
        index["weight_map"] = {k: f"{above}/{v}" for k, v in index["weight_map"].items()}

    above = str(model.parent / "private") if absolute else "../private"
    edit(model / "model.safetensors.index.json", move)
    is_refused(model, "model.safetensors.index.json")
    assert not asked


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.safetensors.index.json"])
def test_a_file_of_a_model_is_a_link_that_leads_elsewhere(name, model) -> None:
    (model / name).unlink()
    (model / name).symlink_to(f"../private/{name}")
    is_refused(model, name)


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("name", ["tokenizer_file", "vocab_file", "gguf_file", "added_tokens_file"])
def test_settings_name_a_file_elsewhere(file, name, model) -> None:
    value = "../private/tokenizer.json"
    (model / file).touch()
    content = json.loads((model / file).read_text() or "{}")
    (model / file).write_text(json.dumps(content | {name: value}))
    is_refused(model, file, value)


@pytest.mark.parametrize("name", ["vocab", "merges", "whatever"])
def test_settings_name_a_file_elsewhere_under_any_key(name, model) -> None:
    value = str(model.parent / "private" / "tokenizer.json")
    edit(model / "tokenizer_config.json", lambda c: c.update({name: [{"a": value}]}))
    is_refused(model, "tokenizer_config.json", value)


@pytest.mark.parametrize("first", ["x" * 5000, "\ud800", "a\0b"], ids=["long", "surrogate", "null"])
def test_a_text_that_is_no_name_hides_no_other(first, model) -> None:
    more = {"a_file": first, "vocab_file": "../private/tokenizer.json"}
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(more | json.loads(path.read_text())))
    is_refused(model, path.name, more["vocab_file"])


def test_so_do_those_of_a_part(model) -> None:
    (model / "part").mkdir()
    (model / "part" / "tokenizer_config.json").write_text('{"vocab_file": "../../private/x"}')
    (model.parent / "private" / "x").touch()
    is_refused(model, "part/tokenizer_config.json", "../../private/x")


def test_settings_name_what_was_on_another_machine(model) -> None:
    (model / "train_config.json").write_text(json.dumps({"data": f"{model.parent}/private/x"}))
    (model.parent / "private" / "x").touch()
    edit(model / "config.json", lambda c: c.update(_name_or_path="/home/else/where"))
    gone = {"special_tokens_map_file": "/root/.cache/gone", "name_or_path": "../private"}
    edit(model / "tokenizer_config.json", lambda c: c.update(gone))
    read_model(model)
    read_tokenizer(model)


@pytest.mark.parametrize("base", ["../private", "owner/name", "ABSOLUTE"])
def test_an_adapters_base_is_elsewhere(base, model, asked) -> None:
    base = str(model.parent / "private") if base == "ABSOLUTE" else base
    (model / "config.json").unlink()
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    is_refused(model, "adapter_config.json", base)
    assert not asked


def test_a_model_is_read_and_nobody_asked(model, asked) -> None:
    edit(model / "config.json", lambda c: c.update(backbone="owner/name"))
    read_model(model)
    read_tokenizer(model)
    assert not asked


def test_a_run_that_lacks_a_part_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, asked) -> None:
    """`owner/tokenizer` would be a name there."""
    monkeypatch.chdir(tmp_path)
    Path("owner").mkdir()
    Path("owner/run.json").write_text("{}")
    for read in (read_tokenizer, lambda place: encoders.load(place / "encoder")):
        with pytest.raises(UserError, match=r"folder does not exist|the file is missing"):
            read(Path("owner"))
    assert not asked


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "head",
    [
        {"dataset_info": {"features": 3}},
        {"dataset_info": {"features": [3]}},
        {"dataset_info": {"features": [{"dtype": "string"}]}},
        {"dataset_info": {"features": [{"name": "text", "_type": "Path"}]}},
        {"dataset_info": {"splits": 3}},
        {"dataset_info": [3]},
        {"configs": [3]},
        {"configs": [{"config_name": 3, "data_files": "x.jsonl"}]},
        {"configs": [{"config_name": "default", "data_files": "x.jsonl", "version": 3}]},
        {"configs": [{"config_name": "default", "data_files": "x.jsonl", "encoding": "none"}]},
    ],
)
def test_a_readme_with_a_head_of_another_shape(source, head, place) -> None:
    (place / "README.md").write_text(f"---\n{json.dumps(head)}\n---\n")
    with pytest.raises(UserError):
        source(place).read()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("dataset_info.json", {"features": 3}),
        ("dataset_info.json", {"features": {"text": {"_type": "json"}}}),
        ("dataset_info.json", None),
        ("state.json", {"_format_columns": 3}),
        ("state.json", {"_format_kwargs": {"a": 1}}),
        ("state.json", {"_split": 3}),
    ],
)
def test_a_saved_set_of_another_shape(source, name, changed, tmp_path) -> None:
    part = datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]})
    datasets.DatasetDict({"train": part}).save_to_disk(str(tmp_path / "saved"))
    path = tmp_path / "saved" / "train" / name
    content = json.loads(path.read_text())
    path.write_text(json.dumps([] if changed is None else content | changed))
    with pytest.raises(UserError):
        source(tmp_path / "saved").read()
