"""What a larger working size, another backbone or fine-tuning is worth to the arm `real`.

    python benchmarks/resolution.py                                    # sneakers_af1; resumable
    python benchmarks/resolution.py --set magnetic_tile --counterfeits 12 --sizes 128 160
    python benchmarks/resolution.py --sizes 224 --backbones tf_efficientnet_lite0 --unfreeze 0 1

Prints a table for docs/benchmarks.md: AUROC and recall at 5 % FPR with intervals, and the paired differences from the
first row. Other options are those of ``counterfeit.fit``.
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from counterfeit.evaluation.compare import compare
from counterfeit.evaluation.comparison import points
from counterfeit.evaluation.metrics import Metric
from counterfeit.evaluation.predictions import read_cell
from counterfeit.fit import command_line

METRICS: dict[Metric, str] = {"auroc": "AUROC", "recall_at_5pct_fpr": "recall at 5 % FPR"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--work", type=Path, default=Path("runs/resolution"), help="folder of the run folders")
    parser.add_argument("--set", default="sneakers_af1", help="name of the real set")
    parser.add_argument("--counterfeits", type=int, help="training counterfeits; all if left out")
    parser.add_argument("--sizes", nargs="+", type=int, default=[128, 192, 224], help="pixels")
    parser.add_argument("--backbones", nargs="+", default=["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
    parser.add_argument("--unfreeze", nargs="+", type=int, default=[0], help="stages of the backbone to fine-tune")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    args, others = parser.parse_known_args(arguments)
    rows = list(itertools.product(args.backbones, args.sizes, args.unfreeze))
    if len(rows) < 2:
        parser.error(
            "one row has nothing to be compared with: name another size, backbone or number of stages to unfreeze"
        )
    known, tables = args.counterfeits or "all", []
    others += ["--data.counterfeits", str(args.counterfeits)] if args.counterfeits else []
    for backbone, size, stages in rows:
        name = f"{backbone.removeprefix('tf_efficientnet_')}, {size} px" + (f", {stages} tuned" if stages else "")
        run = args.work / (f"{args.set}-{known}-{backbone}-{size}" + (f"-{stages}" if stages else ""))
        model = ["--model.backbone", backbone, "--model.unfreeze", str(stages)]
        train(run, args.shared / args.set, size, args.seeds, [*model, *others])
        tables += [renamed(read_cell(run / "detector" / str(seed) / "real" / "0"), name) for seed in args.seeds]
    print(table(f"{args.set}, {known} training counterfeits", pa.concat_tables(tables, promote_options="permissive")))


def train(run: Path, root: Path, size: int, seeds: Sequence[int], others: Sequence[str]) -> None:
    """Train and test the arm `real` for every seed that is missing."""
    if all((run / "detector" / str(seed) / "real" / "0" / "predictions.parquet").exists() for seed in seeds):
        return
    started = time.monotonic()
    chosen = ["--config", f"configs/{root.name}.yaml", "--data.root", str(root), "--data.size", str(size)]
    chosen += ["--seeds", str(list(seeds)), "--experiment.arms", "[real]"]
    command_line([*chosen, "--stages", "[data,detector]", "--out", str(run), *others]).run_experiment()
    print(f"{run.name}: {time.monotonic() - started:.0f} s", flush=True)


def renamed(predictions: pa.Table, name: str) -> pa.Table:
    """Predictions of one cell as those of an arm of another name."""
    return predictions.set_column(predictions.column_names.index("arm"), "arm", pa.array([name] * len(predictions)))


def table(name: str, predictions: pa.Table) -> str:
    """Markdown of levels and paired differences; the first arm is what all others are compared with."""
    arms = list(dict.fromkeys(predictions["arm"].to_pylist()))
    found = compare(predictions, baseline=arms[0], product=arms[-1], product_dose=0.0)
    levels = {arm.arm: arm.levels for arm in found.arms}
    differences = {pair.arm: pair.differences for pair in found.pairs if pair.against == arms[0]}
    lines = [
        f"{name}, arm `real`, {found.worst.n_seeds} seeds, at least {found.worst.n_genuine} "
        f"genuine and {found.worst.n_counterfeit} counterfeit test images a seed:",
        "",
        "| backbone, size | "
        + " | ".join(METRICS.values())
        + " | "
        + " | ".join(f"{m}, gain" for m in METRICS.values())
        + " |",
        "|---|" + "---|" * (2 * len(METRICS)),
    ]
    for arm in arms:
        rates = [levels[arm][metric] for metric in METRICS]
        cells = [f"{100 * rate.estimate:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]" for rate in rates]
        cells += [points(differences[arm][metric]) if arm in differences else "" for metric in METRICS]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
