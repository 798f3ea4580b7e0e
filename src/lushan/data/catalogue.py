"""Items that the rows of a corpus name by their ids, with their texts."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lushan.data.source import Corpus, hash_json
from lushan.errors import UserError


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All items that can be recommended, numbered from 0.

    Attributes:
        ids: Their names in the data.
        titles: What people call them; the id where it has none.
        texts: What is known of them in words: title, genres, tags.
    """

    ids: Sequence[str]
    titles: Sequence[str]
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def as_dict(self) -> dict[str, list[str]]:
        """Return it as JSON."""
        return {name: list(getattr(self, name)) for name in ("ids", "titles", "texts")}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Catalogue:
        """Read what `as_dict` gave."""
        return cls(content["ids"], content["titles"], content["texts"])

    def numbers(self) -> dict[str, int]:
        """Return the number of each id."""
        return {name: number for number, name in enumerate(self.ids)}

    def find(self, text: str, *, key: str) -> int:
        """Return the number of the item with an id or a title, whatever its case.

        Raises:
            UserError: There is none, or there are several; says which are near.
        """
        wanted = text.strip()
        if wanted in (known := self.numbers()):
            return known[wanted]
        folded = [title.casefold() for title in self.titles]
        same = [n for n, title in enumerate(folded) if title == wanted.casefold()]
        inside = same or [n for n, title in enumerate(folded) if wanted.casefold() in title]
        if len(inside) == 1:
            return inside[0]
        if inside:
            problem = f"{len(inside)} items have this title"
            near = [self.titles[n] for n in inside[:3]]
            if len(same) > 1:
                near = [self.ids[n] for n in inside[:3]]
        else:
            problem = "no item has this title or id"
            places = difflib.get_close_matches(wanted.casefold(), folded, n=3, cutoff=0.4)
            near = [self.titles[folded.index(title)] for title in places]
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else None
        raise UserError(problem, key=key, value=wanted, hint=hint)


@dataclasses.dataclass
class ItemCorpus(Corpus):
    """A corpus whose rows name items."""

    items: Catalogue = dataclasses.field(default_factory=lambda: Catalogue((), (), ()))

    def train_texts(self) -> Iterator[str]:
        """Yield the items' ids, of which a vocabulary is made."""
        yield from self.items.ids

    def fingerprint(self) -> dict[str, str]:
        """Return a hash of each split's rows and of the items."""
        items = hash_json(self.items.as_dict())
        return {split: hash_json([own, items]) for split, own in super().fingerprint().items()}


def with_items(corpus: Corpus, items: Catalogue) -> ItemCorpus:
    """Return a corpus together with the items that its rows name."""
    fields = {f.name: getattr(corpus, f.name) for f in dataclasses.fields(corpus)}
    return ItemCorpus(**fields, items=items)
