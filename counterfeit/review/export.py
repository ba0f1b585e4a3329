"""Decisions as training data: a manifest that ``python -m counterfeit.fit`` reads, or a whole folder of photographs."""

import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from counterfeit.data.images import BadImage
from counterfeit.data.manifest import read_columns, write_table
from counterfeit.data.walk import SUFFIXES
from counterfeit.errors import UserError
from counterfeit.output import check_free, draft
from counterfeit.review.pictures import Pictures

COLUMNS = ("path", "label", "kind", "source", "item", "score", "reviewers", "note", "decided_at", "sha256")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
FORMED = re.compile(r"near\d{5,}")  # the name of a group that a run formed itself


@dataclass(frozen=True)
class Exported:
    """What was written where.

    Attributes:
        path: the manifest or the folder.
        genuine: rows decided so.
        counterfeit: rows decided so.
        left_out: decisions whose name does not fit into a CSV, or whose file is no longer readable.
        known: photographs of the run, copied.
        known_left_out: those that could not be, by reason.
    """

    path: Path
    genuine: int
    counterfeit: int
    left_out: int
    known: int = 0
    known_left_out: Mapping[str, int] = field(default_factory=dict)


def decided(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every photograph of a decided item, each of its copies too; gold items and unsure ones are left out."""
    rows = db.execute(
        """SELECT l.path, i.id AS item, i.sha256, i.verdict, i.score, MAX(d.at) AS decided_at,
          GROUP_CONCAT(d.reviewer, ', ') AS reviewers,
          COALESCE(GROUP_CONCAT(NULLIF(d.note, ''), ' | '), '') AS note,
          MAX(CASE WHEN d.verdict = i.verdict THEN d.reason ELSE '' END) AS kind
        FROM item i JOIN (SELECT DISTINCT item, path FROM listing) l ON l.item = i.id
          JOIN decision d ON d.item = i.id AND NOT d.undone
        WHERE i.state = 'done' AND i.verdict != 'unsure' AND i.origin = 'scored' GROUP BY i.id, l.path
        ORDER BY l.path, MAX(d.event)"""
    )
    return [{**dict(row), "label": row["verdict"], "source": "real"} for row in rows]


def write_manifest(rows: Sequence[dict[str, Any]], path: Path) -> Exported:
    """Write a manifest of the scored photographs as CSV or Parquet, by the suffix of ``path``.

    A spreadsheet that opens the CSV finds no formula in it: paths begin with ``./``, which means the same, and other
    texts that begin like one get an apostrophe. Names with line breaks or NUL do not fit into a CSV and are left out.
    Of two contents that were scored under one path, the one decided last is meant.
    """
    rows = list({row["path"]: row for row in rows}.values())
    kept = rows
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
    rows: Sequence[dict[str, Any]], photographs: Pictures, run: Path, known: Pictures, out: Path
) -> Exported:
    """Write a folder for ``--data.root``: the run's photographs and the decided ones, copied, with a manifest.

    Args:
        rows: from :func:`decided`; each content is copied once, unless the run has it already.
        photographs: the scored ones.
        run: the run whose manifest they join.
        known: photographs of that run.
        out: the folder, which must not exist or be empty. It appears complete or not at all.

    Raises:
        UserError: there is nothing to write, or ``out`` holds something, or none of the run's photographs is there.
    """
    check_free(out, "--photographs")
    with draft(out, "--photographs") as drafted:
        first, missed = _copy_known(run, known, drafted)
        second, left_out = _copy_decided(rows, photographs, drafted, {row["sha256"] for row in first})
        if not second:
            raise UserError("nothing to export: no item is decided as genuine or counterfeit yet, or none is new")
        columns = ("path", "label", "group", "kind", "source")
        table = pa.table({name: [str(row[name]) for row in [*first, *second]] for name in columns})
        write_table(table, drafted / "manifest.parquet")
    return replace(_exported(out, second, left_out), known=len(first), known_left_out=missed)


def _copy_known(run: Path, known: Pictures, draft: Path) -> tuple[list[dict[str, Any]], Counter[str]]:
    rows = read_columns(run / "manifest.parquet", ["path", "label", "group", "kind", "source", "sha256"]).to_pylist()
    kept, missed = [], Counter[str]()
    for row in rows:
        if row["source"] != "real":
            continue
        try:
            content = known.content(row["path"], row["sha256"])
        except BadImage as bad:
            missed[bad.reason] += 1
            continue
        target = draft / "known" / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        label = "counterfeit" if row["label"] else "genuine"
        # Groups that the run formed are numbered within it; the next one forms them anew, with the decided photographs.
        group = "" if FORMED.fullmatch(row["group"] or "") else row["group"] or ""
        kept.append(row | {"path": f"known/{row['path']}", "label": label, "group": group})
    if not kept:
        raise UserError(f"none of the photographs of {run} is in {known.root} as it was: name the run with --run")
    return kept, missed


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
