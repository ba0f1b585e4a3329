"""Coverage of the intervals and false alarms of the verdict, by simulation of equal arms; prints two tables.

    python benchmarks/coverage.py --trials 150

The simulated experiments are those of tests/evaluation/test_simulations.py. The true difference is zero; in the second
table, of single arms, the mean of the arm over all trials stands for the truth. With fewer resamples than 800 a p-value
hardly passes the strictest step of the verdict, and false alarms look rarer than they are.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from counterfeit.evaluation.comparison import Comparison
from counterfeit.evaluation.metrics import Metric

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.evaluation.test_simulations import comparisons, covered

SETTINGS: dict[str, dict[str, float]] = {
    "five seeds": {},
    "five seeds, training varies more than images do": {"training": 0.6, "noise": 0.2},
    "five seeds, training does not vary": {"training": 0.0},
    "five seeds, same test images": {"groups": 150, "share": 1.0},
    "three seeds": {"seeds": 3},
    "two seeds": {"seeds": 2},
    "one seed, groups of four, training does not vary": {"seeds": 1, "training": 0.0, "copies": 4},
}
METRICS = ("auroc", "average_precision", "recall_at_1pct_fpr", "recall_at_5pct_fpr", "brier")
LEVELS: tuple[Metric, ...] = (*METRICS, "precision_at_5pct_reviewed")


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=150)
    trials = parser.parse_args().trials
    print("| setting | " + " | ".join(METRICS) + " | mean width, AUROC | called different |")
    print("|---|" + "---|" * (len(METRICS) + 2))
    single = []
    for name, settings in SETTINGS.items():
        found = list(comparisons(trials, resamples=800, **settings))
        coverage = [f"{100 * covered(found, metric, 0.0):.1f}" for metric in METRICS]
        differences = [comparison.pair().differences["auroc"] for comparison in found]
        width = np.mean([difference.high - difference.low for difference in differences])
        called = np.mean([comparison.verdict != "NO EVIDENCE" for comparison in found])
        print(f"| {name} | {' | '.join(coverage)} | {100 * width:.1f} pp | {100 * called:.1f} % |", flush=True)
        single.append(f"| {name} | " + " | ".join(f"{100 * of_arm(found, metric):.1f}" for metric in LEVELS) + " |")
    print("\n| arm `real` alone | " + " | ".join(LEVELS) + " |")
    print("|---|" + "---|" * len(LEVELS))
    print("\n".join(single))


def of_arm(found: Sequence[Comparison], metric: Metric) -> float:
    """How often the interval of arm `real` alone holds the mean of its estimates over all trials."""
    levels = [next(arm for arm in comparison.arms if arm.arm == "real").levels[metric] for comparison in found]
    truth = np.mean([level.estimate for level in levels])
    return float(np.mean([level.low <= truth <= level.high for level in levels]))


if __name__ == "__main__":
    main()
