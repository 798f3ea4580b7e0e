"""Text and frames in one vocabulary: videos that are learned, made, kept and refused."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from tests.conftest import trained
from tests.contract.test_tasks import parts
from tests.helpers import command
from tests.helpers.clips import clip

from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.errors import UserError
from lushan.tasks.batches import Limits
from lushan.vision import clips

SMALL = [o for o in command.SMALL if not o.startswith("model")]
TINY = ["model=gpt2_tiny", "model.config.n_embd=32", "model.config.n_layer=1", "data.limit=8"]
TASK = "task=video_lm"


def read(folder, *rows):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cfg = check(compose([TASK, "data=jsonl", f"data.train={file}", f"data.media={folder}"]))
    return build(cfg["data"]).read(build(cfg["task"]).fields)


def test_a_video_is_the_codes_of_its_frames_in_their_order(tmp_path):
    made, tokenizer, *_ = parts("video_lm", None)
    (tmp_path / "a.mp4").write_bytes(clip([0] * 4 + [120] * 4 + [250] * 4, size=(32, 32)))
    corpus = read(tmp_path, {"text": "brighter", "video": "a.mp4"})
    rows = corpus.splits["train"].to_pydict()
    features = made.encode(rows, 0, tokenizer, Limits(64))
    assert features["drawn"] == [1, 0]
    codes = made.codec.codes(features["tokens"][0].tolist())
    of_frame = made.images.images.tokens
    assert len(codes) == 3 * of_frame
    red, green, blue = ([code // 4**at % 4 for code in codes] for at in range(3))
    # The codes of a frame are those of one image, and each frame is redder than the one before.
    levels = [sum(red[at : at + of_frame]) for at in range(0, len(red), of_frame)]
    assert levels[0] == 0
    assert levels[0] < levels[1] < levels[2]
    assert not any(green + blue)
    (again,) = made.images.decode([codes])
    assert len(clips.exactly(again, "a.png", 3)) == 3


def test_a_video_of_too_few_frames_is_refused(tmp_path):
    made, tokenizer, *_ = parts("video_lm", None)
    (tmp_path / "a.mp4").write_bytes(clip([0, 200]))
    corpus = read(tmp_path, {"text": "short", "video": "a.mp4"})
    with pytest.raises(UserError, match="has 2 frames, but 3 are required") as refused:
        made.encode(corpus.splits["train"].to_pydict(), 0, tokenizer, Limits(64))
    assert "a.mp4" in str(refused.value)


def test_a_column_that_names_no_file_is_refused_with_its_line(tmp_path):
    with pytest.raises(UserError, match="no video of this name") as refused:
        read(tmp_path, {"text": "none", "video": "b.mp4"})
    assert refused.value.line == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("lm"), TASK, *TINY, small=SMALL)


@pytest.mark.slow
@pytest.mark.long
def test_a_prompt_becomes_a_video_of_the_ending(run, cli_inside, tmp_path):
    found = {}
    for name in clips.ENDINGS:
        file = tmp_path / f"a{name}"
        done = cli_inside("generate", run, "--prompt", "a red circle moves right", "--output", file)
        assert done.code == 0, done.err
        frames = clips.exactly(b"", str(file), 3)
        found[name] = [frame.tobytes() for frame in frames]
        assert frames[0].size == (4, 4)
    assert found[".png"] == found[".gif"] == found[".webp"]
    refused = cli_inside("generate", run, "--prompt", "a", "--output", tmp_path / "a.avi")
    assert (refused.code, refused.err.startswith("error: --output")) == (2, True)


@pytest.mark.slow
@pytest.mark.long
def test_predictions_keep_videos(run, cli_inside, tmp_path):
    lines = (run / "predictions" / "test.jsonl").read_text().splitlines()
    for record in map(json.loads, lines):
        for name in ("video", "predicted"):
            assert len(clips.exactly(b"", str(run / record[name]["path"]), 3)) == 3
        assert Image.open(run / record["predicted"]["path"]).is_animated
    (tmp_path / "a.mp4").write_bytes(clip([0, 100, 200]))
    for row in ({"video": "a.mp4"}, {"text": "a red circle moves right"}):
        (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
        done = cli_inside("predict", run, "--input", tmp_path / "x.jsonl")
        assert done.code == 0, done.err
        assert isinstance(
            json.loads(done.out)["caption" if "video" in row else "codes"], str | list
        )
