"""Text by `generate` of transformers: the same for the same seed, alone or among others."""

import copy
import dataclasses

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GPT2Config,
    LlamaConfig,
    T5Config,
)

from lushan.errors import UserError
from lushan.models.decoding import Settings, endings_of, generate, padded
from lushan.models.packed_weights import pack_weights
from lushan.models.prompt_groups import grouped
from lushan.models.sampling import Reading, Sampling, gumbel
from lushan.text import tokenizers

TEXTS = [
    "明月几时有？把酒问青天。",
    "the quick brown fox jumps over the lazy dog",
    "naïve café, 東京 🙂",
]
POSITIONS = 64


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    made = tokenizers.train(
        "bpe", 320, min_frequency=1, texts=lambda: TEXTS * 3, cache_dir=tmp_path_factory.mktemp("t")
    )
    made.bos_token, made.eos_token = made.cls_token, made.sep_token
    return made


def causal(family, tokenizer):
    ids = {n: getattr(tokenizer, n) for n in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = {
        "gpt2": lambda: GPT2Config(
            vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=POSITIONS, **ids
        ),
        "llama": lambda: LlamaConfig(
            vocab_size=320,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=64,
            max_position_embeddings=POSITIONS,
            **ids,
        ),
    }[family]()
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).eval()
    sharpen(model)
    return model


def sharpen(model):
    """Fresh weights give nearly even scores; these have a likeliest token."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request, tokenizer):
    return causal(request.param, tokenizer)


@pytest.fixture(scope="module")
def seq2seq(tokenizer):
    torch.manual_seed(3)
    config = T5Config(
        vocab_size=320,
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    made = AutoModelForSeq2SeqLM.from_config(config).eval()
    sharpen(made)
    return made


def prompts(tokenizer, *texts):
    return [
        [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        for text in texts or ("", "the quick", "明月几时有？把酒")
    ]


def write(model, tokenizer, given, settings, **options):
    return generate(
        model,
        given,
        settings,
        tokenizer=tokenizer,
        endings=endings_of(model, tokenizer),
        **options,
    )


DRAWN = Settings(max_new_tokens=14, temperature=0.8, top_p=0.95, seed=7)
WAYS = {
    "greedy": Settings(max_new_tokens=14, greedy=True),
    "sampled": DRAWN,
    "top_k": Settings(max_new_tokens=14, top_k=5, seed=2),
    "penalty": dataclasses.replace(DRAWN, repetition_penalty=1.3),
    "beams": Settings(max_new_tokens=8, beams=3),
    "stop": dataclasses.replace(DRAWN, stop=("e", "。")),
}


@pytest.mark.parametrize("way", WAYS)
def test_alone_or_among_others_it_is_the_same_text(model, tokenizer, way):
    given = prompts(tokenizer)
    together = write(model, tokenizer, given, WAYS[way])
    alone = [write(model, tokenizer, [prompt], WAYS[way])[0] for prompt in reversed(given)]
    assert together == alone[::-1]


@pytest.mark.parametrize("way", ["greedy", "sampled", "beams"])
def test_of_an_encoder_decoder_too(seq2seq, tokenizer, way):
    given = prompts(tokenizer)
    together = write(seq2seq, tokenizer, given, WAYS[way])
    alone = [write(seq2seq, tokenizer, [prompt], WAYS[way])[0] for prompt in given]
    assert together == alone


def test_a_seed_is_a_text_and_another_seed_another(model, tokenizer):
    given = prompts(tokenizer)
    torch.manual_seed(1)
    first = write(model, tokenizer, given, DRAWN)
    state = torch.random.get_rng_state()
    assert write(model, tokenizer, given, DRAWN) == first
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing was drawn from it
    other = write(model, tokenizer, given, dataclasses.replace(DRAWN, seed=8))
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_samples_differ_and_fewer_are_the_first_of_more(model, tokenizer):
    given = prompts(tokenizer)
    four = write(model, tokenizer, given, dataclasses.replace(DRAWN, num_samples=4))
    two = write(model, tokenizer, given, dataclasses.replace(DRAWN, num_samples=2))
    assert [texts[:2] for texts in four] == two
    assert all(len({w.text for w in texts}) > 1 for texts in four)


def theirs_of(model, tokenizer, given, endings, new_tokens):
    """Return the tokens of transformers' own greedy search of a batch, its own cache and all."""
    tokens = padded(given, tokenizer.pad_token_id, left=True, device=model.device)
    found = model.generate(
        **tokens,
        do_sample=False,
        max_new_tokens=new_tokens,
        eos_token_id=endings,
        pad_token_id=tokenizer.pad_token_id,
    )[:, tokens["input_ids"].shape[1] :].tolist()
    ends = [next((i for i, t in enumerate(row) if t in endings), new_tokens) for row in found]
    return [row[: end + 1] for row, end in zip(found, ends, strict=True)]


@pytest.mark.parametrize("layout", ["as loaded", "packed"])
def test_a_padded_batch_has_the_tokens_of_transformers(model, tokenizer, layout):
    model = copy.deepcopy(model)
    given = prompts(tokenizer, "", "the quick", "明月几时有？把酒", "the quick brown fox jumps")
    settings = Settings(max_new_tokens=POSITIONS - max(map(len, given)), greedy=True)
    free = theirs_of(model, tokenizer, given, [tokenizer.eos_token_id], settings.max_new_tokens)
    endings = [tokenizer.eos_token_id, free[0][5], free[1][9]]
    theirs = theirs_of(model, tokenizer, given, endings, settings.max_new_tokens)
    if layout == "packed":
        pack_weights(model)
    ours = generate(model, given, settings, tokenizer=tokenizer, endings=endings)
    assert [texts[0].ids for texts in ours] == theirs
    assert {texts[0].finish for texts in ours} >= {"end"}
    assert len({len(ids) for ids in theirs}) > 1  # ended apart


@pytest.mark.parametrize("way", ["greedy", "beams"])
def test_the_tokens_are_those_of_transformers(model, tokenizer, way):
    for prompt in prompts(tokenizer):
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=WAYS[way].max_new_tokens,
            num_beams=WAYS[way].beams,
        )[0, len(prompt) :].tolist()
        ours = write(model, tokenizer, [prompt], WAYS[way])[0][0]
        assert ours.ids == theirs
        assert ours.finish in ("length", "end")


def test_an_encoder_decoder_writes_what_transformers_writes(seq2seq, tokenizer):
    prompt = prompts(tokenizer)[1]
    theirs = seq2seq.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=14)
    assert write(seq2seq, tokenizer, [prompt], WAYS["greedy"])[0][0].ids == theirs[0, 1:].tolist()


def test_a_penalty_is_that_of_transformers(model, tokenizer):
    prompt = prompts(tokenizer)[1]
    ids = torch.tensor([prompt])
    theirs = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=14,
        repetition_penalty=1.5,
    )[0, len(prompt) :].tolist()
    settings = dataclasses.replace(WAYS["greedy"], repetition_penalty=1.5)
    assert write(model, tokenizer, [prompt], settings)[0][0].ids == theirs


def test_a_static_cache_gives_the_same_tokens(model, tokenizer):
    given = prompts(tokenizer)
    growing = write(model, tokenizer, given, DRAWN)
    assert write(model, tokenizer, given, DRAWN, cache_length=60) == growing


def test_a_text_ends_with_its_ending_token(model, tokenizer):
    given = prompts(tokenizer)[1]
    free = write(model, tokenizer, [given], DRAWN)[0][0]
    end = free.ids[10]
    found = generate(model, [given], DRAWN, tokenizer=tokenizer, endings=[end])[0][0]
    at = free.ids.index(end)
    assert found.ids == free.ids[: at + 1]
    assert found.finish == "end"


@pytest.mark.parametrize("beams", [1, 3])
def test_stop_strings_are_cut_off_over_tokens(model, tokenizer, beams):
    given = prompts(tokenizer)[1]
    settings = Settings(max_new_tokens=14, greedy=beams == 1, beams=beams)
    free = write(model, tokenizer, [given], settings)[0][0]
    stop = free.text[5:8]
    assert stop
    found = write(model, tokenizer, [given], dataclasses.replace(settings, stop=(stop,)))[0][0]
    assert stop not in found.text
    if beams == 1:  # a search may then find another text the best
        assert found.finish == "stop"
        assert found.text == free.text[: free.text.index(stop)]
        assert found.ids == free.ids[: len(found.ids)]


def test_what_is_shown_is_the_text_in_whole_characters(model, tokenizer):
    for seed in range(2):
        shown = []
        settings = dataclasses.replace(DRAWN, seed=seed, temperature=1.5, top_p=1.0)
        given = [prompts(tokenizer)[2]]
        found = write(model, tokenizer, given, settings, show=shown.append)
        assert "".join(shown) == found[0][0].text
        assert found == write(model, tokenizer, given, settings)


def test_it_can_be_ended_after_any_token(model, tokenizer):
    seen = []
    given = [prompts(tokenizer)[1]]
    found = write(
        model, tokenizer, given, DRAWN, show=seen.append, cancelled=lambda: len(seen) >= 3
    )[0][0]
    assert found.finish == "cancelled"
    assert len(seen) == 3  # pieces of text, each of one token or more


def test_a_group_never_outgrows_the_positions(tokenizer):
    model = causal("gpt2", tokenizer)
    given = prompts(tokenizer, "the", "the quick brown fox " * 5, "明月几时有？把酒")
    lengths = [len(prompt) for prompt in given]
    groups = grouped(lengths, 40, positions=POSITIONS, size=8)
    assert sorted(row for group in groups for row in group.rows) == [0, 1, 2]
    for group in groups:
        settings = Settings(max_new_tokens=group.new_tokens, greedy=True)
        write(model, tokenizer, [given[row] for row in group.rows], settings)
        assert all(lengths[row] + group.new_tokens <= POSITIONS for row in group.rows)
    assert max(group.new_tokens for group in groups) == 40


def test_groups_have_the_size_asked_for_and_the_longest_first():
    groups = grouped([3, 9, 5, 7], 10, positions=None, size=2)
    assert [group.rows for group in groups] == [[1, 3], [2, 0]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"temperature": -1.0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"num_samples": 0},
        {"beams": 0},
        {"repetition_penalty": 0.0},
        {"stop": ("",)},
        {"beams": 2, "num_samples": 3},
        {"greedy": True, "num_samples": 2},
    ],
)
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(UserError) as caught:
        Settings(**wrong).require_sound(lambda name: f"--{name}")
    assert caught.value.key == f"--{list(wrong)[-1]}"


def test_temperature_zero_is_greedy(model, tokenizer):
    given = prompts(tokenizer)
    cold = Settings(max_new_tokens=14, temperature=0.0)
    assert write(model, tokenizer, given, cold) == write(model, tokenizer, given, WAYS["greedy"])


# Chance


def test_the_noise_draws_from_the_softmax():
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05])
    count = 50_000
    for step in (0, 57):
        noise = gumbel(torch.arange(count) * 1_000_003 + 17, step, torch.arange(4))
        drawn = (shares.log() + noise).argmax(-1)
        found = torch.bincount(drawn, minlength=4) / count
        assert torch.allclose(found, shares, atol=0.01)
    steps = torch.stack(
        [gumbel(torch.tensor([5]), step, torch.arange(4))[0] for step in range(2000)]
    )
    found = torch.bincount((shares.log() + steps).argmax(-1), minlength=4) / 2000
    assert torch.allclose(found, shares, atol=0.04)


def test_the_noise_is_gumbels_and_of_its_own_in_each_row_and_step():
    noise = gumbel(torch.arange(50) * 99_991, 3, torch.arange(8000))
    assert noise.mean() == pytest.approx(0.5772, abs=0.01)
    assert noise.var() == pytest.approx(1.6449, abs=0.02)
    assert torch.isfinite(noise).all()
    other = gumbel(torch.arange(50) * 99_991, 4, torch.arange(8000))
    assert torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1].abs() < 0.01
    assert torch.corrcoef(noise[:2])[0, 1].abs() < 0.05
    # The next step is not this one, moved by some tokens.
    assert not any(torch.equal(noise[0, k : k + 50], other[0, :50]) for k in range(1000))


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.9), (7, 1.0), (50, 0.5), (0, 0.01), (3, 0.999)])
@pytest.mark.parametrize("width", [40, 3000])
def test_what_is_left_out_is_what_transformers_leaves_out(top_k, top_p, width):
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    torch.manual_seed(1)
    scores = torch.randn(6, width) * torch.tensor([[0.1], [1.0], [2.0], [3.0], [5.0], [9.0]])
    theirs = scores
    if top_k:
        theirs = TopKLogitsWarper(top_k=top_k)(None, theirs)
    if top_p < 1:
        theirs = TopPLogitsWarper(top_p=top_p)(None, theirs)
    best, tokens = Sampling([1] * 6, temperature=1, top_k=top_k, top_p=top_p).candidates(scores)
    ours = torch.full_like(scores, float("-inf")).scatter(-1, tokens, best)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("width", [40, 3000])
def test_what_is_drawn_does_not_depend_on_where_it_is_sought(width):
    torch.manual_seed(1)
    scores = torch.randn(6, width) * 3
    narrow, wide = (Sampling(range(6), temperature=0.7, top_p=0.9) for _ in range(2))
    wide.sought = width
    for _ in range(5):
        assert torch.equal(narrow(None, scores).argmax(-1), wide(None, scores).argmax(-1))


def test_reading_stops_only_rows_that_are_over(tokenizer):
    from lushan.text.incremental import Reader

    readers = [Reader(tokenizer, stops=["fox"]), Reader(tokenizer, stops=["never"])]
    watch = Reading(readers)
    ids = tokenizer("the fox", add_special_tokens=False)["input_ids"]
    for token in ids:
        done = watch(torch.tensor([[token], [token]]), None)
    assert done.tolist() == [True, False]
