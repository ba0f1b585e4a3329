"""The whole detector against each of its parts on every set and number of training counterfeits, as a Markdown table.

    python -m benchmarks.parts --data ../shared/data --runs runs/parts
    python -m benchmarks.parts --sets magnetic_tile --counterfeits 12

The goal: within 1 pp AUROC of the best part everywhere, above all of them on most. The arms are ``real`` and, for what
masks teach, ``transplant``, whose bank takes no training. Resumable: what a run folder holds is read, not repeated.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from counterfeit.detector import PARTS
from counterfeit.evaluation.metrics import auroc
from counterfeit.fit import main as fit

SETS = ("magnetic_tile", "sneakers_af1", "print_scan_codes", "labels")
ARMS = {"real": 0, "transplant": 1}
WITHIN = 1.0  # pp below the best part, at most


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/parts"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="labels are the drawn ones")
    parser.add_argument("--counterfeits", nargs="+", type=int, default=[12, 24, 48])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    rows = []
    for name in args.sets:
        for count in args.counterfeits:
            run = args.runs / f"{name}-{count}"
            if trained(run, args.data, name, count, args.seeds):
                rows += [(name, count, arm, areas) for arm, areas in measured(run, args.seeds)]
    print(table(rows, len(args.seeds)))


def trained(run: Path, data: Path, name: str, count: int, seeds: list[int]) -> bool:
    """Train what a run folder lacks; false where the set has too few counterfeits, which ``fit`` says."""
    options = [] if name == "labels" else ["--config", f"configs/{name}.yaml", "--data.root", str(data / name)]
    options += ["--data.counterfeits", str(count), "--seeds", str(seeds), "--out", str(run)]
    options += ["--experiment.arms", f"[{','.join(ARMS)}]", "--stages", "[data,detector]"]
    code = fit(options)
    if code not in (0, 2):
        raise SystemExit(code)
    return code == 0


def measured(run: Path, seeds: list[int]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Of each arm the AUROC in per cent of every part and of the whole: ``(seeds, P + 1)``."""
    for arm, dose in ARMS.items():
        areas = []
        for seed in seeds:
            folder = run / "detector" / str(seed) / arm / str(dose)
            predictions, parts = (
                pq.ParquetFile(folder / f"{file}.parquet").read() for file in ("predictions", "parts")
            )
            label = predictions["label"].to_numpy()
            scores = [parts[name].to_numpy() for name in PARTS] + [predictions["score"].to_numpy()]
            areas.append([100 * auroc(label, score) for score in scores])
        yield arm, np.array(areas)


def table(rows: list[tuple[str, int, str, NDArray[np.float64]]], seeds: int) -> str:
    """The table, and in how many of its rows the goals are met."""
    lines = [
        f"AUROC in per cent, means of {seeds} seeds; the last column with its standard error over the seeds.",
        "",
        "| set | counterfeits | arm | " + " | ".join((*PARTS, "whole", "whole - best part")) + " |",
        "|---|---|---|" + "---|" * (len(PARTS) + 2),
    ]
    gains = []
    for name, count, arm, areas in rows:
        gain = areas[:, -1] - areas[:, areas[:, :-1].mean(0).argmax()]
        gains.append(gain.mean())
        error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
        means = " | ".join(f"{value:.1f}" for value in areas.mean(0))
        lines.append(f"| {name} | {count} | {arm} | {means} | {gain.mean():+.1f} ({error:.1f}) |")
    near, above = (sum(gain >= least for gain in gains) for least in (-WITHIN, 0.0))
    return "\n".join(
        [*lines, "", f"Of {len(gains)} rows, {near} within {WITHIN:g} pp of the best part, {above} at or above it."]
    )


if __name__ == "__main__":
    main()
