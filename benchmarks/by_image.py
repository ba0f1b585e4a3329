"""What the figures of a real set would be if its images were split one by one, not by group: tables, printed.

    python -m benchmarks.by_image                              # tiles; resumable, a quarter of an hour
    python -m benchmarks.by_image --set print_scan_codes --data ../shared/data

Near-duplicates of test images are then in training, so that these figures promise what no new photograph keeps. They
are there to compare with figures that were measured so (decision 0002), and for nothing else.
"""

import argparse
from pathlib import Path

from benchmarks.real_data import REAL, finish, options, section
from counterfeit.data.manifest import read_manifest, write_table


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/by-image"))
    parser.add_argument("--set", choices=REAL, default="magnetic_tile")
    parser.add_argument("--counterfeits", type=int, default=12)
    args = parser.parse_args()
    run = args.runs / f"{args.set}-{args.counterfeits}"
    if not (run / "report.html").exists():
        manifest = ungrouped(args.data / args.set, run.with_suffix(".parquet"))
        chosen = options(args.set, args.data, args.counterfeits)
        finish([*chosen, "--data.manifest", str(manifest), "--out", str(run)])
    print(section(f"{args.set}, split by image", run, args.counterfeits))


def ungrouped(root: Path, path: Path) -> Path:
    """The manifest of a folder, written to ``path`` with a group of its own for every image."""
    table = read_manifest(root)
    write_table(table.set_column(table.column_names.index("group"), "group", table["path"]), path)
    return path


if __name__ == "__main__":
    main()
