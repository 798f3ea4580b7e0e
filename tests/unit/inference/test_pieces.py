"""Predicting piece by piece: the same lines as at once, in any format, and after a kill."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lushan.data.formats.table import Table
from lushan.data.pieces import pieces_of
from lushan.errors import UserError
from lushan.inference import pieces
from lushan.inference.load import load
from lushan.inference.prediction import predict

SENTENCES = [f"Anna {number} lives in Paris , {word}" for number, word in enumerate("abcdefghijk")]


def as_table(separator, quoted=False):
    lines = [f"sentence{separator}note"]
    for number, text in enumerate(SENTENCES):
        field = f'"{text}\nand ""more"""' if quoted else text.replace(",", ";")
        lines += [f"{field}{separator}{number}"] + [""] * (number % 3 == 0)
    return "\r\n".join(lines) + "\r\n"


def as_parquet(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"sentence": SENTENCES}), path, row_group_size=2)


FILES = {
    "lines.txt": "\n".join(SENTENCES),
    "ended.jsonl": "\n" + "".join(json.dumps({"sentence": t}) + "\n" for t in SENTENCES) + "\n\n",
    "rows.jsonl": "\n".join(json.dumps({"sentence": text}) + "\n" for text in SENTENCES),
    "named.jsonl": "".join(
        json.dumps({"id": f"n{n}", "sentence": text}) + "\n" for n, text in enumerate(SENTENCES)
    ),
    "array.json": json.dumps([{"sentence": text} for text in SENTENCES]),
    "rows.csv": "\ufeff" + as_table(",", quoted=True),
    "rows.tsv": as_table("\t"),
    "excel.csv": "sep=;\r\n" + as_table(";", quoted=True),
    "rows.parquet": as_parquet,
}


def written(path, content):
    if callable(content):
        content(path)
    else:
        path.write_text(content, newline="")
    return path


@pytest.mark.parametrize("name", FILES)
def test_pieces_are_predicted_as_the_whole_file(reviews_run, tmp_path, name):
    file = written(tmp_path / name, FILES[name])
    notes, noted = [], []
    count = predict(reviews_run, input=file, output=tmp_path / "whole.jsonl", notes=notes)
    seen = []
    found = pieces.predict(
        reviews_run,
        input=file,
        output=tmp_path / "pieces.jsonl",
        examples=3,
        notes=noted,
        observe=lambda *done: seen.append(done),
    )
    whole, parts = ((tmp_path / f"{n}.jsonl").read_text() for n in ("whole", "pieces"))
    rows = [[json.loads(line) for line in text.splitlines()] for text in (whole, parts)]
    for one, other in zip(*rows, strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), abs=1e-5)
        assert one.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=1e-5)
        assert one == other
    assert found == count == len(SENTENCES)
    assert noted == notes
    assert seen[-1] == (len(seen), len(seen))
    assert len(seen) == (1 if name == "array.json" else 4 if name != "rows.parquet" else 3)
    assert not (tmp_path / "pieces.jsonl.parts").exists()


def test_sentences_of_columns(ner_run, conll_files, tmp_path):
    predict(ner_run, input=conll_files["test"], output=tmp_path / "whole.jsonl")
    pieces.predict(ner_run, input=conll_files["test"], output=tmp_path / "p.jsonl", examples=3)
    ids = [
        [(row["id"], row["text"]) for row in map(json.loads, (tmp_path / f).open())]
        for f in ("whole.jsonl", "p.jsonl")
    ]
    assert ids[0] == ids[1]


def test_truncated_texts_are_counted_by_the_pieces(reviews_run, tmp_path, monkeypatch):
    file = written(tmp_path / "lines.txt", "\n".join([*SENTENCES, "word " * 600, "word " * 700]))
    notes, noted, loads = [], [], []
    predict(reviews_run, input=file, output=tmp_path / "whole.jsonl", notes=notes)
    monkeypatch.setattr(pieces, "load", lambda *args: loads.append(args) or load(*args))
    pieces.predict(reviews_run, input=file, output=tmp_path / "p", examples=3, notes=noted)
    assert noted == notes
    assert noted[-1].startswith("2 of 13 texts are longer than 512 tokens")
    assert noted[-1].endswith("--stride 128 reads them in full, in windows")
    assert len(loads) == 1  # by what predicts, and never to report


def test_what_was_written_is_not_predicted_again(reviews_run, tmp_path):
    file = written(tmp_path / "lines.txt", FILES["lines.txt"])
    output = tmp_path / "out.jsonl"

    def killed(job, missing):
        for number, done in enumerate(pieces.alone(job, missing)):
            yield done
            if number == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pieces.predict(reviews_run, input=file, output=output, examples=3, spread=killed)
    assert not output.exists()
    (tmp_path / "out.jsonl.parts" / ".tmp-1-000002").write_text("{")
    again = []

    def counted(job, missing):
        for done in pieces.alone(job, missing):
            again.append(done.number)
            yield done

    notes = []
    pieces.predict(reviews_run, input=file, output=output, examples=3, spread=counted, notes=notes)
    assert again == [2, 3]
    assert "2 of 4 pieces were written before" in notes
    assert [json.loads(line)["text"] for line in output.open()] == SENTENCES


def test_parts_of_another_command_are_not_taken(reviews_run, tmp_path):
    file = written(tmp_path / "lines.txt", FILES["lines.txt"])
    output = tmp_path / "out.jsonl"

    def stopped(job, missing):
        yield next(pieces.alone(job, missing))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pieces.predict(reviews_run, input=file, output=output, examples=3, spread=stopped)
    file.write_text("another\n" * 20)
    with pytest.raises(UserError, match="another command: sha256 differs"):
        pieces.predict(reviews_run, input=file, output=output, examples=3)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("bad.jsonl", '{"sentence": "a"}\n' * 7 + '{"sentence": \n' + '{"sentence": "b"}\n', 8),
        ("bad.csv", "sentence,n\n" + "a,1\n" * 7 + "a,1,2\n", 9),
        ("bad.jsonl", '{"sentence": "a"}\n' * 7 + '{"sentence": 5}\n', 8),
    ],
)
def test_an_error_names_the_line_of_the_file(reviews_run, tmp_path, name, content, place):
    file = written(tmp_path / name, content)
    with pytest.raises(UserError, match=re.escape(f"{name}:{place}")):
        pieces.predict(reviews_run, input=file, output=tmp_path / "out.jsonl", examples=2)
    assert len(list((tmp_path / "out.jsonl.parts").glob("*-*-*.jsonl"))) == 3


def test_a_packed_file_is_not_divided(reviews_run, tmp_path):
    import gzip

    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"a text\n"))
    with pytest.raises(UserError, match="packed"):
        pieces.predict(reviews_run, input=tmp_path / "a.txt.gz", output=tmp_path / "out.jsonl")


def test_a_table_without_a_header(tmp_path):
    file = written(tmp_path / "rows.csv", "good,1\nbad,2\ngood,3\n")
    table = Table(columns=["text", "n"]).settled(file)
    found = list(pieces_of(file, "table", table, 2))
    assert [p.content(file) for p in found] == [b"good,1\nbad,2\n", b"good,3\n"]
    assert [p.lines_before for p in found] == [0, 2]


def test_what_the_first_lines_settle_holds_for_all_pieces(tmp_path):
    # The second piece alone looks as if it had a header: `poor` stands above numbers.
    rows = ["good,1\n", "fine,2\n", "bad,poor\n", "ill,1\n", "fine,2\n", "well,3\n"]
    file = written(tmp_path / "rows.csv", "".join(rows))
    alone = Table(columns=["text", "n"])
    table = alone.settled(file)
    _, second, _ = (p.content(file).decode() for p in pieces_of(file, "table", table, 2))
    second += rows[4] + rows[5]
    with pytest.raises(UserError, match=r"data\.header"):
        alone.parse(second, file, "input", [])
    assert table.parse(second, file, "input", []).values["n"][0] == "poor"
    headed = written(tmp_path / "headed.csv", "sentence,score\n" + "".join(rows[:2] * 3))
    with pytest.raises(UserError, match=r"data\.header"):
        Table(columns=["text", "n"]).settled(headed)
    with pytest.raises(UserError, match=r"data\.header"):
        alone.parse(headed.read_text(), headed, "input", [])
    table = Table(columns=["text", "n"], header=True).settled(headed)
    assert all(p.head == b"sentence,score\n" for p in pieces_of(headed, "table", table, 2))


@pytest.mark.slow(1)
def test_pieces_of_a_table_without_a_header_are_predicted(reviews_run, tmp_path):
    rows = [f'"{text}",{number}' for number, text in enumerate(SENTENCES)]
    file = written(tmp_path / "bare.csv", "\n".join([*rows, "bad,poor", "a,1", "b,2", "c,3"]))
    given = {"input": file, "overrides": ["+data.columns=[sentence,n]"], "format": "table"}
    count = predict(reviews_run, output=tmp_path / "whole.jsonl", **given)
    pieces.predict(reviews_run, output=tmp_path / "p.jsonl", examples=len(rows), **given)
    read = [(tmp_path / f"{n}.jsonl").read_text().splitlines() for n in ("whole", "p")]
    assert count == len(read[0]) == len(read[1]) == len(rows) + 4


LINES = st.lists(st.sampled_from([b"a O\n", b"\n", b" \n", b"b"]), max_size=30)


@given(LINES, st.integers(1, 4))
def test_pieces_are_the_file_and_hold_something(tmp_path_factory, lines, examples):
    file = tmp_path_factory.mktemp("lines") / "a.txt"
    file.write_bytes(b"".join(lines))
    for format in ("txt", "conll"):
        found = list(pieces_of(file, format, None, examples))
        contents = [piece.content(file) for piece in found]
        assert b"".join(contents) == file.read_bytes()
        assert all(content.strip() for content in contents) or len(contents) == 1
        lengths = [content.count(b"\n") for content in contents]
        assert [piece.before for piece in found] == [sum(lengths[:n]) for n in range(len(lengths))]
        if format == "conll":
            counts = [len(re.findall(rb"(?:^|\n\s*\n)(?=[^\s])", c)) for c in contents]
            assert all(count <= examples for count in counts)
