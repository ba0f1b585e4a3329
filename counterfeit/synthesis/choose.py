"""Which of the gated candidates are kept: half hard and diverse, half at random."""

import numpy as np
from numpy.typing import NDArray

from counterfeit.synthesis.gate import FloatArray, squared_distances

TOO_HARD = 0.05  # share of the candidates, the most doubtful, that are more likely mislabelled than instructive


def choose_hard(
    doubt: FloatArray,
    hardness: FloatArray,
    features: FloatArray,
    count: int,
    hard: float,
    generator: np.random.Generator,
) -> NDArray[np.intp]:
    """Rows to keep.

    The most doubtful 5 % are dropped; of the hardest half of the rest, a diverse part is taken by farthest-point
    selection; the remaining places are filled at random from what is left.

    Args:
        doubt: ``(N,)``, larger looks more like the other label.
        hardness: ``(N,)``, larger is nearer to the operating point.
        features: ``(N, D)``, in which diversity is measured.
        count: how many to keep; all that are there if fewer.
        hard: share of the kept that are chosen for hardness.
        generator: source of the random part and of the first point.
    """
    credible = np.argsort(-doubt, kind="stable")[int(TOO_HARD * len(doubt)) :]
    order = credible[np.argsort(-hardness[credible], kind="stable")]
    if len(order) <= count:
        return np.sort(order)
    pool = order[: max(count, len(order) // 2)]
    chosen = farthest_points(features[pool], int(hard * count), generator)
    kept = pool[chosen]
    rest = np.setdiff1d(order, kept)
    return np.sort(np.concatenate([kept, generator.choice(rest, count - len(kept), replace=False)]))


def farthest_points(features: FloatArray, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Indices of ``count`` rows ``(N, D)``, each farthest from those before it."""
    count = min(count, len(features))
    chosen = np.empty(count, np.intp)
    if not count:
        return chosen
    chosen[0] = generator.integers(len(features))
    nearest = np.full(len(features), np.inf)
    for i in range(1, count):
        latest = features[chosen[i - 1]][None]
        nearest = np.minimum(nearest, squared_distances(features, latest)[:, 0])
        nearest[chosen[i - 1]] = -1.0
        chosen[i] = int(nearest.argmax())
    return chosen
