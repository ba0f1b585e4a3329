"""Synthetic images without a generator: neighbours joined (SMOTE), images mixed (mixup), rectangles pasted (CutMix)."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from counterfeit.errors import UserError
from counterfeit.synthesis.gate import FloatArray, squared_distances

NEIGHBOURS = 5  # of SMOTE, as in its paper
MIXUP_ALPHA = 0.4  # upper end of the range of the mixup paper for large images; 1 would mix half and half too often


def smote(
    features: FloatArray, label: NDArray[np.int64], count: int, seed: int
) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.intp]]:
    """New points between neighbours of one class (Chawla et al. 2002), by imbalanced-learn.

    Args:
        features: ``(N, D)``, standardised: the neighbours are sought in them.
        label: ``(N,)``.
        count: new points of each label.
        seed: source of all randomness.

    Returns:
        features ``(2 * count, D)``, labels ``(2 * count,)`` and parents ``(2 * count, 2)``: between which rows.

    Raises:
        UserError: a class has a single image, which has no neighbour.
    """
    from imblearn.over_sampling import SMOTE  # late: a second, which runs without this arm need not wait

    check_smote(label)
    sizes = np.bincount(label, minlength=2)
    neighbours = int(min(NEIGHBOURS, sizes.min() - 1))
    wanted = {c: int(sizes[c]) + count for c in (0, 1)}
    joined, joined_label = SMOTE(sampling_strategy=wanted, k_neighbors=neighbours, random_state=seed).fit_resample(
        features, label
    )
    new, new_label = np.asarray(joined)[len(label) :], np.asarray(joined_label, np.int64)[len(label) :]
    parents = np.empty((len(new), 2), np.intp)
    for c in (0, 1):
        rows = np.flatnonzero(label == c)
        parents[new_label == c] = rows[segment_ends(new[new_label == c], features[rows], neighbours)]
    return new, new_label, parents


def check_smote(label: NDArray[np.int64]) -> None:
    """Raise ``UserError`` where a class has a single training image, ``label`` ``(N,)``, which has no neighbour."""
    if np.bincount(label, minlength=2).min() < 2:
        raise UserError("the arm smote needs two training images of each class: leave it out of experiment.arms")


def segment_ends(points: FloatArray, features: FloatArray, neighbours: int) -> NDArray[np.intp]:
    """Between which two rows each point lies: imbalanced-learn does not say.

    Args:
        points: ``(M, D)``, each on the straight line from a row to one of its nearest neighbours.
        features: ``(N, D)``.
        neighbours: how many of the nearest are looked at.

    Returns:
        ``(M, 2)`` rows of ``features``.
    """
    near = NearestNeighbors(n_neighbors=neighbours + 1).fit(features).kneighbors(features, return_distance=False)
    starts, ends = np.repeat(np.arange(len(features)), neighbours + 1), near.ravel()
    length = np.linalg.norm(features[starts] - features[ends], axis=1)
    to_rows = np.sqrt(squared_distances(points, features))
    # On the line, and only there, the way over the point is no longer than the way without it.
    detour = [int((row[starts] + row[ends] - length).argmin()) for row in to_rows]
    return np.stack([starts[detour], ends[detour]], axis=1)


def draw_pairs(label: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Pairs ``(count, 2)`` of rows, each genuine or counterfeit with the same chance, as the detector draws them."""
    classes = [np.flatnonzero(label == c) for c in (0, 1)]
    chosen = generator.integers(2, size=(count, 2))
    drawn = [generator.choice(rows, (count, 2)) for rows in classes]
    return np.where(chosen == 1, drawn[1], drawn[0])


def counterfeit_share(
    label: NDArray[np.int64], pairs: NDArray[np.intp], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Soft labels ``(M,)``: how much of each mix is counterfeit.

    Args:
        label: ``(N,)``.
        pairs: ``(M, 2)`` rows that were mixed.
        share: ``(M,)`` share of the first in [0, 1].
    """
    return share * label[pairs[:, 0]] + (1 - share) * label[pairs[:, 1]]


def draw_mixup_shares(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Shares ``(count,)`` of the first image of each pair (Zhang et al. 2018): symmetric Beta."""
    return generator.beta(MIXUP_ALPHA, MIXUP_ALPHA, count)


def cut_mix(
    first: NDArray[np.uint8], second: NDArray[np.uint8], generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Rectangles of the second images pasted into the first ones at the same place (Yun et al. 2019).

    The rectangle has the sides of the image in proportion and an area drawn evenly between none and all; where it
    leaves the image it is cut, and the share counts what is left of it.

    Args:
        first: ``(N, S, S, 3)``.
        second: ``(N, S, S, 3)``.
        generator: source of all randomness.

    Returns:
        images ``(N, S, S, 3)`` and the share ``(N,)`` of the first image in each, by area.
    """
    count, size = first.shape[:2]
    half = size * np.sqrt(generator.random(count)) / 2
    centre = generator.integers(size, size=(count, 2))
    low, high = (np.clip(np.rint(centre + sign * half[:, None]), 0, size).astype(int) for sign in (-1, 1))
    place = np.arange(size)
    down, right = ((place >= low[:, i, None]) & (place < high[:, i, None]) for i in (0, 1))
    inside = down[:, :, None] & right[:, None, :]
    return np.where(inside[..., None], second, first), 1 - inside.mean((1, 2))
