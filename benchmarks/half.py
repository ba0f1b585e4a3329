"""A bank of which half is chosen for hardness, against one of twice as many images chosen at random.

    python -m benchmarks.half            # after the grid of benchmarks.synthesis; resumable

The grid's run folders have banks of all images, half of them chosen for hardness (`synthetic`) or all at random
(`synthetic-random`). Here `synthetic` is made again with half of the images, from the same generators, and compared
with both on the same splits. Prints a table for docs/benchmarks.md.
"""

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import yaml

from benchmarks.real_data import SETS
from benchmarks.resolution import renamed
from benchmarks.synthesis import Entry, plan_entry, run_all
from benchmarks.synthesis_statistics import Grid, measure, pooled
from benchmarks.synthesis_tables import points, together
from counterfeit.data.files import replacing_folder, write_text
from counterfeit.evaluation.metrics import Metric
from counterfeit.evaluation.predictions import read_cell
from counterfeit.experiment.folder import RunFolder

FULL, RANDOM, HALF = "synthetic", "synthetic-random", "half"
METRICS: dict[Metric, str] = {"recall_at_5pct_fpr": "recall at 5 % FPR", "auroc": "AUROC"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make and train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--full", type=Path, default=Path("runs/synthesis"), help="--work of benchmarks.synthesis")
    parser.add_argument("--work", type=Path, default=Path("runs/half"), help="folder of the run folders")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 16, 48], help="training counterfeits")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--resamples", type=int, default=2000, help="replicates of the bootstrap")
    args = parser.parse_args(arguments)
    args.arms = [FULL]
    entries = []
    for name in args.sets:
        for size in args.sizes:
            full = RunFolder(args.full / f"{name}-{size}")
            entry = plan_entry(args, ["--synthesis.count", str(half_of(full))], name, size)
            take_over(full, entry, args.seeds)
            entries.append(entry)
    run_all(entries, args.seeds, None, time.monotonic())
    print(table(grid_of(entries, args.full, args.seeds, args.resamples)))


def half_of(full: RunFolder) -> int:
    """Half as many images as the banks of a run have."""
    return int(yaml.safe_load(full.config.read_text())["synthesis"]["count"]) // 2


def take_over(full: RunFolder, entry: Entry, seeds: Sequence[int]) -> None:
    """Copy what does not depend on the number of images: the generators and the arm `real`."""
    if not entry.folder.config.exists():
        write_text(entry.folder.config, entry.plan.config)
    for seed in seeds:
        for path in (full.gan(seed), full.cell(seed, "real", 0.0)):
            copied = entry.folder.path / path.relative_to(full.path)
            if not copied.exists():
                with replacing_folder(copied) as partial:
                    shutil.copytree(path, partial, dirs_exist_ok=True)


def grid_of(entries: Sequence[Entry], full: Path, seeds: Sequence[int], resamples: int) -> Grid:
    """Both arms of the grid, `real` and the halved bank, on the same test images."""
    grid = {}
    for number, name in enumerate(dict.fromkeys(entry.name for entry in entries)):
        tables = {}
        for entry in (entry for entry in entries if entry.name == name):
            there, dose = RunFolder(full / f"{name}-{entry.size}"), entry.plan.experiment.product_dose()
            read = []
            for seed in seeds:
                read.append(renamed(read_cell(entry.folder.cell(seed, FULL, dose)), HALF))
                known = ((FULL, dose), (RANDOM, dose), ("real", 0.0))
                read += [read_cell(there.cell(seed, *cell)) for cell in known]
            tables[entry.size] = pa.concat_tables(read, promote_options="permissive")
        grid |= {(name, size): cell for size, cell in measure(tables, resamples, number).items()}
    return grid


def table(grid: Grid) -> str:
    """Markdown: differences of the halved bank in percentage points, pooled over each set and over all."""
    parts = {
        where: {key: cell for key, cell in grid.items() if key[0] in names}
        for where, names in together([name for name, _ in grid]).items()
    }
    columns = ("half of the images, less", "sets", *METRICS.values())
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for against in (RANDOM, FULL, "real"):
        for name, part in parts.items():
            found = [points(pooled(part, HALF, against, metric)[0]) for metric in METRICS]
            lines.append("| " + " | ".join([against, name, *found]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
