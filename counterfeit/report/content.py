"""All that the report says, as data: the content of ``report.json``, documented in docs/report.md."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from counterfeit.data.files import without_nan
from counterfeit.errors import UserError
from counterfeit.evaluation.comparison import Comparison
from counterfeit.report.headline import decision, headline, limits
from counterfeit.report.run_folder import (
    gan_runs,
    predictions,
    quarantined,
    read_json,
    read_text,
    synthetic_draws,
)
from counterfeit.report.slices import slices

SCHEMA = 1
_HASHED = ("config.yaml", "manifest.parquet", "splits.parquet", "comparison.json", "detector.safetensors")
_OPTIONAL = {
    "learning_curve": "learning curve and worth",
    "holdout": "unseen kinds",
    "audits": "audits",
    "robustness": "robustness",
}


def read_comparison(run: Path) -> tuple[Comparison, dict[str, Any]]:
    """Read ``comparison.json``, and as plain data with the keys that others added.

    Raises:
        UserError: it is missing or is no comparison.
    """
    text = read_text(run / "comparison.json")
    if text is None:
        raise UserError(f"{run}: no comparison.json to report on; run the compare stage first")
    try:
        return Comparison.from_json(text), json.loads(text)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{run / 'comparison.json'} is not a comparison ({error!r}); rerun the compare stage"
        ) from error


def content(run: Path, comparison: Comparison, plain: dict[str, Any]) -> dict[str, Any]:
    """Gather ``report.json`` from the run folder; what the run left out is ``null`` or empty.

    Args:
        run: the run folder.
        comparison: of the run.
        plain: ``comparison.json`` as it is.
    """
    optional = {name: read_json(run / f"{name}.json") or None for name in _OPTIONAL}
    missing = [words for name, words in _OPTIONAL.items() if optional[name] is None]
    gallery = read_json(run / "gallery" / "gallery.json").get("errors", [])
    shipped = comparison.product if comparison.verdict == "HELPS" else comparison.baseline
    shipped = read_json(run / "detector.json").get("arm", shipped)
    return {
        "schema": SCHEMA,
        "run": run.resolve().name,
        "headline": headline(comparison),
        "decision": decision(comparison),
        "comparison": plain,
        "learning_curve": optional["learning_curve"],
        "holdout": optional["holdout"],
        "dose": {
            "arm": comparison.product,
            "dose": plain.get("dose", comparison.product_dose),
            "reason": plain.get("dose_reason"),
        },
        "audits": optional["audits"],
        "gan": gan_runs(run),
        "synthesis": [row._asdict() for row in synthetic_draws(run)],
        "robustness": optional["robustness"],
        "slices": [
            row._asdict() | {name: vars(getattr(row, name)) for name in ("baseline", "product", "difference")}
            for row in slices(run, predictions(run), comparison)
        ],
        "gallery": [entry for entry in gallery if entry.get("arm") == shipped],
        "quarantine": quarantined(run),
        "provenance": _provenance(run),
        "limits": limits(comparison, missing),
    }


def to_json(value: dict[str, Any]) -> str:
    """Text of ``report.json``: an undefined number is null."""
    return json.dumps(without_nan(value), indent=1, ensure_ascii=False) + "\n"


def _provenance(run: Path) -> dict[str, Any]:
    files = [run / name for name in _HASHED]
    files += sorted(run.glob("gan*/*/gan.safetensors")) + sorted(run.glob("*/*/provenance.json"))
    return {
        "config": read_text(run / "config.yaml"),
        "environment": read_json(run / "env.json"),
        "sha256": {file.relative_to(run).as_posix(): _sha256(file) for file in files if file.is_file()},
        "started": _date(run / "manifest.parquet"),
        "compared": _date(run / "comparison.json"),
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _date(file: Path) -> str | None:
    """Return the file's date, in UTC to the second."""
    return datetime.fromtimestamp(int(file.stat().st_mtime), UTC).isoformat() if file.is_file() else None
