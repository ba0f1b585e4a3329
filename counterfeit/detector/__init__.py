"""The detector: three views of one frozen backbone pass and the layer that weighs them; and its use, the Scorer."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterfeit.detector.batches import TrainingSet
    from counterfeit.detector.captures import Copies
    from counterfeit.detector.module import Detector
    from counterfeit.detector.remembered import Remembered
    from counterfeit.detector.scorer import Score, Scorer
    from counterfeit.detector.train import score_parts, train_detector
    from counterfeit.detector.views import PARTS, fold_levels

__all__ = [
    "PARTS",
    "Copies",
    "Detector",
    "Remembered",
    "Score",
    "Scorer",
    "TrainingSet",
    "fold_levels",
    "score_parts",
    "train_detector",
]

_MODULE = {
    "PARTS": "views",
    "Copies": "captures",
    "Detector": "module",
    "Remembered": "remembered",
    "Score": "scorer",
    "Scorer": "scorer",
    "TrainingSet": "batches",
    "fold_levels": "views",
    "score_parts": "train",
    "train_detector": "train",
}


def __getattr__(name: str) -> Any:
    # Late, because an exported detector is scored where torch is not installed.
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)
