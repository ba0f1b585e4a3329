"""Does every training of the refiner end healthy without a human? Seeds after seeds of one set, as a table.

    python -m benchmarks.stability                             # tiles, 12 counterfeits, 20 seeds; resumable, 20 minutes
    python -m benchmarks.stability --set labels --counterfeits 16 --seeds 5

Stages `data` and `gan` alone, with the settings of configs/<set>.yaml. Other options are those of ``counterfeit.fit``,
as in ``--gan.kimg 6``; they, and another number of seeds, need another ``--runs``.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.csv

from benchmarks.real_data import SETS, finish, options
from counterfeit.evaluation.findings import proportion
from counterfeit.experiment.folder import RunFolder

SHOWN = ("loss_discriminator", "change", "diversity", "spread", "donor_distance")  # columns of metrics.csv


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/stability"))
    parser.add_argument("--set", choices=SETS, default="magnetic_tile")
    parser.add_argument("--counterfeits", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    args, others = parser.parse_known_args(arguments)
    run = args.runs / f"{args.set}-{args.counterfeits}"
    chosen = [*options(args.set, args.data, args.counterfeits), *others, "--seeds", str(list(range(args.seeds)))]
    finish([*chosen, "--stages", "[data,gan]", "--out", str(run)])
    print(table(RunFolder(run), range(args.seeds)))


def table(folder: RunFolder, seeds: Sequence[int]) -> str:
    """Markdown: how the seeds ended, and between what the last values of their metrics lie."""
    ended = [json.loads((folder.gan(seed) / "done.json").read_text()) for seed in seeds]
    lines = ["| trainings | seeds | share, % |", "|---|---|---|"]
    for name, count in endings(ended).items():
        share, low, high = (100 * part for part in proportion(count, len(ended)))
        lines.append(f"| {name} | {count} of {len(ended)} | {share:.0f} [{low:.0f}, {high:.0f}] |")
    reasons = [f"- seed {seed}: {one['reason']}" for seed, one in zip(seeds, ended, strict=True) if one["reason"]]
    last = [pyarrow.csv.read_csv(folder.gan(seed) / "metrics.csv").to_pylist()[-1] for seed in seeds]
    lines += ["", *reasons, *([""] if reasons else []), "| metric at the end | lowest | highest |", "|---|---|---|"]
    for name in SHOWN:
        values = [row[name] for row in last]
        lines.append(f"| {name} | {min(values):.3g} | {max(values):.3g} |")
    return "\n".join(lines)


def endings(ended: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many trainings were healthy at once, after a restart, or never."""
    attempts = [one["attempt"] for one in ended if one["healthy"]]
    return {
        "healthy at once": attempts.count(0),
        "healthy after a restart": len(attempts) - attempts.count(0),
        "failed, reported and not used": len(ended) - len(attempts),
    }


if __name__ == "__main__":
    main()
