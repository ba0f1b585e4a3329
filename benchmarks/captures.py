"""What photographs that were captured otherwise are said to be: a table for docs/benchmarks.md.

    python -m counterfeit.fit --seeds '[4,5,6]' --experiment.arms '[real]' --stages '[data,detector]' --out runs/seen
    python benchmarks/captures.py runs/seen

Test photographs, as they are and under each corruption of ``evaluate --robustness``, here at the working size, are
looked at by the detector of arm ``real`` of each seed. Corruptions are made otherwise than the copies that the detector
learned from, and two of them are not among its conditions.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterfeit.evaluation.bootstrap import exact_where_all_agree, resampled_mean_of_images
from counterfeit.evaluation.rebuild import read_config
from counterfeit.evaluation.robustness import CORRUPTIONS
from counterfeit.experiment.reopen import reopen

KIND = {
    "none": "as in training", "JPEG 90": "JPEG", "JPEG 70": "JPEG", "JPEG 50": "JPEG", "JPEG 30": "JPEG",
    "double JPEG": "JPEG", "WebP 50": "WebP", "down and up 2x": "shrunk", "crop 80 %": "cropped",
    "screenshot": "on a page", "blur": "blurred", "noise": "noisy", "darker": "darker", "brighter": "brighter",
    "rotation 5 degrees": "turned", "greyscale": "paler",
}  # fmt: skip
Called = dict[str, NDArray[np.str_]]


def called(run: Path, number: int, most: int) -> tuple[Called, NDArray[np.str_]]:
    """What test photographs of a seed are said to be under each corruption, ``(N,)``, and their groups ``(N,)``.

    Args:
        run: run folder.
        number: seed.
        most: photographs, evenly spaced over the test split.
    """
    opened = reopen(run, number)
    seed, captures = opened.seed, opened.cells.detector(opened.seed, "real", 0.0).captures
    rows = seed.rows("test")
    rows = rows[:: -(-len(rows) // most)]
    pixels, found = seed.data.pixels(rows), {}
    for name, corrupt in CORRUPTIONS.items():
        corrupted = np.stack([corrupt(image, i) for i, image in enumerate(pixels)])
        found[name] = np.array(captures.said(seed.embedder(corrupted).pooled))
    return found, seed.data.photos.group[rows].astype(str)


def share(hits: list[NDArray[np.bool_]], groups: list[NDArray[np.str_]]) -> str:
    """Mean share over seeds in per cent with its 95 % interval, from a bootstrap over groups and seeds."""
    found = resampled_mean_of_images([hit.astype(float) for hit in hits], groups)
    found = exact_where_all_agree(found, len(np.unique(np.concatenate(groups))))
    return f"{100 * found.estimate:.1f} [{100 * max(0.0, found.low):.1f}, {100 * min(1.0, found.high):.1f}]"


def main() -> None:
    """Look at the test photographs of every seed of a run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="finished run folder with arm real")
    parser.add_argument("--photographs", type=int, default=200, help="test photographs a seed, at most")
    args = parser.parse_args()
    looked_at = [called(args.run, seed, args.photographs) for seed in read_config(args.run)["seeds"]]
    groups = [group for _, group in looked_at]
    print("| corruption | kind | said to be it | most often besides |\n|---|---|---|---|")
    for name in CORRUPTIONS:
        every = [found[name] for found, _ in looked_at]
        kind, counts = KIND.get(name, ""), Counter(np.concatenate(every).tolist())
        right = share([one == kind for one in every], groups) if kind else "-"
        others = [other for other in counts.most_common(4) if other[0] != kind][:3]
        besides = ", ".join(f"{other} {100 * number / counts.total():.1f}" for other, number in others)
        print(f"| {name} | {kind or '-'} | {right} | {besides} |")
    print(f"\n{len(groups)} seeds, at least {min(map(len, groups))} test photographs a seed.")


if __name__ == "__main__":
    main()
