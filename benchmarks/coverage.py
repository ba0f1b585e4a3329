"""Coverage of the intervals and false alarms of the verdict, by simulation of equal arms; prints a table.

    python benchmarks/coverage.py --trials 150

The simulated experiments are those of tests/evaluation/test_simulations.py. The true difference is zero. With fewer
resamples than 800 a p-value hardly passes the strictest step of the verdict, and false alarms look rarer than they are.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.evaluation.test_simulations import comparisons, covered

SETTINGS: dict[str, dict[str, float]] = {
    "five seeds": {},
    "five seeds, training varies more than images do": {"training": 0.6, "noise": 0.2},
    "five seeds, same test images": {"groups": 150, "share": 1.0},
    "three seeds": {"seeds": 3},
    "two seeds": {"seeds": 2},
    "one seed, groups of four, training does not vary": {"seeds": 1, "training": 0.0, "copies": 4},
}
METRICS = ("auroc", "average_precision", "recall_at_1pct_fpr", "recall_at_5pct_fpr", "brier")


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=150)
    trials = parser.parse_args().trials
    print("| setting | " + " | ".join(METRICS) + " | mean width, AUROC | called different |")
    print("|---|" + "---|" * (len(METRICS) + 2))
    for name, settings in SETTINGS.items():
        found = list(comparisons(trials, resamples=800, **settings))
        coverage = [f"{100 * covered(found, metric, 0.0):.1f}" for metric in METRICS]
        differences = [comparison.pair().differences["auroc"] for comparison in found]
        width = np.mean([difference.high - difference.low for difference in differences])
        called = np.mean([comparison.verdict != "NO EVIDENCE" for comparison in found])
        print(f"| {name} | {' | '.join(coverage)} | {100 * width:.1f} pp | {100 * called:.1f} % |")


if __name__ == "__main__":
    main()
