"""Raw text of any size: plain text, JSONL, CSV and Parquet, without labels."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from lushan.common.arrays import np, pa
from lushan.configurable import configurable
from lushan.data import corpora, documents, files
from lushan.data.agreement import require_fields
from lushan.data.corpora import Documents
from lushan.data.documents import Format, Reading, Unit
from lushan.data.encode.store import open_table
from lushan.data.fields import DOCUMENTS, Fields
from lushan.data.source import SPLITS, Corpus, FileSource, code_hash, hash_json
from lushan.run import hashes
from lushan.run.caches import is_whole, only_one


@configurable
@dataclasses.dataclass(kw_only=True)
class Text(FileSource):
    """Documents of one or many files, kept in the cache so that no size of them fills the memory.

    A row of JSONL, CSV or Parquet is a document; of plain text, `document` says what one is.

    Args:
        train: Training split: a file, a pattern such as `corpus/*.txt.gz`, or a list of them.
        validation: Validation split: as for `train`, or a share of the training split such as 0.1.
        test: Test split: as for `validation`.
        document: Unit of a document in plain text: a file, a paragraph (separated by blank lines),
            or a line.
        format: File format; null detects it by extension.
        text: Field or column of the text; null detects it by name.
        share_from: Where to take a share: random documents, with duplicates kept together; or the
            end of all text, cut at a line end if it is plain text by files.
        longest_part: Maximum length in characters of a text; longer texts are split at line ends
            before tokenization.
        cache_dir: Cache folder of the documents; null keeps them in memory.
    """

    gives: ClassVar[Fields | None] = DOCUMENTS

    # Wider than the base's: the run's id and the command line take lists as they are.
    train: str | list[str] | None = None  # type: ignore[assignment]
    validation: str | float | list[str] | None = None  # type: ignore[assignment]
    test: str | float | list[str] | None = None  # type: ignore[assignment]
    document: Unit = "file"
    format: Format | None = None
    text: str | None = None
    share_from: Literal["anywhere", "end"] = "anywhere"
    longest_part: int = documents.LONGEST_PART
    cache_dir: Path | None = None
    prefix: str = dataclasses.field(default="", init=False)
    """Prefix of ids, set by a mixture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("longest_part", self.longest_part)

    def names(self) -> dict[str, str]:
        """The splits that have files of their own, and these as they were written."""
        given = {split: getattr(self, split) for split in SPLITS}
        return {
            split: ", ".join([value] if isinstance(value, str) else value)
            for split, value in given.items()
            if isinstance(value, str | list)
        }

    def paths_of(self, split: str) -> list[Path]:
        """The files of a split."""
        return files.find_all(getattr(self, split), self.dir, key=f"data.{split}")

    def hash_of(self, split: str, name: str) -> str:
        """SHA-256 of a split's file, or of the hashes of its files."""
        found = [self._sha256(path) for path in self.paths_of(split)]
        return found[0] if len(found) == 1 else hash_json(found)

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one split."""
        found = self._whole(split, self._place(split))
        notes += [f"{split}: {note}" for note in found.notes]
        return found.table

    def read(self, fields: Fields | None = None, *, only: str | None = None) -> Corpus:
        """Read all splits; see `Source.read`."""
        require_fields(fields or DOCUMENTS, DOCUMENTS)
        shared = bool(self.shares()) and only in (None, "train", *self.shares())
        splits = self._shared() if shared else {}
        splits |= {s: self._whole(s, self._place(s)) for s in self.named(only) if s not in splits}
        notes = [f"{s}: {note}" for s, found in splits.items() for note in found.notes]
        if train := splits.get("train"):
            others = {s: found for s, found in splits.items() if s != "train"}
            for split, found in others.items():
                if copies := corpora.repeated(found, train):
                    notes.append(f"{split}: {copies} of {len(found)} texts also occur in train")
        if self.train_share is not None and train:
            splits["train"] = self._sample(
                "train", train, max(1, round(self.train_share * len(train)))
            )
            notes.append(self.note_on_share(len(splits["train"])))
        if self.limit is not None:
            splits = {s: self._sample(s, found, self.limit) for s, found in splits.items()}
        there = [s for s in SPLITS if s in splits and only in (None, s)]
        return Corpus({s: splits[s].table for s in there}, DOCUMENTS, None, notes)

    def _whole(self, split: str, store: Path | None) -> Documents:
        """The documents of a split's files."""
        return corpora.read_files(self.paths_of(split), self.reading(), store, prefix=self.prefix)

    def _shared(self) -> dict[str, Documents]:
        """The training split and those that are taken from it."""
        how = [self.share_from, self.shares(), self.seed]
        places = {split: self._place("train", split, how) for split in ("train", *self.shares())}
        if self.cache_dir is None:
            return self._divided(self._whole("train", None), places)
        stored = {split: place for split, place in places.items() if place is not None}
        if not all(map(is_whole, stored.values())):
            first = stored["train"]
            # All documents together are wanted no longer than it takes to divide them.
            with (
                only_one(first.with_suffix(".shares")),
                tempfile.TemporaryDirectory(prefix=".tmp-", dir=first.parent) as folder,
            ):
                self._divided(self._whole("train", Path(folder) / "whole.arrow"), places)
        return {split: Documents(*open_table(place)) for split, place in stored.items()}

    def _divided(self, whole: Documents, places: Mapping[str, Path | None]) -> dict[str, Documents]:
        paths = self.paths_of("train")
        counts = {split: whole.counts if split == "train" else {} for split in places}
        if self.share_from == "end":
            plain = all((self.format or documents.format_of(path)) == "txt" for path in paths)
            spans = corpora.from_the_end(
                whole, self.shares(), cut=plain and self.document == "file", file=str(paths[0])
            )
            return {
                split: corpora.stretch(whole, span, places[split], counts=counts[split])
                for split, span in spans.items()
            }
        rows = corpora.deal(whole.keys, self.shares(), self.seed, file=str(paths[0]))
        return {
            split: corpora.select(whole, members, places[split], counts=counts[split])
            for split, members in rows.items()
        }

    def _sample(self, split: str, found: Documents, size: int) -> Documents:
        """Return so many documents of a split at most; a smaller sample is part of a larger one."""
        if size >= len(found):
            return found
        rows = np.sort(np.random.default_rng(self.seed).permutation(len(found))[:size])
        origin = "train" if split in self.shares() else split
        how = [self.share_from, self.shares(), self.seed]
        place = self._place(origin, split, [*how, size, len(found)])
        return corpora.select(found, rows, place, counts=found.counts)

    def reading(self) -> Reading:
        """Return the settings by which a file is read as documents."""
        return Reading(
            unit=self.document,
            format=self.format,
            text=self.text,
            longest_part=self.longest_part,
            longest_line=self.longest_line,
        )

    def _place(self, origin: str, *parts: object) -> Path | None:
        """Return the cache file of documents of the split `origin`, by all that decides them."""
        if self.cache_dir is None:
            return None
        paths = self.paths_of(origin)
        # Ids and errors name files, so their names count beside what they hold.
        content = [[str(path), self._sha256(path)] for path in paths]
        how = [dataclasses.asdict(self.reading()), self.prefix, code_hash("data")]
        return self.cache_dir / "documents" / f"{hash_json([content, how, *parts])[:24]}.arrow"

    def _sha256(self, path: Path) -> str:
        memory = None if self.cache_dir is None else self.cache_dir / "hashes"
        return hashes.sha256(path, memory=memory)
