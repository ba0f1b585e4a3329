"""The second phase of a cell: with ``model.unfreeze`` its detector gets a backbone of its own."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from counterfeit.backbone import Backbone, Embedder
from counterfeit.data.transforms import augment
from counterfeit.detector import Detector, TrainingSet, train_detector
from counterfeit.detector.finetune import BackboneTuning, TuningSet, finetune
from counterfeit.experiment.calibration import calibrate, validation_parts
from counterfeit.experiment.oracle import more_counterfeits
from counterfeit.experiment.seed import Seed
from counterfeit.synthesis import Bank


def tuned_embedder(seed: Seed, backbone: Backbone) -> Embedder:
    """Embeds with a tuned backbone; nothing is cached, as no other cell has the same."""
    return Embedder(seed.embedder.name, seed.embedder.size, None, seed.embedder.device, backbone)


def tune(
    seed: Seed,
    detector: Detector,
    images: TuningSet,
    training_set: Callable[[Seed], TrainingSet],
    make_detector: Callable[[], Detector],
    make_trainer: Callable[[], pl.Trainer],
    operating_point: str,
) -> Detector:
    """Tune the last stages of the backbone, embed all anew, fit distances, heads and combination again.

    Args:
        seed: the training side of the seed.
        detector: of the cell, on the frozen backbone.
        images: of the arm, as pixels.
        training_set: the arm's training set as embedded by a seed's embedder.
        make_detector: gives a fresh detector.
        make_trainer: gives a fresh trainer.
        operating_point: rule that chooses the threshold on validation.

    Returns:
        A calibrated detector. Its views are weighed on validation, as the backbone has seen every training image.
    """
    data = seed.data

    def view(pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        return augment(pixels, data.preset, data.flips, number)

    torch.manual_seed(seed.number)  # anew: how much was drawn before depends on what was read back
    tuned = make_detector()
    tuning = BackboneTuning(detector.backbone, int(detector.hparams["unfreeze"]), detector.image_heads.std)
    tuned.backbone = finetune(tuning, make_trainer(), images, view, seed.number)
    again = replace(seed, embedder=tuned_embedder(seed, tuned.backbone))
    training = training_set(again)
    train_detector(tuned, make_trainer(), training, seed.number, copies=again.copies)
    label, parts = validation_parts(again, tuned, again.embedder)
    tuned.combination.fit(parts.double().numpy(), label, training.dose)
    calibrate(tuned, label, parts, operating_point)
    return tuned.eval()


def tuning_set(seed: Seed, arm: str, training: TrainingSet, bank: Bank | None) -> TuningSet:
    """What of an arm's training set has pixels: the photographs and, where the arm has one, its bank.

    What an arm adds as embeddings, copies or mixes takes part only afterwards, when the heads are fitted.

    Args:
        seed: the training side of the seed.
        arm: its name.
        training: of the arm; the rows that are not real are those of the bank, if there is one.
        bank: of the arm; ``None`` for arms without images of their own.
    """
    photographs = np.concatenate([seed.train, more_counterfeits(seed)]) if arm == "oracle" else seed.train
    pixels = [seed.data.pixels(photographs)]
    rows = training.original.copy()
    if bank is not None and len(bank):
        pixels.append(bank.pixels)
        rows |= ~training.real
    # A photograph stands for all of its views, which are drawn anew for each batch.
    weight = np.where(training.original, training.weight * seed.data.views, training.weight)
    chosen = replace(training, weight=np.where(rows, weight, 0.0))
    return TuningSet(np.concatenate(pixels), training.label[rows], chosen.image_probability()[rows])
