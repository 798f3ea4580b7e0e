"""Texts of several requests at once: each is the one that it would be alone."""

from __future__ import annotations

import queue
import threading

import pytest
import torch

from lushan.inference.generator import open_generator
from lushan.models.backbone import accepted, cache_name
from lushan.models.decoding import Settings
from lushan.models.running_batch import Row, RunningBatch, takes_rows
from lushan.serve.worker import Busy
from lushan.serve.writing import Asked, Ended, Failed, InTurn, Piece, Together, writer_of


@pytest.fixture(scope="module")
def generator(lm_run):
    return open_generator(lm_run)


SETTINGS = [
    Settings(greedy=True, max_new_tokens=9),
    Settings(max_new_tokens=14, seed=3),
    Settings(max_new_tokens=5, temperature=0.7, top_p=0.8, num_samples=2),
    Settings(max_new_tokens=12, top_k=5, repetition_penalty=1.3, seed=8),
    Settings(max_new_tokens=20, stop=("e", "on")),
    Settings(greedy=True, max_new_tokens=1),
]
PROMPTS = ["the", "明月几时有，把酒问青天。", "a", "once upon a time there was", "", "of"]


def answered(writer, generator, given, *, together=True):
    """The texts of some (prompt, settings), and what was streamed of each."""
    events: queue.Queue = queue.Queue()
    wanted = 0
    for number, (prompt, settings) in enumerate(given):
        ids = generator.encode([prompt])[0]

        def send(event, number=number):
            events.put((number, event))

        writer.ask(Asked(ids, settings, send))
        wanted += settings.num_samples
    texts, streamed = {}, {}
    while len(texts) < wanted:
        number, event = events.get(timeout=60)
        assert not isinstance(event, Failed), event.error
        if isinstance(event, Piece):
            key = (number, event.sample)
            streamed[key] = streamed.get(key, "") + event.text
        else:
            texts[number, event.sample] = event.written
    for key, written in texts.items():
        assert streamed.get(key, "") == written.text
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 16])
def test_texts_are_those_of_generate_whatever_else_is_written(generator, size):
    writer = Together(generator, size=size, capacity=64)
    given = [(prompt, settings) for prompt in PROMPTS for settings in SETTINGS]
    try:
        found = answered(writer, generator, given)
    finally:
        writer.close()
    for number, (prompt, settings) in enumerate(given):
        alone = generator.write(generator.encode([prompt]), settings)[0]
        for sample, written in enumerate(alone):
            assert found[number, sample] == written


def test_a_model_whose_rows_join_is_known(generator, pairs_run):
    assert takes_rows(generator.model, generator.tokenizer.pad_token_id)
    writer = writer_of(open_generator(pairs_run), size=4, capacity=4)
    assert isinstance(writer, InTurn)
    writer.close()


def test_padding_that_is_read_is_noticed(generator):
    class Blind(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.config, self.dtype = model, model.config, model.dtype
            self.device = model.device

        def get_input_embeddings(self):
            return self.model.get_input_embeddings()

        def forward(self, input_ids=None, past_key_values=None, use_cache=True):
            return self.model(input_ids=input_ids, past_key_values=past_key_values)

    assert not takes_rows(Blind(generator.model), generator.tokenizer.pad_token_id)


def test_the_cache_is_given_by_the_name_that_the_model_has(generator):
    """Transformers 5.24 calls it `cache`, and warns of `past_key_values`."""

    class Renamed(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.config, self.dtype = model, model.config, model.dtype
            self.device, self.past = model.device, cache_name(accepted(model))

        def get_input_embeddings(self):
            return self.model.get_input_embeddings()

        def forward(self, input_ids=None, cache=None, use_cache=True):
            return self.model(input_ids=input_ids, **{self.past: cache}, use_cache=use_cache)

    settings = Settings(greedy=True, max_new_tokens=4)

    def scores(model):
        row = Row([3, 4], settings, 0, tokenizer=generator.tokenizer, endings=generator.endings)
        return RunningBatch(model, generator.tokenizer.pad_token_id).advance([row])

    assert torch.equal(scores(Renamed(generator.model)), scores(generator.model))
    assert cache_name({"cache", "use_cache"}) == "cache"
    assert cache_name({"past_key_values"}) == cache_name(()) == "past_key_values"


def test_texts_of_an_encoder_decoder_are_those_of_generate(pairs_run):
    generator = open_generator(pairs_run)
    writer = InTurn(generator, capacity=8)
    given = [
        ("one two", Settings(max_new_tokens=6, seed=2, num_samples=2)),
        ("three", Settings(max_new_tokens=6, beams=2, greedy=True)),
    ]
    found = answered(writer, generator, given)
    writer.close()
    for number, (prompt, settings) in enumerate(given):
        alone = generator.write(generator.encode([prompt]), settings)[0]
        for sample, written in enumerate(alone):
            assert found[number, sample] == written


def test_rows_that_leave_take_their_padding_with_them(generator):
    batch = RunningBatch(generator.model, generator.tokenizer.pad_token_id)
    settings = Settings(greedy=True, max_new_tokens=4)

    def row(ids):
        return Row(ids, settings, 0, tokenizer=generator.tokenizer, endings=generator.endings)

    for scores, one in zip(batch.advance([row([3] * 20), row([4, 5])]), batch.rows, strict=True):
        one.take(one.choose(scores))
    assert batch._mask.shape == (2, 20)
    batch.keep([1])
    assert batch._mask.tolist() == [[1, 1]]
    batch.keep([])
    assert batch.rows == []


def stepped(writer):
    """Keep a writer from its work: one step for each release."""
    steps = threading.Semaphore(0)
    work = writer.work

    def later():
        steps.acquire(timeout=30)
        work()

    writer.work = later
    return steps


def test_a_full_queue_refuses_and_a_cancelled_request_makes_room(generator):
    writer = Together(generator, size=1, capacity=2)
    steps = stepped(writer)
    events: queue.Queue = queue.Queue()
    ids, settings = generator.encode(["a"])[0], Settings(greedy=True, max_new_tokens=2)
    asked = [Asked(ids, settings, events.put) for _ in range(3)]
    writer.ask(asked[0])
    writer.ask(asked[1])
    with pytest.raises(Busy) as refused:
        writer.ask(asked[2])
    assert refused.value.seconds >= 1
    asked[0].cancelled = True
    writer.ask(asked[2])
    steps.release(100)
    ended = [e for e in (events.get(timeout=30) for _ in range(2)) if isinstance(e, Ended)]
    while len(ended) < 2:
        ended += [e for e in [events.get(timeout=30)] if isinstance(e, Ended)]
    writer.close()


def test_a_request_that_is_cancelled_frees_its_place(generator):
    writer = Together(generator, size=1, capacity=4)
    steps = stepped(writer)
    first: queue.Queue = queue.Queue()
    ids = generator.encode(["a"])[0]
    one = Asked(ids, Settings(max_new_tokens=100, seed=2), first.put)
    writer.ask(one)
    steps.release(30)
    first.get(timeout=30)
    one.cancelled = True
    steps.release(100)
    other: queue.Queue = queue.Queue()
    writer.ask(Asked(ids, Settings(greedy=True, max_new_tokens=1), other.put))
    while not isinstance(other.get(timeout=30), Ended):
        pass
    assert not any(isinstance(event, Ended) for event in list(first.queue))
    writer.close()


def test_a_request_that_fails_leaves_the_others(generator, monkeypatch):
    writer = Together(generator, size=4, capacity=4)
    events: queue.Queue = queue.Queue()
    ids, settings = generator.encode(["a"])[0], Settings(greedy=True, max_new_tokens=2)
    with monkeypatch.context() as patch:

        def broken(self, newcomers=()):
            raise RuntimeError("out of memory")

        patch.setattr(RunningBatch, "advance", broken)
        writer.ask(Asked(ids, settings, events.put))
        failed = events.get(timeout=30)
    assert isinstance(failed, Failed)
    assert "memory" in str(failed.error)
    found = answered(writer, generator, [("a", settings)])
    assert found[0, 0] == generator.write([ids], settings)[0][0]
    writer.close()
