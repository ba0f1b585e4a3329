"""Near-duplicates between two sets of images, by the means that form groups."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterfeit.data.registration import Floats, agreement, threshold_above, to_grey
from counterfeit.data.views import Whitening, likeness, posed_views, views_of

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
    base = views_of(grey[1])
    whitening = Whitening.of(base)
    alike, pose = likeness(whitening.apply(base), map(whitening.apply, posed_views(grey[0])))
    columns = np.argsort(-alike, axis=1)[:, :NEAREST]
    pairs = [(row, int(column)) for row, near in enumerate(columns) for column in near]
    pairs = sorted(pairs, key=lambda pair: -alike[pair])[:examined]
    threshold = _threshold(grey, pose, np.random.default_rng(seed))
    scores = [agreement(grey[0][row], grey[1][column], int(pose[row, column])) for row, column in pairs]
    copies = [Copy(*pair, score) for pair, score in zip(pairs, scores, strict=True) if score >= threshold]
    return Search(sorted(copies, key=lambda copy: -copy.agreement), len(pairs))


def _threshold(grey: tuple[Floats, Floats], pose: NDArray[np.uint8], generator: np.random.Generator) -> float:
    """What copies must reach between these sets, from random pairs in their best pose."""
    scores = []
    for _ in range(BACKGROUND_PAIRS):
        row, column = (int(generator.integers(len(images))) for images in grey)
        scores.append(agreement(grey[0][row], grey[1][column], int(pose[row, column])))
    return threshold_above(scores)
