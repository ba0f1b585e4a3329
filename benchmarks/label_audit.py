"""Are the synthetic counterfeits of drawn labels counterfeit? A detector trained on 2000 drawn counterfeits says.

    python -m benchmarks.label_audit runs/labels-1 --work runs/label-audit

The judge learns from labels drawn with another seed than those of the runs: no donor is among its photographs. It
confirms an image whose probability reaches its stored threshold. Beside the banks it is asked for counterfeits and
genuine labels of its own test split. Prints a table; resumable, as the judge is a run folder.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.real_data import finish
from counterfeit.data.labels import write_labels
from counterfeit.detector import Scorer
from counterfeit.evaluation.findings import mean_over_seeds, proportion

SEED = 1  # of the judge's labels; those that runs draw have seed 0
FRACTIONS = (0.5, 0.25, 0.25)  # of training, validation and test
Banks = list[tuple[NDArray[np.str_], NDArray[np.bool_]]]
Share = tuple[float, float, float]
KINDS = ("transplant, plain", "transplant, refined", "anomaly, plain", "anomaly, refined")


def main() -> None:
    """Train the judge unless it is there, and print what it confirms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders on drawn labels, whose banks are judged")
    parser.add_argument("--work", type=Path, default=Path("runs/label-audit"), help="labels and judge")
    parser.add_argument("--counterfeits", type=int, default=2000, help="that the judge learns from")
    parser.add_argument("--arm", default="synthetic", help="whose banks")
    args = parser.parse_args()
    judge = Scorer.load(trained(args.work, args.counterfeits))
    print("| images | n | confirmed, % |")
    print("|---|---|---|")
    for label, name in ((1, "counterfeit"), (0, "genuine")):
        confirmed = confirms(judge, test_images(args.work, label))
        share = as_text(proportion(int(confirmed.sum()), len(confirmed)))
        print(f"| {name}, drawn, not seen in training | {len(confirmed)} | {share} |")
    banks = [bank for run in args.runs for bank in sorted((run / args.arm).iterdir())]
    for name, found in rows(judge, banks):
        print(f"| {name} | {sum(len(hits) for _, hits in found)} | {as_text(share_confirmed(found))} |")


def trained(work: Path, counterfeits: int) -> Path:
    """The judge's run folder."""
    labels, run = work / "labels", work / "judge"
    if not labels.exists():
        drawn = round(counterfeits / FRACTIONS[0])
        write_labels(labels, genuine=drawn, counterfeit=drawn, size=128, seed=SEED)
    options = ["--data.root", str(labels), "--data.counterfeits", str(counterfeits), "--out", str(run)]
    options += ["--data.fractions", str(list(FRACTIONS)), "--experiment.arms", "[real,placebo]", "--seeds", "[0]"]
    if not (run / "report.html").exists():
        finish(options)
    return run


def test_images(work: Path, label: int) -> list[Path]:
    """Paths of the judge's own test images of a label."""
    run = work / "judge"
    labels = {row["path"]: row["label"] for row in pq.read_table(run / "manifest.parquet").to_pylist()}
    splits = pq.read_table(run / "splits.parquet").to_pylist()
    return [work / "labels" / row["path"] for row in splits if row["split"] == "test" and labels[row["path"]] == label]


def confirms(judge: Scorer, paths: list[Path]) -> NDArray[np.bool_]:
    """``(N,)`` whether the judge takes each image for counterfeit."""
    return np.array([score.counterfeit for score in judge.score(paths)])


def rows(judge: Scorer, banks: list[Path]) -> Iterator[tuple[str, Banks]]:
    """Names, and for each bank donors ``(N,)`` and confirmations ``(N,)``: of all counterfeits, then by origin."""
    found: dict[str, Banks] = {}
    for bank in banks:
        table = [row for row in pq.read_table(bank / "manifest.parquet").to_pylist() if row["label"] == 1]
        hits = confirms(judge, [bank / row["path"] for row in table])
        donor = np.array([row["donor"] for row in table])
        kind = np.array([KINDS[2 * int(row["anomaly"]) + int(row["refined"])] for row in table])
        for name in ("all synthetic counterfeits", *KINDS):
            chosen = (kind == name) | (name not in KINDS)
            if chosen.any():
                found.setdefault(name, []).append((donor[chosen], hits[chosen]))
    yield from found.items()


def share_confirmed(found: Banks) -> Share:
    """Mean share over the banks with its 95 % interval; images of one donor are alike and are resampled together."""

    def statistic(bank: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = (weights @ found[bank][1]) / np.maximum(weights.sum(1), 1e-9)
        return total

    return mean_over_seeds([donor for donor, _ in found], statistic)


def as_text(share: Share) -> str:
    """A share in per cent with its interval."""
    value, low, high = (100 * part for part in share)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
