"""Text and images in one vocabulary: what is learned, drawn, captioned and refused."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.conftest import trained
from tests.contract.test_tasks import batch_of, parts, rows_of
from tests.helpers import command

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.config.inputs import read_by
from lushan.errors import UserError
from lushan.inference.load import load
from lushan.models.codec import BEGIN
from lushan.run.identity import run_id
from lushan.tasks.batches import IGNORED

SMALL = [o for o in command.SMALL if not o.startswith("model")]
TINY = ["model=gpt2_tiny", "model.config.n_embd=32", "model.config.n_layer=1", "data.limit=12"]


@pytest.fixture(scope="module")
def tokenizer_run(tmp_path_factory):
    small = [o for o in SMALL if not o.startswith("processor")]
    more = ["processor.size=16", "model.config.channels=[8]", "model.config.levels=[3,3]"]
    return trained(
        tmp_path_factory.mktemp("tokenizer"), "task=image_tokenizer", *more, TINY[-1], small=small
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory, tokenizer_run):
    """A run whose image tokenizer is gone."""
    folder = tmp_path_factory.mktemp("moved")
    shutil.copytree(tokenizer_run, folder / tokenizer_run.name)
    codec = ["task/images=trained", f"task.images.path={folder / tokenizer_run.name}"]
    made = trained(tmp_path_factory.mktemp("lm"), "task=multimodal_lm", *codec, *TINY, small=SMALL)
    shutil.rmtree(folder)
    return made


def features():
    made, _, _, encoded, _ = parts("multimodal_lm", None)
    return made, encoded, encoded.rows(range(len(encoded)))


def test_a_row_is_learned_in_both_directions():
    made, _, rows = features()
    codec = made.codec
    for row in rows:
        learned = row["tokens"][row["skip"] + 1 :].tolist()
        before = row["tokens"][: row["skip"] + 1].tolist()
        if row["drawn"]:
            assert before[-1] == codec.begin
            assert len(codec.codes(learned)) == codec.images.tokens == len(learned) - 1
        else:
            assert before[-1] == codec.end
            assert not codec.codes(learned)
            assert codec.parts(learned)[0].strip().startswith("all ")


def test_a_share_of_the_texts_is_dropped_in_training_alone():
    made, encoded, rows = features()
    rows = [{**row, "index": i} for i, row in enumerate(rows)]
    drops = []
    for seed in range(40):
        for before, after in zip(rows, made.transform(rows, seed, training=True), strict=True):
            whole = before["tokens"][:-1].tolist()
            dropped = after["input_ids"].tolist() != whole
            drops.append(dropped if before["drawn"] else False)
            assert (after["labels"] != IGNORED).sum() == before["targets"]
            if dropped:
                assert after["input_ids"].tolist()[:2] == [whole[0], made.codec.begin]
    share = sum(drops) / (len(drops) / 2)
    assert 0.05 < share < 0.16
    assert all(
        after["input_ids"].tolist() == before["tokens"][:-1].tolist()
        for before, after in zip(rows, made.transform(rows, 1), strict=True)
    )
    assert len(encoded) == len(rows)


def test_sums_by_what_tokens_are_add_up():
    made, _, corpus, encoded, model = parts("multimodal_lm", None)
    model.eval()
    _, records = made.predict(model, batch_of(made, encoded, range(len(encoded))))
    joined = made.join(corpus.splits["train"], records)
    for row in joined:
        # The token that ends an image is learned, and is no part of it.
        assert row["tokens"] == row["image_tokens"] + row["text_tokens"] + 1
        assert row["image_tokens"] == made.images.tokens
        assert row["loss"] > row["image_loss"] + row["text_loss"]


def test_an_image_is_never_cut(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    rows = [{"text": "red", "image": "a.png"}, {"text": "red " * 80, "image": "a.png"}]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ["data=jsonl", f"data.train={file}", f"data.media={tmp_path}", "data.max_length=60"]
    with pytest.raises(UserError, match="images are never truncated") as refused:
        trained(tmp_path, "task=multimodal_lm", *data, *TINY[:-1], small=SMALL)
    assert refused.value.line == 2


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("path", "message"), [("no/where", "not a run folder"), ("lm", "does not encode images")]
)
def test_what_is_no_image_tokenizer_is_refused(path, message, lm_run, tmp_path):
    place = lm_run if path == "lm" else tmp_path / path
    codec = ["task/images=trained", f"task.images.path={place}"]
    with pytest.raises(UserError, match=message) as refused:
        trained(tmp_path, "task=multimodal_lm", *codec, *TINY, small=SMALL)
    assert refused.value.key == "task.images.path"


@pytest.mark.slow
def test_the_image_tokenizer_is_part_of_the_run(tokenizer_run, tmp_path):
    moved = shutil.copytree(tokenizer_run, tmp_path / tokenizer_run.name)
    ids = []
    for place in (tokenizer_run, moved):
        chosen = ["task=multimodal_lm", "task/images=trained", f"task.images.path={place}"]
        cfg = check(compose(chosen))
        ids.append(run_id(cfg))
        named = [name for name in read_by(cfg)["files"] if name.startswith("task.images.path")]
        assert any(name.endswith("weights.safetensors") for name in named)
    # Wherever its folder lies, it is the same run.
    assert ids[0] == ids[1]


@pytest.mark.slow
def test_a_run_holds_its_image_tokenizer(run, tokenizer_run):
    again, codec = load(run).task.images, load(tokenizer_run)
    (record, *_) = map(json.loads, (run / "predictions" / "test.jsonl").read_text().splitlines())
    picture = Image.open(run / record["image"]["path"])
    assert again.encode([picture.convert("RGB")]) == [
        codec.model.encoder.model.encode(
            codec.processor(images=picture.convert("RGB"), return_tensors="pt")["pixel_values"]
        )[0].tolist()
    ]
    assert (run / record["predicted"]["path"]).is_file()
    assert len(record["codes"]) == again.tokens


def test_a_prompt_becomes_a_file(run, cli_inside, tmp_path):
    for name in ("a.png", "b.png"):
        done = cli_inside("generate", run, "--prompt", "a red circle", "--output", tmp_path / name)
        assert done.code == 0, done.err
    one, other = (Image.open(tmp_path / name) for name in ("a.png", "b.png"))
    assert (one.format, one.size, one.mode) == ("PNG", (16, 16), "RGB")
    assert np.array_equal(np.asarray(one), np.asarray(other))


def test_an_exported_folder_draws_the_same(run, cli_inside, tmp_path):
    exported = tmp_path / "exported"
    assert cli_inside("export", run, exported).code == 0
    for place, name in ((run, "a.png"), (exported, "b.png")):
        done = cli_inside("generate", place, "--prompt", "a red", "--output", tmp_path / name)
        assert done.code == 0, done.err
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_prompts_become_a_folder(run, cli_inside, tmp_path):
    file, folder = tmp_path / "prompts.txt", tmp_path / "out"
    file.write_text(f"a red circle\na blue square {BEGIN}\n")
    given = ["--input", file, "--num-samples", "2", "--guidance", "1.5", "--output", folder]
    done = cli_inside("generate", run, *given)
    assert done.code == 0, done.err
    records = [json.loads(line) for line in (folder / "images.jsonl").read_text().splitlines()]
    assert [(r["prompt"], r["sample"]) for r in records] == [
        (prompt, sample) for prompt in file.read_text().splitlines() for sample in (0, 1)
    ]
    codec = load(run).task.images
    for record in records:
        assert (folder / record["image"]).read_bytes() == codec.decode([record["codes"]])[0]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (["--prompt", "a"], "--output"),
        (["--prompt", "a", "--prompt", "b", "--output", "x.png"], "--output"),
        (["--prompt", "a", "--output", "x.jpg"], "--output"),
        (["--prompt", "a", "--output", "x.png", "--beams", "2"], "--beams"),
        (["--prompt", "a", "--output", "x.png", "--raw"], "--raw"),
        (["--prompt", "a", "--output", "x.png", "--guidance", "-1"], "--guidance"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, key, run, cli_inside, tmp_path):
    done = cli_inside("generate", run, *given, cwd=tmp_path)
    assert (done.code, done.err.startswith(f"error: {key}")) == (2, True), done.err
    assert not list(tmp_path.iterdir())


def test_a_model_that_draws_nothing_has_no_guidance(lm_run, cli_inside):
    done = cli_inside("generate", lm_run, "--prompt", "a", "--guidance", "2")
    assert (done.code, "--guidance" in done.err) == (2, True)


def test_images_are_captioned_and_texts_drawn_by_predict(run, cli_inside, tmp_path):
    sink = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(sink, "PNG")
    (tmp_path / "a.png").write_bytes(sink.getvalue())
    found = []
    for row in ({"image": "a.png"}, {"text": "a red circle"}):
        (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
        done = cli_inside(
            "predict", run, "--input", tmp_path / "x.jsonl", f"+data.media={tmp_path}"
        )
        assert done.code == 0, done.err
        found.append(json.loads(done.out))
    assert isinstance(found[0]["caption"], str)
    assert "codes" not in found[0]
    assert len(found[1]["codes"]) == 16
    assert "loss" not in found[1]


@pytest.mark.slow
def test_rows_without_an_image_are_not_learned(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "red"}\n' * 3)
    with pytest.raises(UserError, match="image"):
        trained(
            *(tmp_path, "task=multimodal_lm", "data=jsonl", f"data.train={file}"),
            *TINY[:-1],
            small=SMALL,
        )


def test_features_of_one_side_have_no_targets():
    made, tokenizer, corpus, _, _ = parts("multimodal_lm", None)
    from lushan.tasks.batches import Limits

    table = corpus.splits["train"].drop_columns(["image"]).to_pydict()
    rows = rows_of(made.encode(table, 0, tokenizer, Limits(64)))
    assert [int(row["targets"]) for row in rows] == [0] * 6
    batch = made.collate(made.transform(rows, 1))
    assert (batch["labels"] == IGNORED).all()


@pytest.mark.slow
def test_other_guidances_are_measured_with_one_training(tmp_path, run):
    """Metrics and drawings of each; those of the run's own are what a run with it alone has."""
    options = ["task=multimodal_lm", *TINY, "data.limit=6"]
    both = trained(tmp_path, *options, "task.guidances=[1,3.5]", small=SMALL)
    result = json.loads((both / "result.json").read_text())
    names = ["round_trip_match", "round_trip_match_guidance_1", "round_trip_match_guidance_3_5"]
    assert all(0 <= result["metrics"][f"test/{name}"] <= 1 for name in names)
    (record, *_) = map(json.loads, (both / "predictions" / "test.jsonl").read_text().splitlines())
    for name in ("predicted", "guidance_1", "guidance_3_5"):
        assert (both / record[name]["path"]).is_file()
    alone = trained(tmp_path, *options, "task.guidance=3.5", small=SMALL)
    (other, *_) = map(json.loads, (alone / "predictions" / "test.jsonl").read_text().splitlines())
    drawn = [
        f / r[n]["path"] for f, r, n in ((both, record, names[2][17:]), (alone, other, "predicted"))
    ]
    assert drawn[0].read_bytes() == drawn[1].read_bytes()


@pytest.mark.parametrize("scales", ["[1,1.0]", "[-1]"])
def test_guidances_that_are_none_are_refused(scales):
    with pytest.raises(UserError, match="must be different numbers") as refused:
        check(compose(["task=multimodal_lm", f"task.guidances={scales}"]))
    assert refused.value.key == "task.guidances"
