"""What shall be scored: a folder of photographs, or a table with a column of paths, as one row an input."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa

from counterfeit.data.manifest import read_columns
from counterfeit.data.walk import SUFFIXES, ignored_in_words, photographs_below
from counterfeit.errors import UserError


@dataclass(frozen=True)
class Listing:
    """Inputs in order.

    Attributes:
        root: absolute folder that the paths are relative to.
        paths: one an input, null where the table has none; compact, for there may be millions.
        ignored: number of files of a folder that are no photographs by their suffix.
    """

    root: Path
    paths: pa.Array
    ignored: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    def chunks(self, size: int) -> Iterator[list[str | None]]:
        """The paths in lists of ``size``, the last one shorter."""
        for start in range(0, len(self.paths), size):
            yield self.paths[start : start + size].to_pylist()


def read_listing(source: Path, root: Path | None = None) -> Listing:
    """Read the inputs.

    Args:
        source: a folder, of which every photograph is an input, hidden ones left out; or a CSV or Parquet file with a
            column ``path``, of which every row is.
        root: folder that the table's paths are relative to; its own if none.

    Raises:
        UserError: there is no such folder or table, or nothing in it.
    """
    left_out = ""
    if source.is_dir():
        base = source.resolve()
        found = photographs_below(base)
        left_out = ignored_in_words(found.ignored)
        # A name that is not UTF-8 cannot stand in a table; its row will say so.
        listing = Listing(base, pa.array(found.paths, pa.string()), found.ignored.total())
    elif source.is_file():
        root = source.parent if root is None else root
        if not root.is_dir():
            raise UserError(f"there is no folder {root}; --root is the folder that the paths are relative to")
        paths = read_columns(source, ["path"])["path"]
        try:
            paths = paths.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UserError(f"the column path of {source} is not text: {error}") from error
        base = root.resolve()
        listing = Listing(base, pa.array((_relative(path, base) for path in paths.to_pylist()), pa.string()))
    else:
        raise UserError(
            f"there is no folder or table {source}; give a folder of photographs or a table with a column path"
        )
    if not len(listing):
        besides = f" (left out by suffix: {left_out})" if left_out else ""
        raise UserError(f"no photographs in {source}{besides}: {', '.join(SUFFIXES)} are looked for")
    return listing


def _relative(path: str | None, root: Path) -> str | None:
    """A path of a table below the root; one outside stays as it is, and its row will say so."""
    if path is None or not path.strip():
        return None
    pure = PurePosixPath(path.strip().replace("\\", "/"))
    return pure.relative_to(root).as_posix() if pure.is_relative_to(root) else pure.as_posix()
