"""A folder of scores while it is made: parts written by rename, joined at the end, continued after a kill."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from counterfeit.data.files import write_json
from counterfeit.data.manifest import write_table
from counterfeit.detector.card import BANDS
from counterfeit.errors import UserError

RETRIED = ("missing", "unreadable")  # a file that a share which was not there may have had
FORMULA = r"^[=+\-@\t\r]"  # what a spreadsheet would compute
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("score", pa.float64()),
        ("band", pa.string()),
        ("counterfeit", pa.bool_()),
        ("captured", pa.string()),
    ]
)


class Shards:
    """The parts of one folder of scores.

    Args:
        out: the folder.
        job: what the scores are made of; parts of another job are not continued.

    Raises:
        UserError: the folder holds finished scores, parts of another job, or something else.
    """

    def __init__(self, out: Path, job: Mapping[str, Any]) -> None:
        self.out, self.parts = out, out / ".parts"
        try:
            self._begin(job)
        except OSError as error:
            raise UserError(f"cannot write to --out {out}: {error.strerror}") from error

    def _begin(self, job: Mapping[str, Any]) -> None:
        out = self.out
        if (out / "scores.json").exists():
            raise UserError(f"--out {out} holds finished scores; choose another folder")
        if out.exists() and not out.is_dir():
            raise UserError(f"--out {out} is a file; choose a folder")
        described = self.parts / "job.json"
        if described.is_file():
            if json.loads(described.read_text(encoding="utf-8")) != dict(job):
                raise UserError(
                    f"--out {out} holds unfinished scores of another detector, engine, folder or version;"
                    " choose another folder"
                )
        elif out.exists() and any(path != self.parts for path in out.iterdir()):
            raise UserError(f"--out {out} exists and holds something else; choose another folder")
        write_json(described, job)

    def missing(self, number: int, paths: list[str | None]) -> bool:
        """Whether a part is still to be made; one of other paths, or with files that could not be reached, is."""
        path = self._path(number)
        if not path.is_file():
            return True
        found = pa.parquet.ParquetFile(path).read(["path", "error"])
        return found["path"].to_pylist() != paths or not set(RETRIED).isdisjoint(found["error"].to_pylist())

    def write(self, number: int, rows: list[dict[str, Any]]) -> None:
        """Write a part; it appears whole."""
        write_table(pa.Table.from_pylist(rows, SCHEMA), self._path(number))

    def finish(self, count: int, about: Mapping[str, Any]) -> dict[str, Any]:
        """Join the first ``count`` parts, write ``scores.json`` last, and remove the parts.

        Args:
            count: number of parts.
            about: what ``scores.json`` says beside the counts.

        Returns:
            The counts.
        """
        paths = [self.out / f"scores.{suffix}" for suffix in ("parquet", "csv")]
        partial = [path.with_name(path.name + ".partial") for path in paths]
        counts: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        captured: Counter[str] = Counter()
        with (
            pa.parquet.ParquetWriter(partial[0], SCHEMA) as parquet,
            pa.csv.CSVWriter(partial[1], SCHEMA) as csv,
        ):
            for table in self._tables(count):
                parquet.write_table(table)
                csv.write_table(_guarded(table))
                counts.update(table["status"].to_pylist())
                counts.update(band for band in table["band"].to_pylist() if band is not None)
                counts["counterfeit"] += sum(flag or 0 for flag in table["counterfeit"].to_pylist())
                errors.update(reason for reason in table["error"].to_pylist() if reason is not None)
                captured.update(kind for kind in table["captured"].to_pylist() if kind is not None)
        for path, written in zip(paths, partial, strict=True):
            os.replace(written, path)
        names = ("ok", "error", *BANDS, "counterfeit")
        total = {"inputs": counts["ok"] + counts["error"], **{name: counts[name] for name in names}}
        found = total | {"captured": dict(captured.most_common()), "errors": dict(errors.most_common())}
        write_json(self.out / "scores.json", {**about, "counts": found})
        shutil.rmtree(self.parts)
        return found

    def _tables(self, count: int) -> Iterator[pa.Table]:
        for number in range(count):
            yield pa.parquet.ParquetFile(self._path(number)).read()

    def _path(self, number: int) -> Path:
        return self.parts / f"{number:06d}.parquet"


def _guarded(table: pa.Table) -> pa.Table:
    """The rows for a spreadsheet: file names come from strangers, and one that is a formula would be run."""
    path = table["path"]
    harmless = pc.if_else(pc.match_substring_regex(path, FORMULA), pc.binary_join_element_wise("'", path, ""), path)
    return table.set_column(table.schema.get_field_index("path"), SCHEMA.field("path"), harmless)
