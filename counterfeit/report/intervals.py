"""Figures of single numbers with their intervals: audits, the learning curve, robustness."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from counterfeit.report.drawing import WIDTH, Drawing, Palette, both, style


class Range(NamedTuple):
    """One line: a value with its interval, and a mark to compare it with.

    Attributes:
        label: what was measured.
        value: of it.
        low: lower end of the interval.
        high: upper end.
        reference: the mark; nan for none.
        word: ``ok``, ``look`` or ``bad``, which have their colours.
    """

    label: str
    value: float
    low: float
    high: float
    reference: float
    word: str


class Point(NamedTuple):
    """One point of a line: ``x``, a value and its interval."""

    x: float
    value: float
    low: float
    high: float


def ranges(rows: Sequence[Range], axis: str, percent: bool) -> Drawing:
    """Draw one line for each row: the interval, its value, and a hollow diamond at the reference.

    Args:
        rows: not empty, values defined.
        axis: what the numbers are.
        percent: whether they are shares, written as percentages.
    """

    def text(value: float) -> str:
        return f"{100 * value:.0f} %" if percent else f"{value:.2f}"

    def numbers(row: Range) -> str:
        return f"{text(row.value)} [{text(row.low)}, {text(row.high)}]"

    said = (
        f"{row.label}: {numbers(row)}" + (f", to compare with {text(row.reference)}" if _defined(row.reference) else "")
        for row in rows
    )
    alt = f"{axis}, with 95 % intervals: {'; '.join(said)}"
    return both(lambda palette: _ranges(rows, [numbers(row) for row in rows], axis, percent, palette), alt)


def lines(series: Mapping[str, Sequence[Point]], x_label: str, y_label: str, log: bool = True) -> Drawing:
    """Draw a line with intervals for each arm, over a count or a share; at most three arms.

    Args:
        series: points of each arm, in the order of their ``x``; above 0 where ``log``.
        x_label: what is counted.
        y_label: what the values are.
        log: whether equal ratios of ``x`` lie equally far apart.
    """
    said = "; ".join(
        f"{name}: " + ", ".join(f"{p.value:.2f} [{p.low:.2f}, {p.high:.2f}] at {p.x:g}" for p in points)
        for name, points in series.items()
    )
    return both(lambda palette: _lines(series, x_label, y_label, log, palette), f"{y_label} over {x_label}: {said}")


def rungs(names: Sequence[str], series: Mapping[str, Sequence[Point]], x_label: str) -> Drawing:
    """Draw for each name one short interval an arm; at most three arms.

    Args:
        names: from the top down.
        series: points of each arm; ``Point.x`` is the place of its name in ``names``.
        x_label: what the values are: shares, drawn as percentages.
    """
    said = "; ".join(
        f"{names[int(p.x)]}, {arm}: {100 * p.value:.0f} % [{100 * p.low:.0f}, {100 * p.high:.0f}]"
        for arm, points in series.items()
        for p in points
    )
    return both(lambda palette: _rungs(names, series, x_label, palette), f"{x_label}: {said}")


def _defined(value: float) -> bool:
    return math.isfinite(value)


def _ranges(rows: Sequence[Range], numbers: Sequence[str], axis: str, percent: bool, palette: Palette) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.6 + 0.5 * len(rows)))
    axes = figure.add_axes((0.03, 0.5 / figure.get_figheight(), 0.94, 1 - 0.55 / figure.get_figheight()))
    scale = 100 if percent else 1
    colors = {"ok": palette.better, "look": palette.second, "bad": palette.worse}
    for row, (entry, number) in enumerate(zip(rows, numbers, strict=True)):
        color = colors.get(entry.word, palette.muted)
        text: dict[str, Any] = {"fontsize": 8.5, "va": "center", "transform": axes.get_yaxis_transform()}
        axes.text(0.0, -row + 0.42, entry.label, color=palette.ink, ha="left", **text)
        axes.text(1.0, -row + 0.42, number, color=color, ha="right", **text)
        if _defined(entry.reference):
            axes.plot([scale * entry.reference], [-row], "D", markersize=8, markerfacecolor="none", color=palette.ink)
        axes.plot([scale * entry.low, scale * entry.high], [-row, -row], color=color, linewidth=2.5)
        axes.plot([scale * entry.value], [-row], "o", color=color, markersize=6)
    ends = [scale * value for row in rows for value in (row.low, row.high, row.reference) if _defined(value)]
    left, right = min(0.0, *ends), max(ends)
    right = max(right, scale * 1.0) if right > 0.2 * scale else max(right, 1e-3)
    axes.set_xlim(left - 0.03 * (right - left), right + 0.03 * (right - left))
    axes.set_ylim(0.5 - len(rows), 0.75)
    axes.set_yticks([])
    axes.set_xlabel(axis)
    axes.grid(axis="x", color=palette.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    style(axes, palette)
    axes.spines["left"].set_visible(False)
    return figure


def _looks(palette: Palette) -> tuple[tuple[str, str], ...]:
    return (palette.muted, "--"), (palette.better, "-"), (palette.second, ":")


def _lines(series: Mapping[str, Sequence[Point]], x_label: str, y_label: str, log: bool, palette: Palette) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.add_subplot()
    ticks = sorted({point.x for points in series.values() for point in points})
    width = 0.012 * ((math.log(max(ticks) / min(ticks)) if log else max(ticks) - min(ticks)) if len(ticks) > 1 else 1)
    for number, ((name, points), (color, dashes)) in enumerate(zip(series.items(), _looks(palette), strict=False)):
        # A little apart, so that no interval hides another.
        apart = width * (2 * number - 1)
        x = [point.x * math.exp(apart) if log else point.x + apart for point in points]
        value = np.array([point.value for point in points])
        error = np.abs(np.array([[point.low, point.high] for point in points]).T - value)
        axes.errorbar(
            x, value, error, fmt="o" + dashes, color=color, label=name, markersize=5, capsize=3, linewidth=1.6
        )
    axes.set_xscale("log" if log else "linear")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(axis="y", color=palette.grid, linewidth=0.6)
    # Above the axes: inside, it would hide an interval.
    axes.legend(
        frameon=False, fontsize=8.5, labelcolor=palette.ink, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3
    )
    style(axes, palette)
    return figure


def _rungs(names: Sequence[str], series: Mapping[str, Sequence[Point]], x_label: str, palette: Palette) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for number, ((name, points), (color, _)) in enumerate(zip(series.items(), _looks(palette), strict=False)):
        for point in points:
            y = -point.x - 0.18 * (2 * number - len(series) + 1)
            axes.plot([100 * point.low, 100 * point.high], [y, y], color=color, linewidth=2)
            axes.plot([100 * point.value], [y], "os^"[number], color=color, markersize=5)
        axes.plot([], [], "os^"[number], color=color, label=name)
    axes.set_yticks([-place for place in range(len(names))], list(names), color=palette.ink)
    axes.set_ylim(-len(names) + 0.4, 0.6)
    axes.set_xlim(-2, 102)
    axes.set_xlabel(f"{x_label}, %")
    axes.grid(axis="x", color=palette.grid, linewidth=0.6)
    axes.legend(
        frameon=False, fontsize=8.5, labelcolor=palette.ink, loc="lower center", bbox_to_anchor=(0.4, 1), ncols=3
    )
    style(axes, palette)
    return figure
