"""The comparison in plain sentences: whether synthesis helped, by how much, how sure that is, and what to do."""

import math
from collections.abc import Iterator
from typing import Any

from counterfeit.evaluation.arms import CONTROLS
from counterfeit.evaluation.compare import VERDICT_METRICS
from counterfeit.evaluation.comparison import METRIC_NAMES, Comparison, Difference, image_count, points
from counterfeit.evaluation.findings import seeds_in_words

HEADINGS = {
    "HELPS": "Synthetic counterfeits helped",
    "HURTS": "Synthetic counterfeits hurt",
    "NO EVIDENCE": "No evidence that synthetic counterfeits help",
}
ANSWERS = {"HELPS": "Yes.", "HURTS": "No, they did harm.", "NO EVIDENCE": "Not shown, either way."}


def headline(comparison: Comparison) -> dict[str, Any]:
    """Answer the three questions of a reader in a hurry; the keys are documented in docs/report.md."""
    pair = comparison.pair()
    recall = pair.differences["recall_at_5pct_fpr"]
    levels = {(arm.arm, arm.dose): arm.levels["recall_at_5pct_fpr"] for arm in comparison.arms}
    without, product = levels[pair.against, pair.against_dose], levels[pair.arm, pair.dose]
    defined, control = math.isfinite(recall.estimate), pair.arm in CONTROLS
    names = (f"by {pair.arm}", f"by {pair.against}") if control else ("with synthetic images", "without")
    much = _by_how_much((product.estimate, without.estimate), names) if defined else "Not defined for these images."
    return {
        "verdict": comparison.verdict,
        "heading": f"{pair.arm} beside {pair.against}: a control" if control else HEADINGS[comparison.verdict],
        "did_it_help": "Not asked: no arm has synthetic images." if control else ANSWERS[comparison.verdict],
        "by_how_much": much,
        "how_sure": _how_sure(comparison, recall) if defined else "The test images do not allow an interval.",
        "basis": basis(comparison),
        "change": {"value": recall.estimate, "low": recall.low, "high": recall.high} if defined else None,
        "caught": [
            {"name": name, "value": level.estimate, "low": level.low, "high": level.high}
            for name, level in zip(names, (product, without), strict=True)
            if defined
        ],
    }


def basis(comparison: Comparison) -> str:
    """What every figure of the comparison rests on: ``3 seeds, 420 test images a seed``."""
    seeds = comparison.worst.n_seeds
    return f"{seeds_in_words(seeds)}, {image_count(comparison.tests)} test images a seed"


def decided(comparison: Comparison) -> list[tuple[str, Difference]]:
    """Find the metrics that carry the verdict, with their differences."""
    sign = {"HELPS": 1, "HURTS": -1, "NO EVIDENCE": 0}[comparison.verdict]
    found = [(metric, comparison.pair().differences[metric]) for metric in VERDICT_METRICS]
    return [
        (METRIC_NAMES[m], d) for m, d in found if d.p_holm is not None and d.p_holm < 0.05 and d.estimate * sign > 0
    ]


def decision(comparison: Comparison) -> list[str]:
    """Say what to do with the result."""
    pair, recall = comparison.pair(), comparison.pair().differences["recall_at_5pct_fpr"]
    if pair.arm in CONTROLS:
        return [
            f"Keep the detector that learned from real images alone (arm {pair.against}): {pair.arm} is a control, "
            "shown to be compared with and never the one to use.",
            "To learn whether synthetic counterfeits help, add synthetic to experiment.arms.",
        ]
    if comparison.verdict == "HELPS":
        advice = [
            f"Use the detector that learned from real and synthetic images (arm {pair.arm}, dose {pair.dose:g}).",
            "Choose the threshold by what a false alarm and a missed counterfeit cost you, and let a person decide on "
            "each alarm.",
            "Look at the slices below: a gain on average can hide a kind that lost.",
        ]
    elif comparison.verdict == "HURTS":
        advice = [
            f"Keep the detector that learned from real images alone (arm {pair.against}). Do not train on these "
            "synthetic images.",
            "Look at the samples and at the rejected images below: harm usually means that some synthetic counterfeits "
            "look genuine, or carry a trace of their making.",
            "Try a smaller dose, or more real counterfeits as donors, and compare again.",
        ]
    else:
        advice = [
            f"Keep the detector that learned from real images alone (arm {pair.against}): it is simpler, and the "
            "synthetic images have not shown that they beat it.",
        ]
        if recall.detectable >= 1:
            advice.append("This is not proof that there is no effect: with so few seeds hardly any could be found.")
        elif recall.detectable > 0:
            advice.append(
                "This is not proof that there is no effect. An experiment of this size finds a difference of "
                f"{100 * recall.detectable:.1f} pp in recall at 5 % FPR, or "
                f"{100 * pair.differences['auroc'].detectable:.1f} pp in AUROC, four times in five; a smaller one can "
                "stay unseen."
            )
        advice.append(
            "To learn more, add test images first, then seeds; to gain more, add real counterfeits, above all of kinds "
            "that are missed."
        )
    return advice + list(_against_the_cheap(comparison))


def limits(comparison: Comparison, missing: list[str]) -> list[str]:
    """Say what the figures do not say.

    Args:
        comparison: of the run.
        missing: names of what this run did not measure.
    """
    worst = comparison.worst
    step = f"{100 / worst.n_genuine:.2f}" if worst.n_genuine else "no"
    said = [
        "What the detector gives is a risk score, not proof. A high score is a reason to look, none to accuse.",
        f"The figures hold for products, photographs and kinds like those in the test images: {worst.n_counterfeit} "
        f"counterfeits and {worst.n_genuine} genuine images in the smallest test set, {worst.n_groups} groups in all.",
        f"False positive rates come in steps of one genuine image: {step} % each.",
        *(f"{note[:1].upper()}{note[1:]}." for note in comparison.notes),
        f"How the verdict is reached: {comparison.rule} The intervals shown are of single differences, not adjusted.",
        "In simulations (docs/evaluation.md) the 95 % intervals of differences are right at five seeds and too wide at "
        "two or three; those of single arms, above all of precision in the top 5 %, are somewhat too narrow.",
    ]
    return said + ([f"Not measured in this run: {', '.join(missing)}."] if missing else [])


def _by_how_much(caught: tuple[float, float], names: tuple[str, str]) -> str:
    first, second = (round(100 * share) for share in caught)
    more = first - second  # of the numbers that the reader sees, so that they add up
    change = f"{abs(more)} {'more' if more > 0 else 'fewer'} of 100 counterfeits" if more else "As many counterfeits"
    alarms = "when 5 of 100 genuine items may raise a false alarm"
    return f"{change} caught: {first} {names[0]}, {second} {names[1]}, {alarms}."


def _how_sure(comparison: Comparison, recall: Difference) -> str:
    text = f"The data fit anything from {more(recall.low)} to {more(recall.high)} of 100 caught (95 % interval)."
    carrying = decided(comparison)
    if carrying:
        if recall not in [difference for _, difference in carrying]:  # the difference that is drawn is not the reason
            carrying = [(f"{name} ({points(difference)})", difference) for name, difference in carrying]
            text += " By this measure alone chance could explain it." if recall.low <= 0 <= recall.high else ""
        names = " and ".join(name for name, _ in carrying)
        return f"{text} The verdict rests on {names}, adjusted for the number of metrics."
    hardly = "Hardly: this run is too small to say. " if recall.high - recall.low > 0.3 else ""
    return f"{hardly}{text} Four metrics were tested; none differs by more than chance could explain."


def more(difference: float) -> str:
    """Say a difference of rates in counterfeits of 100: ``5 fewer``, ``6 more``, ``no difference``."""
    count = round(100 * abs(difference))
    return f"{count} {'more' if difference > 0 else 'fewer'}" if count else "no difference"


def _against_the_cheap(comparison: Comparison) -> Iterator[str]:
    names = {
        "transplant": "pasting without a GAN",
        "unrefined": "the same bank without the GAN",
        "placebo": "as many copies of real images",
    }
    pair = comparison.pair()
    for other in comparison.pairs:
        if (other.arm, other.dose) == (pair.arm, pair.dose) and other.against in names:
            yield (
                f"Against {names[other.against]} ({other.arm} \N{MINUS SIGN} {other.against}): recall at 5 % FPR "
                f"{points(other.differences['recall_at_5pct_fpr'])}, AUROC {points(other.differences['auroc'])}."
            )
