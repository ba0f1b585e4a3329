"""Did it help? Paired differences between arms of one experiment, with intervals, and a verdict by a fixed rule."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from counterfeit.errors import UserError
from counterfeit.evaluation.bootstrap import Resampled, exact_where_all_agree, group_weights, resampled_mean
from counterfeit.evaluation.comparison import (
    ArmResult,
    Comparison,
    Difference,
    Level,
    McNemar,
    PairResult,
    Referral,
    SeedCounts,
    Verdict,
    Worst,
)
from counterfeit.evaluation.decisions import RATES, REFERRED, Rate, decision_rates, risk_coverage
from counterfeit.evaluation.metrics import METRICS, RECALLS, Array, Metric, replicate_metrics
from counterfeit.evaluation.power import detectable_difference, groups_needed
from counterfeit.evaluation.predictions import SeedScores, distinct_groups, same_scores, scores_by_arm
from counterfeit.evaluation.significance import clustered_mcnemar, delong_standard_error, holm

VERDICT_METRICS: tuple[Metric, ...] = ("auroc", "average_precision", "recall_at_1pct_fpr", "recall_at_5pct_fpr")
RULE = (
    "Paired differences of AUROC, average precision, recall at 1 % and at 5 % FPR, product minus baseline. "
    "p-values from a cluster bootstrap over groups, seeds a random effect, adjusted over these four metrics (Holm). "
    "HURTS if any adjusted p < 0.05 with a negative difference; else HELPS if any adjusted p < 0.05 with a positive "
    "one; else NO EVIDENCE. Precision at capacity, Brier score and calibration error are not part of the rule."
)


class _Values(NamedTuple):
    """Metrics of one arm and seed: of the test images as they are, ``(M,)``, and under resampled groups, ``(R, M)``."""

    actual: Array
    replicates: Array


class _AtThreshold(NamedTuple):
    """Rates of decisions, ``(R, 3)``, and accuracy after referral, ``(R, K)``; the first row is of the images as is."""

    rates: Array
    accuracy: Array


_Arm = tuple[str, float]
_BySeed = dict[int, tuple[SeedScores, _Values]]


def compare(
    predictions: pa.Table,
    *,
    baseline: str = "real",
    product: str = "synthetic",
    product_dose: float | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare every arm with the baseline, and the product also with what is cheaper to have, where that ran.

    That is ``transplant``, ``unrefined`` and ``placebo``, each at its dose nearest to the product's. A pair uses the
    seeds that both its arms have.

    Args:
        predictions: of test images only, in the columns of ``predictions.parquet``; within a seed all arms scored the
            same paths. With a column ``threshold``, the operating point of the cell, decisions are compared too.
        baseline: arm that the others are compared with, at its smallest dose.
        product: arm that the verdict is about.
        product_dose: the product's dose (left out: its smallest positive one); at dose 0 an absent product is the
            baseline itself.
        resamples: of the groups.
        seed: of the resamples.

    Raises:
        UserError: the table cannot be compared, as one that has the baseline alone.
    """
    scores = scores_by_arm(predictions)
    return compare_scores(
        scores, baseline=baseline, product=product, product_dose=product_dose, resamples=resamples, seed=seed
    )


def compare_scores(
    scores: Mapping[_Arm, Mapping[int, SeedScores]],
    *,
    baseline: str = "real",
    product: str = "synthetic",
    product_dose: float | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare as :func:`compare` does.

    Args:
        scores: by (arm, dose) and seed, as :func:`~counterfeit.evaluation.predictions.scores_by_arm` sorts them.
        baseline: as in :func:`compare`.
        product: likewise.
        product_dose: likewise.
        resamples: likewise.
        seed: likewise.

    Raises:
        UserError: an arm or dose is not there, two arms have no seed in common, or there is the baseline alone.
    """
    n_groups = 1 + max(int(test.group.max()) for tests in scores.values() for test in tests.values())
    weights = group_weights(n_groups, resamples, seed)
    arms = {arm: {s: (test, _evaluate(test, weights)) for s, test in tests.items()} for arm, tests in scores.items()}

    reference = (baseline, min(_doses(arms, baseline)))
    chosen = (product, _product_dose(arms, product, product_dose))
    if chosen == reference:
        raise UserError(f"there are no predictions but those of {baseline}: nothing to compare it with; add an arm")
    if chosen not in arms:
        arms[chosen] = arms[reference]
    pairs = [(arm, reference) for arm in arms if arm != reference]
    for name in {"transplant", "unrefined", "placebo"} & {arm for arm, _ in arms} - {baseline, product}:
        pairs.append((chosen, (name, min(_doses(arms, name), key=lambda dose: abs(dose - chosen[1])))))
    results = {pair: _pair_result(pair, arms, n_groups, seed) for pair in sorted(pairs)}

    tests = tuple(_seed_counts(s, test) for s, (test, _) in arms[reference].items())
    main = results[chosen, reference]
    worst = Worst(
        n_seeds=main.n_seeds,
        n_groups=n_groups,
        n_genuine=min(test.n_genuine for test in tests),
        n_counterfeit=min(test.n_counterfeit for test in tests),
    )
    return Comparison(
        verdict=verdict_of(main.differences),
        rule=RULE,
        baseline=baseline,
        baseline_dose=reference[1],
        product=product,
        product_dose=chosen[1],
        resamples=resamples,
        seed=seed,
        worst=worst,
        tests=tests,
        arms=tuple(_arm_result(arm, by_seed, weights, seed) for arm, by_seed in arms.items()),
        pairs=tuple(results.values()),
        notes=tuple(_notes(worst, chosen not in scores)),
    )


def verdict_of(differences: Mapping[Metric, Difference]) -> Verdict:
    """Apply ``RULE`` to the differences of the product from the baseline."""
    found = [d.estimate for name, d in differences.items() if name in VERDICT_METRICS and (d.p_holm or 0.0) < 0.05]
    if any(estimate < 0 for estimate in found):
        return "HURTS"
    return "HELPS" if any(estimate > 0 for estimate in found) else "NO EVIDENCE"


def _evaluate(test: SeedScores, weights: NDArray[np.int64]) -> _Values:
    drawn = weights[:, test.group]
    values = replicate_metrics(test.label, test.score, np.vstack([np.ones_like(drawn[:1]), drawn]))
    return _Values(actual=values[0], replicates=values[1:])


def _doses(arms: Mapping[_Arm, object], name: str) -> list[float]:
    doses = [dose for arm, dose in arms if arm == name]
    if not doses:
        raise UserError(f"no arm {name!r} in the predictions, only {', '.join(sorted({arm for arm, _ in arms}))}")
    return doses


def _product_dose(arms: Mapping[_Arm, object], product: str, wanted: float | None) -> float:
    if wanted == 0:
        return 0.0
    doses = _doses(arms, product)
    if wanted is None:
        return min([dose for dose in doses if dose > 0] or doses)
    if round(wanted, 6) not in doses:
        raise UserError(f"arm {product!r} was not trained at dose {wanted}, only at {', '.join(map(str, doses))}")
    return round(wanted, 6)


def _arm_result(arm: _Arm, by_seed: _BySeed, weights: NDArray[np.int64], seed: int) -> ArmResult:
    actual = np.stack([values.actual for _, values in by_seed.values()])
    replicates = np.stack([values.replicates for _, values in by_seed.values()], axis=1)
    tests = [test for test, _ in by_seed.values()]
    rests_on = [distinct_groups(tests, 1) if metric in RECALLS else 0 for metric in METRICS]
    levels = dict(zip(METRICS, _levels(actual, replicates, seed, rests_on), strict=True))
    thresholds = [test for test in tests if test.threshold is not None]
    decided = [_at_threshold(test, weights) for test in thresholds]
    rates: dict[Rate, Level] = {}
    referral: list[Referral] = []
    if decided:
        both = [np.stack([seed_values[i] for seed_values in decided], axis=1) for i in (0, 1)]
        rests_on = [distinct_groups(thresholds, 1), distinct_groups(thresholds, 0), 0]
        found = _levels(both[0][0], both[0][1:], seed, rests_on)
        accuracy = _levels(both[1][0], both[1][1:], seed, [0] * len(REFERRED))
        rates = dict(zip(RATES, found, strict=True))
        referral = [Referral(share, *vars(level).values()) for share, level in zip(REFERRED, accuracy, strict=True)]
    return ArmResult(*arm, n_seeds=len(by_seed), levels=levels, operating=rates, referral=tuple(referral))


def _levels(actual: Array, replicates: Array, seed: int, rests_on: Sequence[int]) -> list[Level]:
    """Means over seeds: actual ``(S, M)``, replicates ``(R, S, M)``, to ``M`` levels within [0, 1].

    ``rests_on`` is the number of groups that a rate of decisions rests on, 0 for what is no such rate.
    """
    columns = enumerate(rests_on)
    means = [exact_where_all_agree(resampled_mean(actual[:, m], replicates[:, :, m], seed), n) for m, n in columns]
    return [Level(mean.estimate, *np.clip((mean.low, mean.high), 0.0, 1.0).tolist()) for mean in means]


def _at_threshold(test: SeedScores, weights: NDArray[np.int64]) -> _AtThreshold:
    assert test.threshold is not None
    every = np.vstack([np.ones_like(test.label), weights[:, test.group]])
    return _AtThreshold(
        decision_rates(test.label, test.score >= test.threshold, every),
        risk_coverage(test.label, test.score, test.threshold, every),
    )


def _pair_result(pair: tuple[_Arm, _Arm], arms: Mapping[_Arm, _BySeed], n_groups: int, seed: int) -> PairResult:
    first, second = arms[pair[0]], arms[pair[1]]
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise UserError(f"arms {pair[0][0]} and {pair[1][0]} have no seed in common; rerun the detector stage")
    actual = np.stack([first[s][1].actual - second[s][1].actual for s in shared])
    replicates = np.stack([first[s][1].replicates - second[s][1].replicates for s in shared], axis=1)
    means = [resampled_mean(actual[:, column], replicates[:, :, column], seed) for column in range(len(METRICS))]
    by_metric = dict(zip(METRICS, means, strict=True))
    if not all(same_scores(first[s][0], second[s][0]) for s in shared):  # else nothing differs, for certain
        groups = distinct_groups([first[s][0] for s in shared], 1)
        by_metric |= {m: exact_where_all_agree(by_metric[m], groups, difference=True) for m in RECALLS}
    adjusted = dict(zip(VERDICT_METRICS, holm([by_metric[m].p for m in VERDICT_METRICS]).tolist(), strict=True))
    delong = [delong_standard_error(first[s][0].label, first[s][0].score, second[s][0].score) for s in shared]
    return PairResult(
        *pair[0],
        *pair[1],
        n_seeds=len(shared),
        delong_se=float(np.mean(delong)),
        mcnemar=_mcnemar([(first[s][0], second[s][0]) for s in shared]),
        differences={name: _difference(mean, adjusted.get(name), n_groups) for name, mean in by_metric.items()},
    )


def _difference(mean: Resampled, p_holm: float | None, n_groups: int) -> Difference:
    comparisons = 1 if p_holm is None else len(VERDICT_METRICS)
    needed = groups_needed(mean.images_error, mean.training_error, mean.freedom, n_groups, comparisons)
    return Difference(
        estimate=mean.estimate,
        low=max(-1.0, mean.low),
        high=min(1.0, mean.high),
        p=mean.p,
        p_holm=p_holm,
        standard_error=mean.standard_error,
        detectable=detectable_difference(mean.standard_error, mean.freedom, comparisons),
        images_error=mean.images_error,
        training_error=mean.training_error,
        groups_needed=math.ceil(needed) if math.isfinite(needed) else None,
    )


def _mcnemar(tests: list[tuple[SeedScores, SeedScores]]) -> McNemar | None:
    differences, groups = [], []
    for first, second in tests:
        if first.threshold is None or second.threshold is None:
            return None
        right = (first.score >= first.threshold) == (first.label == 1)
        other = (second.score >= second.threshold) == (second.label == 1)
        differences.append(right.astype(np.float64) - other)
        groups.append(first.group)
    difference = np.concatenate(differences)
    gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
    return McNemar(gained, lost, clustered_mcnemar(difference, np.concatenate(groups)))


def _seed_counts(seed: int, test: SeedScores) -> SeedCounts:
    counterfeit = int(test.label.sum())
    return SeedCounts(seed, n_genuine=len(test.label) - counterfeit, n_counterfeit=counterfeit)


def _notes(worst: Worst, without_product: bool) -> Iterator[str]:
    if worst.n_genuine < 1000:
        images = worst.n_genuine / 100
        yield (
            f"recall at 1 % FPR rests on few images: 1 % of {worst.n_genuine} genuine test images is {images:.1f}; "
            "below 1000 it moves with single images"
        )
    if worst.n_seeds == 1:
        yield "one seed: the intervals know nothing of how much training itself varies; run at least 5"
    elif worst.n_seeds < 5:
        yield (
            f"{worst.n_seeds} seeds: too few to know how much training itself varies, and the intervals are widened "
            "for it; run at least 5"
        )
    if worst.n_genuine == 0 or worst.n_counterfeit == 0:
        yield "a test set holds one class only: that seed is left out of the ranking metrics"
    if without_product:
        yield "dose 0 was chosen: the detector learns from real images alone, and there is nothing to gain or lose"
