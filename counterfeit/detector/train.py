"""Train a detector on one arm's training set: distances, heads, correction, combination."""

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from counterfeit.backbone import Embeddings, GenuinePlaces, patch_sample
from counterfeit.detector.batches import HeadBatches, TrainingSet
from counterfeit.detector.captures import Copies
from counterfeit.detector.heads import log_distances, with_distances
from counterfeit.detector.module import Detector
from counterfeit.detector.remembered import Remembered
from counterfeit.detector.views import DISTANCES, fold_levels

STEPS_PER_EPOCH = 50
CHUNK = 256  # images scored at once


def train_detector(
    detector: Detector,
    trainer: pl.Trainer,
    training: TrainingSet,
    seed: int,
    *,
    one_class: bool = False,
    like: Detector | None = None,
    known: Remembered | None = None,
    places: GenuinePlaces | None = None,
    copies: Copies | None = None,
) -> None:
    """Fit distances, heads, correction and combination; the calibration is left to :meth:`Combination.calibrate`.

    Args:
        detector: freshly made.
        trainer: freshly made; its epochs have 50 steps each, whatever the arm.
        training: images of the arm.
        seed: source of all randomness.
        one_class: use the genuine distance alone, as if no counterfeit had been seen.
        like: a detector that was trained with this seed on the photographs that others add images to: what it knows of
            genuine ones is taken over, and heads that would learn the same, which saves their time and changes nothing
            unless the trainer clips gradients or ends by the clock.
        known: distances of images from these genuine photographs; added to.
        places: these genuine photographs at every place, where they were fitted before.
        copies: of the photographs, captured otherwise; their rows count the originals of ``training``. Without them,
            scores of photographs that were captured otherwise are not corrected.
    """
    genuine = training.original & (training.label == 0)
    _fit_to_genuine(detector, training, genuine, torch.Generator().manual_seed(seed), like, places)
    if not one_class:
        logarithms = _logarithms(detector, training, known)
        patches = torch.from_numpy(training.embeddings.patches[genuine])
        scales = with_distances(patch_sample(patches), patch_sample(logarithms[torch.from_numpy(genuine)]))
        for heads in (detector.patch_heads, detector.mask_heads):
            heads.standardise_to(scales)
        if like is not None and training.adds_masks_alone:
            detector.take_over_heads(like)
        sizes = {"images": 256, "patches": 1536, "bags": 8}
        batches = HeadBatches(training, logarithms, detector.folds, STEPS_PER_EPOCH, **sizes, seed=seed)
        trainer.fit(detector, DataLoader(batches, batch_size=None))
        for taken in (detector.image_heads, detector.patch_heads):
            taken.requires_grad_(True)  # if they were
    _fit_combination(detector, training, genuine, one_class, known, copies)


def _fit_to_genuine(
    detector: Detector,
    training: TrainingSet,
    genuine: NDArray[np.bool_],
    generator: torch.Generator,
    like: Detector | None,
    places: GenuinePlaces | None,
) -> None:
    """Distances, and the scales and whitening of the image heads: what no arm changes."""
    if like is None:
        patches, fold = (torch.from_numpy(x[genuine]) for x in (training.embeddings.patches, training.folds[:, 0]))
        detector.distances.fit(patches, fold, generator, places)
    else:
        detector.distances.take_over(like.distances)
    columns = (training.embeddings.pooled, training.label, training.folds[:, 0])
    pooled, label, fold = (torch.from_numpy(column[training.real]) for column in columns)
    detector.image_heads.standardise_to(pooled, label, fold, None if like is None else like.image_heads.genuine)


def _fit_combination(
    detector: Detector,
    training: TrainingSet,
    genuine: NDArray[np.bool_],
    one_class: bool,
    known: Remembered | None,
    copies: Copies | None,
) -> None:
    """The correction for capture, the scales of the evidence map and the weights of the views."""
    real = np.flatnonzero(training.original)  # views of one photograph would count as several
    truth, left_out = training.label[real], training.folds[real, 0]
    raw = score_parts(detector, training.embeddings, training.folds[:, 0], real, known).double().numpy()
    levels = fold_levels(raw, left_out, truth == 0)
    seen, parts = training.embeddings.pooled[real], raw - levels[left_out]
    if copies is not None:
        fold = left_out[copies.source]
        copied = score_parts(detector, copies.embeddings, fold, known=known).double().numpy() - levels[fold]
        detector.captures.fit(seen, parts, truth, copies, copied)
        parts, copied = _corrected(detector, parts, seen), _corrected(detector, copied, copies.embeddings.pooled)
    detector.evidence.standardise_to(_genuine_maps(detector, training.embeddings, np.flatnonzero(genuine), known))
    if one_class:
        detector.combination.use_equally(parts[truth == 0], DISTANCES)
        return
    detector.combination.fit(parts, truth, training.dose)
    if copies is not None:
        weight = (detector.combination.weight / detector.combination.scale).double().numpy()
        detector.captures.fit_attenuation(parts, truth, copies, copied, weight)


def _corrected(detector: Detector, parts: NDArray[np.float64], pooled: NDArray[np.float32]) -> NDArray[np.float64]:
    alike = detector.captures(torch.from_numpy(parts).float(), torch.from_numpy(pooled))
    corrected: NDArray[np.float64] = alike.double().numpy()
    return corrected


def score_parts(
    detector: Detector,
    embeddings: Embeddings,
    fold: NDArray[np.int64] | None = None,
    rows: NDArray[np.intp] | None = None,
    known: Remembered | None = None,
) -> Tensor:
    """Parts of embedded images, as :meth:`Detector.parts` gives them.

    Args:
        detector: with trained heads.
        embeddings: of all images.
        fold: ``(N,)`` cross-fitting folds of all, or none.
        rows: ``(M,)`` those to score; all unless given.
        known: distances of images from the detector's genuine photographs; added to.

    Returns:
        ``(M, 7)``.
    """
    known = known or Remembered()
    rows = np.arange(len(embeddings)) if rows is None else rows
    device = detector.device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            folds = None if fold is None else torch.from_numpy(fold[part]).to(device)
            pooled, patches = (torch.from_numpy(x[part]).to(device) for x in (embeddings.pooled, embeddings.patches))
            distances = known.distances(detector.distances, pooled, patches, folds)
            parts.append(detector.parts(pooled, patches, folds, distances).cpu())
    return torch.cat(parts)


def _logarithms(detector: Detector, training: TrainingSet, known: Remembered | None) -> Tensor:
    """Logarithms ``(M, G, G, 3)`` of the distances of all patches from genuine ones of other folds than the image's.

    A composite is compared without the fold of its host, of which it shows most.
    """
    known = known or Remembered()
    found = []
    with torch.inference_mode():
        for start in range(0, len(training), CHUNK):
            rows = slice(start, start + CHUNK)
            arrays = (training.embeddings.pooled, training.embeddings.patches, training.folds[:, 0])
            pooled, patches, fold = (torch.from_numpy(values[rows]).to(detector.device) for values in arrays)
            found.append(log_distances(known.distances(detector.distances, pooled, patches, fold)).half().cpu())
    return torch.cat(found)


def _genuine_maps(
    detector: Detector, embeddings: Embeddings, rows: NDArray[np.intp], known: Remembered | None
) -> Tensor:
    """Maps ``(N, 5, G, G)`` of genuine photographs, by all heads as on new images: they set scales, not scores.

    Cross-fitted maps of single heads vary more than their mean does, and its evidence pointed worse on drawn labels.
    """
    known = known or Remembered()
    maps = []
    with torch.inference_mode():
        for start in range(0, len(rows), CHUNK):
            part = embeddings[rows[start : start + CHUNK]]
            pooled, patches = (torch.from_numpy(x).to(detector.device) for x in (part.pooled, part.patches))
            distances = known.distances(detector.distances, pooled, patches, None)
            maps.append(detector.located(distances, *detector.patch_logits(patches, distances)).cpu())
    return torch.cat(maps)
