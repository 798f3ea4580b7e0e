"""`init_from` is written out before anything is composed."""

import pytest

from lushan.config.compose import compose
from lushan.config.init_from import starting_from, written_for
from lushan.errors import UserError
from lushan.run.identity import run_id


def test_it_brings_shape_tokenizer_and_weights_where_it_stands():
    assert starting_from(["a=1", "init_from=x/y", "b=2"]) == [
        *("a=1", "model=pretrained", "processor=pretrained", "model.path=x/y", "b=2")
    ]


def test_null_is_nothing():
    assert starting_from(["init_from=null", "a=1"]) == ["a=1"]
    assert starting_from(["a=1"]) == ["a=1"]


def test_it_wins_over_what_an_experiment_has_chosen():
    cfg = compose(["experiment=pretrain/zh_classics", "data.dir=x", "init_from=some/model"])
    assert cfg.model.path == cfg.processor.path == "some/model"
    assert "vocab_size" not in cfg.processor
    assert "config" not in cfg.model


@pytest.mark.parametrize("other", ["model=gpt2_tiny", "processor=bpe", "model.path=z"])
def test_it_goes_with_no_other_model(other):
    with pytest.raises(UserError, match="init_from") as caught:
        starting_from(["init_from=x", other])
    assert caught.value.key == other.partition("=")[0]


def test_a_run_is_known_by_its_id_wherever_it_lies(tmp_path):
    ids = set()
    for place in ("here", "there"):
        run = tmp_path / place / "0a1b2c3d4e"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        ids.add(run_id({"model": {"path": str(run)}}))
    assert len(ids) == 1
    assert run_id({"model": {"path": str(tmp_path)}}) not in ids


def test_another_tokenizer_can_be_named_beside_keys_that_only_a_signature_has():
    lines = ["init_from=some/model", "processor.path=other", "data.batch_examples=8"]
    cfg = compose([*lines, "data.batch_tokens=null"])
    assert (cfg.processor.path, cfg.data.batch_examples) == ("other", 8)


def test_whether_it_was_written_is_seen_in_what_it_was_written_out_as():
    assert written_for(starting_from(["a=1", "init_from=x/y"])) == {"model.path": "init_from"}
    assert written_for(["model=pretrained", "model.path=x/y", "processor=pretrained"]) == {}
    assert written_for([]) == {}
