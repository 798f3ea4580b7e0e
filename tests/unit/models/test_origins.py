"""What a run begins with: which of its parts are pretrained, and whose tokens its weights know."""

import pytest
import transformers
from tests.helpers.command import SMALL
from torch import nn

from lushan.config.build import source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.processing import require_same_ids
from lushan.engine.components import build_components
from lushan.errors import UserError
from lushan.models.backbone import PooledModel
from lushan.models.origins import origins


def built(lines):
    cfg = check(compose(lines))
    return build_components(cfg, source_of(cfg))


def prepared(folder, *lines):
    places = [f"paths.output_dir={folder}/outputs", f"paths.cache_dir={folder}/cache"]
    return built([*SMALL, "task=ner", "data=sample_ner", *lines, *places])


FRESH = "tokenizer (trained on the training text)"


def test_a_fresh_model_is_reported_as_such(ner_run, lm_run):
    for run, parts in ((ner_run, "encoder, head ("), (lm_run, f"encoder, {FRESH}")):
        log = (run / "log.txt").read_text(encoding="utf-8")
        assert "pretrained: nothing" in log
        assert f"fresh: {parts}" in log
        assert FRESH in log


def test_an_adapter_and_a_head_are_fresh_over_a_pretrained_encoder(ner_run, tmp_path):
    small = [line for line in SMALL if not line.startswith(("model", "processor"))]
    places = [f"paths.output_dir={tmp_path}/outputs", f"paths.cache_dir={tmp_path}/cache"]
    lines = [f"init_from={ner_run}", "peft=lora", "task=ner", *small, *places]
    pretrained, fresh = built(lines).origins
    assert pretrained == f"pretrained: encoder ({ner_run}), processor ({ner_run})"
    assert fresh.startswith("fresh: adapter (lora), head (")


def test_weights_that_a_checkpoint_lacks_are_fresh():
    encoder = nn.Linear(2, 3)
    encoder.new_weights = ["lm_head.weight", "a", "b", "c"]
    model = PooledModel(encoder, nn.Identity(), nn.Linear(3, 2))
    cfg = {"model": {"path": "x"}, "processor": {"path": "x"}, "ckpt_path": None}
    assert origins(cfg, model, trains_tokenizer=False) == [
        "pretrained: encoder (x), processor (x)",
        "fresh: 4 weights of it (lm_head.weight, a, b, ...), head (8 parameters)",
    ]
    again = origins(cfg | {"ckpt_path": "y"}, model, trains_tokenizer=False)
    assert again == [
        "pretrained: encoder (checkpoint y), head (checkpoint y), processor (x)",
        "fresh: nothing",
    ]


def test_weights_of_a_run_are_not_given_tokens_of_another_training_text(ner_run, tmp_path):
    """Of the same number: only the tokens themselves show it."""
    with pytest.raises(UserError, match="ids are different tokens for the weights") as caught:
        prepared(tmp_path, f"ckpt_path={ner_run}/checkpoints/best")
    assert caught.value.key == "processor"
    assert f"processor.path={ner_run}" in str(caught.value.hint)


def test_weights_are_not_given_the_tokenizer_of_another_folder(ner_run, reviews_run, tmp_path):
    small = [line for line in SMALL if not line.startswith(("model", "processor"))]
    places = [f"paths.output_dir={tmp_path}/outputs", f"paths.cache_dir={tmp_path}/cache"]
    lines = [f"init_from={ner_run}", f"processor.path={reviews_run}", "task=ner", *small, *places]
    with pytest.raises(UserError, match="ids are different tokens for the weights"):
        built(lines)


def vocabulary(folder, tokens):
    from tokenizers import Tokenizer, models

    inner = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token=tokens[0]))
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token=tokens[0], pad_token=tokens[1]
    )
    made.save_pretrained(folder)
    return made


def test_a_few_tokens_may_be_renamed_and_are_reported(tmp_path):
    tokens = ["[UNK]", "[PAD]", *(f"t{i}" for i in range(98))]
    vocabulary(tmp_path / "weights", tokens)
    path = str(tmp_path / "weights")
    longer = vocabulary(tmp_path / "longer", [*tokens, "new"])
    assert require_same_ids(longer, path, key="model.path") is None
    renamed = vocabulary(tmp_path / "renamed", [*tokens[:-1], "<call>"])
    note = require_same_ids(renamed, path, key="model.path")
    assert "1 of 100 ids" in note
    assert "99 is '<call>' here, but 't97' there" in note
    moved = vocabulary(tmp_path / "moved", [*tokens[:2], "new", *tokens[2:]])
    with pytest.raises(UserError, match="98 of 100 ids"):
        require_same_ids(moved, path, key="model.path")
    assert require_same_ids(moved, str(tmp_path), key="model.path") is None, "nothing is there"
