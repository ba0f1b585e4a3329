"""What ``python -m counterfeit.predict`` wrote: the scores, the bands and what they meant on validation."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import binomtest

from counterfeit.errors import UserError

COLUMNS = ("path", "sha256", "status", "error", "score", "band", "counterfeit")
FEW = 30  # validation images below which a share is hardly one
BANDS = ("likely genuine", "unclear", "likely counterfeit")


@dataclass(frozen=True)
class Bin:
    """Validation images with scores in [low, high): how many there were, and how many of them were counterfeit."""

    low: float
    high: float
    n: int
    counterfeits: int

    def sentence(self) -> str:
        """The share as a moderator reads it, with Wilson's 95 % interval."""
        if not self.n:
            return "No validation image had a score like this: take it as unclear."
        low, high = binomtest(self.counterfeits, self.n).proportion_ci(method="wilson")
        share = 100 * self.counterfeits / self.n
        return (
            f"Of 100 items like this, about {share:.0f} were counterfeit"
            f" (95 % interval {100 * low:.0f} to {100 * high:.0f}); n = {self.n}."
            f"{' So few say little: go by the interval.' if self.n < FEW else ''}"
        )


@dataclass(frozen=True)
class Scored:
    """A scores folder, checked.

    Attributes:
        folder: where it is.
        root: folder that the paths are relative to.
        run: the run folder of the detector; ``None`` where it is no longer there.
        rows: ``COLUMNS`` of every input, in the order scored.
        genuine_below: scores below are likely genuine.
        counterfeit_from: scores at or above are likely counterfeit.
        threshold: of the operating point.
        rule: of the operating point, such as ``fpr<=0.05``.
        bins: calibration on validation, from low to high.
        identity: SHA-256 of ``scores.parquet``.
        detector: SHA-256 of the detector.
    """

    folder: Path
    root: Path
    run: Path | None
    rows: list[dict[str, Any]]
    genuine_below: float
    counterfeit_from: float
    threshold: float
    rule: str
    bins: list[Bin]
    identity: str
    detector: str

    def band(self, score: float) -> str:
        """The band of a score."""
        if score < self.genuine_below:
            return BANDS[0]
        return BANDS[2] if score >= self.counterfeit_from else BANDS[1]

    def meaning(self, score: float) -> str:
        """What the score meant on validation."""
        inside = [part for part in self.bins if part.low <= score < part.high]
        if not inside and self.bins and score >= self.bins[-1].high:
            inside = [self.bins[-1]]
        return (inside[0] if inside else Bin(0, 1, 0, 0)).sentence()


def read_scored(folder: Path, run: Path | None = None) -> Scored:
    """Read a scores folder.

    Args:
        folder: written by ``python -m counterfeit.predict``.
        run: where the run folder is now, if it was moved.

    Raises:
        UserError: the folder is not there or not complete.
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
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise UserError(f"{parquet} has no column {', '.join(missing)}: score the photographs again")
    try:
        return _scored(folder, run, card, table.select(COLUMNS).to_pylist())
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{card_file} lacks {error}: score the photographs again") from error


def _scored(folder: Path, run: Path | None, card: dict[str, Any], rows: list[dict[str, Any]]) -> Scored:
    bins = card["calibration"]
    bins = bins["bins"] if isinstance(bins, dict) else bins
    run = run or Path(card["run"])
    return Scored(
        folder=folder,
        root=Path(card["root"]),
        run=run if run.is_dir() else None,
        rows=rows,
        genuine_below=float(card["bands"]["genuine_below"]),
        counterfeit_from=float(card["bands"]["counterfeit_from"]),
        threshold=float(card["operating_point"]["threshold"]),
        rule=str(card["operating_point"]["rule"]),
        bins=sorted(
            (Bin(float(b["low"]), float(b["high"]), int(b["n"]), int(b["counterfeits"])) for b in bins),
            key=lambda part: part.low,
        ),
        identity=hashlib.sha256((folder / "scores.parquet").read_bytes()).hexdigest(),
        detector=str(card["detector_sha256"]),
    )
