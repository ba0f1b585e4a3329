"""How much synthetic counterfeits resemble real ones that were held out, always beside real ones in their place.

FID means nothing at tens of images: two samples of one distribution score in the hundreds. KID is unbiased.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterfeit.evaluation.findings import (
    Audit,
    AuditedSeed,
    Finding,
    Test,
    Word,
    auroc_over_seeds,
    mean_over_seeds,
    range_in_words,
    ridge_scores,
    seeds_in_words,
)
from counterfeit.evaluation.memorisation import pairwise_distances
from counterfeit.evaluation.metrics import Array

NEIGHBOURS = 5
SMALLEST_HALF = 6  # images of a half of the held-out counterfeits, below which no neighbourhood can be drawn
Rows = NDArray[np.float32]
Names = NDArray[np.str_]


class Samples(NamedTuple):
    """Features of one seed: two halves of the held-out real counterfeits, and as many synthetic ones as the second.

    Attributes:
        reference: ``(N, D)``, of the first half.
        other: ``(M, D)``, of the second.
        synthetic: ``(M, D)``, of the synthetic counterfeits.
        reference_group: ``(N,)``.
        other_group: ``(M,)``.
        donor: ``(M,)`` path of the photograph whose evidence each synthetic one carries.
    """

    reference: Rows
    other: Rows
    synthetic: Rows
    reference_group: Names
    other_group: Names
    donor: Names


class Manifold(NamedTuple):
    """Whether, or how often, each of the generated and of the real images is covered by the others.

    Attributes:
        precise: ``(M,)``, whether a generated image lies in the ball of a real one.
        dense: ``(M,)``, in how many of these balls, divided by the neighbours that each reaches to.
        recalled: ``(N,)``, whether a real image lies in the ball of a generated one.
        covered: ``(N,)``, whether a generated image lies in the ball of this real one.
    """

    precise: Array
    dense: Array
    recalled: Array
    covered: Array


def audit_fidelity(seeds: Sequence[AuditedSeed]) -> Audit:
    """Compare synthetic with held-out real counterfeits, and train on synthetic images to test on real ones."""
    samples = [found for seed in seeds if (found := _samples(seed)) is not None]
    findings: list[Finding] = []
    if samples:
        findings = [_kid(samples), *_manifolds(samples)]
    if any(seed.bank is not None for seed in seeds):
        findings.append(_train_on_synthetic([seed for seed in seeds if seed.bank is not None]))
    return Audit("fidelity", "Do synthetic counterfeits resemble real ones that were held out?", findings)


def kernel(first: Rows, second: Rows) -> Array:
    """Cubic polynomial kernel of KID (Binkowski et al. 2018).

    The features are scaled to one length, so that it lies in [0, 8] and no single extreme image decides.

    Args:
        first: ``(N, D)``.
        second: ``(M, D)``.

    Returns:
        ``(N, M)``.
    """
    first, second = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9) for rows in (first, second))
    values: Array = ((first @ second.T).astype(np.float64) + 1) ** 3
    return values


def kid(first: Rows, second: Rows, first_cluster: Names | None = None, second_cluster: Names | None = None) -> float:
    """Kernel Inception Distance on any features: the unbiased squared maximum mean discrepancy (Gretton et al. 2012).

    Args:
        first: ``(N, D)``.
        second: ``(M, D)``.
        first_cluster: ``(N,)``; images of one cluster are not independent and never compared with each other. Each
            image alone if left out.
        second_cluster: ``(M,)``.

    Returns:
        Near 0, and on either side of it, for two samples of one distribution.
    """
    own = [np.arange(len(rows)).astype(str) for rows in (first, second)]
    first_cluster = own[0] if first_cluster is None else first_cluster
    second_cluster = own[1] if second_cluster is None else second_cluster
    once = np.ones((1, len(first))), np.ones((1, len(second)))
    return float(_resampled_kid(first, second, first_cluster, second_cluster, *once)[0])


def _resampled_kid(
    first: Rows, second: Rows, first_cluster: Names, second_cluster: Names, first_weight: Array, second_weight: Array
) -> Array:
    """KID under weights ``(R, N)`` and ``(R, M)`` of the images, ``(R,)``."""
    cross = ((first_weight @ kernel(first, second)) * second_weight).sum(1)
    cross /= np.maximum(first_weight.sum(1) * second_weight.sum(1), 1e-9)
    within = [
        _within(kernel(rows, rows), cluster, weight)
        for rows, cluster, weight in ((first, first_cluster, first_weight), (second, second_cluster, second_weight))
    ]
    value: Array = within[0] + within[1] - 2 * cross
    return value


def _within(values: Array, cluster: Names, weight: Array) -> Array:
    """Mean of the kernel over pairs from different clusters; nan where a resample has one cluster only."""
    apart = (cluster[:, None] != cluster[None]).astype(np.float64)
    pairs = ((weight @ apart) * weight).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Array = ((weight @ (values * apart)) * weight).sum(1) / pairs
    return mean


def manifold(real: Rows, generated: Rows, neighbours: int = NEIGHBOURS) -> Manifold:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), image by image.

    Args:
        real: ``(N, D)``.
        generated: ``(M, D)``.
        neighbours: the ball of an image reaches to this neighbour in its own set; fewer in smaller sets.

    Returns:
        Their means are the four figures; density may exceed 1.
    """
    real_radius, generated_radius = _radius(real, neighbours), _radius(generated, neighbours)
    distance = pairwise_distances(real, generated)
    inside_real = distance <= real_radius[:, None]
    reached = min(neighbours, len(real) - 1)
    return Manifold(
        precise=np.asarray(inside_real.any(0), np.float64),
        dense=inside_real.sum(0) / reached,
        recalled=np.asarray((distance <= generated_radius[None]).any(1), np.float64),
        covered=np.asarray(inside_real.any(1), np.float64),
    )


def _radius(rows: Rows, neighbours: int) -> Array:
    distance = pairwise_distances(rows, rows)
    np.fill_diagonal(distance, 0)
    radius: Array = np.sort(distance, axis=1)[:, min(neighbours, len(rows) - 1)]
    return radius


def _samples(seed: AuditedSeed) -> Samples | None:
    if seed.bank is None:
        return None
    held_out, made = seed.rows("test", 1), np.flatnonzero(seed.bank.label == 1)
    generator = np.random.default_rng([seed.number, 24])
    names = generator.permutation(np.unique(seed.group[held_out]))
    first = np.isin(seed.group[held_out], names[: len(names) // 2])
    halves = held_out[first], held_out[~first]
    count = min(len(halves[1]), len(made))
    if min(len(halves[0]), count) < SMALLEST_HALF:
        return None
    # As many synthetic ones as real ones in their place: recall and coverage grow with the number of images.
    chosen = np.sort(generator.choice(made, count, replace=False))
    other = np.sort(generator.choice(halves[1], count, replace=False))
    return Samples(
        seed.features[halves[0]],
        seed.features[other],
        seed.bank.features[chosen],
        seed.group[halves[0]],
        seed.group[other],
        seed.bank.donor[chosen],
    )


def _kid(samples: list[Samples]) -> Finding:
    def distance(other: list[tuple[Rows, Names]]) -> tuple[float, float, float]:
        def statistic(i: int, weights: Array) -> Array:
            s, size = samples[i], len(samples[i].reference)
            rows, cluster = other[i]
            return _resampled_kid(s.reference, rows, s.reference_group, cluster, weights[:, :size], weights[:, size:])

        clusters = [
            np.concatenate([s.reference_group, cluster]) for s, (_, cluster) in zip(samples, other, strict=True)
        ]
        return mean_over_seeds(clusters, statistic)

    value, low, high = distance([(s.synthetic, s.donor) for s in samples])
    real = distance([(s.other, s.other_group) for s in samples])
    word: Word = "look" if low > real[2] else "ok"
    words = (
        f"Further from real counterfeits than real ones are from each other ({_number(real)})."
        if word == "look"
        else f"Not distinguishable from the distance of real ones to each other ({_number(real)})."
    )
    n = _counted(samples)
    return Finding("KID", "distance", value, low, high, real[0], "real against real", n, word, words)


def _number(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.3f}, 95 % interval {value[1]:.3f} to {value[2]:.3f}"


def _manifolds(samples: list[Samples]) -> list[Finding]:
    made = [manifold(s.reference, s.synthetic) for s in samples]
    real = [manifold(s.reference, s.other) for s in samples]
    meanings = {
        "precise": ("precision", "of the synthetic counterfeits look like a real one"),
        "recalled": ("recall", "of the real counterfeits are within reach of the synthetic ones"),
        "dense": ("density", "(1 is as dense as real counterfeits are among themselves)"),
        "covered": ("coverage", "of the real counterfeits have a synthetic one nearby"),
    }
    findings = []
    for field, (name, meaning) in meanings.items():
        of_real = field in ("recalled", "covered")
        clusters = [s.reference_group if of_real else s.donor for s in samples]
        value, low, high = mean_over_seeds(clusters, _weighted_mean([getattr(m, field) for m in made]))
        reference = float(np.mean([getattr(m, field).mean() for m in real]))
        word: Word = "look" if high < reference / 2 else "ok"
        share = f"{value:.2f}" if field == "dense" else f"{100 * value:.0f} %"
        words = f"{share} {meaning}; real ones in their place reach {reference:.2f}."
        findings.append(
            Finding(name, "share", value, low, high, reference, "real in their place", _counted(samples), word, words)
        )
    return findings


def _weighted_mean(values: list[Array]) -> Callable[[int, Array], Array]:
    def statistic(i: int, weights: Array) -> Array:
        mean: Array = weights @ values[i] / np.maximum(weights.sum(1), 1e-9)
        return mean

    return statistic


def _train_on_synthetic(seeds: Sequence[AuditedSeed]) -> Finding:
    """A linear probe that learned from synthetic images alone, tested on real ones (Esteban et al. 2017)."""
    made: list[Test] = []
    real: list[Test] = []
    for seed in seeds:
        assert seed.bank is not None
        train, test = seed.rows("train"), seed.rows("test")
        for tests, features, label in (
            (made, seed.bank.features, seed.bank.label),
            (real, seed.features[train], seed.label[train]),
        ):
            score = ridge_scores(features, label.astype(np.float64), seed.features[test])
            tests.append((seed.label[test], score, seed.group[test]))
    value, low, high = auroc_over_seeds(made)
    reference = auroc_over_seeds(real)[0]
    word: Word = "bad" if high < 0.5 else "look" if low <= 0.5 else "ok"
    words = {
        "ok": f"Synthetic images alone teach a probe to tell real ones apart; real ones reach {reference:.2f}.",
        "look": f"Synthetic images alone teach nothing certain; real training images reach {reference:.2f}.",
        "bad": "Synthetic images alone teach the wrong thing: their labels do not agree with the real ones.",
    }[word]
    n = (
        f"{range_in_words([len(s.bank.label) for s in seeds if s.bank is not None])} synthetic images of both labels, "
        f"{range_in_words([len(s.rows('test')) for s in seeds])} real test images a seed, {seeds_in_words(len(seeds))}"
    )
    name = "train on synthetic, test on real"
    return Finding(name, "auroc", value, low, high, reference, "trained on real", n, word, words)


def _counted(samples: list[Samples]) -> str:
    return (
        f"{range_in_words([len(s.synthetic) for s in samples])} synthetic and "
        f"{range_in_words([len(s.reference) for s in samples])} held-out real counterfeits a seed, "
        f"{seeds_in_words(len(samples))}"
    )
