"""Texts and images in any order: what is learned, written in one call, and refused."""

from __future__ import annotations

import base64
import copy
import dataclasses
import io
import json

import pytest
import torch
from PIL import Image
from tests.conftest import trained
from tests.contract.test_tasks import batch_of, parts, rows_of
from tests.helpers import command

from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.field_tables import keys
from lushan.data.media_fields import of_struct
from lushan.errors import UserError
from lushan.models import codec as coding
from lushan.models.codec import Grammar
from lushan.models.decoding import Settings
from lushan.tasks.batches import IGNORED, Limits
from lushan.tasks.interleaved_lm import InterleavedLM
from lushan.vision import images

SMALL = [o for o in command.SMALL if not o.startswith("model")]
TINY = ["model=gpt2_tiny", "model.config.n_embd=32", "model.config.n_layer=1", "data.limit=12"]
TASK = "task=interleaved_lm"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("lm"), TASK, *TINY, small=SMALL)


def read(folder, *rows, task=TASK):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps({"content": row}) + "\n" for row in rows))
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    cfg = check(compose([task, "data=jsonl", f"data.train={file}", f"data.media={folder}"]))
    return build(cfg["data"]).read(build(cfg["task"]).fields)


IMAGE = {"type": "image", "image": "a.png"}


def text(content):
    return {"type": "text", "text": content}


def test_a_row_is_learned_whole_and_in_its_order():
    made, _, corpus, encoded, _ = parts("interleaved_lm", None)
    table = corpus.splits["train"].column("content").to_pylist()
    for value, row in zip(table, encoded.rows(range(len(encoded))), strict=True):
        seen = made.codec.parts(row["tokens"].tolist())
        expected = of_struct(value)
        assert [isinstance(part, bytes) for part in seen] == [
            part["type"] == "image" for part in expected
        ]
        assert [part.strip() for part in seen if isinstance(part, str)] == [
            part["text"] for part in expected if part["type"] == "text"
        ]
        (batch,) = made.transform([{**row, "index": 0}], 1)
        assert (batch["labels"] != IGNORED).all()
        assert batch["labels"].tolist() == row["tokens"][1:].tolist()


def test_losses_are_summed_by_what_tokens_are():
    made, _, corpus, encoded, model = parts("interleaved_lm", None)
    model.eval()
    _, records = made.predict(model, batch_of(made, encoded, range(len(encoded))))
    table = corpus.splits["train"]
    for value, row in zip(
        table.column("content").to_pylist(), made.join(table, records), strict=True
    ):
        images = len(value["images"])
        # What begins an image and what ends it are neither.
        assert row["tokens"] == row["image_tokens"] + row["text_tokens"] + 2 * images
        assert row["image_tokens"] == images * made.images.tokens
        assert row["loss"] > row["image_loss"] + row["text_loss"]


def test_an_image_is_never_cut(tmp_path):
    corpus = read(tmp_path, [text("red"), IMAGE], [text("red"), IMAGE, IMAGE, IMAGE])
    made, tokenizer, *_ = parts("interleaved_lm", None)
    rows = corpus.splits["train"].to_pydict()
    with pytest.raises(UserError, match="images are never truncated") as refused:
        made.encode(rows, 0, tokenizer, Limits(40))
    assert refused.value.line == 2
    assert len(made.encode(rows, 0, tokenizer, Limits(80))["length"]) == 2


def test_contents_are_read_as_those_of_messages(tmp_path):
    rows = ["alone", [IMAGE, text("b"), {"type": "image", "path": "a.png"}], [text("c"), text("d")]]
    corpus = read(tmp_path, *rows, rows[1])
    table = corpus.splits["train"]
    field = corpus.fields["content"]
    values = table.column("content").to_pylist()
    assert [field.texts(value) for value in values[:3]] == [["alone"], ["b"], ["cd"]]
    assert [len(value["images"]) for value in values] == [0, 2, 0, 2]
    assert field.preview(values[0]) == "alone"
    # Copies are known by what stands where, and images by their content.
    found = keys(table, corpus.fields)
    assert found[1] == found[3]
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "image", "image": "b.png"}], "no image of this name"),
        ([{"type": "sound", "path": "a.wav"}], "of type 'sound'"),
        ([{"type": "image"}], "has no file"),
        (3, "must be a text, or a list of text and image parts"),
        ([text("half \ud83d")], "half of a surrogate pair"),
    ],
)
def test_what_is_no_content_is_refused_with_its_line(content, message, tmp_path):
    with pytest.raises(UserError, match=message) as refused:
        read(tmp_path, "fine", content)
    assert refused.value.line == 2


def test_a_request_holds_its_images_and_names_no_file():
    field = InterleavedLM.fields["content"]
    url = f"data:image/png;base64,{base64.b64encode(images.encoded('red')).decode()}"
    seen, said = field.received([{"type": "image", "url": url}, text("red")])
    assert (seen["path"], seen["bytes"]) == ("", images.encoded("red"))
    assert said == text("red")
    with pytest.raises(UserError, match="data URL"):
        field.received([{"type": "image", "path": "/etc/hostname"}])


def test_no_image_begins_that_would_not_fit():
    made, *_ = parts("interleaved_lm", None)
    codec = made.codec
    scores = torch.zeros(1, len(made.tokenizer))
    whole = codec.images.tokens + 2
    for room, fits in ((whole, True), (whole - 1, False)):
        after = Grammar(codec, most=3 + room)(torch.full((1, 3), 5), scores)
        assert (after[0, codec.begin] == 0) == fits


class Eager(Grammar):
    """As a model that likes to draw."""

    def __call__(self, input_ids, scores):
        scores = scores.clone()
        scores[:, self.codec.begin] += 5
        return super().__call__(input_ids, scores)


def test_text_and_images_are_written_in_one_call_alone_as_among_others(monkeypatch):
    made, *_, model = parts("interleaved_lm", None)
    settings = Settings(max_new_tokens=50, seed=3, num_samples=2)
    network = copy.deepcopy(model).eval().encoder.model  # the model is shared by tests
    ids = [[1, *row] for row in made.codec.text_ids(["all red", "then", "a longer one"])]
    monkeypatch.setattr(coding, "Grammar", Eager)
    together = coding.compose(network, made.codec, ids, settings)
    alone = [row for one in ids for row in coding.compose(network, made.codec, [one], settings)]
    assert together == alone
    begun = [row.count(made.codec.begin) for row in together]
    assert max(begun) > 1
    for row, count in zip(together, begun, strict=True):
        assert len(row) <= 50
        assert len(made.codec.codes(row)) == count * made.images.tokens
        assert sum(isinstance(part, bytes) for part in made.codec.parts(row)) == count


@pytest.mark.slow(1)
@pytest.mark.parametrize("scale", [1.5, 0.0])
def test_each_image_of_a_text_is_guided(scale, monkeypatch):
    made, *_, model = parts("interleaved_lm", None)
    codec, settings = made.codec, Settings(max_new_tokens=50, seed=3, num_samples=2)
    network = copy.deepcopy(model).eval().encoder.model  # the model is shared by tests
    ids = [[1, *row] for row in codec.text_ids(["all red", "then", "a longer one"])]
    monkeypatch.setattr(coding, "Grammar", Eager)
    together = coding.compose(network, codec, ids, settings, scale)
    alone = [r for one in ids for r in coding.compose(network, codec, [one], settings, scale)]
    assert together == alone
    begun = [row.count(codec.begin) for row in together]
    assert max(begun) > 1
    for number, (row, count) in enumerate(zip(together, begun, strict=True)):
        assert len(row) <= 50
        assert sum(isinstance(part, bytes) for part in codec.parts(row)) == count
        prompt = ids[number // 2]
        for at in (place for place, token in enumerate(row) if token == codec.begin):
            one = dataclasses.replace(settings, num_samples=1)
            before = [*prompt, *row[: at + 1]]
            (codes,) = coding.draw(network, codec, [before], one, scale, [number % 2])
            assert codec.image_of(codes) == row[at : at + codec.images.tokens + 2]


def test_some_rows_show_one_of_their_images_alone_for_guidance():
    made, _, _, encoded, _ = parts("interleaved_lm", None)
    rows = [{**row, "index": n} for n, row in enumerate(encoded.rows(range(len(encoded))))]
    made.drop_prompt = 0.5
    shown = made.transform(rows, 1, training=True)
    assert [row["input_ids"].tolist() for row in made.transform(rows, 1, training=True)] == [
        row["input_ids"].tolist() for row in shown
    ]
    dropped = 0
    for row, now in zip(rows, shown, strict=True):
        before, ids = row["tokens"].tolist(), now["input_ids"].tolist()
        if ids == before[:-1]:
            assert now["targets"] == now["length"] == row["length"]
            continue
        dropped += 1
        whole = [*ids, now["labels"][-1]]
        assert whole[0] == before[0]
        assert codec_image(made.codec, whole[1:])
        assert any(before[at : at + len(whole) - 1] == whole[1:] for at in range(len(before)))
        assert now["labels"].tolist() == [IGNORED, *whole[2:]]
        assert (now["targets"], now["length"]) == (len(whole) - 2, len(whole) - 1)
    assert 0 < dropped < len(rows)
    texts = [{**rows[0], "tokens": rows[0]["tokens"][:2]}]
    made.drop_prompt = 0.999
    (alone,) = made.transform(texts, 1, training=True)
    assert alone["input_ids"].tolist() == rows[0]["tokens"][:1].tolist()


def codec_image(codec, ids):
    """Return whether some ids are an image and nothing else."""
    return codec.image_of(codec.codes(ids)) == list(ids)


def test_a_prompt_becomes_a_text_with_files(run, cli_inside, tmp_path):
    given = ["generate", run, "--max-new-tokens", "120", "--prompt", "a red circle"]
    done = cli_inside(*given, "--output", tmp_path / "a.png")
    assert done.code == 0, done.err
    names = sorted(path.name for path in tmp_path.glob("a*.png"))
    assert names == sorted(
        ["a.png", *(f"a-{n}.png" for n in range(2, len(names) + 1))][: len(names)]
    )
    for name in names:
        assert f"[{name}]" in done.out
    assert f"{len(names)} image" in done.err


@pytest.mark.slow
@pytest.mark.long
def test_prompts_become_a_folder(run, cli_inside, tmp_path):
    folder = tmp_path / "out"
    given = ["--prompt", "a red circle", "--num-samples", "3", "--max-new-tokens", "200"]
    done = cli_inside("generate", run, *given, "--output", folder)
    assert done.code == 0, done.err
    records = [json.loads(line) for line in (folder / "images.jsonl").read_text().splitlines()]
    assert [record["sample"] for record in records] == [0, 1, 2]
    files = [
        part["path"] for r in records for part in r.get("content", ()) if part["type"] == "image"
    ]
    files += [record["image"] for record in records if "image" in record]
    assert sorted(files) == sorted(path.name for path in folder.glob("*.png"))
    assert files
    assert len(set(files)) == len(files)


@pytest.mark.slow(1)
def test_text_and_guided_images_in_one_call(run, cli_inside, tmp_path):
    given = ["--prompt", "a red circle", "--max-new-tokens", "150", "--num-samples", "4"]
    found = []
    for number, scale in enumerate(("1", "3", "3")):
        place = tmp_path / str(number)
        done = cli_inside("generate", run, *given, "--guidance", scale, "--output", place)
        assert done.code == 0, done.err
        assert list(place.glob("*.png"))
        found.append((place / "images.jsonl").read_text())
    assert found[0] != found[1] == found[2]


@pytest.mark.slow
def test_guidance_that_it_has_not_learned_is_refused(tmp_path, cli_inside):
    never = trained(tmp_path, TASK, *TINY, "task.drop_prompt=0", "task.generate=false", small=SMALL)
    given = ["--prompt", "a", "--output", tmp_path / "x.png", "--guidance", "2"]
    done = cli_inside("generate", never, *given)
    assert (done.code, done.err.startswith("error: --guidance")) == (2, True), done.err
    with pytest.raises(UserError, match=r"task.drop_prompt is 0"):
        check(compose([TASK, "task.drop_prompt=0", "task.guidance=2"]))


def test_the_last_part_is_written_again_and_stored(run, cli_inside, tmp_path):
    records = [json.loads(x) for x in (run / "predictions" / "test.jsonl").read_text().splitlines()]
    kinds = set()
    for record in records:
        (gold,), (predicted,) = record["gold"], record["predicted"]
        assert gold["type"] == predicted["type"]
        kinds.add(gold["type"])
        if gold["type"] == "image":
            assert (run / gold["path"]).is_file()
            assert Image.open(run / predicted["path"]).size == (4, 4)
    assert kinds == {"image", "text"}
    sink = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(sink, "PNG")
    (tmp_path / "a.png").write_bytes(sink.getvalue())
    (tmp_path / "x.jsonl").write_text(json.dumps({"content": [IMAGE, text("a red one")]}) + "\n")
    done = cli_inside("predict", run, "--input", tmp_path / "x.jsonl")
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert row["content"] == [{"type": "image", "path": str(tmp_path / "a.png")}]
    assert isinstance(row["predicted"][0]["text"], str)


def test_an_empty_row_is_an_end():
    made, tokenizer, *_ = parts("interleaved_lm", None)
    rows = {"id": ["x"], "content": [{"parts": "", "images": []}]}
    (row,) = rows_of(made.encode(rows, 0, tokenizer, Limits(8)))
    assert (row["length"], row["drawn"]) == (1, 0)
