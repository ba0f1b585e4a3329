"""What a trained detector learns from the validation images: calibration and operating point."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from counterfeit.backbone import Embedder
from counterfeit.detector import Detector, score_parts
from counterfeit.evaluation.operating_point import choose_operating_point
from counterfeit.experiment.seed import Seed


def validation_parts(seed: Seed, detector: Detector, embedder: Embedder) -> tuple[NDArray[np.int64], Tensor]:
    """Labels ``(N,)`` and parts ``(N, P)`` of a seed's validation images, seen by the detector's own embedder."""
    rows = seed.rows("validation")
    known = seed.known if embedder is seed.embedder else None
    return seed.data.photos.label[rows], score_parts(detector, seed.data.embed(embedder, rows, view=0), known=known)


def calibrate(detector: Detector, label: NDArray[np.int64], parts: Tensor, rule: str) -> None:
    """Calibrate a detector on validation and store the threshold that a rule chooses there.

    Args:
        detector: with trained heads and combination; changed in place.
        label: ``(N,)`` of the validation images.
        parts: ``(N, P)`` of them.
        rule: as in :func:`choose_operating_point`.
    """
    detector.combination.calibrate(parts, label)
    chosen = choose_operating_point(label, probabilities(detector, parts), rule)
    detector.combination.threshold.fill_(chosen.threshold)


def probabilities(detector: Detector, parts: Tensor) -> NDArray[np.float64]:
    """Probabilities of counterfeit ``(N,)`` of parts ``(N, P)``."""
    with torch.inference_mode():
        score: NDArray[np.float64] = torch.sigmoid(detector.combination(parts).double()).numpy()
    return score
