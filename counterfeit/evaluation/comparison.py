"""What ``compare`` found: the result as data, as ``comparison.json`` and in words.

``comparison.json`` is ``Comparison.to_json()``. Its keys, rates as fractions in [0, 1] and an undefined number as null:

- ``verdict`` (HELPS, NO EVIDENCE or HURTS), ``rule`` (how it was reached), ``notes`` (what to keep in mind, sentences);
- ``baseline``, ``baseline_dose``, ``product``, ``product_dose``: the two arms that the verdict is about;
- ``resamples``, ``seed``: of the bootstrap, which is a function of them;
- ``worst``: ``n_seeds``, ``n_groups``, and the smallest ``n_genuine`` and ``n_counterfeit`` of any seed's test images;
- ``tests``: per seed ``seed``, ``n_genuine``, ``n_counterfeit``;
- ``arms``: per arm and dose ``arm``, ``dose``, ``n_seeds``, ``levels``: metric to ``estimate``, ``low``, ``high``;
  ``operating``: the same for ``recall``, ``fpr``, ``precision`` of the decisions at each cell's own threshold;
  ``referral``: for growing shares ``referred`` to a person, the accuracy on the rest (``estimate``, ``low``, ``high``).
  Both are empty without thresholds;
- ``pairs``: per pair ``arm``, ``dose``, ``against``, ``against_dose``, ``n_seeds``, ``delong_se`` (of the AUROC
  difference, mean over seeds), ``mcnemar``: ``gained`` and ``lost`` (decisions, summed over seeds, that only the arm or
  only the other got right) and ``p`` (clustered by group; null without thresholds), and ``differences``: metric to
  ``estimate`` (arm minus against), ``low``, ``high``, ``p``, ``p_holm`` (null for metrics without part in the verdict),
  ``standard_error``, ``images_error`` and ``training_error`` (its two sources), ``detectable`` (the smallest difference
  found in four of five experiments like this one), ``groups_needed`` (test groups, over all seeds, to find 5 percentage
  points as often; null if more images cannot do it and more seeds are needed).
"""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from counterfeit.data.files import without_nan
from counterfeit.evaluation.decisions import Rate
from counterfeit.evaluation.findings import seeds_in_words
from counterfeit.evaluation.metrics import Metric

Verdict = Literal["HELPS", "NO EVIDENCE", "HURTS"]
METRIC_NAMES: Mapping[Metric, str] = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "recall_at_1pct_fpr": "recall at 1 % FPR",
    "recall_at_5pct_fpr": "recall at 5 % FPR",
    "precision_at_5pct_reviewed": "precision in the top 5 %",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
}


@dataclass(frozen=True)
class Level:
    """Mean of a metric over seeds, with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Mean paired difference of a metric over seeds; the keys are explained at the top of this file."""

    estimate: float
    low: float
    high: float
    p: float
    p_holm: float | None
    standard_error: float
    detectable: float
    images_error: float
    training_error: float
    groups_needed: int | None


@dataclass(frozen=True)
class Referral:
    """Accuracy, with its interval, on the images that are left when the share ``referred`` goes to a person."""

    referred: float
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """Decisions at the operating points that only one of two arms got right, and their test."""

    gained: int
    lost: int
    p: float


@dataclass(frozen=True)
class ArmResult:
    """One arm at one dose."""

    arm: str
    dose: float
    n_seeds: int
    levels: dict[Metric, Level]
    operating: dict[Rate, Level]
    referral: tuple[Referral, ...]


@dataclass(frozen=True)
class PairResult:
    """One arm minus another on the same test images."""

    arm: str
    dose: float
    against: str
    against_dose: float
    n_seeds: int
    delong_se: float
    mcnemar: McNemar | None
    differences: dict[Metric, Difference]


@dataclass(frozen=True)
class SeedCounts:
    """Test images of one seed."""

    seed: int
    n_genuine: int
    n_counterfeit: int


@dataclass(frozen=True)
class Worst:
    """The smallest numbers that any figure rests on."""

    n_seeds: int
    n_groups: int
    n_genuine: int
    n_counterfeit: int


@dataclass(frozen=True)
class Comparison:
    """All arms of an experiment, their differences, and the verdict on the product."""

    verdict: Verdict
    rule: str
    baseline: str
    baseline_dose: float
    product: str
    product_dose: float
    resamples: int
    seed: int
    worst: Worst
    tests: tuple[SeedCounts, ...]
    arms: tuple[ArmResult, ...]
    pairs: tuple[PairResult, ...]
    notes: tuple[str, ...]

    def pair(self) -> PairResult:
        """Return the product against the baseline: what the verdict is about."""
        wanted = (self.product, self.product_dose, self.baseline, self.baseline_dose)
        return next(p for p in self.pairs if (p.arm, p.dose, p.against, p.against_dose) == wanted)

    def to_json(self) -> str:
        """Return the text of ``comparison.json``."""
        return json.dumps(without_nan(asdict(self)), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Comparison":
        """Read what ``to_json`` wrote; keys added by others (``dose_reason``) are passed over."""
        data = json.loads(text)
        own = {name: data[name] for name in cls.__dataclass_fields__}
        own["worst"] = Worst(**data["worst"])
        own["tests"] = tuple(SeedCounts(**entry) for entry in data["tests"])
        own["arms"] = tuple(_arm_from(entry) for entry in data["arms"])
        own["pairs"] = tuple(_pair_from(entry) for entry in data["pairs"])
        own["notes"] = tuple(data["notes"])
        return cls(**own)


def headline(comparison: Comparison) -> list[str]:
    """Return the last lines that a run prints: the verdict, the difference with its interval, what to keep in mind."""
    pair, worst = comparison.pair(), comparison.worst
    recall, area = pair.differences["recall_at_5pct_fpr"], pair.differences["auroc"]
    lines = [
        f"verdict: {comparison.verdict}",
        f"{comparison.product} over {comparison.baseline}: recall at 5 % FPR {points(recall)}, AUROC {points(area)}; "
        f"{seeds_in_words(worst.n_seeds)}, {image_count(comparison.tests)} test images",
    ]
    if comparison.verdict == "NO EVIDENCE" and recall.detectable >= 1:
        lines.append("an experiment of this size can hardly find any difference in recall: run more seeds")
    elif comparison.verdict == "NO EVIDENCE" and recall.detectable > 0:
        lines.append(
            f"an experiment of this size finds a difference of {100 * recall.detectable:.1f} pp in recall at 5 % FPR, "
            f"or {100 * area.detectable:.1f} pp in AUROC, four times in five; smaller ones can stay unseen"
        )
    return lines + [f"note: {note}" for note in comparison.notes]


def last_lines(comparison: Comparison, report: Path, own: bool) -> list[str]:
    """Return what a verb prints last: the headline, where the report lies, the command to go on with.

    Args:
        comparison: of the run.
        report: the page; the detector lies beside it.
        own: whether the photographs are the user's own, which, unlike the drawn labels, are followed by others to
            score.
    """
    score = f"python -m counterfeit.predict FOLDER --run {shlex.quote(str(report.parent))} --out scores"
    following = score if own else "python -m counterfeit.fit --data.root FOLDER"
    return [*headline(comparison), f"report: {report}", f"next: {following}"]


def points(difference: Difference) -> str:
    """Format a difference in percentage points with its interval: ``+7.1 pp [+2.0, +12.3]``."""
    if math.isnan(difference.estimate):
        return "not defined"
    # Adding 0 turns a rounded -0.0 into 0.0.
    estimate, low, high = (round(100 * v, 1) + 0.0 for v in (difference.estimate, difference.low, difference.high))
    return f"{estimate:+.1f} pp [{low:+.1f}, {high:+.1f}]"


def image_count(tests: tuple[SeedCounts, ...]) -> str:
    """Format the number of test images of a seed, as one number or a range: ``471`` or ``468 to 473``."""
    sizes = {test.n_genuine + test.n_counterfeit for test in tests}
    return str(*sizes) if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"


def _arm_from(entry: dict[str, Any]) -> ArmResult:
    levels = {name: Level(**_with_nan(level)) for name, level in entry["levels"].items()}
    operating = {name: Level(**_with_nan(level)) for name, level in entry["operating"].items()}
    referral = tuple(Referral(**_with_nan(row)) for row in entry["referral"])
    return ArmResult(**{**entry, "levels": levels, "operating": operating, "referral": referral})


def _pair_from(entry: dict[str, Any]) -> PairResult:
    differences = {name: Difference(**_with_nan(d)) for name, d in entry["differences"].items()}
    mcnemar = entry["mcnemar"] and McNemar(**_with_nan(entry["mcnemar"]))
    return PairResult(**{**_with_nan(entry), "mcnemar": mcnemar, "differences": differences})


def _with_nan(entry: dict[str, Any]) -> dict[str, Any]:
    absent = ("p_holm", "groups_needed", "mcnemar")
    return {key: math.nan if value is None and key not in absent else value for key, value in entry.items()}
