"""A model attends as the loss of its task assumes, or is refused before training."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lushan.config.build import source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine.components import build_components
from lushan.errors import UserError
from lushan.models import encoders, probing
from lushan.models.language import LanguageModel, WholeModel
from tests.contract.test_packing import CASES, CAUSAL, KINDS, MASKED, NO_DROPOUT, WIDE
from tests.helpers import backbones
from tests.helpers.backbones import PROBES
from tests.helpers.command import SMALL

VOCABULARY = 61
TOKENS = range(5, VOCABULARY)
T5 = {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_kv": 16, "d_ff": 48, "dropout_rate": 0.0}
BART = {
    **{"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 64},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "dropout": 0.0},
    **{"encoder_ffn_dim": 48, "decoder_ffn_dim": 48},
}
SEQ2SEQ = {"T5Config": T5, "BartConfig": BART}
FIELDS = CAUSAL | MASKED | SEQ2SEQ
MAMBA = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
POOLED = {"NystromformerConfig": WIDE | NO_DROPOUT}
"""Whose layers sum up tokens from all over the text, padding among them."""
ENCODERS = CAUSAL | MASKED | {"T5Config": T5, "MambaConfig": MAMBA}
TWO_SIDED = ("BertConfig", "RobertaConfig", "ElectraConfig")
"""Of the masked ones, those of which transformers makes a causal class that is not causal."""


def model(purpose, name, attention=None, **more):
    import transformers

    config = functools.partial(getattr(transformers, name), **FIELDS[name], **more)
    torch.manual_seed(3)
    made = encoders.fresh(
        config,
        attention,
        vocab_size=VOCABULARY,
        pad_token_id=0,
        special=backbones.SPECIAL[purpose],
        **backbones.USES[purpose],
    )
    return WholeModel(made)


@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize(("purpose", "name"), [*CASES, *(("seq2seq_lm", n) for n in SEQ2SEQ)])
def test_every_family_passes_the_probe_of_its_purpose(purpose, name, attention):
    try:
        made = model(purpose, name, attention)
    except UserError as error:
        pytest.skip(f"{name} has no {attention}: {error}")
    probing.require(made, PROBES[purpose], TOKENS)


@pytest.mark.parametrize("name", TWO_SIDED)
def test_one_that_sees_both_sides_is_no_causal_model(name):
    with pytest.raises(UserError, match="attends to the tokens that it must predict") as caught:
        probing.require(model("causal_lm", name), probing.require_causal, TOKENS)
    assert "packing" not in str(caught.value)
    probing.require(model("causal_lm", name, is_decoder=True), probing.require_causal, TOKENS)


def test_one_that_sees_one_side_is_no_masked_model():
    with pytest.raises(UserError, match="does not attend to the tokens after"):
        probing.require(
            model("masked_lm", "BertConfig", is_decoder=True), probing.require_bidirectional, TOKENS
        )


def encoder(name):
    import transformers

    config = functools.partial(getattr(transformers, name), **(ENCODERS | POOLED)[name])
    torch.manual_seed(3)
    return encoders.fresh(config, vocab_size=VOCABULARY, pad_token_id=0)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_has_the_same_hidden_states_alone_and_in_a_batch(name):
    probing.require_alone_as_in_a_batch(encoder(name), TOKENS)


@pytest.mark.parametrize("name", POOLED)
def test_an_encoder_that_sees_padding_is_refused(name):
    with pytest.raises(UserError, match="attends to padding"):
        probing.require_alone_as_in_a_batch(encoder(name), TOKENS)


@pytest.mark.parametrize("name", ENCODERS | POOLED)
def test_the_longest_text_fits(name):
    made = encoder(name).eval()
    ids = torch.full((1, made.max_length or 100), 7)
    assert made(input_ids=ids, attention_mask=torch.ones_like(ids)).shape[:2] == ids.shape


class Own(nn.Module):
    """A user's model without anything of transformers: tokens are mixed by one matrix.

    Args:
        seen: From the length of a text to which places (L, L) a place sees.
        masks: Whether `attention_mask` counts.
        gate: What the mixed states begin with.
    """

    def __init__(self, seen, *, masks=True, gate=1.0):
        super().__init__()
        torch.manual_seed(3)
        self.seen, self.masks, self.max_length = seen, masks, None
        self.embed = nn.Embedding(VOCABULARY, 16)
        self.gate = nn.Parameter(torch.tensor(gate))
        self.drop = nn.Dropout(0.5)

    def token_losses(self, inputs, labels):
        states = self.drop(self.embed(inputs["input_ids"]))
        weights = self.seen(states.shape[1]).float().expand(len(states), -1, -1)
        if self.masks and "attention_mask" in inputs:
            weights = weights * inputs["attention_mask"][:, None]
        scores = (states + self.gate * (weights @ states)) @ self.embed.weight.T
        return F.cross_entropy(scores.transpose(1, 2), labels, reduction="none"), None


def past(length):
    return torch.ones(length, length).tril()


def both(length):
    return torch.ones(length, length)


def one_too_far(length):
    """The usual slip: a place sees the one after it, too."""
    return torch.ones(length, length).tril(1)


def other_side(length):
    return torch.ones(length, length).triu()


@pytest.mark.parametrize("gate", [1.0, 0.0])
def test_a_model_of_ones_own_is_probed_too(gate):
    """Also one that begins as the identity: what is seen through a zero counts all the same."""
    probing.require(WholeModel(Own(past, gate=gate)), probing.require_causal, TOKENS)
    probing.require(WholeModel(Own(both, gate=gate)), probing.require_bidirectional, TOKENS)
    for seen in (both, one_too_far, other_side):
        with pytest.raises(UserError, match="changing one changes the scores"):
            probing.require(WholeModel(Own(seen, gate=gate)), probing.require_causal, TOKENS)
    for seen, side in ((past, "after"), (other_side, "before")):
        with pytest.raises(UserError, match=f"does not attend to the tokens {side}"):
            probing.require(WholeModel(Own(seen, gate=gate)), probing.require_bidirectional, TOKENS)
    with pytest.raises(UserError, match="padding"):
        probing.require(
            WholeModel(Own(both, masks=False, gate=gate)), probing.require_bidirectional, TOKENS
        )


def test_the_probe_leaves_a_model_and_chance_as_they_were():
    made = WholeModel(Own(past, gate=0.0))
    made.encoder.drop.eval()
    before, chance = {k: v.clone() for k, v in made.state_dict().items()}, torch.get_rng_state()
    probing.require(made, probing.require_causal, TOKENS)
    assert all(torch.equal(v, before[k]) for k, v in made.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance)
    assert made.training
    assert not made.encoder.drop.training


class Wrapped(LanguageModel):
    """An encoder-decoder that takes what it is given otherwise."""

    def __init__(self, encoder, change):
        super().__init__(encoder.model, bidirectional=encoder.bidirectional)
        self.change = change

    def _known(self, inputs):
        return super()._known(self.change(dict(inputs)))


def without_mask(inputs):
    return inputs | {"attention_mask": torch.ones_like(inputs["attention_mask"])}


def without_source(inputs):
    return inputs | {"input_ids": torch.full_like(inputs["input_ids"], 7)}


def backwards(inputs):
    return inputs | {"decoder_input_ids": inputs["decoder_input_ids"].roll(-1, 1)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without_mask, "attends to padding"),
        (without_source, "does not depend on its source"),
        (backwards, "the decoder of this model attends to the tokens that it must predict"),
    ],
)
@pytest.mark.parametrize("name", SEQ2SEQ)
def test_an_encoder_decoder_that_attends_wrongly_is_refused(name, change, problem):
    made = Wrapped(model("seq2seq_lm", name).encoder, change)
    with pytest.raises(UserError, match=problem):
        probing.require(WholeModel(made), PROBES["seq2seq_lm"], TOKENS)


@pytest.mark.parametrize("task", ["causal_lm", "chat"])
@pytest.mark.parametrize("packing", ["true", "false"])
def test_a_run_is_refused_before_its_data_is_encoded(task, packing, tmp_path):
    places = [f"paths.output_dir={tmp_path}/outputs", f"paths.cache_dir={tmp_path}/cache"]
    lines = [f"task={task}", *SMALL, "model=bert_tiny", f"data.packing={packing}", *places]
    cfg = check(compose(lines))
    with pytest.raises(UserError, match="attends to the tokens that it must predict"):
        build_components(cfg, source_of(cfg))
    assert not (tmp_path / "cache" / "encoded").exists()


@pytest.mark.slow(1)
def test_a_run_whose_scores_would_depend_on_the_batch_is_refused(tmp_path):
    target = "model.config._target_=transformers.NystromformerConfig"
    places = [f"paths.output_dir={tmp_path}/outputs", f"paths.cache_dir={tmp_path}/cache"]
    cfg = check(
        compose(["task=classification", "data=sample_reviews", "model=bert_tiny", target, *places])
    )
    with pytest.raises(UserError, match="attends to padding"):
        build_components(cfg, source_of(cfg))
