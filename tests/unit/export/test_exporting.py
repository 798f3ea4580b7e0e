"""`lushan export`: plain transformers reads the folder, and says the same."""

import json

import pytest
import torch
import transformers
from tests.conftest import trained
from tests.helpers import command
from tests.helpers.asked import KINDS
from torch import nn

from lushan.data.unlabelled import read_unlabelled
from lushan.errors import RunFailed, UserError
from lushan.export import hf_folder
from lushan.export.hf_folder import export
from lushan.inference.generator import open_generator
from lushan.inference.load import load
from lushan.inference.prediction import predict_rows
from lushan.models.decoding import Settings
from lushan.models.heads import MLP
from lushan.tasks import ner

SMALL = [o for o in command.SMALL if not o.startswith(("model", "processor"))]
SMALL += ["data.limit=16", "test=false"]
PROMPTS = ["the film", "明月几时有", "a  b", "x"]
SENTENCES = [
    "Anna lives in Paris .",
    "New York calls Bob",
    "李白在庐山，是吗？",
    "nothing is here, really!",
]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "exported"


@pytest.fixture(scope="module")
def masked_run(tmp_path_factory):
    return trained(
        tmp_path_factory.mktemp("masked"), "task=masked_lm", "data.limit=8", "test=false"
    )


@pytest.fixture(scope="module")
def adapted_run(tmp_path_factory, lm_run):
    overrides = ["task=causal_lm", "peft=lora", f"init_from={lm_run}", "optimizer.lr=0.1"]
    return trained(tmp_path_factory.mktemp("adapted"), *overrides, small=SMALL)


# Language models


@pytest.mark.slow
def test_a_pipeline_writes_the_tokens_that_generate_writes(lm_run, folder):
    printed = export(lm_run, folder).lines
    assert "matches the run's model" in printed[0]
    assert printed[-1] == f"exported: {folder}"
    generator = open_generator(lm_run)
    settings = Settings(max_new_tokens=12, greedy=True)
    ours = generator.write(generator.encode(PROMPTS), settings)
    write = transformers.pipeline("text-generation", str(folder))
    for prompt, texts in zip(PROMPTS, ours, strict=True):
        ways = {"max_new_tokens": 12, "do_sample": False}
        assert write(prompt, **ways)[0]["generated_text"] == prompt + texts[0].text
        ids = write(prompt, return_tensors=True, **ways)[0]["generated_token_ids"]
        assert list(ids)[-len(texts[0].ids) :] == texts[0].ids


def test_the_folder_can_be_generated_from_in_turn(lm_run, folder, cli_inside):
    export(lm_run, folder)
    ways = ["--prompt", "the film", "-n", 10, "--seed", 3]
    assert cli_inside("generate", folder, *ways).out == cli_inside("generate", lm_run, *ways).out


def test_a_chat_pipeline_answers_as_the_run(chat_run, folder):
    export(chat_run, folder)
    messages = [{"role": "user", "content": "Thank you ."}]
    generator = open_generator(chat_run)
    settings = Settings(max_new_tokens=8, greedy=True)
    ours = generator.write(generator.encode([messages]), settings)[0][0]
    answer = transformers.pipeline("text-generation", str(folder))
    theirs = answer(messages, max_new_tokens=8, do_sample=False)[0]["generated_text"][-1]
    assert theirs["content"].strip() == ours.text.strip()
    again = open_generator(folder)
    assert again.takes_messages
    assert again.encode([messages]) == generator.encode([messages])
    assert set(generator.endings) == set(again.endings)


@pytest.mark.slow
def test_an_encoder_decoder(pairs_run, folder):
    export(pairs_run, folder)
    generator, again = open_generator(pairs_run), open_generator(folder)
    assert again.is_whole
    settings = Settings(max_new_tokens=8, greedy=True)
    ours = generator.write(generator.encode(SENTENCES), settings)
    prefixed = [f"short: {text}" for text in SENTENCES]
    assert again.write(again.encode(prefixed), settings) == ours
    assert "'short: '" in (folder / "README.md").read_text()


@pytest.mark.slow
def test_a_masked_language_model(masked_run, folder):
    export(masked_run, folder)
    fill = transformers.pipeline("fill-mask", str(folder))
    assert len(fill(f"the {fill.tokenizer.mask_token}")) > 1
    with pytest.raises(UserError, match="does not generate text"):
        open_generator(folder)


def test_bf16(lm_run, folder):
    (printed, _) = export(lm_run, folder, dtype="bf16").lines
    assert "bf16 changes outputs by" in printed
    made = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert made.dtype is torch.bfloat16


# Heads


@pytest.mark.slow
def test_a_pipeline_finds_the_entities_that_the_run_finds(ner_run, folder, tmp_path, monkeypatch):
    loaded = load(ner_run)
    torch.manual_seed(1)
    nn.init.normal_(loaded.model.head.scores.weight, std=3.0)  # one epoch has found nothing yet
    monkeypatch.setattr(hf_folder, "load", lambda _: loaded)
    export(ner_run, folder)
    path = tmp_path / "new.txt"
    path.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    ours = predict_rows(loaded, read_unlabelled(path, KINDS["tokens"]))
    find = transformers.pipeline("token-classification", str(folder), aggregation_strategy="first")
    for row in ours:
        theirs = [(e["start"], e["end"], e["entity_group"]) for e in find(row["text"])]
        assert theirs == [(e["start"], e["end"], e["label"]) for e in row["entities"]]
    assert sum(len(row["entities"]) for row in ours) > 2
    tags = json.loads((folder / "config.json").read_text())["id2label"]
    assert tags == {"0": "O", "1": "B-LOC", "2": "I-LOC", "3": "B-PER", "4": "I-PER"}


@pytest.mark.slow
def test_a_pipeline_gives_the_labels_that_the_run_gives(reviews_run, folder, tmp_path):
    export(reviews_run, folder)
    path = tmp_path / "new.txt"
    path.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    evaluate = transformers.pipeline("text-classification", str(folder))
    for row in predict_rows(load(reviews_run), read_unlabelled(path, KINDS["text"])):
        (theirs,) = evaluate(row["text"])
        assert theirs["label"] == row["predicted"]
        assert theirs["score"] == pytest.approx(row["score"], abs=1e-5)


def test_schemes_that_tell_ends_are_named_as_iob2():
    tags = ["O", "B-A", "I-A", "E-A", "S-A", "L-A", "U-A"]
    named = [ner._iob2(tag) for tag in tags]
    assert named == ["O", "B-A", "I-A", "I-A", "B-A", "I-A", "B-A"]


def test_heads_that_transformers_has_not_are_refused(ner_run, folder, monkeypatch):
    loaded = load(ner_run)
    loaded.model.head = MLP(width=128, num_labels=5)
    monkeypatch.setattr(hf_folder, "load", lambda _: loaded)
    with pytest.raises(UserError, match="no class with this head") as caught:
        export(ner_run, folder)
    assert caught.value.value == "mlp"
    assert not folder.exists()


# Adapters


def test_an_adapter_is_merged(adapted_run, folder):
    printed = export(adapted_run, folder).lines
    assert "matches the run's model" in printed[0]
    made = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert not any("lora" in name for name, _ in made.named_parameters())


def test_an_adapter_alone(adapted_run, folder, lm_run):
    peft = pytest.importorskip("peft")
    printed = export(adapted_run, folder, adapter=True).lines
    assert "on its base it matches" in printed[0]
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {
        path.name for path in folder.iterdir()
    }
    assert not (folder / "model.safetensors").exists()
    base = load(lm_run).model.encoder.model
    whole = peft.PeftModel.from_pretrained(base, folder).eval()
    ids = torch.tensor([[2, 9, 30, 12]])
    with torch.no_grad():
        theirs, ours = whole(ids).logits, load(adapted_run).model.encoder.model(ids).logits
    assert torch.allclose(theirs, ours, atol=1e-5)


def test_a_run_without_an_adapter_has_none_to_write(lm_run, folder):
    with pytest.raises(UserError, match="no adapter"):
        export(lm_run, folder, adapter=True)
    assert not folder.exists()


# The folder


def test_what_is_there_is_not_replaced_unasked(lm_run, folder, cli_inside):
    folder.mkdir()
    assert export(lm_run, folder)  # it was empty
    (folder / "mine.txt").write_text("mine")
    done = cli_inside("export", lm_run, folder)
    assert done.code == 2
    assert "--yes" in done.err
    assert (folder / "mine.txt").exists()
    done = cli_inside("export", lm_run, folder, "--yes")
    assert done.code == 0, done.err
    assert not (folder / "mine.txt").exists()
    assert done.out.splitlines()[-1] == f"exported: {folder}"


@pytest.mark.parametrize("what", ["run", "file", "other"])
def test_what_no_export_wrote_is_never_replaced(lm_run, tmp_path, what):
    place = {"run": lm_run, "file": tmp_path / "f", "other": tmp_path / "o"}[what]
    if what == "file":
        place.write_text("mine")
    if what == "other":
        place.mkdir()
        (place / "thesis.tex").write_text("mine")
    with pytest.raises(UserError):
        export(lm_run, place, overwrite=True)
    assert place.exists()


def test_a_model_that_became_another_is_not_written(lm_run, folder, monkeypatch):
    write = hf_folder.write

    def spoiled(spec, *args):
        weight = next(spec.model.parameters()).data
        weight += torch.randn_like(weight)
        write(spec, *args)

    monkeypatch.setattr(hf_folder, "write", spoiled)
    with pytest.raises(RunFailed, match="does not match the run's"):
        export(lm_run, folder)
    assert list(folder.parent.iterdir()) == []


def test_the_card(reviews_run, folder):
    export(reviews_run, folder)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n# license: yours to choose\n")
    assert "pipeline_tag: text-classification" in card
    assert "Labels: bad, good." in card
    assert "| **test/accuracy, %** |" in card
    assert "SHA-256" in card
    assert "output_dir" not in card
    assert "seed: 1" in card
