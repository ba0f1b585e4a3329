"""Two arms trained again and again, on other counterfeits: their metrics and differences under the same resamples."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from counterfeit.errors import UserError
from counterfeit.evaluation.bootstrap import Array, Resampled, group_weights, resampled_mean
from counterfeit.evaluation.metrics import METRICS, Metric, replicate_metrics
from counterfeit.evaluation.predictions import SeedScores, scores_by_arm

Triple = list[float] | None
"""A mean over seeds and the ends of its 95 % interval, as JSON has it: `None` where it is not defined."""


class Paired(NamedTuple):
    """Metrics of two arms in `K` repetitions, on the `S` seeds that all have, under `R` resamples of the groups.

    `actual` is `(S, K, 2, M)`, `replicates` is `(R, S, K, 2, M)`, with `M` metrics in the order of `METRICS`;
    `genuine` and `counterfeit` are `(K,)`, the smallest numbers of test images of a seed.
    """

    seeds: list[int]
    actual: Array
    replicates: Array
    genuine: list[int]
    counterfeit: list[int]

    def level(self, repetition: int, arm: int, metric: Metric) -> Triple:
        """Mean of one arm's metric, within [0, 1]."""
        at = (repetition, arm, METRICS.index(metric))
        found = resampled_mean(self.actual[:, *at], self.replicates[:, :, *at])
        return triple(found, 0.0, 1.0)

    def differences(self, metric: Metric) -> tuple[Array, Array]:
        """Second arm minus first: `(S, K)`, and under resampled groups `(R, S, K)`."""
        at = METRICS.index(metric)
        gained: Array = self.actual[:, :, 1, at] - self.actual[:, :, 0, at]
        resampled: Array = self.replicates[:, :, :, 1, at] - self.replicates[:, :, :, 0, at]
        return gained, resampled

    def difference(self, repetition: int, metric: Metric) -> Resampled:
        """Mean of second arm minus first in one repetition."""
        actual, replicates = self.differences(metric)
        return resampled_mean(actual[:, repetition], replicates[:, :, repetition])


def paired_metrics(
    tables: Sequence[pa.Table], arms: tuple[tuple[str, float], tuple[str, float]], resamples: int, seed: int = 0
) -> Paired:
    """Evaluate two arms in every repetition; groups are drawn once, for all of them alike.

    Args:
        tables: predictions of each repetition, as `compare` takes them.
        arms: name and dose of the first and of the second.
        resamples: of the groups.
        seed: of the resamples.
    """
    names = np.unique(np.concatenate([table["group"].to_numpy(zero_copy_only=False) for table in tables]))
    weights = group_weights(len(names), resamples, seed)
    scores = [scores_by_arm(table) for table in tables]
    seeds = sorted(set.intersection(*(set(found[arm]) for found in scores for arm in arms)))
    if not seeds:
        raise UserError("the repetitions have no seed in common; rerun their stage")

    def evaluate(test: SeedScores, table: pa.Table) -> Array:
        own = np.unique(table["group"].to_numpy(zero_copy_only=False))
        drawn = weights[:, np.searchsorted(names, own)[test.group]]
        return replicate_metrics(test.label, test.score, np.vstack([np.ones_like(drawn[:1]), drawn]))

    values = np.stack(  # (1 + R, S, K, 2, M)
        [
            np.stack(
                [
                    np.stack([evaluate(found[arm][number], table) for arm in arms], axis=1)
                    for found, table in zip(scores, tables, strict=True)
                ],
                axis=1,
            )
            for number in seeds
        ],
        axis=1,
    )
    labels = [[found[arms[0]][number].label for number in seeds] for found in scores]
    genuine, counterfeit = ([min(int((y == c).sum()) for y in of) for of in labels] for c in (0, 1))
    return Paired(seeds, values[0], values[1:], genuine, counterfeit)


def triple(found: Resampled, least: float = -1.0, most: float = 1.0) -> Triple:
    """Estimate and interval for JSON, cut to the range that the metric has."""
    if math.isnan(found.estimate):
        return None
    return [found.estimate, max(least, found.low), min(most, found.high)]
