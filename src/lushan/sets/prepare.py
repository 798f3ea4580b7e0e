"""From the files that the authors of a set published to those that its preset reads.

A function a set: it reads a folder of downloads and writes to another. Nothing is left out of a row
but what no task reads; the texts stay as they are.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lushan.common import parsing
from lushan.sets.archives import unpack

Prepare = Callable[[Path, Path], None]
Row = Mapping[str, Any]
LARGEST = 1 << 30
"""Bytes of the largest member of an archive that is read."""


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write JSON, a row a line; packed where the name ends in `.gz`, always to the same bytes."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write(path, text.encode())


def write(path: Path, content: bytes) -> None:
    """Write a file, packed where its name ends in `.gz` and its content is not."""
    is_packed = content.startswith(b"\x1f\x8b") or path.suffix != ".gz"
    path.write_bytes(content if is_packed else gzip.compress(content, mtime=0))


def read_json(path: Path) -> Any:
    """Read a JSON file; of a zip file, its only member."""
    if path.suffix != ".zip":
        return parsing.parse_json(path.read_bytes(), bounded=False)
    with zipfile.ZipFile(path) as archive:
        (member,) = archive.infolist()
        if member.file_size > LARGEST:
            raise ValueError(f"{member.filename} has {member.file_size:,} bytes")
        return parsing.parse_json(archive.read(member), bounded=False)


def as_they_are(raw: Path, out: Path) -> None:
    """Take the files as they were published, packed where their names end in `.gz`."""
    for file in sorted(raw.iterdir()):
        write(out / file.name, file.read_bytes())


def unpacked(raw: Path, out: Path) -> None:
    """Unpack archives, and take other files as they are."""
    for file in sorted(raw.iterdir()):
        if not unpack(file, out):
            write(out / file.name, file.read_bytes())


def wnut17(raw: Path, out: Path) -> None:
    """Empty the lines between sentences, which hold a tab in the training split."""
    for file in sorted(raw.iterdir()):
        lines = file.read_text(encoding="utf-8").split("\n")
        text = "\n".join("" if line == "\t" else line for line in lines)
        write(out / file.name, text.encode())


def scitldr(raw: Path, out: Path) -> None:
    """Leave out the ROUGE scores of source sentences."""
    keys = ("paper_id", "title", "source", "source_labels", "target")
    for name in ("train.jsonl.gz", "dev.jsonl", "test.jsonl"):
        lines = (raw / name.removesuffix(".gz")).read_text(encoding="utf-8").splitlines()
        rows = map(parsing.parse_json, lines)
        write_rows(out / name, ({key: row.get(key, "") for key in keys} for row in rows))


def easy_vqa(raw: Path, out: Path) -> None:
    """Write a question a line, and the images of a split to an archive."""
    inside = "easy_vqa/data/"
    with zipfile.ZipFile(next(raw.glob("*.whl"))) as wheel:
        for split, name in (("train", "train.jsonl.gz"), ("test", "test.jsonl")):
            rows = parsing.parse_json(wheel.read(f"{inside}{split}/questions.json"))
            write_rows(
                out / f"questions_{name}",
                ({"image": f"{n}.png", "question": q, "answer": a} for q, a, n in rows),
            )
            folder = f"{inside}{split}/images/"
            images = [m for m in wheel.namelist() if m.startswith(folder) and m.endswith(".png")]
            images.sort(key=lambda member: int(Path(member).stem))
            content = ((f"{split}/{Path(m).name}", wheel.read(m)) for m in images)
            write(out / f"images_{split}.tar.gz", _tar(content))
        write(out / "answers.txt", wheel.read(f"{inside}answers.txt"))


def _tar(files: Iterable[tuple[str, bytes]]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


def xquad(raw: Path, out: Path) -> None:
    """Write a question a line."""
    for file in sorted(raw.iterdir()):
        articles = read_json(file)["data"]
        write_rows(
            out / f"{file.name.split('.')[1]}.jsonl",
            (
                {
                    "id": q["id"],
                    "title": article["title"],
                    "context": paragraph["context"],
                    "question": q["question"],
                    "answers": q["answers"],
                }
                for article in articles
                for paragraph in article["paragraphs"]
                for q in paragraph["qas"]
            ),
        )


def financial_phrasebank(raw: Path, out: Path) -> None:
    """Write labels as words, and UTF-8."""
    words = {"0": "negative", "1": "neutral", "2": "positive"}
    for name, encoding, label in (("50agree", "latin-1", 0), ("allagree", "utf-8", 2)):
        text = (raw / f"{name}.csv").read_bytes().decode(encoding)
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(("label", "sentence"))
        for row in list(csv.reader(io.StringIO(text, newline="")))[1:]:
            writer.writerow((words.get(row[label], row[label]), row[1]))
        write(out / f"sentences_{name}.csv", sink.getvalue().encode())


def ml_latest_small(raw: Path, out: Path) -> None:
    """Take out the row that the owner of the copy had added to the ratings."""
    for file in sorted(raw.iterdir()):
        content = file.read_bytes()
        if file.name == "ratings.csv":
            content = content.removesuffix(b"999,999999,5.0,1493846415")
        packed = ".gz" if file.name == "ratings.csv" else ""
        write(out / (file.name + packed), content)


def crosswoz(raw: Path, out: Path) -> None:
    """Write a dialogue a line, without states and goals."""
    kept = ("role", "content", "dialog_act")
    for file in sorted(raw.iterdir()):
        write_rows(
            out / f"{file.name.split('.')[0]}.jsonl.gz",
            (
                {
                    "id": name,
                    "type": one["type"],
                    "task": one["task description"],
                    "messages": [{key: turn[key] for key in kept} for turn in one["messages"]],
                }
                for name, one in read_json(file).items()
            ),
        )


def sgd(raw: Path, out: Path) -> None:
    """Write a dialogue a line, without slots and states."""
    for split in ("train", "dev", "test"):
        files = sorted(raw.glob(f"{split}.*.json"))
        rows = (_sgd_row(one) for file in files for one in read_json(file))
        write_rows(out / f"{split}.jsonl.gz", rows)


def _sgd_row(dialogue: Row) -> Row:
    turns = [
        {
            "speaker": turn["speaker"],
            "utterance": turn["utterance"],
            "acts": sorted({a["act"] for frame in turn["frames"] for a in frame["actions"]}),
        }
        for turn in dialogue["turns"]
    ]
    return {"id": dialogue["dialogue_id"], "services": dialogue["services"], "turns": turns}


def dailydialog(raw: Path, out: Path) -> None:
    """Write a dialogue a line, its turns apart."""
    for language in ("en", "zh"):
        for split in ("dev", "test"):
            lines = (raw / f"{language}.{split}.txt").read_text(encoding="utf-8").split("\n")
            rows = [line.split("\t") for line in lines if line.strip()]
            write_rows(out / f"{language}.{split}.jsonl", _dialogues(split, rows))
        parts = (f"{language}.part1k", "topic", "acts", "emotions")
        columns = [(raw / f"{p}.txt").read_text(encoding="utf-8").split("\n") for p in parts]
        rows = [list(row) for row in zip(*columns, strict=True) if row[0].strip()]
        write_rows(out / f"{language}.part1k.jsonl", _dialogues("part1k", rows))


def _dialogues(split: str, rows: Iterable[list[str]]) -> Iterator[Row]:
    for number, (text, topic, acts, emotions) in enumerate(rows):
        yield {
            "id": f"{split}-{number}",
            "topic": int(topic),
            "turns": [turn.strip() for turn in text.split("__eou__") if turn.strip()],
            "acts": [int(act) for act in acts.split()],
            "emotions": [int(emotion) for emotion in emotions.split()],
        }


def zh_classics(raw: Path, out: Path) -> None:
    """Write a work a line, none twice; a twentieth of them, by their hash, is set aside."""
    works = [work for file in sorted(raw.iterdir()) for work in _works(file)]
    kept = {work["text"]: work for work in reversed(works) if work["text"].strip()}
    first = [work for work in works if kept.get(work["text"]) is work]
    aside = [int(hashlib.sha256(w["text"].encode()).hexdigest(), 16) % 20 == 0 for w in first]
    pairs = list(zip(first, aside, strict=True))
    write_rows(out / "train.jsonl.gz", (work for work, is_aside in pairs if not is_aside))
    write_rows(out / "valid.jsonl", (work for work, is_aside in pairs if is_aside))


def _works(file: Path) -> Iterator[Row]:
    kind = file.name.split(".")[1]
    title, text = {
        "ci": ("rhythmic", "paragraphs"),
        "qu": ("title", "paragraphs"),
        "shijing": ("title", "content"),
        "lunyu": ("chapter", "paragraphs"),
    }[kind]
    for work in read_json(file):
        author = work.get("author", "") if kind in ("ci", "qu") else ""
        yield {
            "kind": kind,
            "title": work.get(title, ""),
            "author": author,
            "text": "\n".join(work[text]),
        }


BY_NAME: Mapping[str, Prepare] = {
    one.__name__: one
    for one in (
        *(
            as_they_are,
            unpacked,
            wnut17,
            scitldr,
            easy_vqa,
            xquad,
            financial_phrasebank,
            ml_latest_small,
        ),
        *(crosswoz, sgd, dailydialog, zh_classics),
    )
}
"""What the file of a set may name; `as_they_are` and `unpacked` are of use to sets of one's own."""
