"""Worth: how many times the real counterfeits would have gained as much, read off the learning curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.optimize import isotonic_regression

from counterfeit.evaluation.bootstrap import Array, joint_draws
from counterfeit.evaluation.comparison import METRIC_NAMES
from counterfeit.evaluation.metrics import METRICS, Metric
from counterfeit.evaluation.paired import Paired, paired_metrics, triple

DRAWN: tuple[Metric, ...] = ("recall_at_5pct_fpr", "recall_at_1pct_fpr", "auroc", "average_precision")
WORTH: tuple[Metric, ...] = ("auroc", "recall_at_5pct_fpr")


def worth(counts: Sequence[int], curve: Array, gains: Array) -> Array:
    """How many times the real counterfeits the curve needs to gain as much, for each of its points.

    The curve is made monotone (isotonic regression: more counterfeits do not harm) and is a straight line between two
    points over the logarithm of the count. From each point it is followed, up for a gain and down for a loss, to the
    first count at which it has gained as much.

    Args:
        counts: ``(K,)`` real counterfeits, ascending.
        curve: ``(K,)`` what the detector reaches with them; higher is better.
        gains: ``(K,)`` what is gained at each of the counts without a further counterfeit.

    Returns:
        ``(K,)`` multiples: 1 for no gain, infinity above the end of the curve and 0 below its beginning.

    >>> worth([8, 16, 32], np.array([0.6, 0.7, 0.8]), np.array([0.1, 0.15, 0.0])).round(2).tolist()
    [2.0, inf, 1.0]
    """
    smooth = isotonic_regression(curve).x
    return np.array([_followed(np.log(counts), smooth, at, gain) for at, gain in enumerate(gains)])


def learning_curve(tables: Mapping[int, pa.Table], product: str, dose: float, resamples: int) -> dict[str, Any]:
    """The content of ``learning_curve.json``, documented in docs/run-folder.md.

    Args:
        tables: predictions of ``real`` and the product for each number of real counterfeits, ascending.
        product: the arm with synthetic images.
        dose: of it.
        resamples: replicates of the bootstrap over groups and seeds, the same groups for every point.
    """
    counts, arms = list(tables), (("real", 0.0), (product, dose))
    paired = paired_metrics(list(tables.values()), arms, resamples)
    points = range(len(counts))
    return {
        "counts": counts,
        "seeds": len(paired.seeds),
        "n_genuine": min(paired.genuine),
        "n_counterfeit": min(paired.counterfeit),
        "product": product,
        "dose": dose,
        "resamples": resamples,
        "arms": {
            arm: {metric: [paired.level(point, number, metric) for point in points] for metric in DRAWN}
            for number, (arm, _) in enumerate(arms)
        },
        "differences": {metric: [triple(paired.difference(point, metric)) for point in points] for metric in DRAWN},
        "worth": [entry for metric in WORTH for entry in _entries(counts, paired, metric)],
    }


def worth_words(entry: Mapping[str, Any]) -> str:
    """One entry of ``worth`` as a line: what synthetic images are worth at its number of counterfeits."""

    def text(value: float | None, outside: str) -> str:
        return outside if value is None else f"{value:.2g}"

    low, high = text(entry["low"], "below the curve"), text(entry["high"], "beyond it")
    value = text(entry["value"], "outside of the curve")
    return f"{entry['counterfeits']} counterfeits  worth by {METRIC_NAMES[entry['metric']]}: {value} [{low}, {high}]"


def _entries(counts: Sequence[int], paired: Paired, metric: Metric) -> list[dict[str, Any]]:
    at = METRICS.index(metric)
    gained, resampled = paired.differences(metric)
    actual = np.concatenate([paired.actual[:, :, 0, at], gained], axis=1)
    replicates = np.concatenate([paired.replicates[:, :, :, 0, at], resampled], axis=2)
    means, size = actual.mean(axis=0), len(counts)
    draws = joint_draws(actual, replicates)
    defined = len(draws) > 0
    values = worth(counts, means[:size], means[size:]) if defined else np.full(size, np.nan)
    drawn = np.sort([worth(counts, draw[:size], draw[size:]) for draw in draws], axis=0)
    low, high = (drawn[round(q * (len(drawn) - 1))] if defined else values for q in (0.025, 0.975))
    low, high = np.minimum(low, values), np.maximum(high, values)
    return [
        {"counterfeits": count, "metric": metric, "n": len(paired.seeds)}
        | {name: _inside(found[point]) for name, found in (("value", values), ("low", low), ("high", high))}
        for point, count in enumerate(counts)
    ]


def _followed(place: Array, curve: Array, start: int, gain: float) -> float:
    target = curve[start] + gain
    if gain >= 0:
        reached = np.flatnonzero(curve[start:] >= target)
        if not len(reached):
            return np.inf
        right = start + int(reached[0])
        if right == start:
            return 1.0
        left = right - 1
    else:
        reached = np.flatnonzero(curve[: start + 1] <= target)
        if not len(reached):
            return 0.0
        left = int(reached[-1])
        right = left + 1
    share = (target - curve[left]) / (curve[right] - curve[left])
    return float(np.exp(place[left] + share * (place[right] - place[left]) - place[start]))


def _inside(value: float) -> float | None:
    return float(value) if np.isfinite(value) and value > 0 else None
