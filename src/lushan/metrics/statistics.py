"""Statistics that each example adds to a metric, and their file beside the predictions.

`predictions/SPLIT.npz` holds sparse matrices (examples, statistics), one for each set of metrics
that share their statistics; with `classes` where the columns are counts by class, and `examples`
where not every example was measured: texts are generated for a sample.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lushan.common.parsing import parse_json

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float64]
Rows: TypeAlias = "Array | csr_matrix"
"""(N, D), whole or sparse."""

LARGEST = 1 << 31
"""Bytes that a file may unpack to."""
_PARTS = ("data", "indices", "indptr")


@dataclasses.dataclass(frozen=True)
class Sparse:
    """Sparse numbers as a file holds them: what compares runs need not wait for scipy's import.

    Attributes:
        data: The numbers that are not 0, row by row, (M,).
        indices: The column of each, (M,).
        indptr: Where each row begins, and the last one ends, (N + 1,).
        shape: (N, D).
    """

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        rows, width = self.shape
        ends = np.asarray(self.indptr)
        count = len(self.data)
        if (
            ends.shape != (rows + 1,)
            or ends[0] != 0
            or ends[-1] != count
            or (np.diff(ends) < 0).any()
        ):
            raise ValueError("its rows do not end where its numbers do")
        if self.indices.shape != (count,) or (
            count and not 0 <= self.indices.min() <= self.indices.max() < width
        ):
            raise ValueError("it has numbers outside its columns")

    def row_of_each(self) -> NDArray[np.int64]:
        """Return the row of each number, (M,)."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    def take(self, rows: Sequence[int]) -> Sparse:
        """Return some rows, in their order."""
        places = np.asarray(rows, np.int64)
        begins, sizes = self.indptr[:-1][places], np.diff(self.indptr)[places]
        ends = np.cumsum(np.concatenate([[0], sizes]))
        chosen = np.arange(ends[-1]) + np.repeat(begins - ends[:-1], sizes)
        shape = (len(places), self.shape[1])
        return Sparse(self.data[chosen], self.indices[chosen], ends, shape)

    def toarray(self) -> Array:
        """Return all of it, (N, D)."""
        return self.summed(self.shape[1], self.indices)

    def summed(self, width: int, columns: NDArray[Any]) -> Array:
        """Return the rows with each number added to another column, (N, `width`)."""
        places = self.row_of_each() * width + columns
        found = np.bincount(places, weights=self.data, minlength=self.shape[0] * width)
        return np.asarray(found, np.float64).reshape(self.shape[0], width)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics that the examples of a split add to some metrics.

    Attributes:
        rows: (N, D).
        classes: Names of the C classes, where D is parts · C, all classes of a part side by side.
        examples: Places (N,) of the measured examples in the split; None where it is all.
    """

    rows: Rows
    classes: Sequence[str] = ()
    examples: Sequence[int] | None = None


@dataclasses.dataclass(frozen=True)
class Stored:
    """`Statistics` as they were read."""

    rows: Sparse
    classes: Sequence[str]
    examples: Sequence[int] | None


def total(rows: Rows) -> Array:
    """Return the sums over examples, (D,)."""
    if isinstance(rows, np.ndarray):
        # Along memory, where NumPy adds in pairs and loses no digits.
        return np.asarray(np.ascontiguousarray(rows.T).sum(-1), float)
    return np.asarray(rows.sum(0), float).ravel()


def packed(found: Mapping[str, Statistics]) -> bytes:
    """Return the content of a file with some statistics, by name."""
    from scipy.sparse import csr_matrix

    arrays: dict[str, Any] = {}
    about: dict[str, Any] = {}
    for number, (name, one) in enumerate(found.items()):
        rows = csr_matrix(one.rows)
        arrays |= {f"{number}.{part}": getattr(rows, part) for part in _PARTS}
        if one.examples is not None:
            arrays[f"{number}.examples"] = np.asarray(one.examples, np.int64)
        about[name] = {"shape": list(rows.shape), "classes": list(one.classes)}
    # JSON in bytes: a name may hold what no array of strings keeps.
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, Stored]:
    """Read what `packed` made.

    Raises:
        ValueError: It is something else, or unpacks to more than is ever stored.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise ValueError("it unpacks to more than 2 GiB")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            about = parse_json(arrays["about"].tobytes())
            found = {}
            for number, (name, entry) in enumerate(about.items()):
                height, width = entry["shape"]
                data, indices, indptr = (arrays[f"{number}.{part}"] for part in _PARTS)
                rows = Sparse(data, indices, indptr, (height, width))
                key = f"{number}.examples"
                examples = arrays[key].tolist() if key in arrays.files else None
                found[str(name)] = Stored(rows, list(entry["classes"]), examples)
            return found
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, EOFError, OSError) as error:
        raise ValueError(f"not statistics of examples: {error}") from error
