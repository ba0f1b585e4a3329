"""The photographs of a run, whose labels are known: references for a moderator, and hidden gold items."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import yaml  # type: ignore[import-untyped]

from counterfeit.data.place import photographs_folder


@dataclass(frozen=True)
class Known:
    """A photograph of the run's manifest; ``path`` is relative to the run's photographs."""

    path: str
    sha256: str
    label: int


def photographs_root(run: Path) -> Path | None:
    """Folder of the photographs that a run was made from; ``None`` where it is no longer there."""
    try:
        settings: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]
        accepted = photographs_folder.__annotations__
        root = photographs_folder(**{name: settings[name] for name in settings if name in accepted})
        return root if root.is_dir() else None
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return None


def known_photographs(run: Path) -> list[Known]:
    """The manifest of a run, real photographs only; empty where there is none."""
    manifest = run / "manifest.parquet"
    if not manifest.is_file():
        return []
    rows = pq.read_table(manifest, columns=["path", "sha256", "label", "source"]).to_pylist()
    return [Known(row["path"], row["sha256"], int(row["label"])) for row in rows if row["source"] == "real"]


class Tested(NamedTuple):
    """A photograph of known label, the detector's score of it, and how the detector says it was captured."""

    photograph: Known
    score: float
    captured: str


def tested_photographs(run: Path) -> list[Tested]:
    """Test photographs, which the run's detector never learned from, with what it says of them; for gold items."""
    try:
        card = json.loads((run / "detector.json").read_text(encoding="utf-8"))
        cell = run / "detector" / str(card["seed"]) / str(card["arm"]) / f"{card['dose']:g}"
        table = pq.read_table(cell / "predictions.parquet", columns=["path", "score", "captured"]).to_pylist()
    except (OSError, KeyError, ValueError):
        return []
    known = {photograph.path: photograph for photograph in known_photographs(run)}
    return [Tested(known[row["path"]], float(row["score"]), row["captured"]) for row in table if row["path"] in known]
