"""Figures of the comparison and of the GAN's training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from counterfeit.evaluation.comparison import METRIC_NAMES, Comparison, Difference, PairResult, points
from counterfeit.evaluation.findings import seeds_in_words
from counterfeit.evaluation.metrics import Metric
from counterfeit.report.drawing import WIDTH, Drawing, Palette, both, style

# Shared by the seeds of one quantity: keeps the page small however long the training was.
_MAX_CURVE_POINTS = 750


class Curve(NamedTuple):
    """One quantity of one training run.

    Attributes:
        name: of the quantity.
        seed: of the run.
        x: ``(N,)``, where in the training.
        y: ``(N,)``, the quantity there.
    """

    name: str
    seed: str
    x: Sequence[float]
    y: Sequence[float]


def pair_label(pair: PairResult, comparison: Comparison) -> str:
    """Name a pair as ``synthetic − real``, with doses where an arm ran at several."""
    return " \N{MINUS SIGN} ".join(
        arm_label(arm, dose, comparison) for arm, dose in ((pair.arm, pair.dose), (pair.against, pair.against_dose))
    )


def arm_label(arm: str, dose: float, comparison: Comparison) -> str:
    """Name an arm, with its dose where it ran at several: ``synthetic, dose 0.3``."""
    several = sum(result.arm == arm for result in comparison.arms) > 1
    return f"{arm}, dose {dose:g}" if several else arm


def ordered_pairs(comparison: Comparison) -> list[PairResult]:
    """Sort pairs for reading: the verdict's first, then the product against others, then the other arms."""
    main = comparison.pair()
    return sorted(comparison.pairs, key=lambda pair: (pair != main, pair.arm != comparison.product, pair.against))


def forest(comparison: Comparison, metric: Metric) -> Drawing:
    """Draw the paired differences of one metric, in percentage points, with their 95 % intervals."""
    rows = [(pair_label(pair, comparison), pair.differences[metric]) for pair in ordered_pairs(comparison)]
    rows = [(label, difference) for label, difference in rows if np.isfinite(difference.estimate)]
    # A far-off arm (patch distances alone, say) must not squeeze the differences that matter into a few pixels.
    product = [pair.differences[metric] for pair in comparison.pairs if pair.arm == comparison.product]
    reach = 200 * float(np.nanmax([[abs(d.low), abs(d.high), 0.01] for d in product]))
    alt = f"{METRIC_NAMES[metric]}, differences with 95 % intervals: "
    alt += "; ".join(f"{label} {points(difference)}" for label, difference in rows)
    return both(lambda palette: _forest(rows, palette, reach), alt)


def curves(series: Sequence[Curve], x_label: str) -> Drawing:
    """Draw up to three quantities over training, one thin line per seed."""
    names = list(dict.fromkeys(curve.name for curve in series))
    seeds = len({curve.seed for curve in series})
    basis = seeds_in_words(seeds)
    ends = (f"{c.name} (seed {c.seed}) from {c.y[0]:.3g} to {c.y[-1]:.3g}" for c in series)
    alt = f"{', '.join(names)} over {x_label}, {basis}: {'; '.join(ends)}"
    return both(lambda palette: _curves(series, names, x_label, palette), alt, basis)


def _forest(rows: Sequence[tuple[str, Difference]], palette: Palette, reach: float) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.6 + 0.5 * len(rows)))
    axes = figure.add_axes((0.02, 0.5 / figure.get_figheight(), 0.96, 1 - 0.55 / figure.get_figheight()))
    bounds = np.clip([100 * bound for _, d in rows for bound in (d.low, d.high)] + [-1.0, 1.0], -reach, reach)
    margin = 0.06 * float(np.ptp(bounds))
    left, right = float(bounds.min()) - margin, float(bounds.max()) + margin
    for row, (label, difference) in enumerate(rows):
        color, main = _color(difference, palette), row == 0
        text: dict[str, Any] = {"fontsize": 8.5, "weight": "bold" if main else "normal", "va": "center"}
        text["transform"] = axes.get_yaxis_transform()
        axes.text(0.0, -row + 0.42, label, color=palette.ink, ha="left", **text)
        axes.text(1.0, -row + 0.42, points(difference), color=color, ha="right", **text)
        axes.plot([0, 0], [-row - 0.22, -row + 0.22], color=palette.muted, linewidth=1)
        low, middle, high = 100 * difference.low, 100 * difference.estimate, 100 * difference.high
        axes.plot([low, high], [-row, -row], color=color, linewidth=3.5 if main else 2, solid_capstyle="round")
        axes.plot([middle], [-row], "D" if main else "o", color=color, markersize=8 if main else 6)
        # An interval that leaves the axis ends in an arrow: its numbers stand above it.
        for outside, edge, marker in ((low < left, left, "<"), (high > right, right, ">")):
            if outside:
                axes.plot([edge], [-row], marker, color=color, markersize=6, clip_on=False)
    axes.set_xlim(left, right)
    axes.set_ylim(0.4 - len(rows), 0.75)
    axes.set_yticks([])
    axes.set_xlabel("worse  \N{LEFTWARDS ARROW}  percentage points  \N{RIGHTWARDS ARROW}  better")
    style(axes, palette)
    axes.spines["left"].set_visible(False)
    return figure


def _color(difference: Difference, palette: Palette) -> str:
    """Colour what holds after adjustment over the metrics; an interval alone is not enough for the verdict either."""
    if difference.p_holm is None or difference.p_holm >= 0.05:
        return palette.muted
    return palette.better if difference.estimate > 0 else palette.worse


def _curves(series: Sequence[Curve], names: Sequence[str], x_label: str, palette: Palette) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
    axes = figure.add_subplot()
    looks = ((palette.better, "-"), (palette.second, "--"), (palette.muted, ":"))
    for curve in series:
        color, dashes = looks[names.index(curve.name) % len(looks)]
        every = max(1, len(curve.x) * len(series) // (len(names) * _MAX_CURVE_POINTS))
        axes.plot(curve.x[::every], curve.y[::every], dashes, color=color, linewidth=1.3, alpha=0.8)
    for name, (color, dashes) in zip(names, looks, strict=False):
        axes.plot([], [], dashes, color=color, label=name.replace("_", " "))
    axes.legend(frameon=False, fontsize=8.5, labelcolor=palette.ink, loc="best")
    axes.set_xlabel(x_label)
    axes.grid(axis="y", color=palette.grid, linewidth=0.6)
    style(axes, palette)
    return figure
