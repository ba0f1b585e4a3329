"""The training set of each arm: the real photographs and what is added to them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from counterfeit.backbone import Embeddings
from counterfeit.detector import TrainingSet
from counterfeit.experiment.oracle import with_oracle
from counterfeit.experiment.seed import Seed
from counterfeit.synthesis import Bank
from counterfeit.synthesis.mixing import counterfeit_share, cut_mix, draw_mixup_shares, draw_pairs, smote

BANKS = ("transplant", "unrefined", "synthetic", "synthetic-random", "procedural", "noise", "dcgan")
EVERYWHERE = 255  # a mask that covers the whole image does not say where it looks counterfeit


def training_set(seed: Seed, arm: str, count: int, dose: float, bank: Callable[[str], Bank]) -> TrainingSet:
    """What an arm trains on.

    Args:
        seed: the training side of the seed.
        arm: its name.
        count: images that the arm adds of each label.
        dose: weight of what is added: of each label's images in the image heads, as a multiple of the real ones of
            that label; where masks are known, of the mask heads, which at 1 weigh eight times the patch heads.
        bank: gives the bank of an arm that has one.
    """
    if arm in ("one-class", "real"):
        return seed.real
    if arm == "oracle":
        return with_oracle(seed)
    if arm in BANKS:
        return with_bank(seed, bank(arm), dose)
    drawn = {"placebo": with_placebo, "smote": with_smote, "mixup": with_mixup, "cutmix": with_cutmix}
    return drawn[arm](seed, count, dose)


def with_bank(seed: Seed, bank: Bank, dose: float) -> TrainingSet:
    """The real photographs and a bank at a dose; they alone if nothing passed the bank's gates.

    Args:
        seed: the training side of the seed.
        bank: made from its training photographs.
        dose: weight of what is added, as in :func:`training_set`.
    """
    if not len(bank):
        return seed.real
    position = {path: i for i, path in enumerate(seed.data.photos.path[seed.train].tolist())}
    parents = np.asarray([[position[p] for p in paths.tolist()] for paths in (bank.host, bank.donor)], np.int64).T
    embeddings = seed.embedder(bank.pixels)
    grid = embeddings.patches.shape[1]
    shares = torch.from_numpy(bank.masks).float()[:, None] / 255
    masks = F.interpolate(shares, size=(grid, grid), mode="area")[:, 0].numpy()
    masks[(bank.masks == EVERYWHERE).all((1, 2))] = np.nan
    return _with(seed, embeddings, bank.label, seed.fold[parents], dose, masks=masks)


def with_placebo(seed: Seed, count: int, dose: float) -> TrainingSet:
    """The real photographs and as many copies of them as a bank has images, at the same weight."""
    real = seed.real
    generator = np.random.default_rng([seed.number, 11])
    drawn = [generator.choice(np.flatnonzero(real.label == label), count) for label in (0, 1)]
    rows = np.concatenate(drawn)
    return _with(seed, real.embeddings[rows], real.label[rows], real.folds[rows], dose, masks=real.masks[rows])


def with_smote(seed: Seed, count: int, dose: float) -> TrainingSet:
    """The real photographs and points between their pooled features, for the image head alone."""
    embeddings = seed.embeddings()
    pooled = embeddings.pooled.astype(np.float64)
    mean, deviation = pooled.mean(0), pooled.std(0) + 1e-6
    features, label, parents = smote((pooled - mean) / deviation, seed.label, count, seed.number)
    # Without masks no head looks at the patches of an added image, so any will do.
    added = replace(embeddings[parents[:, 0]], pooled=(features * deviation + mean).astype(np.float32))
    return _with(seed, added, label, seed.fold[parents], dose)


def with_mixup(seed: Seed, count: int, dose: float) -> TrainingSet:
    """The real photographs and convex mixes of their embeddings, with soft labels (Verma et al. 2019).

    A mix is added once for each label, weighing its share of it: the same loss as a soft label.
    """
    generator = np.random.default_rng([seed.number, 17])
    real = seed.real
    pairs = draw_pairs(real.label, count, generator)
    share = draw_mixup_shares(count, generator)
    first, second = (real.embeddings[rows] for rows in pairs.T)
    pooled = share[:, None] * first.pooled + (1 - share[:, None]) * second.pooled
    folds = np.concatenate([real.folds[pairs[:, 0], :1], real.folds[pairs[:, 1], :1]], 1)
    mixed = Embeddings(pooled.astype(np.float32), first.patches)
    return _with_soft(seed, mixed, folds, dose, counterfeit_share(real.label, pairs, share))


def with_cutmix(seed: Seed, count: int, dose: float) -> TrainingSet:
    """The real photographs and mixes of their pixels, a rectangle of one in the other, with soft labels by area."""
    generator = np.random.default_rng([seed.number, 19])
    pairs = draw_pairs(seed.label, count, generator)
    first, second = (seed.data.pixels(seed.train[rows]) for rows in pairs.T)
    images, share = cut_mix(first, second, generator)
    soft = counterfeit_share(seed.label, pairs, share)
    return _with_soft(seed, seed.embedder(images), seed.fold[pairs], dose, soft)


def _with_soft(
    seed: Seed, embeddings: Embeddings, folds: NDArray[np.int64], dose: float, soft: NDArray[np.float64]
) -> TrainingSet:
    """Each image once as counterfeit, weighing its share ``soft`` of it, and once as genuine, weighing the rest."""
    twice = np.tile(np.arange(len(soft)), 2)
    label, share = np.repeat([1, 0], len(soft)), np.concatenate([soft, 1 - soft])
    return _with(seed, embeddings[twice], label, folds[twice], dose, share=share)


def _with(
    seed: Seed,
    embeddings: Embeddings,
    label: NDArray[np.int64],
    folds: NDArray[np.int64],
    dose: float,
    *,
    share: NDArray[np.float64] | None = None,
    masks: NDArray[np.float32] | None = None,
) -> TrainingSet:
    """The real photographs and added images.

    Where masks are known, the mask heads learn from them and the image heads do not: no dose of transplants improved
    the image heads (docs/decisions/0009). Else the weights of each label sum to the dose of the real ones'.
    """
    real = seed.real
    count, grid = len(label), embeddings.patches.shape[1]
    weight = np.ones(count) if share is None else share.copy()
    for c in (0, 1):
        weight[label == c] *= dose * (real.label == c).sum() / max(weight[label == c].sum(), 1e-12)
    known = masks is not None and np.isfinite(masks).all()
    if known:
        weight[:] = 0.0
    if masks is None:
        masks = np.full((count, grid, grid), np.nan, np.float32)
    no = np.zeros(count, bool)
    added = TrainingSet(embeddings, label, weight, folds, masks, real=no, original=no, dose=dose if known else 0.0)
    return TrainingSet.concatenate([real, added])
