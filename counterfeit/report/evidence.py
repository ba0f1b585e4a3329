"""Audits, learning curve, referral and robustness as figures; each may be missing from a run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from counterfeit.errors import UserError
from counterfeit.evaluation.comparison import METRIC_NAMES, Comparison
from counterfeit.evaluation.findings import range_in_words, seeds_in_words
from counterfeit.report.drawing import Drawing
from counterfeit.report.intervals import Point, Range, lines, ranges, rungs

_ORDER = ("leakage", "shortcuts", "memorisation", "fidelity")
_AXES = {
    "share": ("share, %", True),
    "auroc": ("AUROC: 0.5 cannot tell, 1 always can", False),
    "distance": ("distance: 0 for two samples of one distribution", False),
}
_RATES = {"recall": "counterfeits caught", "fpr": "false alarms"}


class AuditSection(NamedTuple):
    """One audit as the page shows it."""

    name: str
    question: str
    finding: str
    figures: list[Drawing]
    findings: list[dict[str, Any]]
    named: list[list[str]]


class Panel(NamedTuple):
    """One figure with its title, and what stands behind it."""

    title: str
    drawing: Drawing
    basis: str


def audit_sections(audits: Mapping[str, Any] | None) -> list[AuditSection]:
    """Turn ``audits.json`` into sections, in the order in which they can spoil a verdict."""
    found = (audits or {}).get("audits", {})
    names = sorted(found, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    return [
        AuditSection(
            name=name,
            question=found[name]["question"],
            finding=found[name]["finding"],
            figures=_audit_figures(found[name]["findings"]),
            findings=found[name]["findings"],
            named=found[name].get("named", []),
        )
        for name in names
    ]


def learning_panels(curve: Mapping[str, Any] | None) -> list[Panel]:
    """Draw each metric of ``learning_curve.json`` over the number of real counterfeits.

    Raises:
        UserError: it has not the keys of docs/run-folder.md.
    """
    try:
        return _learning_panels(curve) if curve else []
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"learning_curve.json is not as docs/run-folder.md says ({error!r}); delete it") from error


def _learning_panels(curve: Mapping[str, Any]) -> list[Panel]:
    counts = [float(count) for count in curve["counts"]]
    arms = dict(sorted(curve["arms"].items(), key=lambda arm: arm[0] != "real"))
    names: Mapping[str, str] = {str(metric): name for metric, name in METRIC_NAMES.items()}
    panels = []
    for metric in dict.fromkeys(metric for values in arms.values() for metric in values):
        series = {arm: _points(counts, values[metric]) for arm, values in arms.items() if metric in values}
        series = {arm: points for arm, points in series.items() if points}
        if series:
            title = names.get(metric, metric)
            panels.append(Panel(title, lines(series, "real counterfeits learned from", title), _curve_basis(curve)))
    return panels


def worths(curve: Mapping[str, Any] | None) -> list[str]:
    """Say what the synthetic images were worth, a sentence for each entry of ``worth`` in ``learning_curve.json``."""
    found = (curve or {}).get("worth") or []
    return [_worth(entry) for entry in ([found] if isinstance(found, Mapping) else found)]


def referral_panel(comparison: Comparison, basis: str) -> Panel | None:
    """Draw the accuracy that is left when a share of the images goes to a person; ``None`` without thresholds."""
    shown = ((comparison.baseline, comparison.baseline_dose), (comparison.product, comparison.product_dose))
    series = {
        arm.arm: [Point(100 * row.referred, row.estimate, row.low, row.high) for row in arm.referral]
        for arm in comparison.arms
        if (arm.arm, arm.dose) in shown
    }
    series = {arm: [p for p in points if all(map(math.isfinite, p))] for arm, points in series.items()}
    series = {arm: points for arm, points in series.items() if points}
    if not series:
        return None
    drawing = lines(series, "images that go to a person, %", "accuracy on the rest", log=False)
    return Panel("Accuracy when a person takes the least sure", drawing, basis)


def robustness_panels(robustness: Mapping[str, Any] | None) -> list[Panel]:
    """Draw recall and false alarms of both arms under every corruption of ``robustness.json``."""
    rows = (robustness or {}).get("corruptions", [])
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    panels = []
    for rate, title in _RATES.items():
        series: dict[str, list[Point]] = {}
        for row in rows:
            value = [math.nan if v is None else float(v) for v in row[rate]]
            if all(map(math.isfinite, value)):
                series.setdefault(str(row["arm"]), []).append(Point(names.index(str(row["name"])), *value))
        if series:
            counted = "n_counterfeit" if rate == "recall" else "n_genuine"
            what = "counterfeit" if rate == "recall" else "genuine"
            basis = f"{range_in_words([int(row[counted]) for row in rows])} {what} test images a seed, {_seeds(rows)}"
            panels.append(Panel(title, rungs(names, series, title), basis))
    return panels


def _points(counts: Sequence[float], values: Sequence[Sequence[float | None] | None]) -> list[Point]:
    found = [Point(x, *map(_float, value)) for x, value in zip(counts, values, strict=True) if value]
    return sorted(point for point in found if point.x > 0 and all(map(math.isfinite, point)))


def _curve_basis(curve: Mapping[str, Any]) -> str:
    seeds = int(curve["seeds"])
    basis = seeds_in_words(seeds)
    if "n_counterfeit" in curve:
        basis += f", at least {curve['n_counterfeit']} counterfeit and {curve['n_genuine']} genuine test images each"
    return basis


def _worth(entry: Mapping[str, Any]) -> str:
    value, low, high = (entry.get(name) for name in ("value", "low", "high"))
    words = [f"With {entry['counterfeits']} real counterfeits"] if "counterfeits" in entry else []
    if "metric" in entry:
        words.append(f"{'by' if words else 'By'} {METRIC_NAMES.get(entry['metric'], entry['metric'])}")
    about = f"{', '.join(words)}: " if words else ""
    seeds = seeds_in_words(entry["n"])
    if value is None:
        bounds = [f"{word} {end:.2g} times" for word, end in (("at least", low), ("at most", high)) if end is not None]
        ends = f"95 % interval: {' and '.join(bounds)} as many; " if bounds else ""
        return f"{about}outside of the curve, on which no count gains as much ({ends}{seeds})."
    left = "below the curve" if low is None else f"{low:.2g}"
    right = "beyond the curve" if high is None else f"{high:.2g}"
    return f"{about}as good as {value:.2g} times as many (95 % interval {left} to {right}; {seeds})."


def _audit_figures(findings: Sequence[Mapping[str, Any]]) -> list[Drawing]:
    figures = []
    for unit, (axis, percent) in _AXES.items():
        rows = [
            Range(
                str(f["name"]),
                value=_float(f["value"]),
                low=_float(f["low"]),
                high=_float(f["high"]),
                reference=_float(f["reference"]),
                word=str(f["finding"]),
            )
            for f in findings
            if f["unit"] == unit
        ]
        rows = [row for row in rows if all(map(math.isfinite, (row.value, row.low, row.high)))]
        if rows:
            counted = dict.fromkeys(f["n"] for f in findings if f["unit"] == unit)
            figures.append(ranges(rows, axis, percent)._replace(caption=f"n: {'; '.join(counted)}"))
    return figures


def _seeds(rows: Sequence[Mapping[str, Any]]) -> str:
    seeds = [int(row["n_seeds"]) for row in rows]
    return f"{range_in_words(seeds)} {'seed' if max(seeds) == 1 else 'seeds'}"


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
