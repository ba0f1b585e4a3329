"""What the audits look at and how they put what they found: numbers with interval, n, and one plain word."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from counterfeit.evaluation.metrics import METRICS, Array, replicate_metrics

Word = Literal["ok", "look", "bad"]
Unit = Literal["share", "auroc", "distance"]
WORDS: tuple[Word, ...] = ("ok", "look", "bad")
RESAMPLES = 500
# Label, score and cluster of each item of one seed, ``(N,)`` each.
Test = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.str_]]
AUROC = METRICS.index("auroc")


@dataclass(frozen=True)
class AuditedBank:
    """The synthetic images of one seed, ``M`` of them.

    Attributes:
        path: relative to the run folder.
        label: ``(M,)``, that of the donor.
        host: ``(M,)`` path of the photograph that was edited.
        donor: ``(M,)`` path of the photograph whose evidence was carried over.
        pixels: ``(M, S, S, 3)`` uint8.
        features: ``(M, D)``, standardised like those of the photographs.
        sha256: ``(M,)`` of the files' bytes.
    """

    path: NDArray[np.str_]
    label: NDArray[np.int64]
    host: NDArray[np.str_]
    donor: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    features: NDArray[np.float32]
    sha256: NDArray[np.str_]


@dataclass(frozen=True)
class AuditedSeed:
    """What the audits see of one seed: all ``N`` photographs, their split, and the bank if there is one.

    Attributes:
        number: the seed.
        path: ``(N,)``.
        label: ``(N,)``, genuine = 0, counterfeit = 1.
        group: ``(N,)``.
        split: ``(N,)`` of ``train``, ``validation``, ``test``, ``unused``.
        sha256: ``(N,)`` of the files' bytes.
        pixels: ``(N, S, S, 3)`` uint8.
        features: ``(N, D)`` pooled backbone features, standardised to the training photographs.
        traits: ``(N, T)`` what is known without looking at the picture, see :mod:`counterfeit.evaluation.shortcuts`.
        score: ``(N,)`` probability from the detector of the arm ``real``; nan where it did not score.
        bank: synthetic images.
    """

    number: int
    path: NDArray[np.str_]
    label: NDArray[np.int64]
    group: NDArray[np.str_]
    split: NDArray[np.str_]
    sha256: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    features: NDArray[np.float32]
    traits: NDArray[np.float64]
    score: NDArray[np.float64]
    bank: AuditedBank | None

    def rows(self, split: str, label: int | None = None) -> NDArray[np.intp]:
        """Rows of a split, of one label if given."""
        inside = self.split == split
        return np.flatnonzero(inside if label is None else inside & (self.label == label))


@dataclass(frozen=True)
class Finding:
    """One measurement of an audit.

    Attributes:
        name: what was measured.
        unit: ``share`` and ``auroc`` in [0, 1], or ``distance``.
        value: mean over seeds; nan where it is not defined.
        low: lower end of the 95 % interval.
        high: upper end.
        reference: what to compare it with, if there is such a number.
        reference_name: what that number is.
        n: what stands behind it, in words.
        finding: ``ok``, ``look`` (a person should look) or ``bad`` (the verdict cannot be trusted as it is).
        words: one plain sentence.
    """

    name: str
    unit: Unit
    value: float
    low: float
    high: float
    reference: float | None
    reference_name: str
    n: str
    finding: Word
    words: str


@dataclass(frozen=True)
class Audit:
    """The findings of one audit; ``named`` lists the images that a reader should look at, as (image, because of)."""

    name: str
    question: str
    findings: list[Finding]
    named: list[tuple[str, str]] = field(default_factory=list)

    @property
    def finding(self) -> Word:
        """The worst of its findings."""
        return WORDS[max((WORDS.index(f.finding) for f in self.findings), default=0)]


def proportion(hits: int, count: int) -> tuple[float, float, float]:
    """Share with its exact 95 % interval (Clopper and Pearson 1934); nan of nothing."""
    if not count:
        return float("nan"), float("nan"), float("nan")
    interval = binomtest(hits, count).proportion_ci(0.95, "exact")
    return hits / count, float(interval.low), float(interval.high)


def mean_over_seeds(
    clusters: Sequence[NDArray[np.str_]], statistic: Callable[[int, Array], Array], resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Mean of a statistic over seeds and its 95 % interval from a bootstrap over clusters.

    An audit is about the splits and banks of this run, not about those of another: the seeds are not resampled.

    Args:
        clusters: for each seed the cluster of each of its items; a cluster that several seeds share is drawn alike.
        statistic: position of the seed in ``clusters`` and weights ``(R, N)`` of its items to values ``(R,)``; nan
            where not defined.
        resamples: of the clusters.

    Returns:
        The mean and the two ends of its interval, nan where not defined.
    """
    if not clusters:
        return float("nan"), float("nan"), float("nan")
    names, index = np.unique(np.concatenate(clusters), return_inverse=True)
    count = len(names)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / max(1, count)), size=resamples)
    members = [index[start:end] for start, end in pairwise(np.cumsum([0, *map(len, clusters)]))]
    actual = np.mean([statistic(s, np.ones((1, len(member))))[0] for s, member in enumerate(members)])
    replicates = np.mean([statistic(s, drawn[:, member].astype(float)) for s, member in enumerate(members)], axis=0)
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return float(actual), float("nan"), float("nan")
    low, high = np.quantile(defined, (0.025, 0.975)).tolist()
    return float(actual), low, high


def auroc_over_seeds(tests: Sequence[Test]) -> tuple[float, float, float]:
    """Mean AUROC over seeds with its 95 % interval."""

    def statistic(seed: int, weights: Array) -> Array:
        label, score, _ = tests[seed]
        return replicate_metrics(label, score, weights)[:, AUROC]

    return mean_over_seeds([cluster for *_, cluster in tests], statistic)


def ridge_scores(train: NDArray[np.float32], target: NDArray[np.float64], test: NDArray[np.float32]) -> Array:
    """Scores of a linear probe: ridge regression in closed form, its penalty the number of features.

    Args:
        train: ``(N, D)``, standardised.
        target: ``(N,)`` or ``(N, K)`` for ``K`` probes at once.
        test: ``(M, D)``.

    Returns:
        ``(M,)`` or ``(M, K)``; their order matters, not their size.
    """
    features = train.shape[1]
    kernel = train @ train.T + features * np.eye(len(train), dtype=np.float32)
    weights = np.linalg.solve(kernel.astype(np.float64), target - target.mean(0))
    scores: Array = (test @ train.T).astype(np.float64) @ weights
    return scores


def seeds_in_words(count: int) -> str:
    """``1 seed`` or ``3 seeds``."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def range_in_words(counts: Sequence[int]) -> str:
    """``315`` or ``313 to 316``."""
    return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
