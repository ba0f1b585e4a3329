"""Are synthetic images copies of training photographs? Distances beside those of real images held out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterfeit.evaluation.findings import (
    Audit,
    AuditedSeed,
    Finding,
    Word,
    auroc_over_seeds,
    mean_over_seeds,
    proportion,
    range_in_words,
    seeds_in_words,
)
from counterfeit.evaluation.metrics import Array

NAMED = 8
NAMES = ("genuine", "counterfeit")
COPY_QUANTILE = 0.01  # of the held-out distances: closer than this is called a copy
LOOK, BAD = 0.5, 0.75  # lower ends of the interval of `copying` above which a person looks, and it is called bad


class _Distances(NamedTuple):
    """Nearest distances of one seed and label; ``nearest`` holds paths of training photographs."""

    synthetic: Array
    held_out: Array
    nearest: NDArray[np.str_]
    path: NDArray[np.str_]
    donor: NDArray[np.str_]
    group: NDArray[np.str_]

    @property
    def limit(self) -> float:
        """Distance below which a synthetic image is called a copy."""
        return float(np.quantile(self.held_out, COPY_QUANTILE))


def audit_memorisation(seeds: Sequence[AuditedSeed]) -> Audit:
    """Compare how near synthetic and held-out real images come to the training images of their label.

    A synthetic genuine image is an edit of its host, so the host's group is left out for it, as the held-out images
    have none of their own group in training. ``copying`` is the probability that a synthetic image lies nearer than a
    held-out real one: 0.5 where nothing was copied, 1 where all is copied (the statistic of Meehan, Chaudhuri and
    Dasgupta 2020, on the scale of an AUROC).
    """
    findings, named = [], list[tuple[float, str, str]]()
    for label in (1, 0):
        found = [distances for seed in seeds if (distances := _distances(seed, label)) is not None]
        if not found:
            continue
        findings += _findings(found, NAMES[label])
        for distances in found:
            for i in np.argsort(distances.synthetic)[:NAMED]:
                if distances.synthetic[i] < distances.limit:
                    ratio = float(distances.synthetic[i]) / max(distances.limit, 1e-9)
                    why = f"{distances.nearest[i]} (distance {ratio:.2f} of what is called a copy)"
                    named.append((ratio, str(distances.path[i]), why))
    question = "Are synthetic images copies of training photographs?"
    return Audit("memorisation", question, findings, [(path, why) for _, path, why in sorted(named)[:NAMED]])


def _distances(seed: AuditedSeed, label: int) -> _Distances | None:
    training, test = seed.rows("train", label), seed.rows("test", label)
    if seed.bank is None or not len(training) or not len(test) or not (seed.bank.label == label).any():
        return None
    chosen = np.flatnonzero(seed.bank.label == label)
    synthetic = pairwise_distances(seed.bank.features[chosen], seed.features[training])
    if label == 0:
        group = dict(zip(seed.path.tolist(), seed.group.tolist(), strict=True))
        host = np.array([group.get(path, "") for path in seed.bank.host[chosen].tolist()])
        own = host[:, None] == seed.group[training][None]
        synthetic = np.where(own, np.inf, synthetic)
    held_out = pairwise_distances(seed.features[test], seed.features[training]).min(1)
    return _Distances(
        synthetic.min(1),
        held_out,
        seed.path[training][synthetic.argmin(1)],
        seed.bank.path[chosen],
        seed.bank.donor[chosen],
        seed.group[test],
    )


def pairwise_distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> Array:
    """Distances between rows: root mean squares over the ``D`` features.

    Args:
        first: ``(N, D)``.
        second: ``(M, D)``.

    Returns:
        ``(N, M)``.
    """
    cross = first @ second.T
    squared = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * cross
    distances: Array = np.sqrt(np.maximum(squared, 0).astype(np.float64) / first.shape[1])
    return distances


def _findings(found: list[_Distances], name: str) -> list[Finding]:
    tests = []
    for d in found:
        label = np.repeat([1, 0], [len(d.synthetic), len(d.held_out)])
        score = -np.concatenate([d.synthetic, d.held_out])
        tests.append((label, score, np.concatenate([d.donor, d.group])))
    value, low, high = auroc_over_seeds(tests)
    word: Word = "bad" if low > BAD else "look" if low > LOOK else "ok"
    words = {
        "ok": "Synthetic images lie no nearer to the training images than new photographs do.",
        "look": "Synthetic images lie somewhat nearer to the training images than new photographs do.",
        "bad": "Synthetic images crowd around training images: they add little that is new.",
    }[word]
    n = (
        f"{range_in_words([len(d.synthetic) for d in found])} synthetic and "
        f"{range_in_words([len(d.held_out) for d in found])} held-out {name} images a seed, "
        f"{seeds_in_words(len(found))}"
    )
    nearer = Finding(
        f"{name}: synthetic nearer than held-out",
        "auroc",
        value,
        low,
        high,
        0.5,
        "no copying",
        n,
        word,
        words,
    )

    def share(seed: int, weights: Array) -> Array:
        close = found[seed].synthetic < found[seed].limit
        total: Array = (weights @ close) / np.maximum(weights.sum(1), 1e-9)
        return total

    value, low, high = mean_over_seeds([d.donor for d in found], share)
    if value == 0:  # a bootstrap of nothing knows no upper end
        high = proportion(0, len({donor for d in found for donor in d.donor.tolist()}))[2]
    word = "bad" if low > 0.2 else "look" if low > COPY_QUANTILE else "ok"
    words = "Closer to a training image than 99 % of the held-out real images are" + (
        "; the closest are named below." if value > 0 else ": none."
    )
    copies = Finding(f"{name}: near-copies", "share", value, low, high, COPY_QUANTILE, "held-out", n, word, words)
    return [nearer, copies]
