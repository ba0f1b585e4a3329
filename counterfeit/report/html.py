"""Write ``report.html`` and ``report.json`` from a run folder: an offline page, and what it says as data."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from counterfeit.data.files import write_text
from counterfeit.evaluation.comparison import METRIC_NAMES, Comparison, Difference, Level, points
from counterfeit.evaluation.metrics import METRICS, Metric
from counterfeit.report.content import content, read_comparison, to_json
from counterfeit.report.drawing import Drawing, image_uri
from counterfeit.report.evidence import audit_sections, learning_panels, referral_panel, robustness_panels, worths
from counterfeit.report.figures import arm_label, curves, forest, ordered_pairs, pair_label
from counterfeit.report.headline import basis, decided, more
from counterfeit.report.run_folder import gan_curves, newest_samples

# In the order of a reader's interest: what is caught at a bearable rate of false alarms comes first.
_SHOWN: tuple[Metric, ...] = ("recall_at_5pct_fpr", "recall_at_1pct_fpr", "auroc", "average_precision")
_LOWER_IS_BETTER = ("brier", "expected_calibration_error")
_CURVES_TOGETHER = (("loss_generator", "loss_discriminator"), ("score_real", "score_fake"), ("diversity",))
_CURVE_MEANINGS = {
    "loss_generator": "A loss that runs away, or a discriminator at zero, is a training out of balance.",
    "score_real": "What the discriminator gives to real and to refined crops: far apart, it tells them apart easily.",
    "diversity": "How much another latent changes an image; near 0, it changes nothing.",
    "change": "Mean change of a pixel inside the mask, of a range of 1; near 0, the GAN does nothing.",
    "spread": "How much refined images differ from each other, as a part of how much the transplants do; below 0.5, "
    "the training has collapsed.",
    "donor_distance": "Distance of refined images from their donors, as a part of the transplants' distance; near 0, "
    "they are copies.",
    "kid": "Distance from held-out real images; lower is better.",
}
_MAX_PANELS = 10
_MAX_GRIDS = 3


def write_report(run: Path) -> Path:
    """Write ``run/report.json`` and ``run/report.html``, and return the path of the page.

    Args:
        run: the run folder; everything but ``comparison.json`` may be missing.

    Raises:
        UserError: the comparison is missing or is none, or a file of the run folder cannot be read.
    """
    comparison, plain = read_comparison(run)
    said = content(run, comparison, plain)
    page = (
        _environment()
        .get_template("template.html")
        .render(
            said=said,
            comparison=comparison,
            pair=comparison.pair(),
            pairs=[(pair_label(pair, comparison), pair) for pair in ordered_pairs(comparison)],
            arms=_arm_rows(comparison),
            names=METRIC_NAMES,
            shown=_SHOWN,
            metrics=METRICS,
            lower_is_better=_LOWER_IS_BETTER,
            decided=decided(comparison),
            basis=basis(comparison),
            forests=[
                (METRIC_NAMES[metric], forest(comparison, metric)) for metric in _SHOWN if _defined(comparison, metric)
            ],
            referral=referral_panel(comparison, basis(comparison)),
            learning=learning_panels(said["learning_curve"]),
            worths=worths(said["learning_curve"]),
            audits=audit_sections(said["audits"]),
            robustness=robustness_panels(said["robustness"]),
            grids=[(image_uri(file), file.name, seed) for file, seed in newest_samples(run)[:_MAX_GRIDS]],
            panels=_training_curves(run),
            gallery=_pictures(run, said["gallery"]),
            environment=list(_flat(said["provenance"]["environment"])),
        )
    )
    for name, text in (("report.json", to_json(said)), ("report.html", page)):
        write_text(run / name, text)
    return run / "report.html"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "points": points,
        "percent": _percent,
        "hundredths": _hundredths,
        "span": _span,
        "gap_span": _gap_span,
        "p": _p_value,
        "number": _number,
        "detectable": _detectable,
        "groups": _groups,
        "minute": _minute,
        "more": more,
        "reach": _reach,
        "place": _place,
    }
    return environment


def _percent(value: float | None) -> str:
    return "not defined" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def _hundredths(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "not defined" if value is None or math.isnan(value) else f"{value:.3f}"


def _span(level: Level | Mapping[str, float]) -> str:
    low, high = _ends(level)
    return "" if math.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}"


def _gap_span(difference: Difference | Mapping[str, float]) -> str:
    low, high = _ends(difference)
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def _ends(value: Level | Difference | Mapping[str, float]) -> tuple[float, float]:
    return (value["low"], value["high"]) if isinstance(value, Mapping) else (value.low, value.high)


def _p_value(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _detectable(difference: Difference) -> str:
    return "none" if difference.detectable >= 1 else _hundredths(difference.detectable)


def _reach(change: Mapping[str, float]) -> float:
    """Return the round number up to which an axis about 0 must reach to hold an interval."""
    furthest = max(abs(change["low"]), abs(change["high"]))
    return next(reach for reach in (0.05, 0.1, 0.2, 0.5, 1.0) if reach >= furthest or reach == 1.0)


def _place(value: float, left: float, right: float) -> str:
    """Place of a value between the ends of an axis, for a style sheet: ``25.0%``."""
    return f"{100 * (value - left) / (right - left):.1f}%"


def _minute(moment: str) -> str:
    """Shorten ``2026-01-31T12:30:59+00:00`` to what a person reads."""
    return f"{moment[:16].replace('T', ' ')} UTC"


def _groups(difference: Difference) -> str:
    """Test groups that find 5 percentage points; where images alone cannot, that takes more seeds."""
    if math.isnan(difference.estimate):
        return ""
    return "more seeds" if difference.groups_needed is None else str(difference.groups_needed)


def _arm_rows(comparison: Comparison) -> list[tuple[str, Any, bool]]:
    """Label, result and whether the verdict is about it, for each arm: baseline and product first."""
    main = ((comparison.baseline, comparison.baseline_dose), (comparison.product, comparison.product_dose))
    rows = sorted(
        comparison.arms, key=lambda arm: main.index((arm.arm, arm.dose)) if (arm.arm, arm.dose) in main else 2
    )
    return [(arm_label(arm.arm, arm.dose, comparison), arm, (arm.arm, arm.dose) in main) for arm in rows]


def _defined(comparison: Comparison, metric: Metric) -> bool:
    return any(math.isfinite(pair.differences[metric].estimate) for pair in comparison.pairs)


def _training_curves(run: Path) -> list[Drawing]:
    recorded = [curve for curve in gan_curves(run) if curve.name != "images_per_second"]  # speed is not health
    names = list(dict.fromkeys(curve.name for curve in recorded))
    alone = [(name,) for name in names if not any(name in group for group in _CURVES_TOGETHER)]
    panels = [[curve for curve in recorded if curve.name in group] for group in (*_CURVES_TOGETHER, *alone)]
    return [_explained(curves(panel, "images seen"), panel[0].name) for panel in panels if panel][:_MAX_PANELS]


def _explained(drawing: Drawing, name: str) -> Drawing:
    meaning = _CURVE_MEANINGS.get(name)
    return drawing._replace(caption=f"{drawing.caption}. {meaning}") if meaning else drawing


def _pictures(run: Path, gallery: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of the gallery with their pictures as data URIs; a picture that is gone is left out."""
    shown = []
    for entry in gallery:
        files = {name: run / "gallery" / str(entry[name]) for name in ("image", "map") if entry.get(name)}
        pictures = {name: image_uri(file) if file.is_file() else None for name, file in files.items()}
        if pictures.get("image"):
            shown.append(entry | {"map": None} | pictures)
    return shown


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested JSON as dotted names and text."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _flat(entry, f"{name}.{key}" if name else str(key))
    elif isinstance(value, float):
        yield name, f"{value:.4g}"
    elif isinstance(value, list):
        yield name, ", ".join(str(entry) for entry in value)
    else:
        yield name, str(value)
