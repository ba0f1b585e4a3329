"""The Markdown tables of the grid, for docs/benchmarks.md."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_data import REAL
from benchmarks.synthesis_statistics import Bar, Grid, difference, judge, level, pooled, seeds, worth
from counterfeit.detector import PARTS
from counterfeit.evaluation.bootstrap import Resampled
from counterfeit.evaluation.metrics import Metric

SHOWN: tuple[Metric, ...] = ("auroc", "recall_at_5pct_fpr")
Key = tuple[str, int]  # set and training counterfeits
AGAINST = ("real", "transplant", "unrefined", "synthetic-random", "procedural")  # what `synthetic` is pooled against
WITHIN = 1.0  # pp AUROC below the best of its parts, at most


class Made(NamedTuple):
    """The making of one seed's bank.

    Attributes:
        healthy: whether the refiner passed its health checks in the end.
        attempt: 0 if at once, else the number of the restart.
        counts: counterfeits ``drawn``, ``kept``, and rejected by reason.
    """

    healthy: bool
    attempt: int
    counts: Mapping[str, int]


class Kept(NamedTuple):
    """What the run folder of a set and size holds beside its predictions.

    Attributes:
        doses: arm to the dose that each seed used.
        factors: of each seed, by how much the oracle multiplies the counterfeits.
        made: of each seed, how its bank was made.
        areas: arm to the AUROC of every part of the detector and of the whole, ``(seeds, P + 1)`` in per cent.
    """

    doses: Mapping[str, Sequence[float]]
    factors: Sequence[float]
    made: Sequence[Made]
    areas: Mapping[str, NDArray[np.float64]]


def tables(grid: Grid, kept: Mapping[Key, Kept], sets: Sequence[str], sizes: Sequence[int]) -> str:
    """All tables of a grid, finished or not.

    Args:
        grid: what was measured.
        kept: of each cell of set and size that was.
        sets: asked for.
        sizes: asked for.
    """
    bars = judge(grid, sets, sizes)
    parts = [
        "Rates in per cent and differences in percentage points, with 95 % intervals from the cluster bootstrap over "
        "groups and seeds; every seed has a split of its own. "
        f"{len(grid)} of {len(sets) * len(sizes)} cells of set and training counterfeits have results.",
        "### Every arm against `real`",
        "n: genuine + counterfeit test images and their groups, the fewest of any seed; all arms of a seed share them.",
        _differences(grid),
        "### Pooled over sets and sizes",
        "Mean over the cells of set and size that have both arms: of the product against others, then of all others "
        "against `real`. Within a set the sizes are averaged seed by seed and "
        "then bootstrapped over groups and seeds, as they share test images; sets are "
        "independent, so their variances add up (Student's quantile, Satterthwaite's degrees of freedom). Where no "
        "resample changes a difference, as on solved sets, its interval has no width: the groups are few, not certain.",
        _pooled(grid),
        "### Worth",
        "Gain of the bank against the gain of the oracle, which learns from more real counterfeits: as many times as "
        "given, 2 where the set has them.",
        _worth(grid, kept),
        "### Doses used",
        "The dose that was used, for each seed: at 1 masks teach with eight times the weight of photographs.",
        _doses({key: one.doses for key, one in kept.items()}),
        "### Refiners and their banks",
        "Trainings that passed the health checks at once, after a restart, or never (their banks are unrefined); and "
        "the counterfeit candidates, summed over seeds.",
        _health(kept),
        "### Parts and whole",
        _parts(kept),
        "### Bars",
        bars_table(bars),
    ]
    return "\n\n".join(parts)


def _differences(grid: Grid) -> str:
    rows = []
    for (name, size), cell in grid.items():
        if "real" not in cell:
            continue
        levels = [_level(level(cell, "real", metric)) for metric in SHOWN]
        genuine, counterfeit, groups = np.min([sample.n for sample in cell["real"].values()], axis=0)
        n = f"{genuine} + {counterfeit}, {groups}"
        rows.append([name, size, "real", len(cell["real"]), n, *levels])
        for arm in (arm for arm in cell if arm != "real"):
            found = [points(difference([cell], arm, "real", metric)) for metric in SHOWN]
            rows.append([name, size, f"{arm} - real", len(seeds([cell], arm, "real")), "", *found])
    return markdown(["set", "counterfeits", "arm", "seeds", "n", "AUROC", "recall at 5 % FPR"], rows)


def _pooled(grid: Grid) -> str:
    where_pooled = together([name for name, _ in grid])
    others = dict.fromkeys(arm for cell in grid.values() for arm in cell if arm not in ("real", "synthetic"))
    asked = [("synthetic", against, where) for against in AGAINST for where in where_pooled]
    asked += [(arm, "real", "all") for arm in others]
    rows = []
    for arm, against, where in asked:
        part = {key: cell for key, cell in grid.items() if key[0] in where_pooled[where]}
        found = [pooled(part, arm, against, metric) for metric in SHOWN]
        if cells := found[0][1]:
            fewest = min(len(seeds([grid[key]], arm, against)) for key in cells)
            means = [points(mean) for mean, _ in found]
            rows.append([f"{arm} - {against}", where, len(cells), fewest, *means])
    return markdown(["difference", "set", "cells", "fewest seeds", "AUROC", "recall at 5 % FPR"], rows)


def together(sets: Sequence[str]) -> dict[str, list[str]]:
    """Names of what is pooled, and the sets of each: all of them, some, and each alone; names may be repeated."""
    sets = list(dict.fromkeys(sets))
    some = {
        "all real ones": [name for name in sets if name in REAL],
        "all but codes": [name for name in sets if name != "print_scan_codes"],
    }
    some = {where: names for where, names in some.items() if 1 < len(names) < len(sets)}  # no row twice
    return {"all": sets, **some, **{name: [name] for name in sets}}


def _worth(grid: Grid, kept: Mapping[Key, Kept]) -> str:
    rows = []
    for key, cell in grid.items():
        factors = kept[key].factors if key in kept else ()
        factor = min(factors, default=2.0)
        for metric, word in zip(SHOWN, ("AUROC", "recall at 5 % FPR"), strict=True):
            pairs = (("synthetic", "real"), ("oracle", "real"), ("synthetic", "oracle"))
            found = [points(difference([cell], *pair, metric)) for pair in pairs]
            rows.append([*key, f"x {_range(factors)}", word, *found, worth(cell, metric, factor)])
    header = ["set", "counterfeits", "oracle", "measure", "synthetic - real", "oracle - real", "synthetic - oracle"]
    return markdown([*header, "worth"], rows)


def _doses(doses: Mapping[Key, Mapping[str, Sequence[float]]]) -> str:
    arms = list(dict.fromkeys(arm for used in doses.values() for arm in used))
    rows = [
        [*key, *(", ".join(f"{dose:.2f}" for dose in used.get(arm, ())) for arm in arms)] for key, used in doses.items()
    ]
    return markdown(["set", "counterfeits", *arms], rows)


def _health(kept: Mapping[Key, Kept]) -> str:
    rows, reasons = [], ("drawn", "support", "label", "novelty", "not chosen", "kept")
    for key, folder in kept.items():
        ended = [2 if not one.healthy else min(one.attempt, 1) for one in folder.made]
        sums = [sum(one.counts.get(reason, 0) for one in folder.made) for reason in reasons]
        rows.append([*key, *(ended.count(state) for state in range(3)), *sums])
    return markdown(["set", "counterfeits", "at once", "after a restart", "never", *reasons], rows)


def _parts(kept: Mapping[Key, Kept]) -> str:
    """Mean AUROC of each part and of the whole, and in how many of the rows the whole keeps up with its best part."""
    rows, behind = [], []
    for key, folder in kept.items():
        for arm, areas in folder.areas.items():
            means = areas.mean(0)
            behind.append(float(means[:-1].max() - means[-1]))
            rows.append([*key, arm, len(areas), *(f"{area:.1f}" for area in means), f"{-behind[-1]:+.1f}"])
    close, above = sum(gap <= WITHIN for gap in behind), sum(gap < 0 for gap in behind)
    note = (
        f"Mean AUROC over seeds, in per cent. The whole is within {WITHIN:g} pp of the best of its parts in {close} of "
        f"{len(rows)} rows, and above all of them in {above}."
    )
    return f"{note}\n\n" + markdown(["set", "counterfeits", "arm", "seeds", *PARTS, "whole", "whole - best"], rows)


def bars_table(bars: Sequence[Bar]) -> str:
    """A count, and the bars, those missed first."""
    order = ("missed", "not measured", "met")
    counted = ", ".join(f"{sum(bar.status == status for bar in bars)} {status}" for status in order)
    ordered = sorted(bars, key=lambda bar: order.index(bar.status))
    rows = [[bar.status, bar.name, bar.where, bar.needed, points(bar.found)] for bar in ordered]
    note = (
        "Estimates are judged unless an interval is named. Not judged by this grid: unseen kinds, the detector on all "
        "counterfeits of sneakers_af1, hard against random choice at half the images."
    )
    return f"{counted}. {note}\n\n" + markdown(["bar", "measure", "where", "needed", "found"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, or a line that says that there is nothing yet."""
    if not rows:
        return "Nothing measured yet."
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(value) for value in line) + " |" for line in lines)


def points(mean: Resampled | None) -> str:
    """A difference in percentage points with its interval."""
    if mean is None or math.isnan(mean.estimate):
        return "-"
    # Adding 0 turns a rounded -0.0 into 0.0.
    estimate, low, high = (round(100 * value, 1) + 0.0 for value in (mean.estimate, mean.low, mean.high))
    return f"{estimate:+.1f} [{low:+.1f}, {high:+.1f}]"


def _level(mean: Resampled) -> str:
    estimate, low, high = (100 * value for value in (mean.estimate, mean.low, mean.high))
    return f"{estimate:.1f} [{low:.1f}, {high:.1f}]"


def _range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"
