"""The detector: three views of one frozen backbone pass and the layer that weighs them."""

from counterfeit.detector.batches import TrainingSet
from counterfeit.detector.module import PARTS, Detector
from counterfeit.detector.train import score_parts, train_detector

__all__ = ["PARTS", "Detector", "TrainingSet", "score_parts", "train_detector"]
