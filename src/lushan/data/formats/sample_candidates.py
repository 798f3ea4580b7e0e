"""Small built-in lists of candidates: each of two features says a part of what is right."""

from __future__ import annotations

import dataclasses
import json
from typing import ClassVar

from lushan.common.arrays import pa
from lushan.configurable import configurable
from lushan.data.encode import arrow
from lushan.data.fields import Fields
from lushan.data.formats.samples import SIZES, Chance, SampleTable
from lushan.data.item_fields import CANDIDATES

_COUNT, _LEVELS = 8, range(100)


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleCandidates(SampleTable):
    """Invented candidates with the scores `model` and `popularity`, and `noise` that says nothing.

    Right is the one whose scores together are the highest.
    """

    gives: ClassVar[Fields | None] = CANDIDATES
    name: ClassVar[str] = "sample_candidates"

    def _columns(self, split: str) -> dict[str, pa.Array]:
        chance = Chance(81 + list(SIZES).index(split))
        candidates, features, targets = [], [], []
        for _ in range(SIZES[split]):
            items = [f"item {chance.pick(_LEVELS)}/{place}" for place in range(_COUNT)]
            names = ("model", "popularity", "noise")
            row = {name: [chance.pick(_LEVELS) / 10 for _ in items] for name in names}
            total = [a + b for a, b in zip(row["model"], row["popularity"], strict=True)]
            candidates.append(items)
            features.append(json.dumps(row, sort_keys=True))
            targets.append([items[total.index(max(total))]])
        return {
            "user": arrow.texts([f"user {n}" for n in range(SIZES[split])]),
            "candidates": arrow.text_lists(candidates),
            "features": arrow.texts(features),
            "target": arrow.text_lists(targets),
        }
