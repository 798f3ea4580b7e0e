"""Texts by OpenAI's official client: those of `lushan generate`, whole and streamed."""

from __future__ import annotations

import math

import openai
import pytest
import torch
from tests.conftest import trained
from tests.helpers.served import data_url, png, serving
from tests.unit.inference.test_image_chat import DATA, SIZES

from lushan.inference.generator import open_generator
from lushan.models.decoding import Settings
from lushan.serve import long_prompts
from lushan.text import parts


@pytest.fixture(scope="module")
def server(lm_run, chat_run, pairs_run):
    with serving({"lm": lm_run, "talk": chat_run, "pairs": pairs_run}) as running:
        yield running


@pytest.fixture(scope="module")
def client(server, client_of):
    return client_of(server.url)


def alone(generator, prompt, settings):
    return generator.write(generator.encode([prompt]), settings)[0]


def test_models_say_what_they_are(client):
    found = {model.id: model for model in client.models.list()}
    assert list(found) == ["lm", "talk", "pairs"]
    about = found["talk"].lushan
    assert about["endpoints"] == ["/v1/chat/completions", "/v1/completions"]
    assert about["task"] == "Chat"
    assert about["metric"]["name"].startswith("val/")
    assert client.models.retrieve("lm").id == "lm"
    with pytest.raises(openai.NotFoundError, match="unknown model"):
        client.models.retrieve("lmm")


def test_a_completion_is_the_text_of_generate(client, lm):
    found = client.completions.create(
        model="lm", prompt="the", max_tokens=12, temperature=0.8, top_p=0.9, seed=7, n=2
    )
    settings = Settings(12, temperature=0.8, top_p=0.9, seed=7, num_samples=2)
    texts = alone(lm, "the", settings)
    assert [choice.text for choice in found.choices] == [written.text for written in texts]
    assert found.usage.prompt_tokens == len(lm.encode(["the"])[0])
    assert found.usage.completion_tokens == sum(len(written.ids) for written in texts)


def test_several_prompts_have_choices_in_their_order(client, lm):
    prompts = ["a", "the sea", "明月"]
    found = client.completions.create(model="lm", prompt=prompts, max_tokens=5, temperature=0)
    texts = [alone(lm, p, Settings(5, temperature=0))[0].text for p in prompts]
    assert [choice.text for choice in found.choices] == texts
    assert [choice.index for choice in found.choices] == [0, 1, 2]


@pytest.mark.slow(1)
def test_a_stream_adds_up_to_the_whole_and_breaks_no_character(client, talk):
    for seed in range(6):
        asked = {
            "model": "talk",
            "messages": [{"role": "user", "content": "明月几时有？🌕"}],
            "max_tokens": 24,
            "seed": seed,
        }
        whole = client.chat.completions.create(**asked)
        text, roles, finish, usage = "", [], None, None
        stream = client.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        )
        for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                roles += [choice.delta.role] if choice.delta.role else []
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
        assert roles == ["assistant"]
        assert text == whole.choices[0].message.content
        assert (finish, usage) == (whole.choices[0].finish_reason, whole.usage)
        written = alone(talk, asked["messages"], Settings(24, seed=seed))[0]
        assert text == written.text.strip()
        assert usage.completion_tokens == len(written.ids)


def test_several_texts_are_streamed_side_by_side(client, lm):
    texts = ["", ""]
    for chunk in client.completions.create(
        model="lm", prompt="of", max_tokens=9, n=2, seed=1, stream=True
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [w.text for w in alone(lm, "of", Settings(9, seed=1, num_samples=2))]


def test_a_stop_string_ends_a_text_and_is_no_part_of_it(client, lm):
    plain = alone(lm, "the", Settings(30, seed=2))[0].text
    stop = plain[5:7]
    found = client.completions.create(
        model="lm", prompt="the", max_tokens=30, seed=2, stop=[stop, "\n\n\n"]
    )
    assert found.choices[0].text == plain[: plain.index(stop)]
    assert found.choices[0].finish_reason == "stop"


def test_log_probabilities_are_the_models_own(client, lm):
    found = client.completions.create(
        model="lm", prompt="the", max_tokens=3, temperature=0.5, seed=4, logprobs=2
    ).choices[0]
    written = alone(lm, "the", Settings(3, temperature=0.5, seed=4))[0]
    ids = torch.tensor([[*lm.encode(["the"])[0], *written.ids]])
    with torch.inference_mode():
        scores = torch.log_softmax(lm.model(ids).logits[0, -len(written.ids) - 1 : -1], -1)
    expected = [float(row[token]) for row, token in zip(scores, written.ids, strict=True)]
    assert found.logprobs.token_logprobs == pytest.approx(expected, abs=1e-4)
    best = scores[0].topk(2).values.tolist()
    assert sorted(found.logprobs.top_logprobs[0].values(), reverse=True) == pytest.approx(
        best, abs=1e-4
    )


def test_log_probabilities_of_a_stream_are_those_of_the_whole(client):
    asked = {
        "model": "talk",
        "messages": [{"role": "user", "content": "月"}],
        "max_tokens": 8,
        "seed": 3,
        "logprobs": True,
        "top_logprobs": 3,
    }
    whole = client.chat.completions.create(**asked).choices[0].logprobs.content
    chunks = client.chat.completions.create(**asked, stream=True)
    parts = [c.logprobs.content for chunk in chunks for c in chunk.choices if c.logprobs]
    assert [token for part in parts for token in part] == whole
    assert all(math.isfinite(t.logprob) and len(t.top_logprobs) == 3 for t in whole)
    assert all(token.bytes for token in whole)


def test_an_encoder_decoder_answers_as_it_was_evaluated(client, pairs_run):
    generator = open_generator(pairs_run)
    from lushan.inference.batch_generate import settings_of

    found = client.completions.create(model="pairs", prompt="one two")
    written = alone(generator, "one two", settings_of({}, generator))[0]
    assert found.choices[0].text == written.text.strip()


WRONG = [
    ({"temperature": -1}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"n": 2, "temperature": 0}, "n"),
    ({"n": 1000}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 100_000}, "max_tokens"),
    ({"stop": [""]}, "stop"),
    ({"seed": 2**70}, "seed"),
    ({"frequency_penalty": 1}, "frequency_penalty"),
    ({"extra_body": {"temprature": 1}}, "temprature"),
    ({"extra_body": {"top_k": "many"}}, "top_k"),
    ({"prompt": "x " * 3000}, "prompt"),
    ({"prompt": ["a"] * 100}, "prompt"),
]


@pytest.mark.parametrize(("change", "field"), WRONG, ids=[str(w[0])[:40] for w in WRONG])
def test_a_wrong_value_is_refused_with_its_field(client, change, field):
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(**{"model": "lm", "prompt": "x", **change})
    assert refused.value.body["param"] == field
    assert refused.value.body["type"] == "invalid_request_error"


def test_messages_are_refused_where_there_is_no_template(client):
    with pytest.raises(openai.BadRequestError, match="is not available here") as refused:
        client.chat.completions.create(model="lm", messages=[{"role": "user", "content": "x"}])
    assert refused.value.param == "model"


def test_an_image_is_refused_where_none_is_seen(client):
    url = {"url": "file:///etc/passwd"}
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": url}]
    with pytest.raises(openai.BadRequestError, match="data URL") as refused:
        client.chat.completions.create(
            model="talk", messages=[{"role": "user", "content": content}]
        )
    assert refused.value.param == "messages[0].content[1].image_url.url"


@pytest.mark.slow(1)
def test_an_image_in_a_message_is_answered_as_by_generate(tmp_path_factory, client_of):
    folder = tmp_path_factory.mktemp("vqa")
    run = trained(folder, *SIZES, small=DATA)
    picture = folder / "red.png"
    picture.write_bytes(png("red"))
    generator = open_generator(run)
    text = {"type": "text", "text": "what colour?"}
    own = [{"role": "user", "content": [parts.image({"path": str(picture), "bytes": b""}), text]}]
    media = generator.media([own])
    settings = Settings(max_new_tokens=5, greedy=True)
    written = generator.write(generator.encode([own]), settings, media=media)[0][0]
    url = data_url(picture.read_bytes())
    content = [{"type": "image_url", "image_url": {"url": url}}, text]
    with serving({"see": run}) as running:
        client = client_of(running.url)
        assert next(iter(client.models.list())).lushan["sees_images"] is True
        found = client.chat.completions.create(
            model="see",
            messages=[{"role": "user", "content": content}],
            max_tokens=5,
            temperature=0,
        )
        assert found.choices[0].message.content == written.text.strip()
        with pytest.raises(openai.BadRequestError, match="log probabilities"):
            client.chat.completions.create(
                model="see", messages=[{"role": "user", "content": "x"}], logprobs=True
            )


def test_a_prompt_of_megabytes_is_refused_by_its_beginning(client, monkeypatch):
    sizes = []
    encode = long_prompts.tokens_of
    monkeypatch.setattr(
        long_prompts,
        "tokens_of",
        lambda by, found: sizes.extend(map(len, found)) or encode(by, found),
    )
    with pytest.raises(openai.BadRequestError, match="or more tokens") as caught:
        client.completions.create(model="lm", prompt="the sea " * 400_000)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")
    assert sum(sizes) < 400_000
