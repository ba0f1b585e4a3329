"""Write `report.html` from a run folder: one page that needs no network, and no other file of the run."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from counterfeit.errors import UserError
from counterfeit.evaluation.compare import VERDICT_METRICS, compare
from counterfeit.evaluation.comparison import METRIC_NAMES, Comparison, Difference, Level, image_count, points
from counterfeit.evaluation.metrics import METRICS, Metric
from counterfeit.report.figures import Drawing, arm_label, curves, forest, image_uri, ordered_pairs, pair_label
from counterfeit.report.run_folder import (
    gan_curves,
    newest_samples,
    predictions,
    quarantined,
    read_json,
    read_text,
    synthetic_draws,
)

# In the order of a reader's interest: what is caught at a bearable rate of false alarms comes first.
_SHOWN: tuple[Metric, ...] = ("recall_at_5pct_fpr", "recall_at_1pct_fpr", "auroc", "average_precision")
_CURVES_TOGETHER = (("loss_generator", "loss_discriminator"), ("score_real", "score_fake"), ("diversity",))
_MAX_PANELS = 10
_KIND_RESAMPLES = 1000


class KindRow(NamedTuple):
    """Recall at 5 % FPR of one kind of counterfeit, without and with the product; `images` are distinct ones."""

    kind: str
    images: int
    seeds: int
    baseline: Level
    product: Level
    difference: Difference


def write_report(run: Path) -> Path:
    """Write `run/report.html` and return its path; everything but `comparison.json` may be missing.

    Raises `UserError` if the comparison is missing, or if a file of the run folder cannot be read.
    """
    text = read_text(run / "comparison.json")
    if text is None:
        raise UserError(f"{run}: no comparison.json to report on; run the compare stage first")
    try:
        comparison, extra = Comparison.from_json(text), json.loads(text)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{run / 'comparison.json'} is not a comparison ({error!r}); rerun the compare stage"
        ) from error
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
        "p": _p_value,
    }
    page = environment.get_template("template.html").render(
        run=run.resolve().name,
        comparison=comparison,
        pair=comparison.pair(),
        pairs=[(pair_label(pair, comparison), pair) for pair in ordered_pairs(comparison)],
        arms=_arm_rows(comparison),
        names=METRIC_NAMES,
        shown=_SHOWN,
        metrics=METRICS,
        decided=_decided(comparison),
        images=image_count(comparison.tests),
        forests=[
            (METRIC_NAMES[metric], forest(comparison, metric)) for metric in _SHOWN if _defined(comparison, metric)
        ],
        kinds=_kinds(run, comparison),
        grid=_sample_grid(run),
        draws=synthetic_draws(run),
        panels=_training_curves(run),
        dose=extra.get("dose", comparison.product_dose),
        dose_reason=extra.get("dose_reason"),
        config=read_text(run / "config.yaml"),
        environment=list(_flat(read_json(run / "env.json"))),
        quarantine=quarantined(run),
        audit=list(_flat(read_json(run / "audit.json"))),
    )
    report = run / "report.html"
    report.write_text(page, encoding="utf-8")
    return report


def _percent(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{100 * value:.1f} %"


def _hundredths(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def _span(level: Level) -> str:
    return "" if math.isnan(level.low) else f"{100 * level.low:.1f} to {100 * level.high:.1f}"


def _p_value(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _arm_rows(comparison: Comparison) -> list[tuple[str, Any, bool]]:
    """Label, result and whether the verdict is about it, for each arm: baseline and product first."""
    main = ((comparison.baseline, comparison.baseline_dose), (comparison.product, comparison.product_dose))
    rows = sorted(
        comparison.arms, key=lambda arm: main.index((arm.arm, arm.dose)) if (arm.arm, arm.dose) in main else 2
    )
    return [(arm_label(arm.arm, arm.dose, comparison), arm, (arm.arm, arm.dose) in main) for arm in rows]


def _decided(comparison: Comparison) -> list[tuple[str, Difference]]:
    """Find the metrics that carry the verdict, with their differences."""
    sign = {"HELPS": 1, "HURTS": -1, "NO EVIDENCE": 0}[comparison.verdict]
    found = [(metric, comparison.pair().differences[metric]) for metric in _SHOWN if metric in VERDICT_METRICS]
    return [
        (METRIC_NAMES[m], d) for m, d in found if d.p_holm is not None and d.p_holm < 0.05 and d.estimate * sign > 0
    ]


def _defined(comparison: Comparison, metric: Metric) -> bool:
    return any(math.isfinite(pair.differences[metric].estimate) for pair in comparison.pairs)


def _kinds(run: Path, comparison: Comparison) -> list[KindRow]:
    """Compare baseline and product on all genuine images and the counterfeits of one kind at a time."""
    table = predictions(run)
    if table is None or "kind" not in table.column_names:
        return []
    table = table.filter(np.isin(table["arm"].to_pylist(), (comparison.baseline, comparison.product)))
    kind = np.array([str(name or "unknown") for name in table["kind"].to_pylist()])
    genuine = np.asarray(table["label"].to_pylist()) == 0
    return [
        _kind_row(str(name), table.filter(genuine | (kind == name)), comparison) for name in np.unique(kind[~genuine])
    ]


def _kind_row(kind: str, table: pa.Table, comparison: Comparison) -> KindRow:
    part = compare(
        table,
        baseline=comparison.baseline,
        product=comparison.product,
        product_dose=comparison.product_dose,
        resamples=_KIND_RESAMPLES,
        seed=comparison.seed,
    )
    levels = {(arm.arm, arm.dose): arm.levels["recall_at_5pct_fpr"] for arm in part.arms}
    counterfeit = table.filter(np.asarray(table["label"].to_pylist()) == 1)
    return KindRow(
        kind=kind,
        images=len(set(counterfeit["path"].to_pylist())),
        seeds=len(set(counterfeit["seed"].to_pylist())),
        baseline=levels[part.baseline, part.baseline_dose],
        product=levels[part.product, part.product_dose],
        difference=part.pair().differences["recall_at_5pct_fpr"],
    )


def _sample_grid(run: Path) -> tuple[str, str, str] | None:
    """Return data URI, file name and seed of the newest sample grid."""
    newest = newest_samples(run)
    return newest and (image_uri(newest[0]), newest[0].name, newest[1])


def _training_curves(run: Path) -> list[Drawing]:
    recorded = gan_curves(run)
    names = list(dict.fromkeys(curve.name for curve in recorded))
    alone = [(name,) for name in names if not any(name in group for group in _CURVES_TOGETHER)]
    panels = [[curve for curve in recorded if curve.name in group] for group in (*_CURVES_TOGETHER, *alone)]
    return [curves(panel, "images seen") for panel in panels if panel][:_MAX_PANELS]


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
