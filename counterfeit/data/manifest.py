"""The manifest: which images there are, their labels and groups, read and checked as a table."""

import csv
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from counterfeit.data.files import replacing
from counterfeit.data.walk import SUFFIXES, ignored_in_words, photographs_below
from counterfeit.errors import UserError

LABELS = {"genuine": 0, "counterfeit": 1, "0": 0, "1": 1}
SPLITS = ("train", "validation", "test")
SOURCES = ("real", "synthetic")
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.int8()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("kind", pa.string()),
        ("source", pa.string()),
    ]
)


def read_manifest(root: Path, manifest: Path | None = None) -> pa.Table:
    """Read ``manifest``, else ``root/manifest.csv`` or ``.parquet``, else the folders ``root/{genuine,counterfeit}``.

    Which files of the folders are left out by their suffix is said on stderr.

    Args:
        root: the folder that the paths are relative to.
        manifest: a table (CSV or Parquet) with ``path`` and ``label`` (``genuine`` or 0, ``counterfeit`` or 1), and,
            where known, ``group``, ``split``, ``kind`` and ``source``; other columns are left out.

    Returns:
        A table of ``SCHEMA`` sorted by path: ``label`` 0 or 1, ``group`` and ``split`` null where not given.

    Raises:
        UserError: the folder or table is not there, or a row of it cannot be right.
    """
    if manifest is not None and not manifest.is_file():
        raise UserError(f"there is no manifest {manifest}; check --data.manifest")
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; set --data.root to the folder of your photographs")
    if manifest is None:
        manifest = next((path for path in (root / "manifest.csv", root / "manifest.parquet") if path.exists()), None)
        if manifest is not None and not manifest.is_file():
            raise UserError(f"{manifest} is no file: put a table there, or nothing to go by the folders")
    rows, ignored = _rows_of_folders(root) if manifest is None else (_rows_of_table(manifest), "")
    place = str(manifest or root) + (f" (left out by suffix: {ignored})" if ignored else "")
    if not rows:
        raise UserError(f"no images in {place}; {_layout(root)}")
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["path"])), schema=SCHEMA)
    _check_paths(table)
    _check_classes(table["label"].to_pylist(), place)
    if ignored:
        print(f"left out by suffix: {ignored}", file=sys.stderr)
    if table["split"].null_count < len(table):
        check_splits(table)
    return table


def check_splits(table: pa.Table) -> None:
    """Raise ``UserError`` for a group in two splits, a split without one of the classes, or a synthetic image outside.

    Synthetic images belong in ``train`` alone, and every image to one of the three splits.
    """
    columns = (table[name].to_pylist() for name in ("path", "label", "group", "split", "source"))
    classes: dict[str, set[int]] = {split: set() for split in SPLITS}
    splits_of_group: dict[str, str] = {}
    for path, label, group, split, source in zip(*columns, strict=True):
        if split is None:
            raise UserError(f"{path} has no split; give one to every image or leave the column out")
        if source == "synthetic" and split != "train":
            raise UserError(f"{path} is synthetic and in {split}; synthetic images belong in train only")
        if group is not None and splits_of_group.setdefault(group, split) != split:
            raise UserError(
                f"group {group} is in {splits_of_group[group]} and, by {path}, in {split}; keep each group in one split"
            )
        classes[split].add(label)
    for split, found in classes.items():
        for name in ("genuine", "counterfeit"):
            if LABELS[name] not in found:
                raise UserError(
                    f"the split {split} has no {name} images; every split needs both classes:"
                    " move some, or leave the split column out"
                )


def read_columns(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> pa.Table:
    """Read columns of a table, CSV (UTF-8) or Parquet by its suffix, as they are; CSV as text throughout.

    Args:
        path: the file.
        names: columns that it must have.
        optional: columns that are read where it has them.

    Raises:
        UserError: it cannot be read, lacks a column or has one twice.
    """
    try:
        if path.suffix == ".parquet":
            file = pa.parquet.ParquetFile(path)  # not `read_table`, which reads meaning into folder names
            return file.read(_columns(file.schema_arrow.names, names, optional, path))
        with path.open(encoding="utf-8-sig", newline="") as text:
            lines = csv.reader(text, skipinitialspace=True)
            header = [name.strip() for name in next((line for line in lines if line), [])]
        # As text throughout: a group "007" is not the number 7.
        types = dict.fromkeys(header, pa.string())
        return pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(column_names=header, skip_rows=lines.line_num),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=types, include_columns=_columns(header, names, optional, path)
            ),
        )
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
        raise UserError(f"cannot read {path} as CSV (UTF-8) or Parquet: {error}") from error


def _columns(found: Sequence[str], needed: Sequence[str], optional: Sequence[str], path: Path) -> list[str]:
    """The columns to read, each once."""
    if missing := [name for name in needed if name not in found]:
        divided = " (divided by ';'? save it with commas)" if any(";" in name for name in found) else ""
        raise UserError(f"{path} has no column {' and '.join(missing)}; it has {', '.join(found) or 'none'}{divided}")
    wanted = [name for name in dict.fromkeys((*needed, *optional)) if name in found]
    if twice := [name for name in wanted if found.count(name) > 1]:
        raise UserError(f"{path} has the column {twice[0]} more than once; keep one")
    return wanted


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as CSV or Parquet, by the suffix of ``path``; readers see the old file or the whole new one."""
    with replacing(path) as partial:
        if path.suffix == ".csv":
            pa.csv.write_csv(table, partial)
        else:
            pa.parquet.write_table(table, partial)


def _layout(root: Path) -> str:
    return f"put photographs into {root / 'genuine'} and {root / 'counterfeit'} ({', '.join(SUFFIXES)})"


def _rows_of_folders(root: Path) -> tuple[list[dict[str, str | int | None]], str]:
    """The photographs of the class folders, whatever the case of their names, and what else lies there, in words."""
    rows: list[dict[str, str | int | None]] = []
    ignored = Counter[str]()
    _, folders, _ = next(os.walk(root), ("", [], []))
    for name in folders:
        if (label := name.lower()) in ("genuine", "counterfeit"):
            found = photographs_below(root / name)
            ignored += found.ignored
            rows += [
                {"path": f"{name}/{path}", "label": LABELS[label], "kind": "", "source": "real"} for path in found.paths
            ]
    return rows, ignored_in_words(ignored)


def _rows_of_table(manifest: Path) -> list[dict[str, str | int | None]]:
    table = read_columns(manifest, ("path", "label"), SCHEMA.names)
    columns = {name: _texts(table, name) if name in table.column_names else [""] * len(table) for name in SCHEMA.names}
    return [
        _row(dict(zip(columns, values, strict=True)), f"{manifest}, row {number}")
        for number, values in enumerate(zip(*columns.values(), strict=True), start=1)
    ]


def _texts(table: pa.Table, name: str) -> list[str]:
    return ["" if value is None else str(value).strip() for value in table[name].to_pylist()]


def _row(text: dict[str, str], place: str) -> dict[str, str | int | None]:
    if not text["path"]:
        raise UserError(f"{place}: the path is empty; give the file relative to the root")
    source = text["source"] or "real"
    _check_choice(text["label"], tuple(LABELS), "label", place)
    _check_choice(source, SOURCES, "source", place)
    if text["split"]:
        _check_choice(text["split"], SPLITS, "split", place)
    return {
        "path": PurePosixPath(text["path"].replace("\\", "/")).as_posix(),
        "label": LABELS[text["label"]],
        "group": text["group"] or None,
        "split": text["split"] or None,
        "kind": text["kind"],
        "source": source,
    }


def _check_choice(value: str, choices: Sequence[str], column: str, place: str) -> None:
    if value not in choices:
        raise UserError(f"{place}: unknown {column} '{value}'; use one of {', '.join(choices)}")


def _check_paths(table: pa.Table) -> None:
    paths = table["path"].to_pylist()
    for path in paths:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or path[1:2] == ":":
            raise UserError(f"the path {path} leads out of the root; give paths relative to --data.root")
    if twice := [path for path, count in Counter(paths).items() if count > 1]:
        raise UserError(f"{twice[0]} is listed more than once ({len(twice)} such paths); keep one row each")


def _check_classes(labels: Sequence[int], place: str) -> None:
    for name in ("genuine", "counterfeit"):
        if LABELS[name] not in labels:
            raise UserError(f"no {name} images in {place}; both classes are needed, genuine and counterfeit")
