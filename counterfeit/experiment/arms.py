"""The training set of each arm: the real photographs and what is added to them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from counterfeit.detector import TrainingSet
from counterfeit.experiment.seed import Seed
from counterfeit.synthesis import Bank


def with_bank(seed: Seed, bank: Bank, dose: float) -> TrainingSet:
    """The real photographs and a bank at a dose.

    Args:
        seed: the training side of the seed.
        bank: made from its training photographs.
        dose: weight of each label's synthetic images as a multiple of that label's real ones.
    """
    real = seed.real
    position = {path: i for i, path in enumerate(seed.data.photos.path[seed.train].tolist())}
    host, donor = (np.asarray([position[p] for p in paths.tolist()], np.int64) for paths in (bank.host, bank.donor))
    embeddings = seed.embedder(bank.pixels)
    masks = torch.from_numpy(bank.masks).float()[:, None] / 255
    grid = embeddings.patches.shape[1]
    weight = np.empty(len(bank))
    for label in (0, 1):
        weight[bank.label == label] = dose * (real.label == label).sum() / max(1, (bank.label == label).sum())
    added = TrainingSet(
        embeddings,
        bank.label,
        weight,
        np.stack([seed.fold[host], seed.fold[donor]], 1),
        F.interpolate(masks, size=(grid, grid), mode="area")[:, 0].numpy(),
        np.zeros(len(bank), bool),
        np.zeros(len(bank), bool),
    )
    return TrainingSet.concatenate([real, added])


def with_placebo(seed: Seed, count: int, dose: float) -> TrainingSet:
    """The real photographs and as many copies of them as a bank has images, at the same weight."""
    real = seed.real
    generator = np.random.default_rng([seed.number, 11])
    drawn: list[NDArray[np.intp]] = []
    for label in (0, 1):
        drawn.append(generator.choice(np.flatnonzero(real.label == label), count))
    rows = np.concatenate(drawn)
    weight = np.concatenate([np.full(count, dose * (real.label == label).sum() / count) for label in (0, 1)])
    no = np.zeros(len(rows), bool)
    copies = TrainingSet(
        real.embeddings[rows], real.label[rows], weight, real.folds[rows], real.masks[rows], real=no, original=no
    )
    return TrainingSet.concatenate([real, copies])
