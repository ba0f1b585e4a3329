"""The picture of the grid for the README: recall with and without synthesis against the number of real counterfeits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.synthesis_statistics import Cell, Grid, level
from counterfeit.evaluation.metrics import Metric
from counterfeit.report.drawing import LIGHT, style

METRIC: Metric = "recall_at_5pct_fpr"
LOOKS = {"real": (LIGHT.second, "o--"), "synthetic": (LIGHT.better, "D-")}
SHIFT = 0.07  # intervals of the two arms stand side by side


def write_picture(path: Path, grid: Grid, sets: Sequence[str], sizes: Sequence[int]) -> None:
    """Write one panel a set as PNG: means over seeds with 95 % intervals, both arms."""
    figure = Figure(figsize=(2.6 * len(sets), 2.9), layout="constrained", dpi=160)
    panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, sets, strict=True):
        shown = [(place, grid[name, size]) for place, size in enumerate(sizes) if (name, size) in grid]
        _panel(axes, shown)
        axes.set_title(f"{name}, {_seeds([cell for _, cell in shown])} seeds", fontsize=9, color=LIGHT.ink)
        axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        axes.set_xlim(-0.4, len(sizes) - 0.6)
    panels[0].set_ylabel("recall at 5 % FPR, %")
    panels[0].legend(frameon=False, fontsize=8.5, labelcolor=LIGHT.ink, loc="lower right")
    figure.supxlabel("real counterfeits in training", fontsize=8.5, color=LIGHT.muted)
    figure.savefig(path, metadata={"Software": None})


def _panel(axes: Any, shown: Sequence[tuple[int, Cell]]) -> None:
    for side, (arm, (color, marks)) in zip((-SHIFT, SHIFT), LOOKS.items(), strict=True):
        found = [(place + side, level(cell, arm, METRIC)) for place, cell in shown if arm in cell]
        places = [place for place, _ in found]
        below = [100 * (mean.estimate - mean.low) for _, mean in found]
        above = [100 * (mean.high - mean.estimate) for _, mean in found]
        values = [100 * mean.estimate for _, mean in found]
        axes.errorbar(places, values, [below, above], fmt=marks, color=color, label=arm, markersize=4, linewidth=1.4)
    axes.set_ylim(0, 102)
    axes.grid(axis="y", color=LIGHT.grid, linewidth=0.6)
    style(axes, LIGHT)


def _seeds(cells: Sequence[Cell]) -> str:
    counts = {len(cell[arm]) for cell in cells for arm in LOOKS if arm in cell} or {0}
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
