"""Cross-validation: one of K folds of the training split is held out."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from lushan.common.arrays import pa
from lushan.common.wording import plural
from lushan.configurable import Within
from lushan.data.fields import Fields
from lushan.data.splits import hold_out
from lushan.errors import UserError


@dataclasses.dataclass(kw_only=True)
class WithFolds:
    """Options of a source whose training split may be cut into folds.

    Args:
        folds: Number of folds of the training split. Labels are spread evenly; duplicates and
            groups (`data.group`) stay together; `data.seed` is the random seed.
        fold: The fold to hold out in this run, from 1.
        fold_split: The split that the held-out fold replaces.
    """

    folds: Annotated[int, Within(least=2)] | None = None
    fold: Annotated[int, Within(least=1)] | None = None
    fold_split: Literal["test", "validation"] = "test"

    def require_folds(self) -> None:
        """Check the options among themselves.

        Raises:
            UserError: One is missing, or the split that the fold becomes is there already.
        """
        if self.folds is None and self.fold is None:
            return
        if self.folds is None or self.fold is None:
            lacking = "folds" if self.folds is None else "fold"
            hint = "Write data.folds=5 data.fold=1, and in a sweep data.fold=1,2,3,4,5."
            raise UserError("set data.folds and data.fold", key=f"data.{lacking}", hint=hint)
        if self.fold > self.folds:
            raise UserError(f"there are {self.folds} folds", key="data.fold", value=self.fold)
        if getattr(self, "train", None) is None:
            raise UserError(
                "there is no training split to divide into folds",
                key="data.folds",
                value=self.folds,
            )
        if (there := getattr(self, self.fold_split)) is not None:
            other = "validation" if self.fold_split == "test" else "test"
            raise UserError(
                f"the held-out fold is the {self.fold_split} split, but a file for that split is "
                "given",
                key=f"data.{self.fold_split}",
                value=there,
                hint=f"Write data.{self.fold_split}=null, or data.fold_split={other}.",
            )

    def held_out(self) -> dict[str, tuple[int, int]]:
        """Return the split that a fold becomes, to its number and how many there are."""
        if self.fold is None or self.folds is None:
            return {}
        return {self.fold_split: (self.fold, self.folds)}

    def cut(
        self, table: pa.Table, fields: Fields, seed: int, notes: list[str]
    ) -> dict[str, pa.Table]:
        """Return the training split without this run's fold, and the fold."""
        if self.fold is None or self.folds is None:
            return {}
        file = str(table.column("file")[0])
        learned, held, kept = hold_out(table, fields, self.fold, self.folds, seed, file=file)
        if not held.num_rows:
            raise UserError(
                f"all {plural(kept, 'example')} in it have labels that no other fold has",
                key="data.fold",
                value=self.fold,
                file=file,
            )
        text = f"fold {self.fold} of {self.folds}: {plural(held.num_rows, 'example')} held out"
        if kept:
            text += f", {kept} kept for training because no other fold has their labels"
        notes.append(text)
        return {"train": learned, self.fold_split: held}
