"""An exported folder is used by `lushan predict` as the run was; any task may describe its own."""

import json
import shutil

import peft
import pytest
import torch
import transformers
from tests.conftest import trained
from tests.helpers import corpora
from tests.helpers.own_tasks import Embedding

from lushan.errors import RunFailed, UserError
from lushan.export import card, hf_folder
from lushan.export.hf_folder import export
from lushan.export.written import Written
from lushan.inference import exported
from lushan.inference.load import load
from lushan.models.exported import ExportSpec
from lushan.models.transformers_heads import with_scores
from lushan.run import files
from lushan.tasks.base import Task

SENTENCES = ["Anna lives in Paris .", "New York calls Bob", "李白在庐山，是吗？", "a warm film"]
LONG = f"{'word ' * 600}Anna lives in Paris"
TRAINED = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "exported"


@pytest.fixture(scope="module")
def whole(ner_run, tmp_path_factory):
    """An exported folder. Look, do not touch."""
    folder = tmp_path_factory.mktemp("whole") / "exported"
    export(ner_run, folder)
    return folder


@pytest.fixture
def ner_folder(whole, folder):
    """A copy of it."""
    return shutil.copytree(whole, folder)


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "new.txt").write_text("\n".join([*SENTENCES, LONG]) + "\n", encoding="utf-8")
    return tmp_path / "new.txt"


def predicted(cli_inside, place, *words):
    done = cli_inside("predict", place, "--input", *words)
    assert done.code == 0, done.err
    notes = done.err.replace(str(place), "PLACE")
    return [json.loads(line) for line in done.out.splitlines()], notes


@pytest.mark.parametrize("fixture", ["ner_run", "reviews_run", "lm_run"])
def test_the_folder_predicts_as_the_run(fixture, request, folder, texts, tmp_path, cli_inside):
    run = tmp_path / "run"
    shutil.copytree(request.getfixturevalue(fixture), run)
    export(run, folder)
    expected = predicted(cli_inside, run, texts)
    shutil.rmtree(run)
    assert predicted(cli_inside, folder, texts) == expected
    assert len(expected[0]) == len(SENTENCES) + 1


@pytest.mark.slow(1)
def test_its_columns_and_windows_are_those_of_the_run(reviews_run, folder, tmp_path, cli_inside):
    export(reviews_run, folder)
    (tmp_path / "new.tsv").write_text(f"other\tsentence\nx\t{LONG}\ny\tgood\n", encoding="utf-8")
    ours = predicted(cli_inside, reviews_run, tmp_path / "new.tsv", "--stride", 64)
    assert predicted(cli_inside, folder, tmp_path / "new.tsv", "--stride", 64) == ours
    (tmp_path / "none.tsv").write_text("a\tb\nx\ty\n")
    assert cli_inside("predict", folder, "--input", tmp_path / "none.tsv").code == 2


@pytest.mark.slow
def test_an_adapter_is_merged_and_predicts_alike(folder, texts, tmp_path, cli_inside):
    files = corpora.overrides(corpora.conll(tmp_path))
    run = trained(tmp_path, "task=ner", "data=conll", *files, "peft=lora", "optimizer.lr=0.1")
    export(run, folder)
    ours, theirs = (predicted(cli_inside, place, texts)[0] for place in (run, folder))
    for one, other in zip(ours, theirs, strict=True):
        assert [e["label"] for e in one["entities"]] == [e["label"] for e in other["entities"]]
        scores = [e["score"] for e in one["entities"]]
        assert [e["score"] for e in other["entities"]] == pytest.approx(scores, abs=1e-4)


def test_nothing_of_the_machine_is_in_it(ner_run, whole):
    stored = json.loads((whole / exported.FILE).read_text())
    assert not {"paths", "logger", "tags"} & set(stored["config"])
    assert str(ner_run) not in (whole / exported.FILE).read_text()
    assert stored["state"] == {"labels": ["LOC", "PER"]}


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", exported.HEAD])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_changed_folder_is_refused(name, how, ner_folder, texts, cli_inside):
    path = ner_folder / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b" ")
    done = cli_inside("predict", ner_folder, "--input", texts)
    assert done.code == 2
    assert name in done.err
    assert "Export the run again" in done.err


@pytest.mark.fault(81)
def test_an_adapter_that_was_added_is_refused(ner_folder, texts, cli_inside):
    """transformers would merge it into the model without a word."""
    config = peft.LoraConfig(target_modules=["query"], r=2, init_lora_weights=False)
    base = transformers.AutoModelForTokenClassification.from_pretrained(ner_folder)
    peft.get_peft_model(base, config).save_pretrained(ner_folder)
    done = cli_inside("predict", ner_folder, "--input", texts)
    assert done.code == 2
    assert "adapter_" in done.err


@pytest.mark.fault(81)
@pytest.mark.parametrize("name", ["chat_template.jinja", "added_tokens.json", "inner/x.json"])
def test_a_file_that_was_added_is_refused(name, ner_folder, texts, cli_inside):
    (ner_folder / "notes.md").write_text("mine")
    (ner_folder / ".gitattributes").write_text("* text")
    assert cli_inside("predict", ner_folder, "--input", texts).code == 0
    (ner_folder / name).parent.mkdir(exist_ok=True)
    (ner_folder / name).write_text("{}")
    done = cli_inside("predict", ner_folder, "--input", texts)
    assert (done.code, str(ner_folder / name) in done.err) == (2, True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_class", "pipeline"),
        ("files", {"../other": "0"}),
        ("limits", {"max_length": "many"}),
        ("state", {}),
        ("config", {}),
    ],
)
def test_a_damaged_description_is_refused(key, value, ner_folder, texts, cli_inside):
    path = ner_folder / exported.FILE
    path.write_text(json.dumps(files.proved(json.loads(path.read_text()) | {key: value})))
    done = cli_inside("predict", ner_folder, "--input", texts)
    assert done.code == 2, done.err
    assert exported.FILE in done.err


@pytest.mark.fault(81)
@pytest.mark.parametrize("pair", [('"max_length": ', '"max_length": 1'), ('"PER"', '"QER"')])
def test_a_changed_description_is_refused(pair, ner_folder, texts, cli_inside):
    path = ner_folder / exported.FILE
    text = path.read_text()
    assert pair[0] in text
    path.write_text(text.replace(*pair, 1))
    done = cli_inside("predict", ner_folder, "--input", texts)
    assert (done.code, f"{path}: this file was changed after the export" in done.err) == (2, True)


def test_a_model_of_another_place_has_no_task(ner_folder, texts, cli_inside):
    (ner_folder / exported.FILE).unlink()
    done = cli_inside("predict", ner_folder, "--input", texts)
    assert done.code == 2
    assert "not a run folder" in done.err


def test_weights_that_predict_would_not_find_are_not_written(ner_run, folder, monkeypatch):
    read = hf_folder.load

    def other(place):
        loaded = read(place)
        if place != ner_run:
            torch.nn.init.ones_(next(loaded.model.parameters()))
        return loaded

    monkeypatch.setattr(hf_folder, "load", other)
    with pytest.raises(RunFailed, match="different weights"):
        export(ner_run, folder)
    assert not folder.exists()


# Tasks that are not part of lushan


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "tests.helpers.own_tasks")


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    target = "task._target_=tests.helpers.own_tasks.Embedding"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUSHAN_TARGETS", "tests.helpers.own_tasks")
        place = tmp_path_factory.mktemp("own")
        return trained(place, "task=classification", target, "data=sample_reviews")


@pytest.mark.slow
def test_a_task_of_ones_own_is_exported(own_run, folder, texts, cli_inside):
    printed = export(own_run, folder).lines
    assert "matches the run's model" in printed[0]
    assert type(transformers.AutoModel.from_pretrained(folder)).__name__ == "BertModel"
    assert predicted(cli_inside, folder, texts) == predicted(cli_inside, own_run, texts)
    text = (folder / "README.md").read_text()
    assert "from transformers import AutoModel\n" in text
    assert "pipeline_tag" not in text
    path = folder / exported.FILE
    stored = json.loads(path.read_text())
    assert "tests.helpers.own_tasks" in stored["code"]
    # Its code must be what it was.
    stored["code"]["tests.helpers.own_tasks"] = "0" * 64
    path.write_text(json.dumps(files.proved(stored)))
    done = cli_inside("predict", folder, "--input", texts)
    assert done.code == 2
    assert "own_tasks" in done.err


def test_a_task_that_describes_no_export_is_refused(own_run, folder, monkeypatch):
    monkeypatch.setattr(Embedding, "export_spec", Task.export_spec)
    with pytest.raises(UserError, match="no equivalent of Embedding"):
        export(own_run, folder)
    assert not folder.exists()


# Models of other kinds than today's tasks have


def proved(spec, folder):
    folder.mkdir()
    with torch.inference_mode():
        hf_folder.write(spec, folder)
        return hf_folder.prove(spec, folder)


def test_an_image_classifier(folder):
    pil = pytest.importorskip("PIL.Image")
    shape = {k: v for k, v in TRAINED.items() if k != "vocab_size"}
    config = transformers.ViTConfig(**shape, image_size=16, patch_size=8, intermediate_size=48)
    torch.manual_seed(1)
    encoder = transformers.ViTModel(config, add_pooling_layer=False).eval()
    scores = torch.nn.Linear(32, 3)
    processor = transformers.ViTImageProcessorPil(size={"height": 16, "width": 16})
    images = [pil.new("RGB", (20, 12), color) for color in ("red", "navy")]

    def pixels(theirs, image):
        return torch.as_tensor(theirs(image, return_tensors="pt")["pixel_values"])

    def ask(model, theirs, image):
        return model(pixel_values=pixels(theirs, image)).logits

    with torch.no_grad():
        expected = [
            scores(encoder(pixel_values=pixels(processor, image)).last_hidden_state[:, 0])
            for image in images
        ]
    made = with_scores(
        encoder,
        "AutoModelForImageClassification",
        scores,
        labels=["cat", "dog", "other"],
        is_same=lambda model: torch.allclose(
            torch.cat([ask(model, processor, i) for i in images]), torch.cat(expected), atol=1e-5
        ),
    )
    spec = ExportSpec(
        model=made,
        processor=processor,
        auto_class="AutoModelForImageClassification",
        pipeline="image-classification",
        usage='print(pipeline("image-classification", "DIR")("cat.png"))',
        examples=images,
        ask=ask,
        expected=expected,
    )
    assert "matches the run's model: 6 outputs" in proved(spec, folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert json.loads((folder / "config.json").read_text())["id2label"]["1"] == "dog"


def test_a_model_without_a_pipeline(reviews_run, folder):
    """Extractive question answering: two scores a token; transformers has no pipeline for it."""
    loaded = load(reviews_run)
    plain, scores = loaded.model.encoder.model, torch.nn.Linear(loaded.model.encoder.width, 2)
    pairs = [("who ?", "Anna lives in Paris"), ("where ?", "in Paris")]

    def ask(model, tokenizer, pair):
        found = model(**tokenizer(*pair, return_tensors="pt"))
        return torch.stack([found.start_logits[0], found.end_logits[0]])

    with torch.no_grad():
        batches = [loaded.tokenizer(*pair, return_tensors="pt") for pair in pairs]
        expected = [scores(plain(**b).last_hidden_state)[0].T for b in batches]
        made = with_scores(plain, "AutoModelForQuestionAnswering", scores, is_same=lambda _: True)
    usage = 'model = AutoModelForQuestionAnswering.from_pretrained("DIR")\n'
    usage += 'tokenizer = AutoTokenizer.from_pretrained("DIR")'
    spec = ExportSpec(
        model=made,
        processor=loaded.tokenizer,
        auto_class="AutoModelForQuestionAnswering",
        usage=usage,
        examples=pairs,
        ask=ask,
        expected=expected,
    )
    assert "matches the run's model" in proved(spec, folder)
    shown = card.card_of(loaded, Written(spec.usage, spec.notes, []))
    assert "from transformers import AutoModelForQuestionAnswering, AutoTokenizer\n" in shown
    assert "pipeline_tag" not in shown


def test_a_folder_without_a_processor_is_refused(folder):
    folder.mkdir()
    with pytest.raises(UserError, match="no processor"):
        exported.processor_of(folder)
