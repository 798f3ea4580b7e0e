"""An assistant: entities, replies by thresholds, blame, chosen thresholds, and the command."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from tests.conftest import trained

from lushan.assist import evaluation, fidelity, risk
from lushan.assist.assistant import Assistant, Entry, Found, Reply
from lushan.assist.entities import Entities
from lushan.assist.rows import Expected
from lushan.assist.settings import Generate, Thresholds, read_settings
from lushan.assist.wording import Wording
from lushan.guard import Guard
from lushan.guard.guard import REFUSAL as GUARDED
from lushan.inference import guarding
from lushan.models.decoding import Settings as GenerationSettings
from lushan.models.decoding import Written

HOTELS = ["Lake House", "Red Barn", "Red Mill", "庐山酒店"]
ENTRIES = [
    {"of": name, "nr": f"{i}-{j}", "q": question, "a": f"{answer} {name}."}
    for i, name in enumerate(HOTELS)
    for j, (question, answer) in enumerate(
        [("Is there parking?", "Yes, cars park at"), ("Are dogs allowed?", "No dogs at")]
    )
] + [{"of": None, "nr": "g", "q": "How do I pay the taxi?", "a": "By card."}]
ASKED = ["is there parking", "are dogs allowed", "how do i pay the taxi"]
OTHER = ["book a table for two", "i need a train", "find me a museum"]
CONFIG = """\
knowledge: {file: faq.jsonl, question: q, answer: a, entity: of, key: [nr]}
indexes: [words]
gate: {run: RUN, label: "yes"}
intents: {run: RUN, templates: {"hello": "Welcome to {entity}."}}
thresholds: chosen.json
refusal: A colleague will help you.
risk: 0.3
"""


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assist")
    rows = [(t, "yes") for t in ASKED] + [(t, "no") for t in OTHER]
    rows += [("good morning", "hello"), ("hello there", "hello")]
    file = write(folder / "gate.jsonl", [{"text": t, "label": n} for t, n in rows * 6])
    names = [f"data.{split}={file}" for split in ("train", "validation", "test")]
    more = ["optimizer.lr=3e-3", "trainer.max_epochs=8"]
    run = trained(folder, "task=classification", "data=jsonl", *names, *more)
    write(folder / "faq.jsonl", ENTRIES)
    (folder / "hotels.yaml").write_text(CONFIG.replace("RUN", str(run)), encoding="utf-8")
    dialogues = [
        {
            "turns": [f"tell me of the {HOTELS[i % 4].lower()}", {"speaker": "S", "text": "ok"}, t],
            "asks": t in ASKED,
            "source": [{"nr": f"{i % 4}-{ASKED.index(t)}" if t != ASKED[2] else "g"}]
            if t in ASKED
            else None,
        }
        for i, t in enumerate([*ASKED, *OTHER] * 8)
    ]
    write(folder / "dialogues.jsonl", dialogues)
    return folder


@pytest.fixture
def cli(folder, cli_inside):
    def call(*words):
        return cli_inside(*words, cwd=folder)

    assert (
        call(
            "index", "build", "faq.jsonl", "--text", "q", "--model", "bm25", "--output", "words"
        ).code
        == 0
    )
    return call


def test_the_entity_that_was_named_last_is_found():
    entities = Entities(HOTELS, 1.0)
    turns = ["the lake house please", "or the red barn", "is it dear"]
    assert entities.last(turns) == ["Red Barn"]
    assert entities.last(turns, 2) == entities.last(turns, 3) == ["Red Barn", "Lake House"]
    assert entities.last(["庐山酒店可以停车吗"]) == ["庐山酒店"]
    assert entities.last(["something red"]) == []
    assert Entities(HOTELS, 0.3).last(["something red"])[0] in ("Red Barn", "Red Mill")


@pytest.mark.parametrize(
    ("turn", "named"),
    [
        ("the ferry building market place", ["Ferry Building Marketplace"]),
        ("it is called the s. f. citadel", ["SF Citadel"]),
        ("that sounds good, what does the hotel cost", []),
        ("a very good hotel", ["Good Hotel"]),
        ("the orchard garden hotel", ["Orchard Garden Hotel"]),
        ("garden hotel or orchard garden hotel", ["Orchard Garden Hotel", "Garden Hotel"]),
        ("the bread and butter inn", ["Bread & Butter Inn"]),
        ("an egood hotels", []),
    ],
)
def test_a_name_stands_in_one_piece_however_it_is_divided_into_words(turn, named):
    names = ["Ferry Building Marketplace", "SF Citadel", "Good Hotel", "Garden Hotel"]
    names += ["Orchard Garden Hotel", "Bread & Butter Inn"]
    assert Entities(names, 1.0).last([turn]) == named


def test_an_addition_to_a_name_need_not_be_said():
    entities = Entities(["Souvla - Marina", "Souvla - Mission", "Laurel Inn, a Fine House"], 1.0)
    assert entities.last(["i went to souvla"]) == ["Souvla - Marina", "Souvla - Mission"]
    assert entities.last(["i went to souvla marina"]) == ["Souvla - Marina"]
    assert entities.last(["the laurel inn"]) == ["Laurel Inn, a Fine House"]
    assert entities.last(["a fine house in the marina"]) == []


def test_most_of_a_name_is_enough_where_that_is_allowed():
    names = ["Orchard Garden Hotel", "Lake Hotel", "Barn Hotel", "Mill Hotel"]
    assert Entities(names, 0.7).last(["the orchard garden"]) == ["Orchard Garden Hotel"]
    assert Entities(names, 1.0).last(["the orchard garden"]) == []
    assert Entities(names, 0.7).last(["the garden hotel", "an orchard"]) == []


@pytest.mark.slow
def test_its_thresholds_are_chosen_and_its_answers_evaluated(cli, folder):
    (folder / "chosen.json").unlink(missing_ok=True)  # another test may have chosen
    none = cli("assist", "hotels.yaml", "--input", "dialogues.jsonl")
    assert (none.code, "no thresholds are chosen yet" in none.err) == (2, True)
    done = cli("assist", "hotels.yaml", "--input", "dialogues.jsonl", "--choose")
    assert done.code == 0, done.err
    assert "chosen.json: thresholds chosen by 48 dialogues" in done.err
    assert "entry: a risk of 30% with 95% confidence from" in done.err
    options = ["--input", "dialogues.jsonl", "--output", "replies.jsonl"]
    done = cli("assist", "hotels.yaml", *options, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["right"]["value"] > 0.9
    assert found["parts"]["entity"]["count"] == 24
    assert found["wrong_of_answered"]["value"] <= 0.2
    rows = [json.loads(line) for line in (folder / "replies.jsonl").read_text().splitlines()]
    assert rows[0]["answer"] == "Yes, cars park at Lake House."
    assert (rows[0]["source"], rows[0]["entity"]) == (["0-0"], "Lake House")
    assert rows[2]["answer"] == "By card.", "it holds for all"
    assert rows[3]["action"] == "pass"
    shown = cli("assist", "hotels.yaml", "--input", "dialogues.jsonl").out
    assert "entry of right entity" in shown
    assert "wrong entries by coverage behind the gate" in shown


def test_it_answers_in_the_terminal_and_hands_over(cli, folder, monkeypatch):
    import io

    (folder / "chosen.json").write_text(
        json.dumps({"thresholds": {"gate": 0.5, "intent": 0.5, "entry": 0.5}})
    )
    asked = ["hello there", "is there parking", "the red barn", "is there parking", "good morning"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(asked)))
    lines = cli("assist", "hotels.yaml").out.splitlines()
    assert lines[:4] == ["A colleague will help you.", "[handed over]"] * 2, "of which house?"
    assert "Yes, cars park at Red Barn." in lines
    assert "[source: 1-0; Red Barn]" in lines
    assert lines[-2:] == ["Welcome to Red Barn.", "[template: hello]"]


@pytest.mark.parametrize(
    ("entity", "key", "action", "asks", "expected"),
    [
        ("A", "1", "answer", True, (True, True, None)),
        ("A", "2", "answer", True, (False, True, "retrieval")),
        ("B", "2", "answer", True, (False, True, "entity")),
        ("A", "1", "refuse", True, (False, False, "threshold")),
        ("B", None, "refuse", True, (False, False, "entity")),
        ("A", "1", "pass", True, (False, False, "gate")),
        ("A", "1", "pass", False, (True, False, None)),
        ("A", "1", "answer", False, (False, True, "gate")),
        ("A", "1", "template", False, (False, True, "intent")),
    ],
)
def test_a_part_is_to_blame(entity, key, action, asks, expected):
    entry = None if key is None else Entry((key,), "q", "a", entity)
    found = Found(0.5, "x", 0.5, entity, entry, 1.0)
    right = Expected(asks, frozenset({("1",)} if asks else ()), None)
    one = evaluation.outcome(found, Reply(action, ""), right, "A")
    assert (one.right, one.answered, one.blame) == expected


def answers(rng, number):
    """Scores, and whether answers are right: the higher, the likelier."""
    scores = rng.random(number)
    return list(zip(scores, rng.random(number) < scores, strict=True))


def test_a_stated_risk_holds_as_often_as_stated():
    rng = np.random.default_rng(1)
    broken, answered = [], []
    for _ in range(200):
        rows = answers(rng, 150)
        found = risk.stated(rows[:50], rows[50:], 0.3, 0.8)
        gives = found.threshold is not None
        broken.append(gives and (1 - found.threshold) / 2 > 0.3)  # mean of 1 - score above it
        answered += [found.answers] if gives else []
    assert np.mean(broken) <= 0.2
    assert len(answered) > 100, "it is not bought by silence"
    assert np.mean(answered) > 25


def test_no_risk_is_stated_by_too_few_answers():
    rows = [(float(i), True) for i in range(12)]
    found = risk.stated(rows, rows[:6], 0.3, 0.9)
    assert (found.threshold, found.answers, found.needed) == (None, 6, 7)
    assert "it needs 7 answers, all of them right" in found.note("entry", 0.3, 0.9)
    assert risk.stated(rows, rows[:7], 0.3, 0.9).threshold == 0.0
    assert risk.stated(rows, [(1.0, False)] * 50, 0.3, 0.9).threshold is None
    assert risk.dealt(9).sum() == 3
    assert evaluation._best_gate([0.1, 0.4, 0.6, 0.9], [False, False, True, True]) == 0.6


ANSWER = "Parking costs £5 a day; dogs are not allowed."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, it is £5 for parking, and no dog is allowed.", []),
        ("Parking costs £6 a day; dogs are not allowed.", ["6"]),
        ("Parking costs £5 a day; dogs are allowed.", ["not"]),
        ("Parking costs £5 a day and includes breakfast; no dogs.", ["includes", "breakfast"]),
        ("The answer is no: dogs are not allowed.", []),
    ],
)
def test_a_text_says_no_more_than_its_source(text, expected):
    assert fidelity.unsupported(text, ANSWER, ANSWER) == expected
    source = "故宫的电话是010-85007938"
    assert fidelity.unsupported("您好，故宫电话：010-85007938。", source, source) == []
    assert "010-85007939" in fidelity.unsupported("010-85007939", source, source)
    assert fidelity.unsupported("故宫没有电话", source, source) == ["宫没", "not"]


def wording_of(text):
    """A model that words all answers in the same way."""
    generator = SimpleNamespace(
        takes_messages=True,
        encode=lambda prompts: [[1]],
        fitted=lambda ids, places: (ids, 0),
        room=lambda length: 8,
        write=lambda ids, how: [[Written([2], text, "end")]],
    )
    wording = Wording.__new__(Wording)
    wording.settings, wording.generator = Generate("run"), generator
    wording.how = GenerationSettings(max_new_tokens=8, greedy=True)
    return wording


@pytest.fixture
def assistant(cli, folder):
    return Assistant(read_settings(folder / "hotels.yaml"), folder, [])


TURNS = ["the red barn", "is there parking"]
SURE = Thresholds(gate=0.5, intent=0.5, entry=0.5)


def test_a_generated_answer_is_given_where_it_is_faithful(assistant):
    assistant.wording = wording_of("You can park your cars at Red Barn.")
    (found,), (reply,) = assistant.answer([TURNS], SURE)
    assert (reply.text, reply.source) == ("You can park your cars at Red Barn.", ("1-0",))
    assistant.wording = wording_of("You can park 20 cars at Red Barn.")
    (found,), (reply,) = assistant.answer([TURNS], SURE)
    assert (reply.action, reply.text) == ("refuse", "A colleague will help you.")
    expected = Expected(asks=True, keys=frozenset({("1-0",)}), intent=None)
    one = evaluation.outcome(found, reply, expected, "Red Barn")
    assert (one.right, one.blame) == (False, "generation")


def test_turns_and_answers_are_guarded(assistant):
    seen = []

    def score(texts):
        seen.extend(texts)
        return [float("cars park" in text or "forbidden" in text) for text in texts]

    assistant.guard = Guard(score, redacts=True)
    _, (reply,) = assistant.answer([TURNS], SURE)
    assert (reply.action, reply.text, reply.withheld) == ("refuse", GUARDED, "guard")
    _, (reply,) = assistant.answer([["the red barn", "forbidden: are dogs allowed"]], SURE)
    assert (reply.text, reply.withheld) == (GUARDED, "guard")
    _, (reply,) = assistant.answer([["i am 13800138000, the red barn", "are dogs allowed"]], SURE)
    assert reply.text == "No dogs at Red Barn."
    assert "13800138000" not in str(seen)
    assert guarding.notes_of(assistant.guard) == [
        "guard: 1 answers refused, 2 phone, 1 prompts refused"
    ]


def test_it_is_guarded_in_the_terminal(cli, folder, monkeypatch):
    import io

    (folder / "chosen.json").write_text(json.dumps({"thresholds": {"gate": 0.5, "entry": 0.5}}))
    monkeypatch.setattr("sys.stdin", io.StringIO("is there parking"))
    run = read_settings(folder / "hotels.yaml").gate.run
    ways = ("--guard", run, "--guard-label", "yes", "--guard-rate", 0.5)
    done = cli("assist", "hotels.yaml", *ways)
    assert (done.code, done.out.splitlines()) == (0, [GUARDED, "[handed over]"]), done.err


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("risk", "rsk", "rsk"),
        ("{entity}", "{name}", "the only slots are"),
        ('label: "yes"', "label: perhaps", "does not have this label"),
        ("question: q", "question: a", "is not in the index"),
        ("answer: a", "answer: b", "faq.jsonl:1: there is no text at b"),
        ("key: [nr]", "key: [id]", "the key of an entry is id"),
        ("indexes: [words]", "indexes: [none]", "this is not an index"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(old, new, problem, cli, folder):
    (folder / "other.yaml").write_text((folder / "hotels.yaml").read_text().replace(old, new))
    (folder / "chosen.json").write_text(json.dumps({"thresholds": {}}))
    done = cli("assist", "other.yaml")
    assert (done.code, problem in done.err) == (2, True), done.err


def test_without_thresholds_it_never_answers():
    settings = type("S", (), {"intents": None, "gate": None, "refusal": "no"})()
    assistant = Assistant.__new__(Assistant)
    assistant.settings = settings
    found = Found(1.0, None, 0.0, None, Entry(("1",), "q", "a", None), 5.0)
    assert assistant.reply(found, Thresholds()).action == "refuse"
    assert assistant.reply(found, Thresholds(entry=5.0)).action == "answer"
