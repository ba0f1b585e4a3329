"""Whether two images show the same photograph: whether, registered in a pose, they agree in their *fine* detail."""

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIDE = 64  # pixels of the grey images that are registered
CENTRE = (SIDE - 1) / 2
MARGIN = 13  # pixels that the middle of one image is moved over the other, at most
ZOOMS = (0.90, 0.95, 1.0, 1.05, 1.11)
SMALLEST_START = 0.6  # correlation before refinement, below which no true copy was seen
LARGEST_STRETCH, LARGEST_ASPECT, LARGEST_TURN = 1.33, 1.25, 20.0  # of a credible alignment; the last in degrees
SMALLEST_OVERLAP = 0.8
SMALLEST_WORST_TENTH = 0.45  # local correlation
LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0.77, 0.94


def pose_matrix(
    mirror: bool, degrees: float, zoom: float, right: float = 0.0, down: float = 0.0
) -> NDArray[np.float64]:
    """Return the ``(3, 3)`` matrix that mirrors, turns and zooms about the centre, then shifts (shares of the side)."""
    move = np.vstack([cv2.getRotationMatrix2D((CENTRE, CENTRE), degrees, zoom), [0.0, 0.0, 1.0]])
    move[:2, 2] += np.array([right, down]) * SIDE
    return move @ np.array([[-1, 0, SIDE - 1], [0, 1, 0], [0, 0, 1.0]]) if mirror else move


TURNS = [(mirror, degrees, 1.0, 0.0, 0.0) for mirror in (False, True) for degrees in (-12, -6, 0, 6, 12)]
CROPS = [
    (mirror, 0, 1.1, right, down)
    for mirror in (False, True)
    for right, down in ((0.0, 0.0), *itertools.product((-0.035, 0.035), repeat=2))
]
POSES = TURNS + CROPS


def _disc() -> Floats:
    """Weights of the inscribed disc: what a rotated copy still shows whatever fills its corners."""
    down, right = np.mgrid[:SIDE, :SIDE] - CENTRE
    return np.asarray(np.clip((0.48 * SIDE - np.hypot(right, down)) / 3 + 0.5, 0, 1), np.float32)


DISC = _disc()


def to_grey(pixels: NDArray[np.uint8]) -> Floats:
    """Images ``(N, S, S, 3)`` RGB as they are registered: ``(N, 64, 64)`` grey."""
    grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in pixels)
    return np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in grey]).astype(
        np.float32
    )


def warp(image: Floats, matrix: NDArray[np.floating], flags: int = cv2.INTER_LINEAR, edge: int = 0) -> Floats:
    """A grey image moved by a ``(2, 3)`` matrix; ``edge`` is OpenCV's way to fill what comes into view."""
    return np.asarray(cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=flags, borderMode=edge), np.float32)


def band(image: Floats, fine: float, coarse: float, weight: Floats | None = None) -> Floats:
    """Detail between two scales (standard deviations in pixels); weighted, so that what lies outside leaves no edge."""
    if weight is None:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), fine) - cv2.GaussianBlur(image, (0, 0), coarse), np.float32)
    return _local_mean(image, weight, fine) - _local_mean(image, weight, coarse)


def _local_mean(image: Floats, weight: Floats, scale: float) -> Floats:
    total = np.maximum(cv2.GaussianBlur(weight, (0, 0), scale), 1e-3)
    return np.asarray(cv2.GaussianBlur(image * weight, (0, 0), scale) / total, np.float32)


def agreement(moving: Floats, fixed: Floats, pose: int) -> float:
    """Correlation of fine detail in [-1, 1] after alignment; 0 where no credible alignment exists."""
    start, matrix = _start(moving, fixed, pose)
    if start < SMALLEST_START:
        return 0.0
    refined = _refine(moving, fixed, matrix)
    return 0.0 if refined is None else _correlation_aligned(moving, fixed, refined)


def _start(moving: Floats, fixed: Floats, pose: int) -> tuple[float, NDArray[np.float64]]:
    """Find zoom and shift by exhaustive search: gradient descent alone gets lost among regular lines."""
    middle = band(fixed, 1.0, 6.0)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    detail = band(moving, 1.0, 6.0)
    mirror, degrees, *_ = POSES[pose]
    best, matrix = -1.0, np.eye(3)
    for zoom in ZOOMS:
        move = pose_matrix(mirror, degrees, zoom)
        warped = warp(detail, move[:2], edge=cv2.BORDER_REPLICATE)
        _, score, _, (right, down) = cv2.minMaxLoc(cv2.matchTemplate(warped, middle, cv2.TM_CCOEFF_NORMED))
        if score > best:
            shift = np.array([[1, 0, MARGIN - right], [0, 1, MARGIN - down], [0, 0, 1.0]])
            best, matrix = float(score), shift @ move
    return best, matrix


def _refine(moving: Floats, fixed: Floats, matrix: NDArray[np.float64]) -> Floats | None:
    """Refine to an affine map from ``fixed`` to ``moving`` (ECC: Evangelidis and Psarakis, 2008), if a credible one."""
    inverse = np.linalg.inv(matrix)[:2].astype(np.float32)
    template, image = (band(grey, 1.0, 8.0) for grey in (fixed, moving))
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)
    inside = (DISC > 0.5).astype(np.uint8)
    try:
        _, found = cv2.findTransformECC(template, image, inverse, cv2.MOTION_AFFINE, stop, inside, 5)
    except cv2.error:  # it diverged
        return None
    inverse = np.asarray(found, np.float32)
    return inverse if _credible(inverse[:, :2]) else None


def _credible(linear: Floats) -> bool:
    stretch = np.linalg.svd(linear, compute_uv=False)
    upright = np.diag([np.sign(np.linalg.det(linear)), 1.0]) @ linear  # without the mirror
    degrees = np.degrees(np.arctan2(upright[1, 0] - upright[0, 1], np.trace(upright)))
    within = stretch[1] >= 1 / LARGEST_STRETCH and stretch[0] <= LARGEST_STRETCH
    return bool(within and stretch[0] <= LARGEST_ASPECT * stretch[1] and abs(degrees) <= LARGEST_TURN)


def _correlation_aligned(moving: Floats, fixed: Floats, inverse: Floats) -> float:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = warp(moving, inverse, flags)
    weight = warp(np.ones_like(DISC), inverse, flags) * DISC
    if weight.sum() < SMALLEST_OVERLAP * DISC.sum():
        return 0.0
    # Where brightening by up to a half clipped one of the two, there is nothing left to compare.
    darker, lighter = np.minimum(warped, fixed), np.maximum(warped, fixed)
    clipped = (lighter > 248) & (darker > 165) & (darker <= 248)
    unclipped = weight * (1 - cv2.dilate(clipped.astype(np.uint8), np.ones((3, 3), np.uint8)))
    weight = unclipped if unclipped.sum() > 0.3 * DISC.sum() else weight
    first, second = (band(image, 0.7, 3.0, weight) for image in (warped, fixed))
    first, second = (detail / np.sqrt(np.average(detail**2, weights=weight) + 1e-6) for detail in (first, second))
    if _worst_tenth(first, second, weight) < SMALLEST_WORST_TENTH:
        return 0.0
    first, second = (_even(detail, weight) for detail in (first, second))
    return float((first * second * weight).sum())


def _worst_tenth(first: Floats, second: Floats, weight: Floats) -> float:
    """Return the local correlation that a tenth of the detail stays below: prints that share a frame fail here."""
    powers = [_local_mean(detail**2, weight, 3.0) for detail in (first, second)]
    correlation = _local_mean(first * second, weight, 3.0) / np.sqrt((powers[0] + 0.02) * (powers[1] + 0.02))
    inside = weight > 0.5
    detail = np.minimum(np.maximum(*powers), 1.0)[inside]
    order = np.argsort(correlation[inside])
    share = np.cumsum(detail[order]) / max(detail.sum(), 1e-9)
    return float(correlation[inside][order][np.argmax(share >= 0.1)])


def _even(detail: Floats, weight: Floats) -> Floats:
    """Even out the contrast, to weighted mean 0 and length 1: else one strong edge would decide."""
    even = detail / np.sqrt(_local_mean(detail**2, weight, 4.0) + 0.1)
    even = even - np.average(even, weights=weight)
    return np.asarray(even / np.sqrt(max((even**2 * weight).sum(), 1e-9)), np.float32)


def threshold_above(scores: Sequence[float]) -> float:
    """Agreement of copies: 0.6 of the way from what unrelated images reach (codes far more than shoes) to identity."""
    background = float(np.quantile(scores, 0.9))
    return float(np.clip(background + 0.6 * (1 - background), LOWEST_THRESHOLD, HIGHEST_THRESHOLD))
