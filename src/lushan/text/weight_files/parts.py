"""A reader of binary files that never reads beyond their end."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.errors import UserError


class Parts:
    """The parts of a binary file, one after another; numbers are little-endian.

    Args:
        file: The file, which is mapped to memory.
        key: The config key it comes from, for the error.
    """

    def __init__(self, file: Path, key: str) -> None:
        self.file, self.key = file, key
        self.place = 0
        try:
            self.bytes: NDArray[np.uint8] = np.memmap(file, dtype=np.uint8, mode="r")
        except (OSError, ValueError) as error:  # ValueError: it is empty
            raise UserError(f"the file cannot be read: {error}", key=key, file=file) from error

    def malformed(self, problem: str) -> UserError:
        """Return the error for a file that is not as its format has it."""
        return UserError(
            f"the file is malformed: {problem}",
            key=self.key,
            file=self.file,
            hint="Was it written or copied completely?",
        )

    @property
    def left(self) -> int:
        """Bytes up to the end."""
        return len(self.bytes) - self.place

    def skip(self, size: int) -> None:
        """Go past so many bytes.

        Raises:
            UserError: The file has fewer.
        """
        if not 0 <= size <= self.left:
            raise self.malformed(f"it ends within the item that begins at byte {self.place}")
        self.place += size

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """Return numbers in the layout of `struct`."""
        start = self.place
        self.skip(struct.calcsize(f"<{layout}"))
        return struct.unpack(f"<{layout}", self.bytes[start : self.place].tobytes())

    def number(self, layout: str) -> Any:
        """Return one number."""
        return self.numbers(layout)[0]

    def take(self, size: int) -> bytes:
        """Return so many bytes."""
        start = self.place
        self.skip(size)
        return self.bytes[start : self.place].tobytes()

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        """Return an array of numbers."""
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype)
