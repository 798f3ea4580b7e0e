"""Parameter groups and schedules."""

import functools
import math
import re
from typing import Any

import pytest
import torch
from tests.helpers import backbones
from torch import nn

from lushan import optim
from lushan.errors import UserError
from lushan.optim import schedules


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(2, 2)
        self.LayerNorm = nn.LayerNorm(2)


class Model(nn.Module):
    """Named as BERT is: embeddings, three layers, a norm behind them, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {
                "embeddings": nn.ModuleDict({"word_embeddings": nn.Embedding(5, 2)}),
                "layer": nn.ModuleList([Layer() for _ in range(3)]),
                "final_norm": nn.LayerNorm(2),
            }
        )
        self.head = nn.Linear(2, 3)


ADAMW = functools.partial(torch.optim.AdamW)


def rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Name to (learning rate, decay)."""
    names = {id(p): n for n, p in model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }


def test_norms_and_biases_do_not_decay() -> None:
    model = Model()
    found = rates(model, optim.grouped(ADAMW, 0.1, 0.01, model=model))
    assert set(found) == {n for n, _ in model.named_parameters()}
    decaying = {n for n, (_, decay) in found.items() if decay}
    assert decaying == {
        "encoder.embeddings.word_embeddings.weight",
        *(f"encoder.layer.{i}.dense.weight" for i in range(3)),
        "head.weight",
    }
    assert {lr for lr, _ in found.values()} == {0.1}


def test_rates_fall_from_layer_to_layer() -> None:
    model = Model()
    found = rates(model, optim.grouped(ADAMW, 1.0, layer_decay=0.5, head_lr=7.0, model=model))
    assert found["head.weight"][0] == 7.0
    assert found["encoder.final_norm.weight"][0] == 1.0
    assert [found[f"encoder.layer.{i}.dense.bias"][0] for i in range(3)] == [0.25, 0.5, 1.0]
    assert found["encoder.embeddings.word_embeddings.weight"][0] == 0.125


SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
WIDE = SMALL | {"intermediate_size": 24}
T5 = {"d_model": 16, "num_layers": 3, "num_heads": 2, "d_kv": 8, "d_ff": 24}
BART = {
    **{"d_model": 16, "encoder_layers": 3, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_layers": 3},
}
FAMILIES: dict[str, dict[str, Any]] = {
    "BertConfig": WIDE,
    "RobertaConfig": WIDE,
    "ElectraConfig": WIDE | {"embedding_size": 8},
    "DebertaV2Config": WIDE | {"relative_attention": True, "norm_rel_ebd": "layer_norm"},
    "ModernBertConfig": WIDE,
    "DistilBertConfig": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24},
    "XLMConfig": {"emb_dim": 16, "n_layers": 3, "n_heads": 2},
    "GPT2Config": {"n_embd": 16, "n_layer": 3, "n_head": 2},
    "GPTNeoXConfig": WIDE,
    "BloomConfig": {"hidden_size": 16, "n_layer": 3, "n_head": 2},
    "OPTConfig": SMALL | {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "LlamaConfig": WIDE | {"tie_word_embeddings": True},
    "Qwen3Config": WIDE | {"head_dim": 8, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "MixtralConfig": WIDE | {"num_local_experts": 2, "num_key_value_heads": 2},
    "T5Config": T5,
    "MT5Config": T5,
    "BartConfig": BART,
}
MASKED = ("BertConfig", "RobertaConfig", "ElectraConfig", "DebertaV2Config", "ModernBertConfig")
ENCODER_DECODERS = ("T5Config", "MT5Config", "BartConfig")
CAUSAL = ("GPT2Config", "GPTNeoXConfig", "BloomConfig", "LlamaConfig", "Qwen3Config")
CASES = [
    *((name, "encoder") for name in FAMILIES),
    *((name, "masked_lm") for name in MASKED),
    *((name, "causal_lm") for name in CAUSAL),
    *((name, "seq2seq_lm") for name in ENCODER_DECODERS),
]
LAYER = re.compile(r"\.(?:layers?|h|block|attentions|layer_norm[12]|ffns)\.(\d)\.")


def family(purpose: Any, name: str, **more: Any) -> nn.Module:
    import transformers

    from lushan.models import encoders

    config = functools.partial(getattr(transformers, name), **FAMILIES[name] | more)
    encoder = encoders.fresh(config, vocab_size=20, pad_token_id=0, **backbones.USES[purpose])
    whole = nn.Module()
    whole.encoder = encoder
    return whole


@pytest.mark.parametrize(("name", "purpose"), CASES)
def test_rates_fall_in_every_family(name: str, purpose: str) -> None:
    """From its names alone: layer i of 3 is 2 - i below the top, and embeddings 3."""
    model = family(purpose, name)
    found = rates(model, optim.grouped(ADAMW, 1.0, layer_decay=0.5, model=model))
    inner: Any = model.encoder
    layers = {n: float(m[1]) for n in found if (m := LAYER.search(n))}
    assert set(layers.values()) == {0, 1, 2}
    assert {n: found[n][0] for n in layers} == {n: 0.5 ** (2 - i) for n, i in layers.items()}
    shared = {id(w) for w in inner.model.get_input_embeddings().parameters()}
    for weight_name, weight in model.named_parameters():
        if id(weight) in shared or ("embed" in weight_name and weight_name not in layers):
            assert found[weight_name][0] == 0.125, weight_name
    rest = {n for n in found if n not in layers and found[n][0] != 0.125}
    assert {found[n][0] for n in rest} <= {1.0}


@pytest.mark.parametrize(
    ("name", "more", "below"),
    [
        ("T5Config", {"num_decoder_layers": 1}, {"shared": 3}),
        ("BartConfig", {"decoder_layers": 1}, {"encoder.embed_p": 3, "decoder.embed_p": 1}),
        ("BartConfig", {"decoder_layers": 5}, {"encoder.embed_p": 3, "decoder.embed_p": 5}),
    ],
)
def test_each_stack_of_an_encoder_decoder_counts_from_its_own_top(
    name: str, more: dict[str, Any], below: dict[str, int]
) -> None:
    model = family("seq2seq_lm", name, **more)
    found = rates(model, optim.grouped(ADAMW, 1.0, layer_decay=0.5, model=model))
    sizes = {"encoder": 3, "decoder": next(iter(more.values()))}
    for weight, (rate, _) in found.items():
        if layer := re.search(r"\.(encoder|decoder)\.(?:layers|block)\.(\d)\.", weight):
            assert rate == 0.5 ** (sizes[layer[1]] - 1 - int(layer[2])), weight
    for part, depth in below.items():
        of = {rate for weight, (rate, _) in found.items() if part in weight}
        assert of == {0.5**depth}
    shared = next(rate for weight, (rate, _) in found.items() if ".shared." in weight)
    assert shared == 0.5 ** max(sizes.values())


class Mine(nn.Module):
    """A user's: its table has another name, and its output layer, tied to it, stands first."""

    def __init__(self, stack: Any) -> None:
        super().__init__()
        self.out = nn.Linear(2, 5, bias=False)
        self.words = nn.Embedding(5, 2)
        self.out.weight = self.words.weight
        self.steps = stack(Layer() for _ in range(3))
        self.last = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))


@pytest.mark.parametrize("stack", [nn.ModuleList, lambda layers: nn.Sequential(*layers)])
def test_rates_fall_in_a_model_of_ones_own(stack: Any) -> None:
    model = nn.Module()
    model.encoder = Mine(stack)
    found = rates(model, optim.grouped(ADAMW, 1.0, layer_decay=0.5, model=model))
    assert [found[f"encoder.steps.{i}.dense.bias"][0] for i in range(3)] == [0.25, 0.5, 1.0]
    assert found["encoder.out.weight"][0] == 0.125
    assert {found[f"encoder.last.{i}.weight"][0] for i in range(2)} == {1.0}


def test_frozen_weights_are_in_no_group() -> None:
    model = Model()
    patterns = ["*embeddings*", "encoder.layer.[01].*"]
    optim.freeze_weights(model, patterns)
    found = rates(model, optim.grouped(ADAMW, 1.0, freeze=patterns, model=model))
    assert set(found) == {n for n, p in model.named_parameters() if p.requires_grad}
    assert not any("embeddings" in n or ".0." in n or ".1." in n for n in found)
    assert "encoder.layer.2.dense.weight" in found


def test_a_pattern_without_a_match_is_refused_with_near_names() -> None:
    with pytest.raises(UserError, match="word_embeddings") as caught:
        optim.grouped(ADAMW, 1.0, freeze=["*word_embedings.weight"], model=Model())
    assert caught.value.key == "optimizer.freeze"


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("optimizer.freeze", {"freeze": ["*"]}),
        ("optimizer.algorithm.lr", {"algorithm": functools.partial(torch.optim.AdamW, lr=1.0)}),
        ("optimizer.weight_decay", {"algorithm": torch.optim.Rprop, "weight_decay": 0.1}),
    ],
)
def test_what_makes_no_sense_is_refused(key: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        optim.grouped(**{"algorithm": ADAMW, "lr": 1.0, "model": Model(), **options})
    assert caught.value.key == key


def test_fused_where_it_exists_by_default() -> None:
    def chosen(algorithm: Any) -> Any:
        return optim.grouped(algorithm, 0.1, model=Model()).defaults.get("fused")

    assert chosen(ADAMW) is True
    assert chosen(torch.optim.SGD) is True
    assert chosen(functools.partial(torch.optim.AdamW, fused=False)) is False
    assert not chosen(functools.partial(torch.optim.AdamW, foreach=True))
    assert not chosen(torch.optim.Adafactor)


@pytest.mark.parametrize(
    "algorithm",
    [
        torch.optim.AdamW,
        torch.optim.Adam,
        torch.optim.SGD,
        torch.optim.Adafactor,
        torch.optim.Rprop,
    ],
)
def test_every_algorithm_takes_a_step(algorithm: Any) -> None:
    model = Model()
    optimizer = optim.grouped(functools.partial(algorithm), 0.1, model=model)
    before = model.head.weight.detach().clone()
    model.head(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.head.weight)


# Schedules

SCHEDULES = [optim.linear, optim.cosine, optim.wsd, optim.constant]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 3, 0.0, 0.25, 0.5])
def test_no_step_is_lost(schedule: Any, warmup: float) -> None:
    factors = [schedule(step, total_steps=20, warmup=warmup) for step in range(20)]
    assert all(0 < f <= 1 for f in factors)
    steps = warmup if isinstance(warmup, int) else int(20 * warmup)
    rise = [(i + 1) / (steps + 1) for i in range(steps)]
    assert factors[: steps + 1] == pytest.approx([*rise, 1.0])  # full rate right after the warm-up
    assert factors[steps:] == sorted(factors[steps:], reverse=True)


def test_linear_by_hand() -> None:
    factors = [optim.linear(step, total_steps=6, warmup=2) for step in range(7)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 3 / 4, 2 / 4, 1 / 4, 0])
    assert optim.linear(6, total_steps=6, final=0.1) == pytest.approx(0.1)
    assert optim.linear(9, total_steps=6) == 0


def test_cosine_by_hand() -> None:
    factors = [optim.cosine(step, total_steps=4) for step in range(5)]
    half = math.sqrt(0.5)
    assert factors == pytest.approx([1, (1 + half) / 2, 0.5, (1 - half) / 2, 0])
    assert optim.cosine(4, total_steps=4, final=0.2) == pytest.approx(0.2)


def test_wsd_by_hand() -> None:
    factors = [optim.wsd(step, total_steps=8, warmup=2, decay=3) for step in range(9)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4, 0])
    level = [optim.wsd(step, total_steps=4, decay=0) for step in range(4)]
    assert level == [1, 1, 1, 1]


def test_a_share_is_rounded_and_not_raised_by_noise() -> None:
    assert schedules._count(0.1, 30, "warmup") == 3  # 0.1 * 30 is a little more than 3
    assert schedules._count(0.1, 4, "warmup") == 0
    assert schedules._count(1.0, 4, "warmup") == 4
    assert schedules._count(1, 4, "warmup") == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [11, -1, 1.5, -0.1])
def test_a_warmup_that_does_not_fit_is_refused(schedule: Any, warmup: float) -> None:
    with pytest.raises(UserError) as caught:
        schedule(0, total_steps=10, warmup=warmup)
    assert caught.value.key == "scheduler.warmup"


def test_all_warmup_and_too_much_of_both() -> None:
    for schedule in (optim.linear, optim.cosine, optim.constant):
        assert schedule(9, total_steps=10, warmup=10) == pytest.approx(10 / 11)
    with pytest.raises(UserError) as caught:
        optim.wsd(0, total_steps=10, warmup=6, decay=6)
    assert caught.value.key == "scheduler.decay"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_serves_lightnings_scheduler_to_its_end(schedule: Any) -> None:
    model = Model()
    optimizer = optim.grouped(ADAMW, 1.0, layer_decay=0.5, model=model)
    factor = functools.partial(schedule, total_steps=3, warmup=1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for _ in range(3):
        assert optimizer.param_groups[0]["lr"] > 0
        optimizer.step()
        scheduler.step()


def test_modules_learn_at_rates_of_their_own():
    model = Model()
    given = {"layer": 0.2, "word_embeddings": 0.0}
    found = rates(model, optim.grouped(ADAMW, 1.0, module_lr=given, head_lr=3.0, model=model))
    assert found["encoder.layer.1.dense.weight"][0] == 0.2
    assert found["encoder.embeddings.word_embeddings.weight"][0] == 0.0
    assert found["encoder.final_norm.weight"][0] == 1.0
    assert found["head.weight"][0] == 3.0
    decayed = optim.grouped(ADAMW, 1.0, module_lr={"layer": 0.2}, layer_decay=0.5, model=model)
    assert rates(model, decayed)["encoder.layer.1.dense.weight"][0] == 0.1


def test_a_rate_of_a_module_that_is_not_there():
    with pytest.raises(UserError, match="no module") as caught:
        optim.grouped(ADAMW, 1.0, module_lr={"layr": 1.0}, model=Model())
    assert caught.value.key == "optimizer.module_lr.layr"


@pytest.mark.parametrize("warmup", [0, 7])
def test_schedules_are_those_of_the_libraries(warmup):
    """transformers' first warm-up step has rate 0 and lushan's has not: compared behind it."""
    from transformers import optimization

    made = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    total, known = 50, {"total_steps": 50, "warmup": warmup}
    theirs = {
        "polynomial": optimization.get_polynomial_decay_schedule_with_warmup(
            made, warmup, total, lr_end=0.0, power=2.0
        ),
        "restarts": optimization.get_cosine_with_hard_restarts_schedule_with_warmup(
            made, warmup, total, num_cycles=4
        ),
        "inverse": optimization.get_inverse_sqrt_schedule(made, warmup, timescale=max(1, warmup)),
    }
    for step in range(max(1, warmup), total):
        ours = {
            "polynomial": optim.linear(step, power=2.0, **known),
            "restarts": optim.cosine(step, cycles=4, **known),
            "inverse": optim.inverse_sqrt(step, **known),
        }
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name].lr_lambdas[0](step)), (name, step)
    assert optim.cosine(total, cycles=4, **known) == pytest.approx(0)


def test_one_cycle_is_that_of_torch():
    made = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(made, 1.0, total_steps=40, cycle_momentum=False)
    for step in range(40):
        rate = made.param_groups[0]["lr"]
        assert optim.one_cycle(step, total_steps=40) == pytest.approx(rate), step
        made.step()
        if step < 39:
            theirs.step()


@pytest.mark.parametrize(("patience", "delta"), [(0, 0.0), (2, 0.05)])
def test_plateau_is_that_of_torch(patience: int, delta: float) -> None:
    scores = [0.1, 0.3, 0.3, 0.32, 0.5, 0.2, 0.1, 0.4, 0.5, 0.51, 0.52, 0.1, 0.1, 0.1, 0.1, 0.6]
    made = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        made, "max", 0.5, patience, threshold=delta, threshold_mode="abs", min_lr=0.1, eps=0.0
    )
    known: dict[str, Any] = {"total_steps": 50, "patience": patience, "min_delta": delta}
    for seen in range(1, len(scores) + 1):
        theirs.step(scores[seen - 1])
        ours = optim.plateau(9, scores=scores[:seen], final=0.1, **known)
        assert ours == made.param_groups[0]["lr"], seen


def test_a_plateau_takes_no_undefined_score_for_a_bad_one() -> None:
    known: dict[str, Any] = {"total_steps": 50, "patience": 0}
    assert optim.plateau(9, scores=[0.1, math.nan, math.nan], **known) == 1
    assert optim.plateau(9, scores=[math.nan, 0.1, 0.1, math.nan], **known) == 0.5
    assert optim.plateau(0, scores=[0.1, 0.1], warmup=1, **known) == 0.25
