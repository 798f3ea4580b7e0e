"""Column files."""

from __future__ import annotations

import pytest
from tests.helpers.asked import KINDS

from lushan.data.formats import Conll
from lushan.data.unlabelled import read_unlabelled


def rows(source: Conll) -> list[tuple[list[str], list[str], int]]:
    part = source.read().splits["train"]
    columns = (part[name].to_pylist() for name in ("tokens", "tags", "line"))
    return list(zip(*columns, strict=True))


def test_columns_of_an_example(write) -> None:
    path = write("x.conll", "Ann\tB-PER\nruns\tO\n\nso\tO\n")
    read = Conll(train=path).read()
    assert (next(iter(read.fields)), read.scheme, read.notes) == ("tokens", "iob2", [])
    assert read.splits["train"].to_pylist() == [
        {
            "id": "x.conll:1",
            "tokens": ["Ann", "runs"],
            "tags": ["B-PER", "O"],
            "line": 1,
            "file": path,
        },
        {"id": "x.conll:4", "tokens": ["so"], "tags": ["O"], "line": 4, "file": path},
    ]


def test_documents_blank_lines_and_stray_tabs(write) -> None:
    content = (
        "-DOCSTART- -X- O O\n\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\n \t \n"
        "-DOCSTART- -X- O O\n\nPeter NNP I-NP B-PER\n\t\t\n\n"
    )
    assert rows(Conll(train=write("x", content))) == [
        (["EU", "rejects"], ["B-ORG", "O"], 4),
        (["Peter"], ["B-PER"], 9),
    ]


def test_any_columns(write) -> None:
    path = write("x", "1 Ann B-PER n\n2 runs O v\n")
    source = Conll(train=path, token_column=1, tag_column=-2)
    assert rows(source) == [(["Ann", "runs"], ["B-PER", "O"], 1)]


def test_tabs_keep_blanks_in_tokens(write) -> None:
    path = write("x", "New York\tB-LOC\n \tO\n\u3000\tO\na\u2028b\tO\n")
    assert rows(Conll(train=path))[0][0] == ["New York", " ", "\u3000", "a\u2028b"]


def test_blanks_as_separator(write) -> None:
    path = write("x", "a\u00a0b   \tB-PER \nc  O\n")
    assert rows(Conll(train=path, separator="space")) == [(["a\u00a0b", "c"], ["B-PER", "O"], 1)]


def test_comments(write) -> None:
    path = write("x", "# id 1 of 2\nAnn B-PER\n# O\n")
    assert rows(Conll(train=path, comment="# id")) == [(["Ann", "#"], ["B-PER", "O"], 2)]


def test_digits_ride_on_characters(write, refused) -> None:
    path = write("x", "科0\tO\n技1\tO\n20\tO\n")
    assert rows(Conll(train=path, strip_digit=True))[0][0] == ["科", "技", "2"]
    bad = write("y", "科0\tO\n技\tO\n")
    error = refused(Conll(train=bad, strip_digit=True).read)
    assert (error.file, error.line, error.key) == (bad, 2, "data.strip_digit")


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("iob1", "I-PER I-PER O I-LOC B-LOC"),
        ("iob2", "B-PER I-PER O B-LOC B-LOC"),
        ("iobes", "B-PER E-PER O S-LOC S-LOC"),
        ("bilou", "B-PER L-PER O U-LOC U-LOC"),
        ("bmes", "B-PER E-PER O S-LOC S-LOC"),
    ],
)
def test_every_scheme_becomes_one(scheme: str, tags: str, write) -> None:
    content = "".join(f"w{i} {tag}\n" for i, tag in enumerate(tags.split()))
    for wanted in (scheme, "auto"):
        read = Conll(train=write("x", content), scheme=wanted).read()
        if wanted == scheme or scheme != "bmes":  # without an M it is taken for IOBES
            assert read.scheme == scheme
        tags_read = read.splits["train"]["tags"].to_pylist()
        assert tags_read == [["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]]


DIGIT = {"strip_digit": True}
BAD_I = "a B-PER\nb O\nc I-LOC\n\nd B-LOC\n"


def test_inside_after_nothing(write, refused) -> None:
    path = write("x", BAD_I)
    error = refused(Conll(train=path).read)
    assert (error.file, error.line) == (path, 3)
    assert "'I-LOC' after 'O'" in error.problem
    assert "data.repair=true" in error.hint


def test_inside_after_nothing_repaired_and_counted(write) -> None:
    paths = write("x", BAD_I), write("y", BAD_I * 2)
    read = Conll(train=paths[0], test=paths[1], repair=True).read()
    assert read.splits["train"]["tags"].to_pylist()[0] == ["B-PER", "O", "B-LOC"]
    assert read.notes[:2] == [
        "train: 1 tag is ill-formed in iob2 (3 entities) and was interpreted as in conlleval; "
        f"the first: 'I-LOC' after 'O' in {paths[0]}:3",
        "test: 2 tags are ill-formed in iob2 (6 entities) and were interpreted as in conlleval; "
        f"the first: 'I-LOC' after 'O' in {paths[1]}:3",
    ]


def test_a_tag_of_no_scheme(write, refused) -> None:
    path = write("x", "a B-PER\nb O\n\nc Q-PER\n")
    error = refused(Conll(train=path).read)
    assert (error.file, error.line, error.value) == (path, 4, "Q-PER")
    error = refused(Conll(train=path, scheme="iob2", repair=True).read)
    assert (error.file, error.line) == (path, 4)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a O\nb\nc O\n", 2),  # a token without a tag
        ("a O\nb x O\n", 2),
        ("a\tO\nb O\n", 2),  # a blank where tabs separate
        ("a\tO\nb\t\n", 2),
        ("a\n", 1),
        ("one sentence a line\n", 1),
    ],
)
@pytest.mark.fault(35)
def test_tokens_and_tags_that_do_not_pair(content: str, line: int, write, refused) -> None:
    path = write("x", content)
    error = refused(Conll(train=path).read)
    assert (error.file, error.line) == (path, line)
    assert error.hint or "missing" in error.problem or "tag" in error.problem


def test_wrong_column(write, refused) -> None:
    path = write("x", "a O\n")
    error = refused(Conll(train=path, tag_column=3).read)
    assert (error.key, error.value, error.file) == ("data.tag_column", 3, path)
    assert "0 to 1" in error.hint


def test_only_documents_and_blanks(write, refused) -> None:
    path = write("x", "-DOCSTART- O\n\n")
    assert "no sentence" in refused(Conll(train=path).read).problem


def test_byte_order_marks_of_joined_files(write) -> None:
    """Removed where a line starts, and counted; within a line the character is text."""
    first = "\ufeffa O\nb\ufeffc O\n\n"
    path = write("x", first + "\ufeff-DOCSTART- O\n\nd O\n" + "\ufeffe O\n")
    assert rows(Conll(train=path)) == [
        (["a", "b\ufeffc"], ["O", "O"], 1),
        (["d", "e"], ["O", "O"], 6),
    ]
    assert Conll(train=path).read().notes == [
        "train: 2 byte order marks at the start of a line, as in concatenated files, were "
        f"removed; the first in {path}:4"
    ]


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        ("a O\rb O\r\rc O\r", 1, 4),
        ("a O\n" * 9 + "b O\rc O\n", 10, 4),
        ("a O\r\r\nb O\r\r\n", 1, 4),
        ("a\rb O\r\n", 1, 2),
    ],
)
def test_a_carriage_return_alone(content: str, line: int, column: int, write, refused) -> None:
    path = write("x", content)
    error = refused(Conll(train=path).read)
    assert (error.file, error.line, error.column) == (path, line, column)
    assert r"tr '\r' '\n'" in error.hint


@pytest.mark.parametrize(("content", "options"), [("a\tO\n\tO\n", {}), ("a0 O\n1 O\n", DIGIT)])
def test_a_token_that_is_missing(content: str, options: dict, write, refused) -> None:
    path = write("x", content)
    error = refused(Conll(train=path, **options).read)
    assert (error.problem, error.file, error.line) == ("the token is missing", path, 2)


def test_what_has_the_columns_is_no_comment(write) -> None:
    text = "# a text, and more\n#id\nAnna\tB-PER\n#love\tO\n# a\tno-tag\n#\tO\nLi\tB-PER\n"
    path = write("x", text)
    read = Conll(train=path, comment="#").read()
    assert read.splits["train"]["tokens"].to_pylist() == [["Anna", "#love", "#", "Li"]]
    assert read.notes == ["train: 3 comments (lines that start with '#') were skipped"]


def test_lines_are_those_of_the_file_below_comments(write, refused) -> None:
    path = write("x", "# one\na\tB-PER\n# two\n# three\nb\tQ-PER\n")
    assert refused(Conll(train=path, comment="#", scheme="iob2").read).line == 5


CONLLU = """# sent_id = 1
# text = Don't go
1-2\tDon't\t_\t_\tO
1\tDo\t_\t_\tO
2\tn't\t_\t_\tO
2.1\tyou\t_\t_\tO
3\tgo\t_\t_\tB-X

# sent_id = 2
1\tHash\t_\t_\tO
2\t#tag\t_\t_\tB-X
"""


@pytest.mark.parametrize("comment", [None, "#"])
def test_ids_of_conllu(comment: str | None, write) -> None:
    read = Conll(train=write("x.conllu", CONLLU), token_column=1, comment=comment).read()
    assert read.splits["train"]["tokens"].to_pylist() == [["Do", "n't", "go"], ["Hash", "#tag"]]
    assert read.splits["train"]["line"].to_pylist() == [4, 10]
    assert read.notes == [
        "train: 3 comments (lines that start with '#') were skipped",
        "train: 1 multiword token (an id such as 1-2) was skipped: its words have their own lines",
        "train: 1 empty node (an id such as 1.1) was skipped",
    ]


def test_ids_are_not_taken_for_tokens(write, refused) -> None:
    error = refused(Conll(train=write("x.conllu", CONLLU)).read)
    assert (error.key, error.line) == ("data.token_column", 3)
    assert "data.token_column=1" in error.hint


@pytest.mark.parametrize("content", ["1 O\n2 O\n3 O\n", "1 x O\n\n1 x O\n", "7 x O\n8 x O\n"])
def test_numbers_that_are_tokens(content: str, write) -> None:
    tokens = [word for words, *_ in rows(Conll(train=write("x", content))) for word in words]
    assert tokens == [line.split()[0] for line in content.splitlines() if line]


@pytest.mark.parametrize("odd", [1, 5000, 9999])
def test_one_odd_line_among_many_is_the_one_refused(odd: int, write, refused) -> None:
    """It decides neither the separator nor the number of columns, wherever it stands."""
    for plain, strange, options in (
        ("a\tB-X", "b O", {}),
        ("a x B-X", "b\tO", {}),
        ("a x B-X", "# O", {}),
        ("a x B-X", "# O", {"tag_column": 2}),
    ):
        lines = [plain] * 9999
        lines.insert(odd - 1, strange)
        path = write("x", "\n".join(lines) + "\n")
        error = refused(Conll(train=path, **options).read)
        assert (error.line, "most lines have" in error.problem) == (odd, True)


def test_words_without_tags(write, refused) -> None:
    """As they are predicted on: `O` is no tag here, and a line with all columns no comment."""
    notes: list[str] = []
    table = Conll(token_column=1).table(CONLLU, "x.conllu", tagged=False, notes=notes)
    assert table["tokens"].to_pylist() == [["Do", "n't", "go"], ["Hash", "#tag"]]
    assert (table.column_names, len(notes)) == (["id", "tokens", "line", "file"], 3)
    one = Conll(comment="#").table("#love\n# a text\nLi\n", "x", tagged=False)
    assert one["tokens"].to_pylist() == [["#love", "Li"]]
    error = refused(read_unlabelled, write("x.conllu", CONLLU), KINDS["tokens"])
    assert (error.key, error.line) == ("data.token_column", 3)
