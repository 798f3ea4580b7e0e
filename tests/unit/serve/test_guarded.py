"""Texts under a guard, whole and streamed, and an assistant that is asked as a model."""

from __future__ import annotations

import urllib.error
import urllib.request

import openai
import pytest
from tests.helpers.served import serving

from lushan.errors import UserError
from lushan.guard import Guard
from lushan.guard.guard import REFUSAL, STRIDE
from lushan.serve.limits import Bounds
from lushan.serve.served import open_runs

PHONE = "13800138000"
seen: list[str] = []
bad: list[str] = []


def score(texts):
    """Scores of a guard; `bad` holds what it refuses, and "broken" makes it fail."""
    seen.extend(texts)
    if "broken" in bad:
        raise RuntimeError("no model")
    return [float(any(word in text for word in bad)) for text in texts]


@pytest.fixture(autouse=True)
def fresh():
    seen.clear()
    bad.clear()


@pytest.fixture(scope="module")
def server(lm_run, chat_run, assistant):
    guard = Guard(score, redacts=True)
    places = {"lm": lm_run, "talk": chat_run, "shop": assistant}
    with serving(places, guard=guard) as running:
        yield running


@pytest.fixture
def client(server, client_of):
    return client_of(server.url)


GREEDY = {"model": "lm", "prompt": "the", "max_tokens": 120, "temperature": 0}


def whole_of(client):
    return client.completions.create(**GREEDY).choices[0].text


def streamed(client):
    chunks = [c.choices[0] for c in client.completions.create(**GREEDY, stream=True)]
    return "".join(chunk.text for chunk in chunks), chunks[-1].finish_reason


@pytest.mark.slow
def test_what_passes_is_the_text_without_a_guard(client, lm_run):
    with serving({"lm": lm_run}) as plain:
        free = openai.OpenAI(base_url=f"{plain.url}/v1", api_key="none")
        text = whole_of(free)
        free.close()
    assert len(text) > 4 * STRIDE
    assert (whole_of(client), streamed(client)) == (text, (text, "length"))


def test_nothing_of_what_is_unsafe_is_sent(client, server):
    text = whole_of(client)
    bad.append(text[90:100])
    at = text.index(bad[0])
    whole = client.completions.create(**GREEDY).choices[0]
    assert (whole.text, whole.finish_reason) == (REFUSAL, "content_filter")
    shown, finish = streamed(client)
    assert finish == "content_filter"
    assert shown.endswith(REFUSAL)
    assert text.startswith(shown.removesuffix(REFUSAL).strip())
    assert len(shown) - len(REFUSAL) <= at
    counts = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
    assert 'lushan_guard_total{model="lm",what="answers refused"} 2.0' in counts


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_is_refused_and_its_neighbour_answered(client, stream):
    bad.append("forbidden")
    prompts = ["a forbidden thing", "the"]
    given = {"model": "lm", "prompt": prompts, "max_tokens": 5, "temperature": 0}
    texts, ends = ["", ""], [None, None]
    response = client.completions.create(**given, stream=stream)
    for part in response if stream else [response]:
        for choice in part.choices:
            texts[choice.index] += choice.text
            ends[choice.index] = choice.finish_reason or ends[choice.index]
    assert texts[0] == REFUSAL
    assert texts[1] not in ("", REFUSAL)
    assert ends == ["content_filter", "length"]


def test_a_guard_that_fails_closes(client):
    bad.append("broken")
    messages = [{"role": "user", "content": "hello"}]
    choice = client.chat.completions.create(model="talk", messages=messages).choices[0]
    assert (choice.message.content, choice.finish_reason) == (REFUSAL, "content_filter")


def test_personal_data_do_not_reach_the_model(client):
    messages = [{"role": "user", "content": f"call {PHONE}"}]
    client.chat.completions.create(model="talk", messages=messages, max_tokens=3)
    assert "call [phone]" in seen
    assert PHONE not in str(seen)


def test_scores_of_tokens_would_show_what_is_held_back(client):
    with pytest.raises(openai.BadRequestError, match="log probabilities are not available"):
        client.completions.create(**GREEDY, logprobs=1)


def test_a_guard_without_anything_to_check_is_refused(reviews_run):
    with pytest.raises(UserError, match="none of these runs generates"):
        open_runs([("mood", str(reviews_run))], Bounds(), Guard(score))


def ask(client, *turns, **options):
    roles = ["user", "assistant"]
    messages = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
    return client.chat.completions.create(model="shop", messages=messages, **options)


def test_an_assistant_answers_and_names_its_source(client):
    response = ask(client, "the red barn", "ok", "is there parking")
    assert response.choices[0].message.content == "Yes, behind Red Barn."
    expected = {"action": "answer", "source": ["1"], "entity": "Red Barn", "hand_over": False}
    assert response.assist == expected
    chunks = list(ask(client, "the red barn, is there parking", stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Yes, behind Red Barn."
    assert chunks[-1].assist == expected
    bad.append("behind")
    response = ask(client, "the red barn, is there parking")
    assert response.choices[0].message.content == REFUSAL
    assert (response.choices[0].finish_reason, response.assist["hand_over"]) == (
        "content_filter",
        True,
    )


def test_what_an_assistant_does_not_take_is_refused(client, server):
    with pytest.raises(openai.BadRequestError, match="it has no effect"):
        ask(client, "parking", temperature=0.5)
    half = b'{"model": "shop", "messages": [{"role": "user", "content": "\\ud83d"}]}'
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.url}/v1/chat/completions", half)
    assert refused.value.code == 400
    message = {"role": "system", "content": "be nice"}
    with pytest.raises(openai.BadRequestError, match="only the roles user and assistant"):
        client.chat.completions.create(model="shop", messages=[message])


def test_replicas_are_not_left_without_a_guard(cli_inside, lm_run):
    done = cli_inside("serve", lm_run, "--ray", "--redact")
    assert (done.code, "--redact" in done.err) == (2, True)
