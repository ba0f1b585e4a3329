"""Reading a run folder for its report: every file may be missing, and one that cannot be read is a ``UserError``."""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from counterfeit.errors import UserError
from counterfeit.evaluation.predictions import read_parquet
from counterfeit.report.figures import Curve

_GENERATORS = ("gan", "gan-noise", "gan-dcgan")  # a folder for each kind, the refiner's first


class DrawRow(NamedTuple):
    """What became of the images drawn for one class, summed over ``seeds`` banks."""

    label: str
    seeds: int
    drawn: int
    kept: int
    rejected: dict[str, int]


def read_text(path: Path) -> str | None:
    """Return the content of a file, ``None`` if there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else None


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, empty if there is none.

    Raises:
        UserError: it is not valid JSON.
    """
    try:
        return json.loads(read_text(path) or "{}")
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); delete it or rerun its stage") from error


def predictions(run: Path) -> pa.Table | None:
    """Return the predictions of all arms, doses and seeds as one table, ``None`` if there are none."""
    files = sorted((run / "detector").glob("*/*/*/predictions.parquet"))
    parts = [read_parquet(file) for file in files]
    return pa.concat_tables(parts, promote_options="permissive") if parts else None


def newest_samples(run: Path) -> list[tuple[Path, str]]:
    """Return file and seed of the newest sample grid of each seed that has one."""
    newest = []
    for folder in _seed_folders(_generators(run)):
        grids = sorted((folder / "samples").glob("*.png"), key=lambda path: (_numbers(path.stem), path.name))
        newest += [(grids[-1], folder.name)] if grids else []
    return newest


def gan_runs(run: Path) -> list[dict[str, Any]]:
    """Return what ``done.json`` says of the health of each seed's generators, of every kind."""
    kept = ("seed", "attempt", "healthy", "reason", "images")
    done = [read_json(folder / "done.json") for name in _GENERATORS for folder in _seed_folders(run / name)]
    return [
        {"kind": entry.get("settings", {}).get("kind")} | {key: entry.get(key) for key in kept}
        for entry in done
        if entry
    ]


def synthetic_draws(run: Path) -> list[DrawRow]:
    """Sum the counts of ``provenance.json`` over the banks of all seeds, one row a class."""
    totals: dict[str, DrawRow] = {}
    for folder in _seed_folders(run / "synthetic"):
        for label, counts in _by_class(read_json(folder / "provenance.json")).items():
            before = totals.get(label, DrawRow(label, 0, 0, 0, {}))
            rejected = dict(before.rejected)
            for reason, count in counts.get("rejected", {}).items():
                rejected[reason] = rejected.get(reason, 0) + int(count)
            drawn, kept = int(counts.get("drawn", 0)), int(counts.get("kept", 0))
            totals[label] = DrawRow(label, before.seeds + 1, before.drawn + drawn, before.kept + kept, rejected)
    return list(totals.values())


def gan_curves(run: Path) -> list[Curve]:
    """Return what ``metrics.csv`` recorded of the GAN's training, for all seeds."""
    return [
        curve for folder in _seed_folders(_generators(run)) for curve in _recorded(folder / "metrics.csv", folder.name)
    ]


def quarantined(run: Path) -> dict[str, int] | None:
    """Count unreadable images by reason, ``None`` if nobody looked."""
    text = read_text(run / "quarantine.csv")
    if text is None:
        return None
    reasons: dict[str, int] = {}
    for row in csv.DictReader(text.splitlines()):
        reason = row.get("reason") or "no reason given"
        reasons[reason] = reasons.get(reason, 0) + 1
    return reasons


def _numbers(name: str) -> tuple[int, ...]:
    """Read the numbers in a file name, so that ``step_900`` comes before ``step_1000``."""
    return tuple(int(number) for number in re.findall(r"\d+", name))


def _generators(run: Path) -> Path:
    """Folder of the refiners, else of what a run without them has trained."""
    return next((run / name for name in _GENERATORS if (run / name).is_dir()), run / "gan")


def _seed_folders(parent: Path) -> list[Path]:
    return sorted((p for p in parent.glob("*") if p.is_dir()), key=lambda path: (_numbers(path.name), path.name))


def _by_class(provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read counts by class, whether the file has classes outside, inside its counts, or none."""
    drawn = provenance.get("drawn")
    if isinstance(drawn, Mapping):
        return {
            label: {
                key: provenance.get(key, {}).get(label, {} if key == "rejected" else 0) for key in DrawRow._fields[2:]
            }
            for label in drawn
        }
    if drawn is not None:
        return {"all": dict(provenance)}
    return {label: part for label, part in provenance.items() if isinstance(part, dict) and "drawn" in part}


def _recorded(path: Path, seed: str) -> Iterator[Curve]:
    """Every numeric column of a ``metrics.csv`` over its ``images`` (or else ``step``) column; gaps are passed over."""
    text = read_text(path)
    rows = list(csv.DictReader((text or "").splitlines()))
    columns = list(rows[0]) if rows else []
    clock = next((name for name in ("images", "step") if name in columns), None)
    for name in columns:
        values = [(_number(row[clock]), _number(row[name])) for row in rows] if clock else []
        values = [(x, y) for x, y in values if math.isfinite(x) and math.isfinite(y)]
        if values and name not in ("images", "step", "epoch"):
            yield Curve(name, seed, [x for x, _ in values], [y for _, y in values])


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
