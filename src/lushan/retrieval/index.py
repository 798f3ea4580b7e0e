"""An index: a folder with documents and their vectors, or the weights of their words.

`index.json` says how it was made, and holds the SHA-256 of the other files: `documents.jsonl`, and
`vectors.npy` or `weights.npz` with `terms.json`. A search compares a query with all documents,
unless there is a `vectors.faiss` beside the vectors; see `lushan.retrieval.approximate`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lushan.common import parsing
from lushan.errors import UserError
from lushan.retrieval import approximate
from lushan.run import files, inside
from lushan.run.new_folder import replacing_folder
from lushan.text import bm25

if TYPE_CHECKING:
    from lushan.retrieval.texts import Documents

FILE, DOCUMENTS = "index.json", "documents.jsonl"
VECTORS, WEIGHTS, TERMS = "vectors.npy", "weights.npz", "terms.json"
BM25 = "bm25"
_SAME = 0.999
"""Cosine of a document's vector with the one that was stored, by the same model."""
_CHANGED = "Build the index again: lushan index build CORPUS --model MODEL --output DIR."


class Options(TypedDict, total=False):
    """Options of `embedder_of`, as an index keeps them."""

    pooling: Literal["mean", "cls"] | None
    query_prefix: str | None
    passage_prefix: str | None
    max_length: int | None


class Settings(TypedDict):
    """Content of `index.json`."""

    format: int
    model: str
    options: Options
    count: int
    kind: str
    recall: float | None
    files: dict[str, str]
    sha256: str


class Document(TypedDict):
    """A line of `documents.jsonl`; `copies` are the ids of further rows of its text."""

    id: str
    text: str
    copies: NotRequired[list[str]]


class Scorer(Protocol):
    """Gives documents scores."""

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Return the scores of all documents, (queries, documents)."""


@dataclass(frozen=True)
class Index:
    """An index that was opened.

    Attributes:
        folder: Where it is.
        ids: Of the documents.
        texts: Of the documents.
        scorer: Compares queries with them.
        settings: How it was made.
        numbers: Ids of all rows, also of copies, to the document's place.
    """

    folder: Path
    ids: list[str]
    texts: list[str]
    scorer: Scorer
    settings: Settings
    numbers: Mapping[str, int]

    @property
    def name(self) -> str:
        """Return what distinguishes it from others, for tables."""
        return self.settings["model"]

    @property
    def is_exact(self) -> bool:
        """Return whether a query is compared with all documents."""
        return self.settings["kind"] == approximate.EXACT


@dataclass(frozen=True)
class Dense:
    """Scores by cosines of vectors.

    Attributes:
        vectors: Of the documents, of length 1, (documents, H).
        embedder: Makes those of queries.
        notes: Takes how many queries were truncated.
    """

    vectors: NDArray[np.float32]
    embedder: Any
    notes: list[str]

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Return the cosines, (queries, documents)."""
        return self.embedder.encode(queries, "query", self.notes) @ self.vectors.T


def build(
    documents: Documents,
    output: Path,
    *,
    model: str,
    options: Mapping[str, Any],
    kind: str = approximate.EXACT,
    notes: list[str],
) -> None:
    """Write an index of documents.

    Args:
        documents: What it holds.
        output: A folder that does not exist, or holds an index and no more, which is replaced.
        model: `bm25`, or a model; see `embedder_of`.
        options: Of `embedder_of`.
        kind: How vectors are searched: one of `approximate.KINDS`.
        notes: Takes what the reader must know.

    Raises:
        UserError: The folder holds something else, or the model cannot be used.
    """
    approximate.require(kind, model)
    if (output.exists() or output.is_symlink()) and not _is_index(output):
        raise UserError(
            "this folder exists and contains more than an index",
            key="--output",
            value=str(output),
            hint="Choose a folder that does not exist.",
        )
    texts = documents.texts
    made, recall = {DOCUMENTS: "".join(_lines(documents)).encode()}, None
    if model == BM25:
        if named := [name for name, value in options.items() if value is not None]:
            raise UserError("bm25 does not have this option", key=f"--{named[0].replace('_', '-')}")
        fitted = bm25.fit(texts)
        buffer = io.BytesIO()
        sparse.save_npz(buffer, fitted.weights, compressed=False)
        made |= {WEIGHTS: buffer.getvalue(), TERMS: files.as_json(list(fitted.numbers))}
    else:
        from lushan.retrieval.embedder import embedder_of

        buffer = io.BytesIO()
        vectors = embedder_of(model, **options).encode(texts, "passage", notes)
        np.save(buffer, vectors)
        made[VECTORS] = buffer.getvalue()
        if kind != approximate.EXACT:
            made[approximate.FILE] = approximate.build(vectors, kind).tobytes()
            recall = approximate.recall(
                approximate.read(made[approximate.FILE], vectors.shape), vectors
            )
            notes.append(
                f"{kind}: {100 * recall:.1f} % of the exact ten nearest documents are found"
            )
    facts = {"model": _place(model), "options": dict(options), "count": len(texts)}
    _write(output, made, {**facts, "kind": kind, "recall": recall})


def _lines(documents: Documents) -> Iterator[str]:
    rows = zip(documents.ids, documents.texts, documents.copies, strict=True)
    for name, text, copies in rows:
        document: Document = {"id": name, "text": text}
        yield files.json_line({**document, "copies": copies} if copies else document)


def _is_index(folder: Path) -> bool:
    """Return whether a folder holds an index and nothing else, which may be removed."""
    try:
        names = {path.name for path in folder.iterdir()}
        settings = files.read_json(folder / FILE)
        parsing.require_shape(settings, Settings)
    except (OSError, ValueError, UserError):
        return False
    return not folder.is_symlink() and names == {FILE, *settings["files"]}


def _place(model: str) -> str:
    path = Path(model).expanduser()
    return str(path.absolute()) if path.exists() else model


def _write(output: Path, made: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
    with replacing_folder(output) as new:
        for name, content in made.items():
            files.atomic_write(new / name, content)
        sums = {name: files.sha256_file(new / name) for name in made}
        files.write_json(new / FILE, files.proved({"format": 3, **facts, "files": sums}))


def open_index(folder: Path, notes: list[str], *, model: str | None = None) -> Index:
    """Open an index.

    Args:
        folder: Of the index.
        notes: Takes what the reader must know, now and of each search.
        model: Where its model lies by now, instead of where it was.

    Raises:
        UserError: It is none, a file of it is damaged, or its model is another by now.
    """
    if not (folder / FILE).is_file():
        raise UserError(
            "this is not an index",
            file=folder,
            hint="lushan index build CORPUS --model bm25 --output DIR builds one.",
        )
    inside.files_of(folder, key="INDEX")
    with files.intact(folder / FILE) as path:
        settings: Settings = files.read_json(path)
        parsing.require_shape(settings, Settings)
        if unknown := settings["options"].keys() - Options.__annotations__.keys():
            raise ValueError(f"unknown option: {', '.join(unknown)}")
        if dict(settings) != files.proved(settings):
            raise UserError("this file was changed", hint=_CHANGED)
    names = (WEIGHTS, TERMS) if settings["model"] == BM25 else (VECTORS,)
    if settings["kind"] != approximate.EXACT:
        approximate.require(settings["kind"], settings["model"])
        names = (*names, approximate.FILE)
    if settings["files"].keys() != {DOCUMENTS, *names}:
        raise UserError("unexpected files for an index", file=folder / FILE, hint=_CHANGED)
    for name, expected in settings["files"].items():
        if not (folder / name).is_file() or files.sha256_file(folder / name) != expected:
            raise UserError("a file of the index is damaged", file=folder / name, hint=_CHANGED)
    with files.intact(folder / DOCUMENTS) as path:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        rows = [parsing.parse_json(line) for line in lines]
        parsing.require_shape(rows, list[Document])
        ids, texts = [row["id"] for row in rows], [row["text"] for row in rows]
        if not len(ids) == settings["count"] > 0:
            raise ValueError(f"{len(ids)} documents instead of {settings['count']}")
    if settings["model"] == BM25:
        scorer: Scorer = _words(folder, len(ids))
    else:
        scorer = _dense(folder, texts, settings, notes, model)
    known = ((row["id"], *row.get("copies", ())) for row in rows)
    numbers = {name: number for number, names in enumerate(known) for name in names}
    return Index(folder, ids, texts, scorer, settings, numbers)


def _words(folder: Path, count: int) -> bm25.BM25:
    with files.intact(folder / WEIGHTS) as path:
        with zipfile.ZipFile(path) as archive:  # nothing in it is packed
            if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                raise ValueError("it decompresses to more than its declared size")
        weights = sparse.csr_matrix(sparse.load_npz(path))
        weights.check_format()
    with files.intact(folder / TERMS) as path:
        names = parsing.parse_json(path.read_bytes(), bounded=False)
        parsing.require_shape(names, list[str])
    if weights.shape != (count, len(names)):
        raise UserError("the files of the index do not match", file=folder, hint=_CHANGED)
    return bm25.BM25(weights, {name: number for number, name in enumerate(names)})


def _dense(
    folder: Path, texts: Sequence[str], settings: Settings, notes: list[str], model: str | None
) -> Scorer:
    from lushan.retrieval.embedder import embedder_of

    with files.intact(folder / VECTORS) as path:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        if vectors.dtype != np.float32 or vectors.ndim != 2:
            raise ValueError("these are not vectors")
    embedder = embedder_of(model or settings["model"], **settings["options"])
    if vectors.shape != (len(texts), embedder.model.encoder.width):
        raise UserError("the index and its model do not match", file=folder, hint=_CHANGED)
    (again,) = embedder.encode(texts[:1], "passage", [])
    if not float(again @ vectors[0]) >= _SAME:  # not a number, perhaps
        raise UserError(
            f"{model or settings['model']} is not the model that the index was built with",
            file=folder,
            hint=_CHANGED,
        )
    if settings["kind"] == approximate.EXACT:
        return Dense(vectors, embedder, notes)
    with files.intact(folder / approximate.FILE) as path:
        found = approximate.read(path.read_bytes(), vectors.shape)
    return approximate.Approximate(found, embedder, notes)
