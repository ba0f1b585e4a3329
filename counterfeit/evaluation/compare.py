"""Did it help? Paired differences between arms of one experiment, with intervals, and a verdict by a fixed rule."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from counterfeit.errors import UserError
from counterfeit.evaluation.comparison import (
    ArmResult,
    Comparison,
    Difference,
    Level,
    PairResult,
    SeedCounts,
    Verdict,
    Worst,
)
from counterfeit.evaluation.metrics import (
    METRICS,
    Array,
    Metric,
    delong_standard_error,
    holm,
    replicate_metrics,
    resampled_mean,
)

VERDICT_METRICS: tuple[Metric, ...] = tuple(metric for metric in METRICS if metric != "brier")
RULE = (
    "Paired differences of AUROC, average precision, recall at 1 % and at 5 % FPR, product minus baseline. "
    "p-values from a cluster bootstrap over groups and seeds, adjusted over these four metrics (Holm). "
    "HURTS if any adjusted p < 0.05 with a negative difference; else HELPS if any adjusted p < 0.05 with a positive "
    "one; else NO EVIDENCE. The Brier score (lower is better) is reported and not part of the rule."
)
_COLUMNS = ("arm", "dose", "seed", "path", "group", "label", "score")


class _TestScores(NamedTuple):
    """One arm's scores of one seed's test images, in the order of their paths; `group` indexes the union of groups."""

    path: NDArray[np.str_]
    group: NDArray[np.int64]
    label: Array
    score: Array


class _Values(NamedTuple):
    """Metrics of one arm and seed: of the test images as they are, `(M,)`, and under resampled groups, `(R, M)`."""

    actual: Array
    replicates: Array


_Arm = tuple[str, float]
_BySeed = dict[int, tuple[_TestScores, _Values]]


def compare(
    predictions: pa.Table,
    *,
    baseline: str = "real",
    product: str = "synthetic",
    product_dose: float | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare every arm with the baseline, and the product also with `transplant` and `placebo` where they ran.

    `predictions` holds test images only, in the columns of `predictions.parquet`; within a seed all arms scored the
    same paths. `product_dose` is the product's dose (left out: its smallest positive one); at dose 0 an absent product
    is the baseline itself. A pair uses the seeds that both its arms have. Raises `UserError` on a table that cannot be
    compared.
    """
    scores = _scores_by_arm(predictions)
    n_groups = 1 + max(int(test.group.max()) for tests in scores.values() for test in tests.values())
    weights = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)
    arms = {arm: {s: (test, _evaluate(test, weights)) for s, test in tests.items()} for arm, tests in scores.items()}

    reference = (baseline, min(_doses(arms, baseline)))
    chosen = (product, _product_dose(arms, product, product_dose))
    if chosen not in arms:
        arms[chosen] = arms[reference]
    pairs = [(arm, reference) for arm in arms if arm != reference]
    for name in {"transplant", "placebo"} & {arm for arm, _ in arms} - {baseline, product}:
        pairs.append((chosen, (name, min(_doses(arms, name), key=lambda dose: abs(dose - chosen[1])))))
    results = {pair: _pair_result(pair, arms, seed) for pair in sorted(pairs)}

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
        arms=tuple(_arm_result(arm, by_seed, seed) for arm, by_seed in arms.items()),
        pairs=tuple(results.values()),
        notes=tuple(_notes(worst, main)),
    )


def verdict_of(differences: Mapping[Metric, Difference]) -> Verdict:
    """Apply `RULE` to the differences of the product from the baseline."""
    found = [d.estimate for name, d in differences.items() if name in VERDICT_METRICS and (d.p_holm or 0.0) < 0.05]
    if any(estimate < 0 for estimate in found):
        return "HURTS"
    return "HELPS" if any(estimate > 0 for estimate in found) else "NO EVIDENCE"


def _scores_by_arm(predictions: pa.Table) -> dict[_Arm, dict[int, _TestScores]]:
    missing = [name for name in _COLUMNS if name not in predictions.column_names]
    if missing or predictions.num_rows == 0:
        raise UserError(
            f"predictions: {'no column ' + ', '.join(missing) if missing else 'no rows'}; rerun the detector"
        )
    if any(predictions[name].null_count for name in _COLUMNS):
        raise UserError("predictions: empty cells; rerun the detector stage")
    columns = {name: np.asarray(predictions[name].to_pylist()) for name in _COLUMNS}
    if not np.isfinite(columns["score"]).all():
        raise UserError("predictions: a score is not a finite number; the detector of that arm has diverged")
    columns["group"] = np.unique(columns["group"], return_inverse=True)[1]
    # Rounded, so that a dose stored as float32 is the one in the configuration.
    keys = zip(columns["arm"].tolist(), columns["dose"].round(6).tolist(), columns["seed"].tolist(), strict=True)
    rows: dict[tuple[str, float, int], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    scores: dict[_Arm, dict[int, _TestScores]] = {}
    expected: dict[int, _TestScores] = {}
    for (arm, dose, seed), members in sorted(rows.items()):
        ordered = np.array(members)[np.argsort(columns["path"][members], kind="stable")]
        test = _TestScores(*(columns[name][ordered] for name in ("path", "group", "label", "score")))
        same = expected.setdefault(seed, test)
        if (test.path[1:] == test.path[:-1]).any():
            raise UserError(f"predictions: arm {arm}, dose {dose}, seed {seed} has an image twice")
        if not (np.array_equal(test.path, same.path) and np.array_equal(test.label, same.label)):
            raise UserError(
                f"predictions: arm {arm}, dose {dose}, seed {seed} was tested on other images than the rest"
            )
        scores.setdefault((arm, dose), {})[seed] = test
    return scores


def _evaluate(test: _TestScores, weights: NDArray[np.int64]) -> _Values:
    once = np.ones((1, len(test.label)))
    return _Values(
        actual=replicate_metrics(test.label, test.score, once)[0],
        replicates=replicate_metrics(test.label, test.score, weights[:, test.group]),
    )


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


def _arm_result(arm: _Arm, by_seed: _BySeed, seed: int) -> ArmResult:
    actual = np.stack([values.actual for _, values in by_seed.values()])
    replicates = np.stack([values.replicates for _, values in by_seed.values()], axis=1)
    levels: dict[Metric, Level] = {}
    for column, metric in enumerate(METRICS):
        mean = resampled_mean(actual[:, column], replicates[:, :, column], seed)
        levels[metric] = Level(mean.estimate, *np.clip((mean.low, mean.high), 0.0, 1.0).tolist())
    return ArmResult(*arm, n_seeds=len(by_seed), levels=levels)


def _pair_result(pair: tuple[_Arm, _Arm], arms: Mapping[_Arm, _BySeed], seed: int) -> PairResult:
    first, second = arms[pair[0]], arms[pair[1]]
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise UserError(f"arms {pair[0][0]} and {pair[1][0]} have no seed in common; rerun the detector stage")
    actual = np.stack([first[s][1].actual - second[s][1].actual for s in shared])
    replicates = np.stack([first[s][1].replicates - second[s][1].replicates for s in shared], axis=1)
    means = [resampled_mean(actual[:, column], replicates[:, :, column], seed) for column in range(len(METRICS))]
    by_metric = dict(zip(METRICS, means, strict=True))
    adjusted = dict(zip(VERDICT_METRICS, holm([by_metric[m].p for m in VERDICT_METRICS]).tolist(), strict=True))
    delong = [delong_standard_error(first[s][0].label, first[s][0].score, second[s][0].score) for s in shared]
    return PairResult(
        *pair[0],
        *pair[1],
        n_seeds=len(shared),
        delong_se=float(np.mean(delong)),
        differences={
            name: Difference(
                m.estimate, m.low, m.high, m.p, adjusted.get(name), m.standard_error, 2.8 * m.standard_error
            )
            for name, m in by_metric.items()
        },
    )


def _seed_counts(seed: int, test: _TestScores) -> SeedCounts:
    counterfeit = int(test.label.sum())
    return SeedCounts(seed, n_genuine=len(test.label) - counterfeit, n_counterfeit=counterfeit)


def _notes(worst: Worst, main: PairResult) -> Iterator[str]:
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
    if main.dose == 0:
        yield "dose 0 was chosen: the detector learns from real images alone, and there is nothing to gain or lose"
