"""Packed weights: what a file holds is what transformers gets, and no file does harm."""

import contextlib
import json
import os
import random

import numpy as np
import pytest
import transformers
from tests.helpers import weight_files as written

from lushan.common import extras
from lushan.data import processing
from lushan.errors import UserError
from lushan.models.encoders import pretrained
from lushan.text import hub, weight_files

transformers.logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def e5(tmp_path):
    path = tmp_path / "small.bin"
    return path, written.e5(path)


def folder_of(path, **options):
    return weight_files.unpacked(path, key="model.path", **options)


def test_an_e5_file_becomes_a_bert_and_its_tokenizer(e5):
    path, tensors = e5
    tokenizer = processing.pretrained(str(path))
    model = pretrained(str(path), vocab_size=len(tokenizer)).model
    assert tokenizer.tokenize("the cats  sat") == ["▁the", "▁cat", "s", "▁sat"]
    assert tokenizer.tokenize("天气\x01\tthe") == ["▁天气", "▁the"]
    assert tokenizer.tokenize("ａ") == ["▁", "a"], "normalised as NFKC does"
    assert tokenizer("the")["input_ids"] == [0, 5, 2]
    assert tokenizer("the", "cat")["input_ids"] == [0, 5, 2, 2, 6, 2]
    assert (tokenizer.pad_token_id, tokenizer.mask_token) == (1, "<mask>")
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    assert np.array_equal(state["embeddings.position_embeddings.weight"], tensors["emb.pos"])
    rounded = state["encoder.layer.0.output.dense.weight"]
    assert rounded.shape == (written.HIDDEN, written.INNER)
    assert np.abs(rounded - tensors["l0.fo.w"]).max() < 0.5
    assert np.abs(rounded - tensors["l0.fo.w"]).mean() < 0.2


def test_characters_as_words_need_no_space_before_them(e5):
    path, _ = e5
    split = {"is_split_into_words": True, "add_special_tokens": False}
    usual, none = (processing.pretrained(str(path), prefix_space=p) for p in (True, False))
    assert usual.convert_ids_to_tokens(usual(["天", "气"], **split)["input_ids"]) == [
        *("▁", "天", "▁", "气"),
    ]
    assert none.convert_ids_to_tokens(none(["天", "气"], **split)["input_ids"]) == ["天", "气"]


def test_blocks_of_four_bits_are_those_of_gguf():
    library = pytest.importorskip("gguf")
    from lushan.text.weight_files.e5 import _dequantized

    values = np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32)
    raw = written.q4(values)

    class Whole:
        def array(self, dtype, count):
            return np.frombuffer(raw, dtype, count)

    theirs = library.quants.dequantize(
        np.frombuffer(raw, np.uint8), library.GGMLQuantizationType.Q4_0
    )
    assert np.array_equal(_dequantized(Whole(), values.size), theirs.reshape(-1))


def test_a_vocabulary_is_pruned_to_scripts(e5):
    path, _ = e5
    whole, few = processing.pretrained(str(path)), processing.pretrained(str(path), scripts=["cjk"])
    kept = {"<s>", "<pad>", "</s>", "<unk>", "▁", "天", "气", "▁天气", "<mask>"}
    assert set(few.get_vocab()) == kept
    model = pretrained(str(path), scripts=["CJK"], vocab_size=len(few)).model
    assert model.config.vocab_size == len(few)
    before = pretrained(str(path), vocab_size=len(whole)).model.get_input_embeddings().weight
    after = model.get_input_embeddings().weight
    for token, place in few.get_vocab().items():
        assert after[place].equal(before[whole.get_vocab()[token]])
    with pytest.raises(UserError, match="no token of this vocabulary") as caught:
        processing.pretrained(str(path), scripts=["klingon"])
    assert caught.value.key == "processor.scripts"


def test_only_an_e5_file_is_pruned(tmp_path):
    with pytest.raises(UserError, match="only the vocabulary of an E5 file"):
        hub.find(str(tmp_path), key="model.path", scripts=["latin"])


def test_weights_and_tokenizer_are_pruned_alike(e5):
    path, _ = e5
    few = processing.pretrained(str(path), scripts=["cjk"])
    with pytest.raises(UserError, match="ids are different tokens for the weights"):
        processing.require_same_ids(few, str(path), key="model.path")
    assert processing.require_same_ids(few, str(path), key="model.path", scripts=["cjk"]) is None


def test_it_is_unpacked_once_and_again_where_it_was_damaged(e5, monkeypatch, caplog):
    path, _ = e5
    folder = folder_of(path)
    with monkeypatch.context() as patched:
        patched.setattr(weight_files, "_unpack", lambda *_: pytest.fail("again"))
        assert folder_of(path) == folder
    weights = folder / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert folder_of(path) == folder
    assert "is damaged" in caplog.text
    assert weights.read_bytes() == before
    (folder / "tokenizer.json").unlink()
    folder_of(path)
    assert (folder / "tokenizer.json").is_file()
    assert [p.name for p in folder.parent.iterdir()] == [folder.name], "nothing half made is left"


def test_another_file_is_another_folder(e5, tmp_path):
    path, _ = e5
    other = tmp_path / "other.bin"
    written.e5(other, rows=30)
    assert folder_of(path) != folder_of(other)


@pytest.mark.fault(74)
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.gguf")
    with pytest.raises(UserError, match="a pipe"):
        folder_of(tmp_path / "x.gguf")


def test_a_file_of_another_kind_is_refused(tmp_path):
    for content in (b"", b"PK\x03\x04", b"\x80\x02", b"x" * 100):
        (tmp_path / "weights.bin").write_bytes(content)
        with pytest.raises(UserError, match="has no supported weights") as caught:
            hub.find(str(tmp_path / "weights.bin"), key="model.path")
        assert "weights.bin" in str(caught.value)


def harmless(path, reader):
    """A file is read, or refused by its name: no other exception comes of it."""
    with contextlib.suppress(UserError):
        reader(path)
        return
    with pytest.raises(UserError, match=path.name):
        reader(path)


def changed(content, chance, head):
    """The file with some bytes of its head changed, or cut, or both."""
    content = bytearray(content)
    for _ in range(chance.choice((0, 1, 1, 2, 8))):
        start = chance.randrange(4, head)
        content[start] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    return bytes(content[: chance.randrange(4, len(content))] if chance.random() < 0.3 else content)


def test_no_e5_file_does_harm(e5, tmp_path):
    path, _ = e5
    for seed in range(150):
        content = changed(path.read_bytes(), random.Random(seed), 1200)
        (tmp_path / "odd.bin").write_bytes(content)
        harmless(tmp_path / "odd.bin", folder_of)


# GGUF


@pytest.fixture
def llama(tmp_path):
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    path = tmp_path / "small.gguf"
    return path, written.gguf(path)


def test_a_gguf_file_becomes_a_llama_and_its_tokenizer(llama):
    path, tensors = llama
    tokenizer = processing.pretrained(str(path))
    model = pretrained(
        str(path), auto_class="AutoModelForCausalLM", vocab_size=len(tokenizer)
    ).model
    assert type(model).__name__ == "LlamaForCausalLM"
    found = model.get_input_embeddings().weight.detach().numpy()
    assert np.allclose(found, tensors["token_embd.weight"])
    down = model.model.layers[0].mlp.down_proj.weight.detach().numpy()
    assert np.allclose(down, tensors["blk.0.ffn_down.weight"])
    assert tokenizer.convert_ids_to_tokens(tokenizer("th a")["input_ids"])[-2:] == ["th", "Ġa"]
    assert "<|endoftext|>" not in tokenizer.get_vocab(), "a token of no file, with no embedding"
    settings = json.loads((folder_of(path) / "config.json").read_text())
    assert "quantization_config" not in settings, "it is trained and saved like any other"


def test_a_gguf_file_that_needs_a_package_says_which(llama, monkeypatch):
    path, _ = llama
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs gguf and accelerate") as caught:
        folder_of(path)
    assert "lushan[gguf]" in str(caught.value)


def test_no_gguf_file_does_harm(llama, tmp_path):
    from lushan.text.weight_files.gguf import require_sound

    path, _ = llama
    for seed in range(500):
        content = changed(path.read_bytes(), random.Random(seed), 1800)
        (tmp_path / "odd.gguf").write_bytes(content)
        harmless(tmp_path / "odd.gguf", lambda file: require_sound(file, key="model.path"))


def test_what_transformers_cannot_read_is_refused_by_name(llama, tmp_path):
    path, _ = llama
    for seed in range(12):
        content = changed(path.read_bytes(), random.Random(seed), 900)
        (tmp_path / "odd.gguf").write_bytes(content)
        harmless(tmp_path / "odd.gguf", folder_of)
