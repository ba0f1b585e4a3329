"""How often the way in which a photograph was captured is named right: a table for docs/benchmarks.md.

    python -m counterfeit.fit --seeds '[0,1,2,3,4]' --experiment.arms '[real]' --out runs/captures
    python benchmarks/captures.py runs/captures

Test photographs as they are, and copies of them under each condition, with random strengths of their own, are looked at
by the detector of arm `real` of each seed. None of them was seen in training.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from counterfeit.data.transforms import AS_IN_TRAINING, CAPTURES, CONDITIONS, recapture
from counterfeit.evaluation.bootstrap import exact_where_all_agree, group_weights, resampled_mean
from counterfeit.evaluation.rebuild import read_config
from counterfeit.experiment.reopen import reopen

RESAMPLES = 1000
Called = dict[str, NDArray[np.str_]]


def called(run: Path, number: int, most: int) -> tuple[Called, NDArray[np.int64]]:
    """What test photographs of a seed are said to be under each condition, ``(N,)``, and their groups ``(N,)``.

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
    for kind, name in enumerate((AS_IN_TRAINING, *CONDITIONS)):
        copies = pixels if not kind else [recapture(image, name, (kind, i)) for i, image in enumerate(pixels)]
        with torch.inference_mode():
            numbers = captures.called(torch.from_numpy(seed.embedder(np.stack(copies)).pooled))
        found[name] = np.array(captures.names)[numbers.numpy()]
    return found, np.unique(seed.data.photos.group[rows], return_inverse=True)[1]


def share(hits: list[NDArray[np.bool_]], groups: list[NDArray[np.int64]]) -> str:
    """Mean share over seeds in per cent with its 95 % interval, from a bootstrap over groups and seeds."""
    replicates = [
        (drawn := group_weights(group.max() + 1, RESAMPLES, seed)[:, group]) @ hit / drawn.sum(1)
        for seed, (hit, group) in enumerate(zip(hits, groups, strict=True))
    ]
    found = resampled_mean(np.array([hit.mean() for hit in hits]), np.stack(replicates, axis=1))
    found = exact_where_all_agree(found, sum(int(group.max()) + 1 for group in groups))
    low, high = max(0.0, found.low), min(1.0, found.high)
    return f"{100 * found.estimate:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    """Look at the test photographs of every seed of a run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="finished run folder with arm real")
    parser.add_argument("--photographs", type=int, default=200, help="test photographs a seed, at most")
    args = parser.parse_args()
    looked_at = [called(args.run, seed, args.photographs) for seed in read_config(args.run)["seeds"]]
    groups = [group for _, group in looked_at]
    print("| captured | named so | `as in training` | most often besides |\n|---|---|---|---|")
    for name, kind in zip((AS_IN_TRAINING, *CONDITIONS), CAPTURES, strict=True):
        every = [found[name] for found, _ in looked_at]
        right, as_usual = (share([one == wanted for one in every], groups) for wanted in (kind, AS_IN_TRAINING))
        others = Counter(np.concatenate(every).tolist())
        del others[kind], others[AS_IN_TRAINING]
        besides = others.most_common(1)
        most = f"{besides[0][0]} {100 * besides[0][1] / sum(map(len, every)):.1f}" if besides else ""
        print(f"| {name} | {right} | {'' if kind == AS_IN_TRAINING else as_usual} | {most} |", flush=True)
    counts = sorted(len(group) for group in groups)
    print(f"\n{len(groups)} seeds, at least {counts[0]} test photographs a seed.")


if __name__ == "__main__":
    main()
