"""The photographs of a run, whose labels are known: references for a moderator, and hidden gold items."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml  # type: ignore[import-untyped]

from counterfeit.errors import UserError


@dataclass(frozen=True)
class Known:
    """A photograph of the run's manifest; ``path`` is relative to the run's photographs."""

    path: str
    sha256: str
    label: int


def photographs_root(run: Path) -> Path | None:
    """Folder of the photographs that a run was made from; ``None`` where it is no longer there."""
    # Imported late: a review without its run needs no torch, and opens at once.
    from counterfeit.data.datamodule import ProductData

    try:
        settings: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]
        accepted = ProductData.__init__.__annotations__
        data = ProductData(**{name: settings[name] for name in settings if name in accepted and name != "fractions"})
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError, UserError):
        return None
    root = data.folder
    return root if root.is_dir() else None


def known_photographs(run: Path) -> list[Known]:
    """The manifest of a run, real photographs only; empty where there is none."""
    manifest = run / "manifest.parquet"
    if not manifest.is_file():
        return []
    rows = pq.read_table(manifest, columns=["path", "sha256", "label", "source"]).to_pylist()
    return [Known(row["path"], row["sha256"], int(row["label"])) for row in rows if row["source"] == "real"]


def tested_photographs(run: Path) -> list[tuple[Known, float]]:
    """Test photographs of the run's detector, which it never learned from, with its scores; for gold items."""
    try:
        card = json.loads((run / "detector.json").read_text(encoding="utf-8"))
        cell = run / "detector" / str(card["seed"]) / str(card["arm"]) / f"{card['dose']:g}"
        table = pq.read_table(cell / "predictions.parquet", columns=["path", "score"]).to_pylist()
    except (OSError, KeyError, ValueError):
        return []
    known = {photograph.path: photograph for photograph in known_photographs(run)}
    return [(known[row["path"]], float(row["score"])) for row in table if row["path"] in known]
