"""Paired differences of a grid of sets and sizes, pooled over it, and the bars of the project judged by them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtrit

from counterfeit.evaluation.bootstrap import Resampled, group_weights, resampled_mean
from counterfeit.evaluation.metrics import METRICS, Metric, replicate_metrics
from counterfeit.evaluation.predictions import scores_by_arm

MEASURED: tuple[Metric, ...] = ("auroc", "recall_at_1pct_fpr", "recall_at_5pct_fpr")
COLUMNS = [METRICS.index(metric) for metric in MEASURED]
ALIGNED = ("magnetic_tile", "labels")  # sets in which counterfeit and genuine align
RIVALS = ("smote", "mixup", "cutmix", "procedural", "placebo")
HARM = -0.01  # a whole interval below it is harm
Status = Literal["met", "missed", "not measured"]


class Sample(NamedTuple):
    """One arm and seed.

    Attributes:
        actual: ``(M,)``, ``MEASURED`` on the test images as they are.
        replicates: ``(R, M)``, under resampled groups.
        n: genuine and counterfeit test images, and their groups.
    """

    actual: NDArray[np.float64]
    replicates: NDArray[np.float64]
    n: tuple[int, int, int]


Cell = Mapping[str, Mapping[int, Sample]]  # arm, seed
Grid = Mapping[tuple[str, int], Cell]  # set and training counterfeits


class Bar(NamedTuple):
    """A bar of the project, what was found and whether that meets it; ``found`` is ``None`` where nothing was run."""

    name: str
    where: str
    needed: str
    found: Resampled | None
    status: Status


def measure(tables: Mapping[int, pa.Table], resamples: int, seed: int) -> dict[int, Cell]:
    """Measure every arm and seed of a set.

    The sizes of a set share their test images, so they share the resamples too.

    Args:
        tables: training counterfeits to predictions as in ``predictions.parquet``, each arm at one dose.
        resamples: replicates of the bootstrap.
        seed: of the resamples; each set needs its own, as sets are independent.

    Raises:
        UserError: the predictions cannot be compared.
    """
    marked = []
    for size, table in tables.items():
        names = pa.array([f"{size}/{arm}" for arm in table["arm"].to_pylist()])
        marked.append(table.set_column(table.column_names.index("arm"), "arm", names))
    scores = scores_by_arm(pa.concat_tables(marked, promote_options="permissive"))
    groups = 1 + max(int(test.group.max()) for tests in scores.values() for test in tests.values())
    weights = group_weights(groups, resamples, seed)
    cells: dict[int, dict[str, dict[int, Sample]]] = {size: {} for size in tables}
    for (name, _), tests in scores.items():
        size, arm = name.split("/")
        for number, test in tests.items():
            actual = replicate_metrics(test.label, test.score, np.ones((1, len(test.label))))[0, COLUMNS]
            replicates = replicate_metrics(test.label, test.score, weights[:, test.group])[:, COLUMNS]
            n = (int((test.label == 0).sum()), int(test.label.sum()), len(np.unique(test.group)))
            cells[int(size)].setdefault(arm, {})[number] = Sample(actual, replicates, n)
    return dict(cells)


def level(cell: Cell, arm: str, metric: Metric) -> Resampled:
    """Mean of a metric over the seeds of an arm, its interval within [0, 1]."""
    column, samples = MEASURED.index(metric), cell[arm].values()
    mean = _resampled([s.actual[column] for s in samples], [s.replicates[:, column] for s in samples])
    return mean._replace(low=max(0.0, mean.low), high=min(1.0, mean.high))


def seeds(cells: Sequence[Cell], arm: str, against: str) -> list[int]:
    """Seeds that two arms have in every one of some cells."""
    found = [set(cell.get(name, {})) for cell in cells for name in (arm, against)]
    return sorted(set.intersection(*found)) if found else []


def difference(cells: Sequence[Cell], arm: str, against: str, metric: Metric) -> Resampled | None:
    """Mean paired difference over cells of one set and the seeds they share, by the bootstrap over groups and seeds.

    Args:
        cells: of one set, whose sizes share seeds and test images.
        arm: minus ``against``.
        against: the other arm.
        metric: of ``MEASURED``.

    Returns:
        ``None`` where no seed has both arms in all cells.
    """
    column, shared = MEASURED.index(metric), seeds(cells, arm, against)
    if not shared:
        return None
    actual, replicates = [], []
    for seed in shared:
        pairs = [(cell[arm][seed], cell[against][seed]) for cell in cells]
        actual.append(np.mean([first.actual[column] - second.actual[column] for first, second in pairs]))
        every = [first.replicates[:, column] - second.replicates[:, column] for first, second in pairs]
        replicates.append(np.mean(every, axis=0))
    mean = _resampled(actual, replicates)
    return mean._replace(low=max(-1.0, mean.low), high=min(1.0, mean.high))


def pooled(grid: Grid, arm: str, against: str, metric: Metric) -> tuple[Resampled | None, list[tuple[str, int]]]:
    """Mean over the cells of a grid of the mean paired difference, and the cells that have both arms.

    Within a set, sizes are averaged seed by seed before the bootstrap, as they share seeds and test images. Sets are
    independent: their variances add up, weighed by their cells, and Student's quantile is that of Satterthwaite's
    degrees of freedom.
    """
    used = [key for key, cell in grid.items() if seeds([cell], arm, against)]
    means, weights, counted = [], [], []
    for name in dict.fromkeys(name for name, _ in used):
        keys = [key for key in used if key[0] == name]
        mean = difference([grid[key] for key in keys], arm, against, metric)
        if mean is not None and math.isfinite(mean.estimate):
            means.append(mean)
            weights.append(len(keys))
            counted += keys
    return (join(means, np.array(weights) / sum(weights)) if means else None), counted


def join(means: Sequence[Resampled], weights: NDArray[np.float64]) -> Resampled:
    """Weighted sum of independent means, with an interval by Student's quantile (Satterthwaite 1946)."""
    if len(means) == 1:
        return means[0]
    estimate = float(sum(w * mean.estimate for w, mean in zip(weights, means, strict=True)))
    images = float(np.linalg.norm([w * mean.images_error for w, mean in zip(weights, means, strict=True)]))
    training = float(np.linalg.norm([w * mean.training_error for w, mean in zip(weights, means, strict=True)]))
    variance = [(w * mean.standard_error) ** 2 for w, mean in zip(weights, means, strict=True)]
    error = math.sqrt(sum(variance))
    doubt = sum(v**2 / mean.freedom for v, mean in zip(variance, means, strict=True))
    freedom = error**4 / doubt if doubt > 0 else math.inf
    reach = float(stdtrit(freedom, 0.975)) * error if error else 0.0
    p = math.nan  # bars are judged by intervals
    return Resampled(estimate, estimate - reach, estimate + reach, p, error, images, training, freedom)


def best_rival(cell: Cell, arms: Sequence[str], metric: Metric) -> str | None:
    """The arm with the highest mean of a metric over its seeds."""
    column = MEASURED.index(metric)
    means = {arm: np.mean([s.actual[column] for s in cell[arm].values()]) for arm in arms if cell.get(arm)}
    return max(means, key=means.__getitem__) if means else None


def worth(cell: Cell, metric: Metric, factor: float = 2.0) -> str:
    """How many times the real counterfeits would have gained as much as the bank, as far as the oracle tells.

    Args:
        cell: of one set and number of counterfeits.
        metric: of ``MEASURED``.
        factor: by how much the oracle multiplies the counterfeits.
    """
    gain, doubled = (difference([cell], arm, "real", metric) for arm in ("synthetic", "oracle"))
    if gain is None or doubled is None:
        return "not measured"
    if doubled.estimate <= 0:
        return "more real ones gain nothing"
    return f"{'at least' if gain.estimate >= doubled.estimate else 'below'} {factor:.3g}"


def judge(grid: Grid, sets: Sequence[str], sizes: Sequence[int]) -> list[Bar]:
    """The bars that this grid can judge, over the sets and sizes that were asked for."""
    keys = [(name, size) for name in sets for size in sizes]
    return [*_aligned(grid, keys), *_pooled_bars(grid), *_harmless(grid, keys, sizes)]


def _aligned(grid: Grid, keys: Sequence[tuple[str, int]]) -> Iterator[Bar]:
    """Bars of the sets in which counterfeit and genuine align, cell by cell."""
    recall: Metric = "recall_at_5pct_fpr"
    for key in (key for key in keys if key[0] in ALIGNED):
        where, cell, many = f"{key[0]}, {key[1]}", grid.get(key, {}), key[1] > 16
        for metric in ("auroc", recall):
            found = difference([cell], "synthetic", "oracle", metric)
            status: Status = "missed" if worth(cell, metric) != "at least 2" else "met"
            status = "not measured" if found is None else status
            yield Bar(f"worth >= 2 by {_word(metric)}: synthetic - oracle", where, ">= 0", found, status)
        for metric, least in (("auroc", 0.015 if many else 0.03), (recall, 0.05 if many else 0.07)):
            yield _at_least(cell, "synthetic", "real", metric, least, where)
        rival = best_rival(cell, RIVALS, recall)
        if rival:
            yield _at_least(cell, "synthetic", rival, recall, 0.03, where, "synthetic - best of the rivals, ")
        else:
            yield Bar("synthetic - best of the rivals", where, ">= +3 pp", None, "not measured")


def _at_least(cell: Cell, arm: str, against: str, metric: Metric, least: float, where: str, prefix: str = "") -> Bar:
    found = difference([cell], arm, against, metric)
    status: Status = "not measured" if found is None else "met" if found.estimate >= least else "missed"
    name = f"{prefix}{against if prefix else f'{arm} - {against}'}, {_word(metric)}"
    return Bar(name, where, f">= {100 * least:+g} pp", found, status)


def _pooled_bars(grid: Grid) -> Iterator[Bar]:
    """Bars on differences pooled over sets and sizes."""
    recall: Metric = "recall_at_5pct_fpr"
    found, _ = pooled(grid, "synthetic", "transplant", recall)
    met = found is not None and found.estimate >= 0.01 and found.low > 0
    yield Bar("synthetic - transplant, recall at 5 % FPR", "all", ">= +1 pp, interval above 0", found, _of(found, met))
    found, _ = pooled(grid, "synthetic", "synthetic-random", recall)
    met = found is not None and found.estimate >= 0.01
    yield Bar("synthetic - synthetic-random, recall at 5 % FPR", "all", ">= +1 pp", found, _of(found, met))
    sneakers = {key: cell for key, cell in grid.items() if key[0] == "sneakers_af1"}
    for metric in ("auroc", recall):
        found, _ = pooled(sneakers, "synthetic", "real", metric)
        met = found is not None and found.low > 0
        name = f"synthetic - real, {_word(metric)}"
        yield Bar(name, "sneakers_af1, pooled", "interval above 0", found, _of(found, met))


def _harmless(grid: Grid, keys: Sequence[tuple[str, int]], sizes: Sequence[int]) -> Iterator[Bar]:
    """No harm: of each cell, of each set and of each size pooled, and of all; print_scan_codes stays solved."""
    parts: dict[str, list[tuple[str, int]]] = {f"{name}, {size}": [(name, size)] for name, size in keys}
    parts |= {f"{name}, pooled": [key for key in keys if key[0] == name] for name, _ in keys}
    parts |= {f"{size}, pooled over sets": [key for key in keys if key[1] == size] for size in sizes} | {"all": [*keys]}
    for where, chosen in parts.items():
        part = {key: grid[key] for key in chosen if key in grid}
        for metric in ("auroc", "recall_at_5pct_fpr"):
            found, _ = pooled(part, "synthetic", "real", metric)
            met = found is not None and found.high >= HARM
            name = f"no harm found: synthetic - real, {_word(metric)}"
            yield Bar(name, where, "interval not wholly below -1 pp", found, _of(found, met))
    for key in (key for key in keys if key[0] == "print_scan_codes"):
        where = f"{key[0]}, {key[1]}, left solved"
        yield _at_least(grid.get(key, {}), "synthetic", "real", "recall_at_1pct_fpr", HARM, where)


def _of(found: Resampled | None, met: bool) -> Status:
    if found is None:
        return "not measured"
    return "met" if met else "missed"


def _word(metric: Metric) -> str:
    return {"auroc": "AUROC", "recall_at_1pct_fpr": "recall at 1 % FPR"}.get(metric, "recall at 5 % FPR")


def _resampled(actual: Sequence[float], replicates: Sequence[NDArray[np.float64]]) -> Resampled:
    return resampled_mean(np.array(actual), np.stack(replicates, axis=1))
