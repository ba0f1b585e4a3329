"""``detector.json``: what a stored detector is and what its scores mean. Read without torch."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from counterfeit.errors import UserError, continuing

Band = Literal["likely genuine", "unclear", "likely counterfeit"]
BANDS: tuple[Band, ...] = get_args(Band)
WEIGHTS, GRAPH = "detector.safetensors", "detector.onnx"


@dataclass(frozen=True)
class Card:
    """What ``detector.json`` says; the keys of what are no plain values are listed in docs/run-folder.md.

    Attributes:
        folder: where it lies, and the weights beside it.
        sha256: of ``detector.safetensors``.
        onnx_sha256: of ``detector.onnx``, in an exported folder.
        hyperparameters: of the :class:`~counterfeit.detector.module.Detector`.
        operating_point: rule, threshold and what they do on validation.
        bands: where they begin and end, and their error rate.
        calibration: bins of validation scores.
        captures: kinds of capture that photographs are told apart by; the first is as in training.
    """

    folder: Path
    sha256: str
    onnx_sha256: str | None
    hyperparameters: dict[str, Any]
    operating_point: dict[str, Any]
    bands: dict[str, Any]
    calibration: list[dict[str, Any]]
    captures: list[str]

    def __post_init__(self) -> None:
        """Raise ``ValueError`` where a kind of capture has no name."""
        if not self.captures or not all(isinstance(kind, str) for kind in self.captures):
            raise ValueError("names of captures")

    @property
    def size(self) -> int:
        """Side in pixels at which images are looked at."""
        return int(self.hyperparameters["size"])

    @property
    def threshold(self) -> float:
        """Probability from which on an image is called counterfeit."""
        return float(self.operating_point["threshold"])

    def band_numbers(self, probability: NDArray[np.float64]) -> NDArray[np.int64]:
        """Positions in ``BANDS`` of probabilities ``(N,)``."""
        edges = [self.bands["genuine_below"], self.bands["counterfeit_from"]]
        return np.searchsorted(edges, probability, side="right").astype(np.int64)


def read_card(folder: Path) -> Card:
    """Read the card of a run folder or an export.

    Raises:
        UserError: the folder holds no finished detector, or one of another version.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; --run takes a run folder or an export")
    path, is_run = folder / "detector.json", (folder / "config.yaml").is_file()
    if not path.is_file():
        if is_run:
            raise UserError(f"the run {folder} did not finish its detector; continue it: {continuing(folder)}")
        raise UserError(f"{folder} holds no detector.json; --run takes a run folder or an export")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        card = Card(
            folder,
            sha256=str(content["sha256"]),
            onnx_sha256=content.get("onnx_sha256"),
            hyperparameters={**content["hyperparameters"]},
            operating_point={**content["operating_point"]},
            bands={**content["bands"]},
            calibration=[*content["calibration"]],
            captures=[*content["captures"]],
        )
        _check(card)
        return card
    except (OSError, ValueError, KeyError, TypeError) as error:
        anew = f"write it anew: {continuing(folder)}" if is_run else "export the run again"
        raise UserError(f"{path} is damaged or of another version; {anew}") from error


def _check(card: Card) -> None:
    """Raise ``KeyError``, ``TypeError`` or ``ValueError`` where what scores are judged by is missing or no number."""
    numbers = [card.threshold, float(card.bands["genuine_below"]), float(card.bands["counterfeit_from"])]
    numbers += [float(part[name]) for part in card.calibration for name in ("low", "high", "n", "counterfeits")]
    if not np.isfinite(numbers).all() or not card.operating_point["rule"] or card.size < 1:
        raise ValueError("a number is none")


def read_checked(path: Path, sha256: str | None) -> bytes:
    """The bytes of a detector's file, which must be those that its card names.

    Raises:
        UserError: the file is missing or another one.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; copy the whole folder, or run its last stages again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path} is not the file that detector.json describes; copy or write both again")
    return content
