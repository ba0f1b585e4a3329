"""The detector that a run hands over: its weights, and beside them what a score of it means."""

from dataclasses import asdict
from typing import Any

from counterfeit.data.files import file_sha256, write_json
from counterfeit.detector import Detector
from counterfeit.evaluation.bands import calibration_table, conformal_bands
from counterfeit.evaluation.operating_point import choose_operating_point
from counterfeit.experiment.calibration import probabilities, validation_parts
from counterfeit.experiment.cells import Cells
from counterfeit.experiment.seed import Seed
from counterfeit.experiment.tensors import save_tensors


def ship(cells: Cells, seed: Seed, arm: str, dose: float, alpha: float) -> None:
    """Write ``detector.safetensors``, backbone included, and ``detector.json`` into the run folder.

    Operating point, bands and calibration come from the seed's validation images.

    Args:
        cells: where the trained detectors are.
        seed: whose detector is handed over.
        arm: how it was trained.
        dose: of the arm.
        alpha: share of each class that may fall into the wrong band.
    """
    (detector, embedder), folder = cells.final(seed, arm, dose), cells.folder.path
    label, parts = validation_parts(seed, detector, embedder)
    probability = probabilities(detector, parts)
    save_tensors(detector.state_dict(), folder / "detector.safetensors")
    sha256 = file_sha256(folder / "detector.safetensors")
    meaning = {
        "operating_point": asdict(choose_operating_point(label, probability, cells.operating_point)),
        "bands": asdict(conformal_bands(label, probability, alpha)),
        "calibration": [asdict(bin_) for bin_ in calibration_table(label, probability)],
    }
    # Last, with the weights' hash: a detector half handed over is told from a whole one.
    write_json(folder / "detector.json", _card(detector, seed, arm, dose) | meaning | {"sha256": sha256})


def _card(detector: Detector, seed: Seed, arm: str, dose: float) -> dict[str, Any]:
    combination = detector.combination
    return {
        "arm": arm,
        "dose": dose,
        "seed": seed.number,
        "hyperparameters": {name: value for name, value in detector.hparams.items() if not name.startswith("_")},
        "mean": detector.backbone.mean.flatten().tolist(),
        "std": detector.backbone.std.flatten().tolist(),
        "captures": list(detector.captures.names),
        "platt": {"slope": combination.slope.item(), "offset": combination.offset.item()},
    }
