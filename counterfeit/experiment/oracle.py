"""The arm ``oracle``: as if twice as many counterfeits had been found. What synthesis is measured against."""

import numpy as np
import torch
from numpy.typing import NDArray

from counterfeit.backbone import cross_fitting_folds
from counterfeit.data.split import limit_counterfeits
from counterfeit.detector import TrainingSet
from counterfeit.errors import UserError
from counterfeit.experiment.seed import Seed


def check_oracle(seed: Seed) -> str | None:
    """Whether a seed has counterfeits to double with.

    Returns:
        ``None``, or a line that says that there are fewer than twice as many.

    Raises:
        UserError: there are none.
    """
    found, more = int((seed.label == 1).sum()), len(more_counterfeits(seed))
    if not more:
        raise UserError(
            "the arm oracle needs training counterfeits that the others do not see, and all are in use:"
            " set --data.counterfeits to at most half of them, or leave it out of experiment.arms"
        )
    return None if more == found else f"seed {seed.number}: oracle has {more} counterfeits more, not {found}"


def more_counterfeits(seed: Seed) -> NDArray[np.intp]:
    """Rows of unused counterfeits that would come next, as many as training has, or all there are."""
    photos, split = seed.data.photos, np.where(seed.split == "unused", "train", seed.split)
    found, unused = int((seed.label == 1).sum()), int((seed.split == "unused").sum())
    # Selections at one seed are nested: the larger one adds what a run with twice the limit would learn from.
    wanted = limit_counterfeits(split, photos.label, photos.group, found + min(found, unused), seed.number)
    return np.flatnonzero(wanted & (seed.split == "unused"))


def with_oracle(seed: Seed) -> TrainingSet:
    """The real photographs and as many real counterfeits again, in all their views and at full weight."""
    rows = more_counterfeits(seed)
    fold, grid = np.stack([_folds(seed, rows)] * 2, 1), seed.real.masks.shape[1:]
    one, masks = np.ones(len(rows)), np.full((len(rows), *grid), np.nan, np.float32)
    label = seed.data.photos.label[rows]
    parts = [seed.real]
    for view in range(seed.data.views):
        embeddings, original = seed.data.embed(seed.embedder, rows, view), np.full(len(rows), view == 0)
        parts.append(TrainingSet(embeddings, label, one, fold, masks, real=one.astype(bool), original=original))
    return TrainingSet.concatenate(parts)


def _folds(seed: Seed, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Folds of further photographs: that of their group where training has it, else dealt anew, evenly."""
    group = seed.data.photos.group
    known = dict(zip(group[seed.train].tolist(), seed.fold.tolist(), strict=True))
    generator = torch.Generator().manual_seed(seed.number)
    label = torch.from_numpy(seed.data.photos.label[rows])
    dealt = cross_fitting_folds(label, group[rows].tolist(), seed.folds, generator).tolist()
    return np.array([known.get(name, new) for name, new in zip(group[rows].tolist(), dealt, strict=True)], np.int64)
