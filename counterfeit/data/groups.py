"""Groups of near-duplicates, for images that come without groups: photographs of one view must share one split.

Rotated, mirrored, cropped, brightened and recompressed copies defeat perceptual hashes and, where corners turn black,
backbone features too (a tile rotated by 5 to 15 degrees has its original among its 10 nearest in 15 cases of 100).
So candidates come from small views of each image in several poses and from the backbone, and every candidate pair is
registered: two images are duplicates when, once aligned, their *fine* detail agrees.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterfeit.data.joining import Pair, joined_groups
from counterfeit.data.registration import Floats, agreement, threshold_above, to_grey
from counterfeit.data.views import Whitening, likeness, posed_views, unit_length, views_of

VIEW_NEIGHBOURS, FEATURE_NEIGHBOURS = 8, 4
BACKGROUND_PAIRS = 200
BLOCK = 256  # images compared with all others at a time


def near_duplicate_groups(pixels: NDArray[np.uint8], features: Floats, given: Sequence[str] | None = None) -> list[str]:
    """Name a group for every image; images that are copies of each other, directly or by a chain, share it.

    Finds copies rotated by up to 15 degrees, mirrored, brightened, cropped by 10 %, recompressed, or several of these.
    Memory and comparisons of views grow with ``N * BLOCK`` and ``N ** 2``, registrations (a few ms each) with ``N``.

    Args:
        pixels: ``(N, S, S, 3)`` RGB, ``S`` of 64 pixels or more.
        features: ``(N, D)`` pooled backbone features.
        given: ``N`` names of groups, empty where none is known. They are taken as they are: a copy joins the
            group of the image that it agrees with most, and two given groups stay apart.

    Returns:
        ``N`` names, the given ones, or such as ``near00012``: the number is the first image of the group.
    """
    given = [""] * len(pixels) if given is None else given
    if not len(pixels) == len(features) == len(given):
        raise ValueError(f"{len(pixels)} images do not fit {len(features)} features and {len(given)} names")
    if len(pixels) < 2:
        return [name or f"near{i:05d}" for i, name in enumerate(given)]
    grey = to_grey(pixels)
    base = views_of(grey)
    whitening = Whitening.of(base)
    posed = np.stack([whitening.apply(views) for views in posed_views(grey)])
    base = whitening.apply(base)
    threshold = _threshold(grey, base, posed)
    pairs = _candidates(base, posed, features)
    return joined_groups(
        given, pairs, lambda pair: agreement(grey[pair.moving], grey[pair.fixed], pair.pose), threshold
    )


def _candidates(base: Floats, posed: Floats, features: Floats) -> list[Pair]:
    """Each image with its nearest in any pose and its nearest by features, most similar views first."""
    count = len(base)
    centred = unit_length(features - features.mean(axis=0))
    found: dict[tuple[int, int], tuple[float, Pair]] = {}
    for start in range(0, count, BLOCK):
        rows = slice(start, min(start + BLOCK, count))
        alike, pose = likeness(base, posed[:, rows])
        for neighbours in (
            _nearest(alike, start, VIEW_NEIGHBOURS),
            _nearest(centred[rows] @ centred.T, start, FEATURE_NEIGHBOURS),
        ):
            for row, other in itertools.product(range(len(neighbours)), range(neighbours.shape[1])):
                column = int(neighbours[row, other])
                pair = Pair(start + row, column, int(pose[row, column]))
                key = (min(pair.moving, column), max(pair.moving, column))
                score = float(alike[row, column])
                if key not in found or found[key][0] < score:
                    found[key] = (score, pair)
    return [pair for _, pair in sorted(found.values(), key=lambda entry: (-entry[0], entry[1].moving, entry[1].fixed))]


def _nearest(alike: Floats, start: int, count: int) -> NDArray[np.intp]:
    """Return the columns of the ``count`` greatest values of each row, itself excepted."""
    alike = alike.copy()
    alike[np.arange(len(alike)), start + np.arange(len(alike))] = -np.inf
    count = min(count, alike.shape[1] - 1)
    return np.argpartition(-alike, count - 1, axis=1)[:, :count]


def _threshold(grey: Floats, base: Floats, posed: Floats) -> float:
    """What copies must reach among these images, from random pairs of them in their best pose."""
    generator = np.random.default_rng(0)
    scores = []
    for _ in range(BACKGROUND_PAIRS):
        moving, fixed = generator.choice(len(grey), 2, replace=False)
        pose = int(np.argmax(posed[:, moving] @ base[fixed]))
        scores.append(agreement(grey[moving], grey[fixed], pose))
    return threshold_above(scores)
