"""Small views of images in several poses: which pairs are worth registering."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from counterfeit.data.registration import DISC, POSES, Floats, band, pose_matrix, warp

VIEW = 16  # pixels of a view
VIEW_DIMENSIONS = 128


class Whitening(NamedTuple):
    """Takes out what the images of a set have in common: lighting, the outline of a product.

    Attributes:
        mean: ``(256,)`` of the set's views.
        axes: ``(256, D)`` directions in which they vary, each divided by how much.
    """

    mean: Floats
    axes: Floats

    @classmethod
    def of(cls, views: Floats) -> "Whitening":
        """That of the views ``(N, 256)`` of a set."""
        mean = views.mean(axis=0)
        power, axes = np.linalg.eigh(np.cov(views - mean, rowvar=False))
        kept = slice(-min(VIEW_DIMENSIONS, len(views)), None)
        spread = np.sqrt(np.maximum(power[kept], 0))
        return cls(mean, axes[:, kept] / (spread + 0.05 * spread[-1] + 1e-6))

    def apply(self, views: Floats) -> Floats:
        """Views ``(N, 256)`` as rows ``(N, D)`` of length 1."""
        return unit_length((views - self.mean) @ self.axes)


def view(image: Floats, pose: NDArray[np.float64] | None) -> Floats:
    """Coarse detail of a grey image in a pose, ``(256,)``: what candidates are found with."""
    if pose is not None:
        image = warp(image, pose[:2], edge=cv2.BORDER_REPLICATE)
    detail = band(image, 2.5, 12.0, DISC) * DISC
    return np.asarray(cv2.resize(detail, (VIEW, VIEW), interpolation=cv2.INTER_AREA), np.float32).ravel()


def views_of(grey: Floats) -> Floats:
    """Views ``(N, 256)`` of grey images as they are."""
    return np.stack([view(image, None) for image in grey])


def posed_views(grey: Floats) -> Iterable[Floats]:
    """Views ``(N, 256)`` of grey images in each of the poses, one pose after the other."""
    return (np.stack([view(image, pose_matrix(*pose)) for image in grey]) for pose in POSES)


def likeness(base: Floats, posed: Iterable[Floats]) -> tuple[Floats, NDArray[np.uint8]]:
    """Cosine of the best pose, and its number.

    Args:
        base: ``(N, D)`` rows of length 1.
        posed: for each pose ``(M, D)`` rows of length 1.

    Returns:
        ``(M, N)`` both.
    """
    poses = iter(posed)  # one at a time
    best = next(poses) @ base.T
    which = np.zeros(best.shape, np.uint8)
    for number, one in enumerate(poses, 1):
        found = one @ base.T
        which[found > best] = number
        np.maximum(best, found, out=best)
    return best, which


def unit_length(rows: NDArray[np.floating]) -> Floats:
    """Rows ``(N, D)`` scaled to length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)
