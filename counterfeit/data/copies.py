"""Near-duplicates between two sets of images, by the means of :mod:`counterfeit.data.groups`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterfeit.data.groups import (
    HIGHEST_THRESHOLD,
    LOWEST_THRESHOLD,
    POSES,
    VIEW_DIMENSIONS,
    Floats,
    agreement,
    pose_matrix,
    to_grey,
    unit_length,
    view,
)

NEAREST = 2  # references a query is compared with at most, by their views
BACKGROUND_PAIRS = 60  # unrelated pairs that set the threshold


class Copy(NamedTuple):
    """A query and a reference whose fine detail agrees once aligned; ``agreement`` is a correlation."""

    query: int
    reference: int
    agreement: float


class Search(NamedTuple):
    """The copies found among the ``examined`` most similar pairs, most similar first."""

    copies: list[Copy]
    examined: int


def find_copies(queries: NDArray[np.uint8], references: NDArray[np.uint8], examined: int, seed: int) -> Search:
    """Find the queries that are rotated, mirrored, brightened, cropped or recompressed copies of a reference.

    Every query is compared with every reference in small views; only the most similar pairs are registered, a few
    milliseconds each.

    Args:
        queries: ``(N, S, S, 3)`` RGB, ``S`` of 64 pixels or more.
        references: ``(M, S, S, 3)``.
        examined: pairs registered at most.
        seed: of the unrelated pairs that set the threshold.
    """
    if not len(queries) or not len(references):
        return Search([], 0)
    grey = to_grey(queries), to_grey(references)
    likeness, pose = _likeness(*grey)
    columns = np.argsort(-likeness, axis=1)[:, :NEAREST]
    pairs = [(row, int(column)) for row, near in enumerate(columns) for column in near]
    pairs = sorted(pairs, key=lambda pair: -likeness[pair])[:examined]
    threshold = _threshold(grey, pose, np.random.default_rng(seed))
    scores = [agreement(grey[0][row], grey[1][column], int(pose[row, column])) for row, column in pairs]
    copies = [Copy(*pair, score) for pair, score in zip(pairs, scores, strict=True) if score >= threshold]
    return Search(sorted(copies, key=lambda copy: -copy.agreement), len(pairs))


def _likeness(queries: Floats, references: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    """Cosine of whitened views in the best pose of the query, and the number of that pose; ``(N, M)`` both."""
    base = np.stack([view(image, None) for image in references])
    mean = base.mean(axis=0)
    power, axes = np.linalg.eigh(np.cov(base - mean, rowvar=False))
    spread = np.sqrt(np.maximum(power[-VIEW_DIMENSIONS:], 0))
    whitening = axes[:, -VIEW_DIMENSIONS:] / (spread + 0.05 * spread[-1] + 1e-6)
    base = unit_length((base - mean) @ whitening)
    best = np.full((len(queries), len(references)), -np.inf, np.float32)
    which = np.zeros(best.shape, np.uint8)
    for number, pose in enumerate(POSES):
        posed = np.stack([view(image, pose_matrix(*pose)) for image in queries])
        likeness = unit_length((posed - mean) @ whitening) @ base.T
        which[likeness > best] = number
        np.maximum(best, likeness, out=best)
    return best, which


def _threshold(grey: tuple[Floats, Floats], pose: NDArray[np.uint8], generator: np.random.Generator) -> float:
    """0.6 of the way from what unrelated images of these sets reach to identity, as for groups."""
    scores = []
    for _ in range(BACKGROUND_PAIRS):
        row, column = (int(generator.integers(len(images))) for images in grey)
        scores.append(agreement(grey[0][row], grey[1][column], int(pose[row, column])))
    background = float(np.quantile(scores, 0.9))
    return float(np.clip(background + 0.6 * (1 - background), LOWEST_THRESHOLD, HIGHEST_THRESHOLD))
