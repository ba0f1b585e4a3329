"""Which candidates may enter a bank: thresholds from leave-one-out statistics of the real images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
REASONS = ("support", "label", "novelty")


@dataclass(frozen=True)
class Gates:
    """Thresholds of one training split.

    Attributes:
        support: largest distance to the nearest real image of its class, for genuine and counterfeit candidates.
        plainly_genuine: score at or below which a counterfeit candidate is taken for genuine.
        plainly_counterfeit: score above which a genuine candidate is taken for counterfeit.
        novelty: smallest mean change of the host's pixels inside the mask, in grey levels of 255.
    """

    support: tuple[float, float]
    plainly_genuine: float
    plainly_counterfeit: float
    novelty: float

    def apply(
        self, label: NDArray[np.int64], nearest: FloatArray, score: FloatArray, change: FloatArray
    ) -> NDArray[np.str_]:
        """The first gate that each candidate fails, or an empty string.

        Args:
            label: ``(N,)``.
            nearest: ``(N,)`` distance to the nearest real image of the same class.
            score: ``(N,)`` from heads that saw neither the donor nor the donor's fold.
            change: ``(N,)`` mean change of the host inside the mask, in grey levels.
        """
        failed = {
            "support": nearest > np.asarray(self.support)[label],
            "label": np.where(label == 1, score <= self.plainly_genuine, score > self.plainly_counterfeit),
            "novelty": change < self.novelty,
        }
        return np.select([failed[name] for name in REASONS], REASONS, default="").astype(np.str_)


def fit_gates(
    features: FloatArray, score: FloatArray, label: NDArray[np.int64], group: NDArray[np.str_], novelty: float = 2.0
) -> Gates:
    """Thresholds from the real training images.

    Args:
        features: ``(N, D)`` standardised pooled features.
        score: ``(N,)`` cross-fitted scores.
        label: ``(N,)``.
        group: ``(N,)``; an image's own group is left out when its nearest neighbour is sought.
        novelty: as in :class:`Gates`.

    Returns:
        Gates that 99 % of the real images of each class would pass in support, that take the lower half of the
        genuine scores for plainly genuine and the upper 2 % for plainly counterfeit.
    """
    support = []
    for c in (0, 1):
        rows = label == c
        distance = squared_distances(features[rows], features[rows])
        distance[group[rows][:, None] == group[rows][None]] = np.inf
        nearest = np.sqrt(distance.min(1))
        finite = nearest[np.isfinite(nearest)]  # a class of one group has no neighbour: it sets no limit
        support.append(float(np.quantile(finite, 0.99)) if len(finite) else float("inf"))
    genuine = score[label == 0]
    return Gates(
        support=(support[0], support[1]),
        plainly_genuine=float(np.quantile(genuine, 0.5)),
        plainly_counterfeit=float(np.quantile(genuine, 0.98)),
        novelty=novelty,
    )


def squared_distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Squared Euclidean distances ``(N, M)`` of rows ``(N, D)`` and ``(M, D)``."""
    cross = first @ second.T
    squared: FloatArray = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * cross
    return np.maximum(squared, 0)
