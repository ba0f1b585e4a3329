"""What ``python -m counterfeit.predict`` wrote: the scores, the bands and what they meant on validation."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import binomtest

from counterfeit.detector.card import BANDS, Band, Card, read_card
from counterfeit.detector.shards import SCHEMA
from counterfeit.errors import UserError
from counterfeit.evaluation.bands import CalibrationBin

FEW = 30  # validation images below which a share is hardly one


def sentence(part: CalibrationBin) -> str:
    """The share of counterfeits in a bin as a moderator reads it, with Wilson's 95 % interval."""
    if not part.n:
        return "No validation image had a score like this: take it as unclear."
    low, high = binomtest(part.counterfeits, part.n).proportion_ci(method="wilson")
    share = 100 * part.counterfeits / part.n
    return (
        f"Of 100 items like this, about {share:.0f} were counterfeit"
        f" (95 % interval {100 * low:.0f} to {100 * high:.0f}); n = {part.n}."
        f"{' So few say little: go by the interval.' if part.n < FEW else ''}"
    )


@dataclass(frozen=True)
class Scored:
    """A scores folder, checked.

    Attributes:
        folder: where it is.
        root: folder that the paths are relative to.
        run: the run folder of the detector; ``None`` where it is no longer there, or holds another one by now.
        rows: every input as ``predict`` wrote it, in the order scored.
        card: what the scores mean.
        bins: calibration on validation, from low to high.
        identity: SHA-256 of ``scores.parquet``.
    """

    folder: Path
    root: Path
    run: Path | None
    rows: list[dict[str, Any]]
    card: Card
    bins: list[CalibrationBin]
    identity: str

    def band(self, score: float) -> Band:
        """The band of a score."""
        return BANDS[int(self.card.band_numbers(np.array([score]))[0])]

    def meaning(self, score: float) -> str:
        """What the score meant on validation."""
        inside = [part for part in self.bins if part.low <= score < part.high]
        if not inside and self.bins and score >= self.bins[-1].high:
            inside = [self.bins[-1]]
        return sentence(inside[0] if inside else CalibrationBin(0, 1, 0, 0))


def read_scored(folder: Path, run: Path | None = None) -> Scored:
    """Read a scores folder.

    Args:
        folder: written by ``python -m counterfeit.predict``.
        run: where the run folder is now, if it was moved.

    Raises:
        UserError: the folder is not there or not complete, or ``run`` holds another detector than it was scored with.
    """
    parquet, card_file = folder / "scores.parquet", folder / "scores.json"
    for file in (parquet, card_file):
        if not file.is_file():
            raise UserError(f"{file} is missing: name a folder that python -m counterfeit.predict --out wrote")
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
        table = pq.read_table(parquet)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise UserError(f"{folder} cannot be read ({error}): score the photographs again") from error
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise UserError(f"{parquet} has no column {', '.join(missing)}: score the photographs again")
    try:
        return _scored(folder, run, card, table.select(SCHEMA.names).to_pylist())
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{card_file} lacks {error}: score the photographs again") from error


def _scored(folder: Path, run: Path | None, card: dict[str, Any], rows: list[dict[str, Any]]) -> Scored:
    meaning = Card(
        Path(card["run"]),
        sha256=str(card["detector_sha256"]),
        onnx_sha256=None,
        hyperparameters={},
        operating_point={
            "rule": str(card["operating_point"]["rule"]),
            "threshold": float(card["operating_point"]["threshold"]),
        },
        bands={name: float(card["bands"][name]) for name in ("genuine_below", "counterfeit_from")},
        calibration=[*card["calibration"]],
        captures=[*card["captures"]],
    )
    bins = (
        CalibrationBin(float(b["low"]), float(b["high"]), int(b["n"]), int(b["counterfeits"]))
        for b in meaning.calibration
    )
    return Scored(
        folder=folder,
        root=Path(card["root"]),
        run=_run_of(meaning, run),
        rows=rows,
        card=meaning,
        bins=sorted(bins, key=lambda part: part.low),
        identity=hashlib.sha256((folder / "scores.parquet").read_bytes()).hexdigest(),
    )


def _run_of(card: Card, named: Path | None) -> Path | None:
    """The run named, which must be the right one, or else the recorded one if it still is."""
    if named is not None:
        if read_card(named).sha256 != card.sha256:
            raise UserError(f"--run {named} holds another detector than the one that made these scores: name that one")
        return named
    try:
        return card.folder if read_card(card.folder).sha256 == card.sha256 else None
    except UserError:
        return None
