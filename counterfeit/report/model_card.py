"""The model card of an exported detector: Markdown with the front matter that the Hugging Face hub reads."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from counterfeit.data.place import are_drawn
from counterfeit.evaluation.comparison import METRIC_NAMES, ArmResult, Comparison, Level
from counterfeit.evaluation.findings import seeds_in_words
from counterfeit.evaluation.predictions import read_parquet
from counterfeit.report.run_folder import read_text

TAGS = ("counterfeit-detection", "image-classification", "anomaly-detection", "onnx")
USES = """\
## Intended use

To order photographs of one product family for review by people who know the product, and to decide with them.
The score is a **risk score, not proof**. It is a probability only where counterfeits are as frequent as in the
validation images, and only for photographs like those that the detector learned from.

## Forbidden use

- No accusation, removal, fine, report or legal step on the score alone: a person decides, and the person concerned can
  object.
- No certificate of authenticity: a low score does not say that a product is genuine.
- No other product, and no photographs taken in another way, before they are measured.
- No scores or heat maps for unknown senders of photographs: they would show a counterfeiter what to change.
"""


STARTED = """\
## How to get started

```python
from counterfeit.detector import Scorer

scorer = Scorer.load("export", engine="onnx")  # the folder of this file; neither torch nor anything pickled
score = scorer.score(["photograph.jpg"])[0]
print(score.probability, score.band, score.counterfeit, score.captured)
```
"""
LIMITS = """\
## Limitations

- It sees photographs at {size} pixels: a deviation that is smaller than a few pixels there does not count.
- A kind of counterfeit that it did not learn from may pass unseen.
- An unusual background, a mark over the photograph, or another camera than in training can look counterfeit to it.
- Blur, crops and strong compression hide evidence: such photographs come out as *unclear* more often;
  `captured` says what they seem to be.
"""


def model_card(run: Path, card: Mapping[str, Any], parity: str, base_model: str | None = None) -> str:
    """Write the card.

    Args:
        run: run folder; what it lacks is said to be unknown.
        card: content of ``detector.json``.
        parity: what the comparison of the engines found, one sentence.
        base_model: the backbone's name on the Hugging Face hub, where it has one.

    Returns:
        The Markdown text.
    """
    name = run.resolve().name
    text = read_text(run / "comparison.json")
    comparison = Comparison.from_json(text) if text else None
    arm = _arm(comparison, card)
    settings = card["hyperparameters"]
    sections = [
        _front_matter(name, base_model, arm),
        f"# Counterfeit detector `{name}`\n\n"
        f"Gives each photograph the probability that it shows a counterfeit. Trained as arm `{card['arm']}`, dose"
        f" {card['dose']:g}, seed {card['seed']}, at {settings['size']} pixels on the frozen backbone"
        f" `{settings['backbone']}`, by `counterfeit`.\n",
        STARTED,
        USES,
        LIMITS.format(size=settings["size"]),
        _data(run, int(card["seed"])),
        _metrics(comparison, arm),
        _meaning(card),
        f"## Files\n\n"
        "- `detector.onnx`: input `images`, uint8 RGB `(N, 3, H, W)`, upright, of any size; resizing and normalisation"
        " are inside. Outputs `logit` `(N,)` (the probability is its sigmoid), `evidence_map`, `distance_map` and"
        " `capture` `(N,)`, the position of each image's kind in `captures` of `detector.json`, 0 as in training.\n"
        "- `detector.safetensors`, `detector.json`: the same detector for `Scorer.load`, and what its scores mean.\n\n"
        f"{parity}\n",
    ]
    return "\n".join(sections)


def _front_matter(name: str, base_model: str | None, arm: ArmResult | None) -> str:
    metrics = [
        {"type": metric, "name": f"{METRIC_NAMES[metric]} [{level.low:.3f}, {level.high:.3f}]", "value": level.estimate}
        for metric, level in (arm.levels.items() if arm else ())
        if not math.isnan(level.estimate)
    ]
    fields: dict[str, Any] = {
        "license": "other",
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": list(TAGS),
    }
    if base_model:
        fields["base_model"] = base_model
    if metrics:
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"type": name, "name": f"{name}, real test images"},
            "metrics": metrics,
        }
        fields["model-index"] = [{"name": name, "results": [result]}]
    # JSON is YAML.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def _data(run: Path, seed: int) -> str:
    head = "## Data\n\n"
    if not (run / "manifest.parquet").is_file() or not (run / "splits.parquet").is_file():
        return f"{head}Unknown: the run folder was not at hand.\n"
    label = {row["path"]: row["label"] for row in read_parquet(run / "manifest.parquet").to_pylist()}
    rows = [row for row in read_parquet(run / "splits.parquet").to_pylist() if row["seed"] == seed]
    counts = Counter((row["split"], label[row["path"]]) for row in rows)
    table = ["| split | genuine | counterfeit |", "|---|---|---|"]
    table += [f"| {split} | {counts[split, 0]} | {counts[split, 1]} |" for split in ("train", "validation", "test")]
    words = (
        "Labels of invented brands, drawn by `counterfeit`: no photographs. No figure here says anything of a product."
        if _drawn(run)
        else "Real photographs. Whether the labels are right, whoever gave them knows."
    )
    return (
        head + "\n".join(table) + f"\n\n{words} Images of one group (an item, or near-duplicates) lie in one split.\n"
    )


def _drawn(run: Path) -> bool:
    """Whether a run names no photographs, and so had labels drawn."""
    data = (yaml.safe_load(read_text(run / "config.yaml") or "") or {}).get("data")
    return data is not None and are_drawn(data)


def _metrics(comparison: Comparison | None, arm: ArmResult | None) -> str:
    head = "## Metrics\n\n"
    if comparison is None or arm is None:
        return f"{head}Not measured.\n"
    worst = comparison.worst
    table = ["| metric | mean over seeds | 95 % interval |", "|---|---|---|"]
    table += [f"| {METRIC_NAMES[metric]} | {_number(level)} |" for metric, level in arm.levels.items()]
    note = (
        f"On real test images: {seeds_in_words(arm.n_seeds)}, each with a split and detectors"
        f" of its own, at least {worst.n_genuine} genuine and {worst.n_counterfeit} counterfeit test images and"
        f" {worst.n_groups} groups; intervals from a cluster bootstrap over groups, seeds a random effect. They are of"
        " detectors trained like this one, of which this is the first seed's."
    )
    notes = [f"- {sentence}" for sentence in (f"Verdict on synthesis: {comparison.verdict}", *comparison.notes)]
    return head + "\n".join([*table, "", note, "", *notes]) + "\n"


def _meaning(card: Mapping[str, Any]) -> str:
    point, bands = card["operating_point"], card["bands"]
    recall, fpr = (f"{r['estimate']:.3f} [{r['low']:.3f}, {r['high']:.3f}]" for r in (point["recall"], point["fpr"]))
    rows = ["| score | validation images | of these counterfeit |", "|---|---|---|"]
    rows += [f"| {b['low']:.1f} to {b['high']:.1f} | {b['n']} | {b['counterfeits']} |" for b in card["calibration"]]
    return (
        "## What a score means\n\n"
        f"Operating point: {point['threshold']:.4f}, chosen by `{point['rule']}` on {point['n_genuine']} genuine and"
        f" {point['n_counterfeit']} counterfeit validation images, where recall was {recall} and the false positive"
        f" rate {fpr} (Wilson, as if images were independent; optimistic, because the threshold was chosen there).\n\n"
        f"Bands: likely genuine below {bands['genuine_below']:.4f}, likely counterfeit from"
        f" {bands['counterfeit_from']:.4f}, unclear between. Of new photographs like those of validation, at most"
        f" {100 * bands['alpha']:g} % of either class fall into the wrong band (split conformal, n = {bands['n']}).\n\n"
        + "\n".join(rows)
        + "\n"
    )


def _arm(comparison: Comparison | None, card: Mapping[str, Any]) -> ArmResult | None:
    arms = comparison.arms if comparison else ()
    return next((arm for arm in arms if (arm.arm, arm.dose) == (card["arm"], card["dose"])), None)


def _number(level: Level) -> str:
    if math.isnan(level.estimate):
        return "not defined | "
    return f"{level.estimate:.3f} | [{level.low:.3f}, {level.high:.3f}]"
