"""Audits, learning curve and robustness as figures; each may be missing from a run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from counterfeit.report.drawing import Drawing
from counterfeit.report.intervals import Point, Range, lines, ranges, rungs

_ORDER = ("leakage", "shortcuts", "memorisation", "fidelity")
_AXES = {
    "share": ("share, %", True),
    "auroc": ("AUROC: 0.5 cannot tell, 1 always can", False),
    "distance": ("distance: 0 for two samples of one distribution", False),
}
_CURVE_NAMES = {"auroc": "AUROC", "recall_at_5%_fpr": "recall at 5 % FPR", "recall_at_5pct_fpr": "recall at 5 % FPR"}
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
    """Turn `audits.json` into sections, in the order in which they can spoil a verdict."""
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
    """Draw each metric of `learning_curve.json` over the number of real counterfeits."""
    panels = []
    for metric, points in (curve or {}).get("metric", {}).items():
        arms = dict.fromkeys(str(point["arm"]) for point in points)
        series = {arm: _points([p for p in points if p["arm"] == arm], "counterfeits") for arm in arms}
        series = {arm: line for arm, line in series.items() if line}
        if series:
            title, seeds = _CURVE_NAMES.get(metric, metric), sorted({int(point["seeds"]) for point in points})
            drawing = lines(series, "real counterfeits learned from", title)
            panels.append(
                Panel(title, drawing, f"{' to '.join(map(str, seeds))} {'seed' if seeds == [1] else 'seeds'}")
            )
    return panels


def robustness_panels(robustness: Mapping[str, Any] | None) -> list[Panel]:
    """Draw recall and false alarms of both arms under every corruption of `robustness.json`."""
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
            basis = f"{_from_to([int(row[counted]) for row in rows])} {what} test images"
            panels.append(Panel(title, rungs(names, series, title), basis))
    return panels


def _points(points: Sequence[Mapping[str, Any]], x: str) -> list[Point]:
    found = [Point(float(p[x]), *(_float(p[name]) for name in ("value", "low", "high"))) for p in points]
    return sorted(point for point in found if point.x > 0 and all(map(math.isfinite, point)))


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


def _from_to(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
