"""Columns of numbers, appended part by part and read as one run of numbers each.

Memory stays flat: what is appended goes to a file for each column, and the Arrow file is put
together from memory maps of these.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lushan.common.arrays import np, pa
from lushan.data.encode import arrow
from lushan.data.encode.store import map_file, release
from lushan.run.caches import replacing

_MOST = 2**31 - 1
"""Values of a list column that 32-bit offsets reach."""
_CHUNK = 1 << 24
"""Bytes that are written before the pages they were read from are given back."""


class ColumnFiles:
    """Columns on their way to an Arrow file."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder, self.schema = folder, schema
        self.rows = 0
        self.files: dict[str, IO[bytes]] = {}
        for field in schema:
            parts = ("values", "sizes") if pa.types.is_list(field.type) else ("values",)
            for part in parts:
                name = f"{field.name}.{part}"
                self.files[name] = (folder / name).open("wb")

    def append(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch of the same schema."""
        self.rows += batch.num_rows
        for field, column in zip(self.schema, batch.columns, strict=True):
            values = column
            if pa.types.is_list(field.type):
                offsets = arrow.as_numpy(column.offsets)
                self.files[f"{field.name}.sizes"].write(np.diff(offsets).astype(np.int64).data)
                values = column.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
            self.files[f"{field.name}.values"].write(
                np.ascontiguousarray(arrow.as_numpy(values)).data
            )

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Write all columns as one batch of an Arrow file.

        Raises:
            RunFailed: The disk refuses.
        """
        for file in self.files.values():
            file.close()
        columns = [self._column(field) for field in self.schema]
        fields = [pa.field(f.name, c.type) for f, c in zip(self.schema, columns, strict=True)]
        schema = pa.schema(fields, metadata={"meta": json.dumps(dict(meta))})
        with replacing(path) as sink, pa.ipc.new_file(_Sparing(sink), schema) as writer:
            # One batch: a memory-mapped column is then one run of numbers.
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))

    def _column(self, field: pa.Field) -> pa.Array:
        data = map_file(self.folder / f"{field.name}.values")
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        count = data.size // kind.byte_width
        values = pa.Array.from_buffers(kind, count, [None, data])
        if not pa.types.is_list(field.type):
            return values
        wide = count > _MOST
        offsets = pa.Array.from_buffers(
            pa.int64() if wide else pa.int32(), self.rows + 1, [None, self._offsets(field, wide)]
        )
        return (pa.LargeListArray if wide else pa.ListArray).from_arrays(offsets, values)

    def _offsets(self, field: pa.Field, wide: bool) -> pa.Buffer:
        """Return where each list begins and the last one ends."""
        sizes = np.frombuffer(map_file(self.folder / f"{field.name}.sizes"), dtype=np.int64)
        path = self.folder / f"{field.name}.offsets"
        kind = np.int64 if wide else np.int32
        end = 0
        with path.open("wb") as file:
            file.write(np.zeros(1, dtype=kind).data)
            for start in range(0, len(sizes), _CHUNK // 8):
                ends = end + np.cumsum(sizes[start : start + _CHUNK // 8])
                file.write(ends.astype(kind).data)
                end = int(ends[-1])
        return map_file(path)


@contextlib.contextmanager
def column_files(folder: Path, schema: pa.Schema) -> Iterator[ColumnFiles]:
    """Files of columns in a folder of their own, gone at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as temporary:
        columns = ColumnFiles(Path(temporary), schema)
        try:
            yield columns
        finally:
            for file in columns.files.values():
                file.close()


class _Sparing:
    """A file that is written in chunks, with the pages of memory maps given back in between."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, data: memoryview) -> int:
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            self.file.write(view[start : start + _CHUNK])
            release()
        return len(view)

    def flush(self) -> None:
        self.file.flush()

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        """Do nothing: the caller that opened the file closes it."""
