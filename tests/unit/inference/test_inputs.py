"""What a run is asked about is read as its own data is, or refused: never another column."""

import io
import json
import sys

import pytest
import yaml

from lushan.config.build import build, source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.fields import DIALOGUES, PAIRS
from lushan.data.labelled import remembered
from lushan.errors import UserError
from lushan.inference.inputs import reader_for
from lushan.inference.prompt_files import read_prompts


@pytest.fixture
def write(tmp_path):
    def written(name, content):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return written


@pytest.fixture
def run(tmp_path):
    """A run folder as training leaves it behind, without weights."""

    def made(*overrides):
        cfg = check(compose([*overrides, f"paths.cache_dir={tmp_path}/cache"]))
        source = source_of(cfg)
        source.read(build(cfg["task"]).fields)
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "run.json").write_text("{}")
        (folder / "config.yaml").write_text(yaml.safe_dump(cfg))
        (folder / "task.json").write_text(json.dumps({"columns": remembered(source)}))
        return folder, cfg

    return made


def read(run, path, *overrides, format=None):
    folder, cfg = run
    fields = build(cfg["task"]).fields
    return reader_for(folder, cfg, fields, path, format=format, overrides=overrides).read()


def refused(run, path, *overrides, **options):
    with pytest.raises(UserError) as caught:
        read(run, path, *overrides, **options)
    return caught.value


def texts(found, column="text"):
    return found.table.column(column).to_pylist()


TWO = "text,body,label\nMovie 2,great fun,pos\nMovie 0,dull film,neg\n"


@pytest.fixture
def body_run(run, write):
    return run(
        "task=classification", "data=table", f"data.train={write('t.csv', TWO)}", "data.text=body"
    )


# The run's column, whatever else is there


def test_the_named_column_is_read_and_not_the_usual_one(body_run, write):
    assert texts(read(body_run, write("x.csv", TWO))) == ["great fun", "dull film"]


def test_it_is_read_in_other_formats_too(body_run, write, monkeypatch):
    line = json.dumps({"text": "Movie", "body": "great fun"})
    found = read(body_run, write("x.jsonl", line))
    assert texts(found) == ["great fun"]
    assert any("'body'" in note for note in found.notes)
    found = read(body_run, write("x.tsv", "text\tbody\nMovie\tgreat fun\n"))
    assert texts(found) == ["great fun"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line.encode())))
    assert texts(read(body_run, "-")) == ["great fun"]
    table = io.TextIOWrapper(io.BytesIO(TWO.encode()))
    monkeypatch.setattr(sys, "stdin", table)
    assert texts(read(body_run, "-", format="table")) == ["great fun", "dull film"]


def test_plain_text_is_a_text_in_each_line_and_that_is_reported(body_run, write):
    found = read(body_run, write("x.txt", "great fun\ndull\n"))
    assert texts(found) == ["great fun", "dull"]
    assert any("plain text" in note for note in found.notes)


def test_a_file_without_the_column_is_refused_with_what_to_write(body_run, write):
    error = refused(body_run, write("x.csv", "text,label\nMovie,pos\n"))
    assert error.key == "data.text"
    assert "'body'" in error.problem
    assert "text, label" in error.hint
    assert "data.text=NAME" in error.hint
    assert str(error.file).endswith("x.csv")
    found = read(body_run, write("x.csv", "text,label\nMovie,pos\n"), "data.text=text")
    assert texts(found) == ["Movie"]


def test_in_another_format_the_only_column_stands_for_it_and_that_is_reported(body_run, write):
    found = read(body_run, write("x.jsonl", '{"id": 1, "review": "fine", "label": "pos"}\n'))
    assert texts(found) == ["fine"]
    assert any("'review'" in note for note in found.notes)
    error = refused(body_run, write("y.jsonl", '{"text": "Movie", "review": "fine"}\n'))
    assert (error.key, "'body'" in error.problem) == ("data.text", True)


def test_what_was_found_by_its_name_in_training_stays_the_column(run, write):
    file = write("t.csv", "title,label\na,x\n")
    trained = run("task=classification", "data=table", f"data.train={file}")
    found = read(trained, write("x.csv", "title,text,label\na title,a text,x\n"))
    assert texts(found) == ["a title"]
    assert refused(trained, write("y.csv", "text,label\na text,x\n")).key == "data.text"


@pytest.mark.slow
def test_labels_in_the_input_are_not_looked_at(run, write):
    file = write("t.csv", "content,score\na,1.5\n")
    regression = ["task=classification", "task.kind=regression"]
    trained = run(*regression, "data=table", f"data.train={file}")
    assert texts(read(trained, write("x.csv", "content,score\na,?\n"))) == ["a"]
    assert texts(read(trained, write("y.csv", "content\na\n"))) == ["a"]


def test_pairs_stay_pairs(run, write):
    pairs = "title,text,label\napple,bread,other\nbread,bread,same\n"
    trained = run(
        "task=classification",
        "data=table",
        f"data.train={write('t.csv', pairs)}",
        "data.text=[title,text]",
    )
    found = read(trained, write("x.csv", pairs))
    assert texts(found) == ["apple", "bread"]
    assert texts(found, "text_pair") == ["bread", "bread"]
    assert "pairs" in refused(trained, write("x.txt", "apple\n")).problem
    assert refused(trained, write("y.csv", "text,label\napple,x\n")).key == "data.text"
    for name, content in (
        ("own.csv", "text,text_pair\nplum,bread\n"),
        ("own.jsonl", '{"text": "plum", "text_pair": "bread"}\n'),
    ):  # as predictions name them
        found = read(trained, write(name, content))
        assert (texts(found), texts(found, "text_pair")) == (["plum"], ["bread"])
        assert any("'text' and 'text_pair'" in note for note in found.notes)


def test_separator_quotes_and_names_of_columns_are_the_runs(run, write):
    plain = "pos|it is 'fine'|x\nneg|it is \"bad\"|y\n"
    trained = run(
        "task=classification",
        "data=table",
        f"data.train={write('t.csv', plain)}",
        "data.columns=[label,text,more]",
        "data.separator='|'",
        "data.quote=''",
    )
    assert texts(read(trained, write("x.csv", plain))) == ["it is 'fine'", 'it is "bad"']
    error = refused(trained, write("y.csv", "it is fine\n"))
    assert error.key == "data.columns"
    found = read(trained, write("y.csv", "it is fine\n"), "data.columns=[text]")
    assert texts(found) == ["it is fine"]


@pytest.mark.slow(1)
def test_sources_of_pairs(run, write):
    rows = '{"text": "HEADLINE", "body": "b a d", "gist": "d a b"}\n'
    trained = run(
        "task=seq2seq",
        "data=jsonl",
        f"data.train={write('t.jsonl', rows)}",
        "data.source=body",
        "data.target=gist",
    )
    assert texts(read(trained, write("x.jsonl", rows)), "source") == ["b a d"]
    table = write("x.csv", "text,body\nHEADLINE,b a d\n")
    assert texts(read(trained, table), "source") == ["b a d"]
    folder, _ = trained
    notes = []
    (prompt,) = read_prompts(write("p.jsonl", rows), PAIRS, run=folder, notes=notes)
    assert prompt.value == "b a d"
    (prompt,) = read_prompts(table, PAIRS, run=folder)
    assert prompt.value == "b a d"
    (prompt,) = read_prompts(table, PAIRS, run=folder, overrides=["data.source=text"])
    assert prompt.value == "HEADLINE"
    (prompt,) = read_prompts(write("q.jsonl", '{"prompt": "x"}'), PAIRS, run=folder)
    assert prompt.value == "x"
    with pytest.raises(UserError) as caught:
        read_prompts(write("r.jsonl", '{"text": "x", "gist": "y"}'), PAIRS, run=folder)
    assert caught.value.key == "data.source"


# Words in columns

IDS = "1\tCarla\t_\tX\tB-PER\n2\tvisited\t_\tX\tO\n\n1\tFatma\t_\tX\tB-PER\n"


@pytest.fixture
def ids_run(run, write):
    more = ["data.token_column=1", "data.separator=tab"]
    return run("task=ner", "data=conll", f"data.train={write('t.conll', IDS)}", *more)


def test_the_column_of_the_words(ids_run, write):
    found = read(ids_run, write("x.conll", IDS))
    assert texts(found, "tokens") == [["Carla", "visited"], ["Fatma"]]
    untagged = write("y.conll", "Carla\nvisited\n")
    assert texts(read(ids_run, untagged), "tokens") == [["Carla", "visited"]]


def test_a_file_that_ends_as_the_runs_own_or_unknown_is_of_its_format(ids_run, write):
    assert texts(read(ids_run, write("eng.testa", IDS)), "tokens")[1] == ["Fatma"]
    assert texts(read(ids_run, write("x.txt", "Carla visited\n")), "text") == ["Carla visited"]
    found = read(ids_run, write("y.txt", IDS), format="conll")
    assert texts(found, "tokens")[1] == ["Fatma"]


def test_columns_of_another_shape_are_refused(ids_run, write):
    error = refused(ids_run, write("x.conll", "Carla\tB-PER\nvisited\tO\n"))
    assert error.key == "data.token_column"
    assert "2 columns" in error.problem
    found = read(ids_run, write("x.conll", "Carla\tB-PER\n"), "data.token_column=0")
    assert texts(found, "tokens") == [["Carla"]]


def test_a_run_of_words_first_does_not_take_numbers_for_words(run, write):
    words = "Carla B-PER\nvisited O\n"
    trained = run("task=ner", "data=conll", f"data.train={write('t.conll', words)}")
    assert refused(trained, write("x.conll", IDS)).key == "data.token_column"
    found = read(trained, write("x.conll", IDS), "data.token_column=1")
    assert texts(found, "tokens")[0] == ["Carla", "visited"]


def test_a_run_of_other_data_does_not_either(run, write):
    rows = '{"tokens": ["Carla"], "tags": ["B-PER"]}\n'
    trained = run("task=ner", "data=jsonl", f"data.train={write('t.jsonl', rows)}")
    error = refused(trained, write("x.conllu", IDS))
    assert error.key == "data.token_column"
    found = read(trained, write("x.conllu", IDS), "data.token_column=1")
    assert texts(found, "tokens")[1] == ["Fatma"]


def test_digits_that_ride_on_tokens(run, write):
    digits = "科0 B-PER\n技1 O\n"
    trained = run(
        "task=ner", "data=conll", f"data.train={write('t.conll', digits)}", "data.strip_digit=true"
    )
    assert texts(read(trained, write("x.conll", digits)), "tokens") == [["科", "技"]]
    assert refused(trained, write("y.conll", "科 O\n")).key == "data.strip_digit"


def test_bad_tags_are_not_looked_at(ids_run, write):
    found = read(ids_run, write("x.conll", IDS.replace("B-PER", "?!")))
    assert texts(found, "tokens")[1] == ["Fatma"]


def test_the_field_of_the_words(run, write):
    rows = '{"tokens": ["no"], "pieces": ["Carla", "came"], "tags": ["B-PER", "O"]}\n'
    more = ["data.tokens=pieces", "data.tags=tags"]
    trained = run("task=ner", "data=jsonl", f"data.train={write('t.jsonl', rows)}", *more)
    assert texts(read(trained, write("x.jsonl", rows)), "tokens") == [["Carla", "came"]]
    raw = write("y.jsonl", '{"text": "Carla came"}\n')
    assert texts(read(trained, raw), "tokens") == [["Carla", "came"]]
    other = write("z.jsonl", '{"tokens": ["no"]}\n')
    assert refused(trained, other).key == "data.tokens"


def test_texts_with_spans(run, write):
    row = {"note": "x", "body": "Carla came", "entities": [[0, 5, "PER"]]}
    trained = run(
        "task=ner",
        "data=jsonl",
        f"data.train={write('t.jsonl', json.dumps(row))}",
        "data.text=body",
    )
    found = read(trained, write("x.jsonl", json.dumps({**row, "text": "no", "entities": "?"})))
    assert texts(found) == ["Carla came"]


# Dialogues and raw text


def test_dialogues(run, write):
    turn = [{"who": "HUMAN", "said": "hi"}, {"who": "BOT", "said": "ho"}]
    rows = json.dumps({"text": "no", "talk": turn})
    trained = run(
        "task=chat",
        "data=chat",
        f"data.train={write('t.jsonl', rows)}",
        "data.messages=talk",
        "data.role=who",
        "data.content=said",
    )
    found = read(trained, write("x.jsonl", rows))
    assert [m["content"] for m in texts(found, "messages")[0]] == ["hi", "ho"]
    folder, _ = trained
    (prompt,) = read_prompts(write("p.jsonl", rows), DIALOGUES, run=folder)
    assert [m["role"] for m in prompt.value] == ["user", "assistant"]
    (prompt,) = read_prompts(write("p.txt", "hi\n"), DIALOGUES, run=folder)
    assert prompt.value == "hi"
    error = refused(trained, write("x.txt", "hi\n"))
    assert "dialogues" in error.problem


def test_raw_text(run, write, monkeypatch):
    trained = run("task=causal_lm", "data=text", f"data.train={write('t.txt', 'a b' + chr(10))}")
    path = write("x.txt", "one\ntwo\n")
    assert texts(read(trained, path)) == ["one\ntwo\n"]
    assert texts(read(trained, path, "data.document=line")) == ["one", "two"]
    assert texts(read(trained, write("x.jsonl", '{"content": "one"}'))) == ["one"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    assert texts(read(trained, "-", "data.document=line")) == ["one", "two"]


# Overrides


@pytest.mark.parametrize(
    ("override", "key"),
    [("data.texts=body", "data.texts"), ("model.path=x", "model.path"), ("text=body", "text")],
)
def test_an_override_that_is_none_is_refused(body_run, write, override, key):
    assert refused(body_run, write("x.csv", TWO), override).key == key


def test_hints_name_keys_that_the_command_takes(run, write):
    trained = run("task=classification", "data=sample_reviews")
    error = refused(trained, write("x.jsonl", '{"a": "one", "b": "two"}\n'))
    assert error.key == "data.text"
    found = read(trained, write("x.jsonl", '{"a": "one", "b": "two"}\n'), "data.text=b")
    assert texts(found) == ["two"]


@pytest.mark.slow
def test_a_mixture_reads_as_its_sources_agree(run, write):
    a = '{"text": "no", "body": "one"}\n'
    file, target = write("a.jsonl", a), "lushan.data.formats.Jsonl"
    node = f"{{_target_: {target}, train: '{file}', text: body, label: text}}"
    trained = run("task=classification", "data=mixture", f"+data.sources={{a: {node}, b: {node}}}")
    assert texts(read(trained, write("x.jsonl", a))) == ["one"]
