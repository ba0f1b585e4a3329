"""The experiment on three real sets and the drawn labels, written to docs/benchmarks.md: arms, differences, parts.

    python benchmarks/real_data.py --data ../shared/data --runs runs/benchmarks

Resumable: a finished run of a set is read, not repeated. The settings are those of configs/<set>.yaml, and five seeds.
The drawn labels have 16 training counterfeits, as in the default run, the real sets as many as --counterfeits says.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from counterfeit.detector import PARTS
from counterfeit.evaluation.comparison import Comparison, points
from counterfeit.evaluation.metrics import auroc, recall_at_fpr
from counterfeit.fit import main as fit

REAL = ("magnetic_tile", "sneakers_af1", "print_scan_codes")
SETS = (*REAL, "labels")
DRAWN = 16  # training counterfeits of the drawn labels
BEGIN, END = "<!-- real data: begin -->", "<!-- real data: end -->"
METRICS = ("auroc", "recall_at_1pct_fpr", "recall_at_5pct_fpr")


def main() -> None:
    """Run what is missing and rewrite the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--counterfeits", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument(
        "--sets", nargs="+", choices=SETS, default=list(SETS), help="sets to run before the page is written"
    )
    args = parser.parse_args()
    counts = {name: DRAWN if name == "labels" else args.counterfeits for name in SETS}
    for name in args.sets:
        run = args.runs / f"{name}-{counts[name]}"
        if not (run / "report.html").exists():
            finish([*options(name, args.data, counts[name]), "--seeds", "[0,1,2,3,4]", "--out", str(run)])
    finished = [name for name in SETS if (args.runs / f"{name}-{counts[name]}" / "report.html").exists()]
    sections = [section(name, args.runs / f"{name}-{counts[name]}", counts[name]) for name in finished]
    replace(args.out, "\n\n".join(sections))


def options(name: str, data: Path, counterfeits: int) -> list[str]:
    """Those of ``counterfeit.fit`` for a set below ``data``, or for the drawn labels."""
    real = ["--config", f"configs/{name}.yaml", "--data.root", str(data / name)]
    return [*(real if name in REAL else []), "--data.counterfeits", str(counterfeits)]


def finish(arguments: list[str]) -> None:
    """Run ``counterfeit.fit`` to its end, or end as it did."""
    if code := fit(arguments):
        raise SystemExit(code)


def section(name: str, run: Path, counterfeits: int) -> str:
    """The tables of one set."""
    comparison = Comparison.from_json((run / "comparison.json").read_text())
    test = comparison.worst
    lines = [
        f"### {name}, {counterfeits} training counterfeits, 128 px",
        "",
        f"Verdict: **{comparison.verdict}**. {test.n_seeds} seeds, each with a split of its own; at least "
        f"{test.n_genuine} genuine and {test.n_counterfeit} counterfeit test images a seed, {test.n_groups} groups "
        "in all. Brackets are 95 % intervals from the cluster bootstrap over groups, seeds a random effect.",
        "",
        "| arm | dose | AUROC | recall at 1 % FPR | recall at 5 % FPR |",
        "|---|---|---|---|---|",
    ]
    for arm in comparison.arms:
        cells = [level_text(arm.levels[metric]) for metric in METRICS]
        lines.append(f"| {arm.arm} | {arm.dose:g} | " + " | ".join(cells) + " |")
    lines += ["", "| difference | AUROC | recall at 1 % FPR | recall at 5 % FPR |", "|---|---|---|---|"]
    for pair in comparison.pairs:
        cells = [points(pair.differences[metric]) for metric in METRICS]
        lines.append(f"| {pair.arm} - {pair.against} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *parts_table(run)])


def level_text(level: object) -> str:
    """A rate in per cent with its interval."""
    estimate, low, high = (100 * getattr(level, name) for name in ("estimate", "low", "high"))
    return f"{estimate:.1f} [{low:.1f}, {high:.1f}]"


def parts_table(run: Path) -> list[str]:
    """AUROC and recall at 5 % FPR of every part and of the whole, means over seeds."""
    lines = ["| arm | measure | " + " | ".join((*PARTS, "whole")) + " |", "|---|---|" + "---|" * (len(PARTS) + 1)]
    arms = sorted({path.parent.parent.name for path in run.glob("detector/*/*/*/predictions.parquet")} - {"one-class"})
    for arm in arms:
        measured = []
        for path in sorted(run.glob(f"detector/*/{arm}/*/predictions.parquet")):
            table, parts = pq.read_table(path), pq.read_table(path.with_name("parts.parquet"))
            label = table["label"].to_numpy()
            scores = [parts[name].to_numpy() for name in PARTS] + [table["score"].to_numpy()]
            measured.append([[auroc(label, s), recall_at_fpr(label, s, 0.05)] for s in scores])
        mean = 100 * np.mean(measured, axis=0)
        for column, measure in enumerate(("AUROC", "recall at 5 % FPR")):
            lines.append(f"| {arm} | {measure} | " + " | ".join(f"{value:.1f}" for value in mean[:, column]) + " |")
    return lines


def replace(path: Path, text: str) -> None:
    """Put the text between the marks of a page, which is begun if it is not there."""
    page = path.read_text() if path.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, rest = page.split(BEGIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
