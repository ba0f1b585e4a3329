"""Kinds of counterfeit held out of training, with and without synthesis, as a table for docs/benchmarks.md.

    python -m benchmarks.unseen                        # tiles and drawn labels; resumable, an hour and a half
    python -m benchmarks.unseen --sets labels --seeds 0 1

Each kind in turn is held out of training and validation, and tested on. Other options are those of ``counterfeit.fit``.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.real_data import options
from counterfeit.evaluation.metrics import Metric
from counterfeit.fit import command_line

COUNTERFEITS = {"magnetic_tile": 12, "labels": 16}
METRICS: dict[Metric, str] = {"auroc": "AUROC", "recall_at_5pct_fpr": "recall at 5 % FPR"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--work", type=Path, default=Path("runs/unseen"), help="folder of the run folders")
    parser.add_argument("--sets", nargs="+", choices=tuple(COUNTERFEITS), default=list(COUNTERFEITS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    args, others = parser.parse_known_args(arguments)
    for name in args.sets:
        run = args.work / name
        experiment(name, run, args.shared, args.seeds, others)
        print(table(name, json.loads((run / "holdout.json").read_text())))


def experiment(name: str, run: Path, shared: Path, seeds: Sequence[int], others: Sequence[str]) -> None:
    """Hold out every kind of a set in turn."""
    chosen = [*options(name, shared, COUNTERFEITS[name]), "--seeds", str(list(seeds)), "--out", str(run)]
    arms = ["--experiment.arms", "[real,synthetic]", "--experiment.holdout_kind", "all"]
    command_line([*chosen, *arms, "--stages", "[data,holdout]", *others]).run_experiment()


def table(name: str, found: dict[str, object]) -> str:
    """Markdown of a ``holdout.json``: both arms and their difference for each kind, and the mean over kinds."""
    product = found["product"]
    lines = [
        f"{name}, {COUNTERFEITS[name]} training counterfeits of other kinds, {found['seeds']} seeds:",
        "",
        f"| kind held out | tested, a seed | of this kind alone | measure | real | {product} | {product} - real |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in found["kinds"]:  # type: ignore[attr-defined]
        for metric, title in METRICS.items():
            real, synthetic = (f"{100 * entry['arms'][arm][metric][0]:.1f}" for arm in ("real", product))
            tested = f"{entry['n_counterfeit']} of {entry['n_counterfeit'] + entry['n_genuine']}"
            found_there = (title, real, synthetic, points(entry["differences"][metric]))
            cells = (entry["kind"], tested, str(entry["n_alone"]), *found_there)
            lines.append("| " + " | ".join(cells) + " |")
    for metric, title in METRICS.items():
        lines.append(f"| **mean over kinds** | | | {title} | | | **{points(found['average'][metric])}** |")  # type: ignore[index]
    return "\n".join([*lines, ""])


def points(difference: dict[str, float]) -> str:
    """A difference in percentage points with its interval."""
    estimate, low, high = (100 * difference[key] for key in ("estimate", "low", "high"))
    return f"{estimate:+.1f} pp [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
