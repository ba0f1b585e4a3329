"""Figures of the report, each drawn twice, for light and for dark pages, as data URIs.

Drawn on matplotlib's `Figure` itself, without pyplot and its global state; the same input gives the same bytes.
"""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from counterfeit.evaluation.comparison import METRIC_NAMES, Comparison, Difference, PairResult, points
from counterfeit.evaluation.metrics import Metric

# A page as wide as a phone shows this width without shrinking the text.
_WIDTH = 4.3
# Shared by the seeds of one quantity: keeps the page small however long the training was.
_MAX_CURVE_POINTS = 750
_MAX_GRID_BYTES = 1_500_000
_MAX_GRID_SIDE = 1400


class Palette(NamedTuple):
    """Colours told apart by the colour-blind; green and red also differ in lightness."""

    ink: str
    muted: str
    grid: str
    better: str
    worse: str
    second: str


LIGHT = Palette("#1d232b", "#5b6672", "#d9dee4", "#0b6e5d", "#b3261e", "#8a5a00")
DARK = Palette("#e8ecf1", "#9aa6b2", "#39424d", "#4fd1b5", "#ff8a7a", "#f0b95a")


class Drawing(NamedTuple):
    """One figure as two data URIs, the words that stand in for it, and how many runs it shows."""

    light: str
    dark: str
    alt: str
    caption: str = ""


class Curve(NamedTuple):
    """One quantity of one training run: `x` and `y` are `(N,)`."""

    name: str
    seed: str
    x: Sequence[float]
    y: Sequence[float]


def pair_label(pair: PairResult, comparison: Comparison) -> str:
    """Name a pair as `synthetic − real`, with doses where an arm ran at several."""
    return " \N{MINUS SIGN} ".join(
        arm_label(arm, dose, comparison) for arm, dose in ((pair.arm, pair.dose), (pair.against, pair.against_dose))
    )


def arm_label(arm: str, dose: float, comparison: Comparison) -> str:
    """Name an arm, with its dose where it ran at several: `synthetic, dose 0.3`."""
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
    return _both(lambda palette: _forest(rows, palette, reach), alt)


def curves(series: Sequence[Curve], x_label: str) -> Drawing:
    """Draw up to three quantities over training, one thin line per seed."""
    names = list(dict.fromkeys(curve.name for curve in series))
    seeds = len({curve.seed for curve in series})
    basis = f"{seeds} {'seed' if seeds == 1 else 'seeds'}"
    ends = (f"{c.name} (seed {c.seed}) from {c.y[0]:.3g} to {c.y[-1]:.3g}" for c in series)
    alt = f"{', '.join(names)} over {x_label}, {basis}: {'; '.join(ends)}"
    return _both(lambda palette: _curves(series, names, x_label, palette), alt, basis)


def image_uri(path: Path) -> str:
    """Return an image file as a data URI, made smaller where the page would grow too large."""
    content = path.read_bytes()
    if len(content) <= _MAX_GRID_BYTES:
        return _uri(content, "image/png")
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((_MAX_GRID_SIDE, _MAX_GRID_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=88)
    return _uri(buffer.getvalue(), "image/jpeg")


def _forest(rows: Sequence[tuple[str, Difference]], palette: Palette, reach: float) -> Figure:
    figure = Figure(figsize=(_WIDTH, 0.6 + 0.5 * len(rows)))
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
    axes.set_xlabel("worse  \N{LEFTWARDS ARROW}  percentage points  \N{RIGHTWARDS ARROW}  better", color=palette.muted)
    _style(axes, palette)
    axes.spines["left"].set_visible(False)
    return figure


def _color(difference: Difference, palette: Palette) -> str:
    """Colour what holds after adjustment over the metrics; an interval alone is not enough for the verdict either."""
    if difference.p_holm is None or difference.p_holm >= 0.05:
        return palette.muted
    return palette.better if difference.estimate > 0 else palette.worse


def _curves(series: Sequence[Curve], names: Sequence[str], x_label: str, palette: Palette) -> Figure:
    figure = Figure(figsize=(_WIDTH, 2.5), layout="constrained")
    axes = figure.add_subplot()
    looks = ((palette.better, "-"), (palette.second, "--"), (palette.muted, ":"))
    for curve in series:
        color, dashes = looks[names.index(curve.name) % len(looks)]
        every = max(1, len(curve.x) * len(series) // (len(names) * _MAX_CURVE_POINTS))
        axes.plot(curve.x[::every], curve.y[::every], dashes, color=color, linewidth=1.3, alpha=0.8)
    for name, (color, dashes) in zip(names, looks, strict=False):
        axes.plot([], [], dashes, color=color, label=name.replace("_", " "))
    axes.legend(frameon=False, fontsize=8.5, labelcolor=palette.ink, loc="best")
    axes.set_xlabel(x_label, color=palette.muted)
    axes.grid(axis="y", color=palette.grid, linewidth=0.6)
    _style(axes, palette)
    return figure


def _style(axes: Any, palette: Palette) -> None:
    axes.set_facecolor("none")
    axes.tick_params(colors=palette.muted, labelsize=8.5, length=3)
    axes.xaxis.label.set_size(8.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(palette.grid)


def _both(draw: Callable[[Palette], Figure], alt: str, caption: str = "") -> Drawing:
    return Drawing(_svg(draw, LIGHT), _svg(draw, DARK), alt, caption)


def _svg(draw: Callable[[Palette], Figure], palette: Palette) -> str:
    buffer = io.BytesIO()
    # The salt replaces random ids, and no date is written: the same numbers give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "counterfeit", "font.family": "DejaVu Sans"}):
        draw(palette).savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _uri(buffer.getvalue(), "image/svg+xml")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
