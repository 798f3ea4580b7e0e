"""Tags of any scheme into IOB2: a few ill-formed ones are read and counted, many are refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from lushan.common.arrays import pa
from lushan.common.wording import plural
from lushan.data.encode import arrow
from lushan.errors import UserError
from lushan.text import tag_detection, tag_spellings
from lushan.text import tags as tagging

TAG, TAGS = "tag is ill-formed", "tags are ill-formed"
Scheme = Literal["auto", "iob1", "iob2", "bio", "iobes", "bioes", "bilou", "bmes", "io"]
TOKEN_LINES = "token_lines"
"""The column with the line of each token, where a sentence does not stand in lines that follow one
another; gone once tags are read."""


@dataclasses.dataclass(kw_only=True)
class Tagged:
    """Options of a source that reads tags.

    Args:
        scheme: Tag scheme of the files. `auto` chooses the one that the fewest tags of the training
            split violate. `io` is for types without prefixes, where a run of one type is one
            entity.
        repair: Whether to accept ill-formed tags, interpreted as in conlleval, with a note: true
            accepts all, false none. null accepts up to 1 % of a split's entities (two if there are
            fewer than 100 entities and the scheme clearly fits best); if there are more, the scheme
            is probably wrong.
    """

    line_per_token: ClassVar[bool] = False
    scheme: Scheme = "auto"
    repair: bool | None = None

    def to_iob2(self, tables: dict[str, pa.Table], notes: list[str]) -> str:
        """Bring the tags of all splits into IOB2, in place; return the scheme they were in."""
        columns = {s: t.column("tags").to_pylist() for s, t in tables.items()}
        columns, respelt = self._respelt(columns, notes)
        scheme = self._scheme(columns, tables)
        for split, sentences in columns.items():
            table = tables[split]
            read = _read(sentences, scheme)
            if read.strange is not None:
                raise self._no_tag(read.strange, table)
            if read.first is not None:
                self._require_few(read, table, sentences, scheme, columns)
                notes.append(f"{split}: {self._note(read, read.first, table, scheme)}")
            if scheme != "iob2" or read.ill_formed or respelt:
                place = table.column_names.index("tags")
                table = table.set_column(place, "tags", arrow.text_lists(read.tags))
            if TOKEN_LINES in table.column_names:
                table = table.drop_columns([TOKEN_LINES])
            tables[split] = table
        return scheme

    def _respelt(
        self, columns: dict[str, list[list[str]]], notes: list[str]
    ) -> tuple[dict[str, list[list[str]]], bool]:
        """The tags in the usual spelling, and whether they were in another."""
        first = next(iter(columns.values()))  # of train, where there is one
        known = tag_spellings.spelling_of(set(itertools.chain(*first)))
        spelling = "io" if self.scheme == "io" else known
        if spelling is None:
            return columns, False
        tag = next((tag for tag in itertools.chain(*first) if tag not in ("O", "*")), "O")
        found = {
            split: [tag_spellings.respelt(tags, spelling) for tags in sentences]
            for split, sentences in columns.items()
        }
        notes.append(
            f"the tags use another spelling ({spelling}, such as {tag!r}) and were converted"
        )
        return found, True

    def asks_train_for_scheme(self) -> bool:
        """Return whether the training split decides how the tags of another are read."""
        return self.scheme == "auto"

    def _scheme(
        self, columns: Mapping[str, list[list[str]]], tables: Mapping[str, pa.Table]
    ) -> str:
        if self.scheme == "io":
            return "iob1"  # of nothing but I
        if self.scheme != "auto":
            return tagging.scheme_name(self.scheme)
        split = next(iter(columns))  # train, where there is one
        try:
            return tag_detection.detect(columns[split])
        except UserError as error:
            strange, line = error.value, None
            file = tables[split].column("file")[0].as_py()
            for number, tags in enumerate(columns[split]):
                if strange in tags:
                    line = self._line(tables[split], number, tags.index(strange))
                    break
            raise UserError(
                error.problem, value=strange, file=file, line=line, hint=error.hint
            ) from None

    def _line(self, table: pa.Table, number: int, word: int) -> int:
        if TOKEN_LINES in table.column_names:
            return int(table.column(TOKEN_LINES)[number][word].as_py())
        line: int = table.column("line")[number].as_py()
        return line + word if self.line_per_token else line

    def _word(self, place: _Place, table: pa.Table) -> str:
        """Return the number and text of a word, where the line does not identify it."""
        if self.line_per_token:
            return ""
        word = place.violation.position
        return f" (word {word + 1}, {table.column('tokens')[place.sentence].as_py()[word]!r})"

    def _note(self, read: _Read, first: _Place, table: pa.Table, scheme: str) -> str:
        file = table.column("file")[first.sentence].as_py()
        line = self._line(table, first.sentence, first.violation.position)
        return (
            f"{plural(read.ill_formed, TAG, TAGS)} in {scheme} "
            f"({plural(read.entities, 'entity', 'entities')}) and "
            f"{'was' if read.ill_formed == 1 else 'were'} interpreted as in conlleval; the "
            f"first: {first.violation.problem}{self._word(first, table)} in {file}:{line}"
        )

    def _no_tag(self, place: _Place, table: pa.Table) -> UserError:
        return UserError(
            f"{place.violation.problem}{self._word(place, table)}",
            file=table.column("file")[place.sentence].as_py(),
            line=self._line(table, place.sentence, place.violation.position),
            value=place.violation.tag,
            hint="Correct it, or check the column of the tags: "
            f"data.{'tag_column' if self.line_per_token else 'tags'}.",
        )

    def _require_few(
        self,
        read: _Read,
        table: pa.Table,
        sentences: Sequence[Sequence[str]],
        scheme: str,
        splits: Mapping[str, list[list[str]]],
    ) -> None:
        """Refuse ill-formed tags where none is allowed, or more than errors of annotation."""
        own = tag_detection.fits(sentences)
        # What few entities leave open, those of all splits decide; but not against their own.
        fits_here = own[0].against == next(fit.against for fit in own if fit.scheme == scheme)
        found = tag_detection.fits(itertools.chain(*splits.values())) if fits_here else own
        few = tag_detection.tolerated(scheme, read.entities, found)
        limit = {None: few, True: read.ill_formed, False: 0}
        if read.first is None or read.ill_formed <= limit[self.repair]:
            return
        bad = read.first.violation
        many = ""
        if self.repair is None:
            entities = plural(read.entities, "entity", "entities")
            many = f"; {plural(read.ill_formed, TAG, TAGS)}, of {entities}"
        raise UserError(
            f"{bad.problem}{self._word(read.first, table)}: {scheme} forbids it{many}",
            file=table.column("file")[read.first.sentence].as_py(),
            line=self._line(table, read.first.sentence, bad.position),
            hint=f"{self._better(read, sentences, scheme)} Or write {bad.repaired!r} there, or "
            f"accept {'all' if self.repair is None else 'a few'} ill-formed tags as conlleval "
            f"does: data.repair={'true' if self.repair is None else 'null'}.",
        )

    def _better(self, read: _Read, sentences: Sequence[Sequence[str]], scheme: str) -> str:
        """The scheme that fits better, if there is one."""
        best = tag_detection.fits(sentences)[0].scheme
        others = _read(sentences, best).ill_formed
        if best == scheme or others >= read.ill_formed:
            return "No other scheme fits better."
        if self.scheme == "auto":
            return (
                f"The training split is in {scheme} and this one in {best} (where "
                f"{plural(others, TAG, TAGS)}): convert them to one scheme."
            )
        return f"{best} fits better ({plural(others, 'ill-formed tag')}): data.scheme={best}."


class _Place(NamedTuple):
    sentence: int
    violation: tagging.Violation


@dataclasses.dataclass
class _Read:
    """The tags of a split in IOB2.

    Attributes:
        tags: Of each sentence.
        entities: How many there are.
        ill_formed: How many tags were.
        first: The first of these.
        strange: The first tag of no scheme; nothing behind it was read.
    """

    tags: list[list[str]]
    entities: int = 0
    ill_formed: int = 0
    first: _Place | None = None
    strange: _Place | None = None


def _read(sentences: Sequence[Sequence[str]], scheme: str) -> _Read:
    found = _Read([])
    known: dict[tuple[str, ...], tuple[list[str], int, int]] = {}  # many sentences are tagged alike
    for number, tags in enumerate(sentences):
        key = tuple(tags)
        if key not in known:
            bad = tagging.violations(tags, scheme)
            if bad and bad[0].repaired is None:
                found.strange = _Place(number, bad[0])
                return found
            if bad and found.first is None:
                found.first = _Place(number, bad[0])
            entities = tagging.spans(tags, scheme)
            known[key] = tagging.to_tags(entities, len(tags), "iob2"), len(entities), len(bad)
        read, entity_count, ill_formed = known[key]
        found.tags.append(read)
        found.entities += entity_count
        found.ill_formed += ill_formed
    return found
