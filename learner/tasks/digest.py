"""One digest of arrays and words, each with its name, kind and size, so that no two sequences of them are the same."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray


class Digest:
    """SHA-256 over whatever is added, in order."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def array(self, name: str, values: NDArray[Any], kind: str) -> None:
        """Integers of any shape as little-endian `kind`, such as "<i8", whatever this machine has."""
        self._bytes(f"{name} {kind} {values.shape}", values.astype(kind, order="C").tobytes())

    def words(self, name: str, values: Sequence[object]) -> None:
        """Texts and numbers, also nested."""
        self._bytes(name, msgspec.msgpack.encode(values))

    def _bytes(self, name: str, data: bytes) -> None:
        self._sha.update(msgspec.msgpack.encode([name, len(data)]))
        self._sha.update(data)

    def hex(self) -> str:
        """64 digits."""
        return self._sha.hexdigest()
