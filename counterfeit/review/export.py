"""Decisions as training data: a manifest that ``python -m counterfeit.fit`` reads, or a whole folder of photographs."""

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from counterfeit.data.images import BadImage
from counterfeit.data.manifest import SUFFIXES, write_table
from counterfeit.errors import UserError
from counterfeit.review.pictures import Pictures

COLUMNS = ("path", "label", "kind", "source", "item", "score", "reviewers", "note", "decided_at", "sha256")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Exported:
    """What was written where: rows by label, decisions left out (name unfit for CSV, or file no longer readable)."""

    path: Path
    genuine: int
    counterfeit: int
    left_out: int


def decided(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every photograph of a decided item, each of its copies too; gold items and unsure ones are left out."""
    rows = db.execute(
        """SELECT l.path, i.id AS item, i.sha256, i.verdict, i.score, MAX(d.at) AS decided_at,
          GROUP_CONCAT(d.reviewer, ', ') AS reviewers,
          COALESCE(GROUP_CONCAT(NULLIF(d.note, ''), ' | '), '') AS note,
          MAX(CASE WHEN d.verdict = i.verdict THEN d.reason ELSE '' END) AS kind
        FROM item i JOIN listing l ON l.item = i.id JOIN decision d ON d.item = i.id AND NOT d.undone
        WHERE i.state = 'done' AND i.verdict != 'unsure' AND i.origin = 'scored' GROUP BY l.rowid ORDER BY l.path"""
    )
    return [{**dict(row), "label": row["verdict"], "source": "real"} for row in rows]


def write_manifest(rows: Sequence[dict[str, Any]], path: Path) -> Exported:
    """Write a manifest of the scored photographs as CSV or Parquet, by the suffix of ``path``.

    A spreadsheet that opens the CSV finds no formula in it: paths begin with ``./``, which means the same, and other
    texts that begin like one get an apostrophe. Names with line breaks or NUL do not fit into a CSV and are left out.
    """
    kept = list(rows)
    if path.suffix == ".csv":
        kept = [row | {name: harmless(row[name]) for name in ("kind", "reviewers", "note")} for row in rows]
        kept = [row | {"path": f"./{row['path']}"} for row in kept if not set("\n\r\0") & set(row["path"])]
    elif path.suffix != ".parquet":
        raise UserError(f"--out {path}: end the name in .csv or .parquet")
    if not kept:
        raise UserError("nothing to export: no item is decided as genuine or counterfeit yet")
    write_table(pa.table({name: [row[name] for row in kept] for name in COLUMNS}), path)
    return _exported(path, kept, len(rows) - len(kept))


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula, in one line."""
    line = " ".join(text.replace("\0", " ").split())
    return f"'{line}" if line.startswith(FORMULA) else line


def write_photographs(
    rows: Sequence[dict[str, Any]], photographs: Pictures, run: Path | None, known: Pictures | None, out: Path
) -> Exported:
    """Write a folder for ``--data.root``: the run's photographs and the decided ones, copied, with a manifest.

    Args:
        rows: from :func:`decided`; each content is copied once, unless the run has it already.
        photographs: the scored ones.
        run: the run whose manifest they join.
        known: photographs of that run; ``None`` leaves them out.
        out: the folder, which must not exist or be empty. It appears complete or not at all.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--photographs {out} exists and is not an empty folder: choose another")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        first = _copy_known(run, known, draft) if run is not None and known is not None else []
        second, left_out = _copy_decided(rows, photographs, draft, {row["sha256"] for row in first})
        if not second:
            raise UserError("nothing to export: no item is decided as genuine or counterfeit yet, or none is new")
        columns = ("path", "label", "group", "kind", "source")
        table = pa.table({name: [str(row[name]) for row in [*first, *second]] for name in columns})
        write_table(table, draft / "manifest.parquet")
        draft.chmod(0o755)
        draft.replace(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return _exported(out, second, left_out)


def _copy_known(run: Path, known: Pictures, draft: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(run / "manifest.parquet").to_pylist()
    rows = [row for row in rows if row["source"] == "real"]
    kept = []
    for row in rows:
        try:
            content = known.content(row["path"], row["sha256"])
        except BadImage:
            continue
        target = draft / "known" / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        label = "counterfeit" if row["label"] else "genuine"
        kept.append(row | {"path": f"known/{row['path']}", "label": label})
    return kept


def _copy_decided(
    rows: Sequence[dict[str, Any]], photographs: Pictures, draft: Path, known: set[str]
) -> tuple[list[dict[str, Any]], int]:
    kept, left_out = [], 0
    distinct = {row["sha256"]: row for row in rows if row["sha256"] not in known}
    for digest, row in distinct.items():
        try:
            content = photographs.content(row["path"], digest)
        except BadImage:
            left_out += 1
            continue
        name = f"decided/{row['label']}/{digest[:24]}{_suffix(row['path'])}"
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_bytes(content)
        kept.append(row | {"path": name, "group": ""})
    return kept, left_out


def _suffix(path: str) -> str:
    suffix = Path(path).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def _exported(path: Path, rows: Sequence[dict[str, Any]], left_out: int) -> Exported:
    labels = [row["label"] for row in rows]
    return Exported(path, labels.count("genuine"), labels.count("counterfeit"), left_out)
