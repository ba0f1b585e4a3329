"""An append-only store of equally shaped arrays on disk, keyed by content and read through a memory map."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from counterfeit.errors import UserError, naming


def default_cache_folder() -> Path:
    """``$COUNTERFEIT_CACHE``, else ``$XDG_CACHE_HOME/counterfeit``, else ``~/.cache/counterfeit``."""
    if folder := os.environ.get("COUNTERFEIT_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "counterfeit"


def make_cache_folder(folder: Path) -> None:
    """Create the folder of a cache where it is missing; ``UserError`` where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the cache folder {folder}: {error.strerror}; set --data.cache") from error


class ArrayCache:
    """Rows of one shape and type in ``<name>.bin``, their keys in ``<name>.keys``, one line a row.

    A row exists once its key is written, so a process killed half-way leaves nothing that is read later.
    Several processes may append: a lock file serialises them.
    """

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape)) * self.dtype.itemsize
        make_cache_folder(folder)
        self._values, self._keys, self._lock = (folder / f"{name}.{end}" for end in ("bin", "keys", "lock"))
        self._index: dict[str, int] = {}
        self._bytes_read = 0
        self._refresh()

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def __len__(self) -> int:
        return len(self._index)

    def missing(self, keys: Sequence[str]) -> list[str]:
        """The keys without a row, each once, in the order given."""
        return [key for key in dict.fromkeys(keys) if key not in self._index]

    def append(self, keys: Sequence[str], values: NDArray[np.generic]) -> None:
        """Add one row for each key; keys that another process added meanwhile are left as they are.

        Args:
            keys: ``N`` keys without line breaks; of those given twice the first row counts.
            values: ``(N, *shape)``, cast to the type of the cache.
        """
        values = np.ascontiguousarray(values, dtype=self.dtype)
        if values.shape != (len(keys), *self.shape):
            raise ValueError(f"{len(keys)} keys of rows {self.shape} do not fit values of shape {values.shape}")
        with naming(self._values), self._locked():
            self._refresh()
            first = {key: i for i, key in reversed(list(enumerate(keys)))}
            fresh = sorted(i for key, i in first.items() if key not in self._index)
            with self._values.open("r+b" if self._values.exists() else "w+b") as file:
                file.seek(len(self._index) * self._row_bytes)
                file.truncate()
                file.write(values[fresh].tobytes())
            with self._keys.open("r+b" if self._keys.exists() else "w+b") as file:
                file.seek(self._bytes_read)
                file.truncate()  # a line cut short by a kill would swallow the first key
                file.write("".join(f"{keys[i]}\n" for i in fresh).encode())
            self._refresh()

    def rows(self, keys: Sequence[str]) -> NDArray[np.generic]:
        """The rows of the keys, ``(N, *shape)``, copied out of the memory map; a missing key raises ``KeyError``."""
        positions = [self._index[key] for key in keys]
        if not positions:
            return np.empty((0, *self.shape), self.dtype)
        table = np.memmap(self._values, self.dtype, mode="r", shape=(len(self._index), *self.shape))
        return np.asarray(table[positions])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _refresh(self) -> None:
        if not self._keys.exists():
            return
        with self._keys.open("rb") as file:
            file.seek(self._bytes_read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]  # a line cut short by a kill is no row
        for key in whole.decode().splitlines():
            self._index.setdefault(key, len(self._index))
        self._bytes_read += len(whole)
