"""Two arms trained again and again, on other counterfeits: their metrics and differences under the same resamples."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from counterfeit.errors import UserError
from counterfeit.evaluation.bootstrap import Array, Resampled, exact_where_all_agree, group_weights, resampled_mean
from counterfeit.evaluation.metrics import METRICS, RECALLS, Metric, replicate_metrics
from counterfeit.evaluation.predictions import SeedScores, distinct_groups, same_scores, scores_by_arm

Triple = list[float] | None
"""A mean over seeds and the ends of its 95 % interval, as JSON has it: ``None`` where it is not defined."""


class Paired(NamedTuple):
    """Metrics of two arms in ``K`` repetitions, on the ``S`` seeds that all have, under ``R`` resamples of the groups.

    Attributes:
        seeds: ``S`` of them.
        actual: ``(S, K, 2, M)``, of the two arms, with ``M`` metrics in the order of ``METRICS``.
        replicates: ``(R, S, K, 2, M)``, the same under resampled groups.
        genuine: ``(K,)``, the smallest number of genuine test images of a seed.
        counterfeit: ``(K,)``, the same of counterfeits.
        groups: ``(K,)``, number of those with a counterfeit, of all seeds.
        alike: ``(K,)``, whether both arms gave every image the same score.
    """

    seeds: list[int]
    actual: Array
    replicates: Array
    genuine: list[int]
    counterfeit: list[int]
    groups: list[int]
    alike: list[bool]

    def level(self, repetition: int, arm: int, metric: Metric) -> Triple:
        """Mean of one arm's metric, within [0, 1]."""
        at = (repetition, arm, METRICS.index(metric))
        found = resampled_mean(self.actual[:, *at], self.replicates[:, :, *at])
        groups = self.groups[repetition] if metric in RECALLS else 0
        return triple(exact_where_all_agree(found, groups), 0.0, 1.0)

    def differences(self, metric: Metric) -> tuple[Array, Array]:
        """Second arm minus first.

        Returns:
            ``(S, K)``, and under resampled groups ``(R, S, K)``.
        """
        at = METRICS.index(metric)
        gained: Array = self.actual[:, :, 1, at] - self.actual[:, :, 0, at]
        resampled: Array = self.replicates[:, :, :, 1, at] - self.replicates[:, :, :, 0, at]
        return gained, resampled

    def difference(self, repetition: int, metric: Metric) -> Resampled:
        """Mean of second arm minus first in one repetition."""
        actual, replicates = self.differences(metric)
        found = resampled_mean(actual[:, repetition], replicates[:, :, repetition])
        groups = self.groups[repetition] if metric in RECALLS and not self.alike[repetition] else 0
        return exact_where_all_agree(found, groups, difference=True)


def paired_metrics(
    tables: Sequence[pa.Table], arms: tuple[tuple[str, float], tuple[str, float]], resamples: int, seed: int = 0
) -> Paired:
    """Evaluate two arms in every repetition; groups are drawn once, for all of them alike.

    Args:
        tables: predictions of each repetition, as :func:`~counterfeit.evaluation.compare.compare` takes them.
        arms: name and dose of the first and of the second.
        resamples: of the groups.
        seed: of the resamples.

    Raises:
        UserError: the repetitions have no seed in common, or a table cannot be compared.
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
    tests = [[[found[arm][number] for number in seeds] for arm in arms] for found in scores]  # (K, 2, S)
    genuine, counterfeit = ([min(int((one.label == c).sum()) for one in of[0]) for of in tests] for c in (0, 1))
    groups = [distinct_groups(of[0], 1) for of in tests]
    alike = [all(same_scores(*pair) for pair in zip(*of, strict=True)) for of in tests]
    return Paired(seeds, values[0], values[1:], genuine, counterfeit, groups, alike)


def triple(found: Resampled, least: float = -1.0, most: float = 1.0) -> Triple:
    """Estimate and interval for JSON, cut to the range that the metric has."""
    if math.isnan(found.estimate):
        return None
    return [found.estimate, max(least, found.low), min(most, found.high)]
