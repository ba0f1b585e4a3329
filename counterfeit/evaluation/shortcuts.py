"""Does something other than the product give the label away? Nulls that know nothing of the picture, and a probe."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier

from counterfeit.evaluation.findings import (
    Audit,
    AuditedSeed,
    Finding,
    Word,
    auroc_over_seeds,
    range_in_words,
    ridge_scores,
    seeds_in_words,
)
from counterfeit.evaluation.metrics import Array

TRAITS = ("file size", "bytes per pixel", "JPEG quality", "mean red", "mean green", "mean blue")
FILE_TRAITS = 3  # the first of them are properties of the file, the rest of its colour
SHUFFLES = 200
PROBE_FOLDS = 5
NEAR_CHANCE, PLAIN = 0.6, 0.8  # AUROC of a probe: up to here nothing to see; from here plainly visible
# The luminance table of the JPEG standard (ITU T.81, K.1) at quality 50; encoders scale it.
_STANDARD_SUM = 3688


def image_traits(file: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """``TRAITS`` of one image: the logarithm of its size in bytes, bytes per pixel, JPEG quality, mean colour.

    Args:
        file: as it was delivered.
        pixels: ``(S, S, 3)``, decoded.

    Returns:
        ``(6,)``.
    """
    size = file.stat().st_size
    with Image.open(file) as image:
        area = image.width * image.height
        quality = jpeg_quality(getattr(image, "quantization", None))
    return np.array([np.log(size), size / area, quality, *pixels.reshape(-1, 3).mean(0)], np.float64)


def jpeg_quality(quantization: dict[int, list[int]] | None) -> float:
    """Quality from 1 to 100 that the luminance table stands for by libjpeg's scale; -1 for what is no JPEG."""
    if not quantization:
        return -1.0
    scale = 100 * sum(quantization[min(quantization)]) / _STANDARD_SUM
    return float(np.clip(5000 / max(scale, 1) if scale > 100 else (200 - scale) / 2, 1, 100))


def audit_shortcuts(seeds: Sequence[AuditedSeed]) -> Audit:
    """Try to tell the labels without the picture, with shuffled labels, and to tell real from synthetic."""
    findings = [
        _metadata("file metadata alone", seeds, slice(0, FILE_TRAITS)),
        _metadata("file metadata and mean colour", seeds, slice(None)),
        _shuffle(seeds),
    ]
    findings += [probe for label in (0, 1) if (probe := _real_or_synthetic(seeds, label)) is not None]
    return Audit("shortcuts", "Does something other than the product give the label away?", findings)


def _metadata(name: str, seeds: Sequence[AuditedSeed], columns: slice) -> Finding:
    """Learn the label from traits on the training photographs, test it where the detector is tested."""
    tests, detector = [], []
    for seed in seeds:
        train, test = seed.rows("train"), seed.rows("test")
        forest = RandomForestClassifier(
            200, min_samples_leaf=3, class_weight="balanced", random_state=seed.number, n_jobs=1
        )
        forest.fit(seed.traits[train][:, columns], seed.label[train])
        column = list(forest.classes_).index(1) if 1 in forest.classes_ else 0
        score = forest.predict_proba(seed.traits[test][:, columns])[:, column]
        tests.append((seed.label[test], score, seed.group[test]))
        if np.isfinite(seed.score[test]).all():
            detector.append((seed.label[test], seed.score[test], seed.group[test]))
    value, low, high = auroc_over_seeds(tests)
    reference = auroc_over_seeds(detector) if detector else None
    word: Word = "bad" if reference and low > 0.5 and value >= reference[1] else "look" if low > NEAR_CHANCE else "ok"
    words = {
        "ok": "Says little about the label.",
        "look": "Says something about the label: part of what the detector knows may not be the product.",
        "bad": "Tells the labels apart as well as the detector: the test may measure how the photographs were made.",
    }[word]
    against = reference[0] if reference else 0.5
    basis = "the detector (real)" if reference else "chance"
    return Finding(name, "auroc", value, low, high, against, basis, _tested(seeds), word, words)


def _shuffle(seeds: Sequence[AuditedSeed]) -> Finding:
    """Linear probes that learn shuffled labels must know nothing of the real ones (Ojala and Garriga 2010)."""
    null, true = [], []
    for seed in seeds:
        train, test = seed.rows("train"), seed.rows("test")
        generator = np.random.default_rng([seed.number, 22])
        shuffled = np.stack([generator.permutation(seed.label[train]) for _ in range(SHUFFLES)], axis=1)
        target = np.concatenate([seed.label[train][:, None], shuffled], axis=1).astype(np.float64)
        aurocs = _aurocs(seed.label[test], ridge_scores(seed.features[train], target, seed.features[test]))
        true.append(aurocs[0])
        null.append(aurocs[1:])
    values = np.stack(null).mean(0)
    value, (low, high) = float(values.mean()), np.quantile(values, (0.025, 0.975)).tolist()
    reference = float(np.mean(true))
    # Few counterfeits make a skewed null, whose mean may stray from one half: the range counts.
    word: Word = "bad" if not low <= 0.5 <= high else "look" if reference <= high else "ok"
    words = {
        "ok": "With shuffled labels nothing is left, with the true ones something is: as it must be.",
        "look": "Even the true labels teach a linear probe no more than shuffled ones: too few images, or too hard.",
        "bad": "Shuffled labels should know nothing and do: something besides the labels leaks into the test.",
    }[word]
    n = f"{SHUFFLES} shuffles a seed, {_tested(seeds)}; the interval holds 95 % of the shuffles"
    return Finding("shuffled labels", "auroc", value, low, high, reference, "true labels", n, word, words)


def _aurocs(label: NDArray[np.int64], scores: Array) -> Array:
    """AUROC of each column of ``scores``, ``(K,)``."""
    positive = int(label.sum())
    if not 0 < positive < len(label):
        return np.full(scores.shape[1], np.nan)
    ranks = rankdata(scores, axis=0)[label == 1].sum(0)
    aurocs: Array = (ranks - positive * (positive + 1) / 2) / (positive * (len(label) - positive))
    return aurocs


def _real_or_synthetic(seeds: Sequence[AuditedSeed], label: int) -> Finding | None:
    """Probe whether the features of one label show which images are synthetic; an edit stays in its origin's fold."""
    tests, sizes = [], []
    for seed in seeds:
        if seed.bank is None or not (seed.bank.label == label).any():
            continue
        real, made = seed.rows("train", label), np.flatnonzero(seed.bank.label == label)
        features = np.concatenate([seed.features[real], seed.bank.features[made]])
        synthetic = np.repeat([0, 1], [len(real), len(made)])
        group_of = dict(zip(seed.path.tolist(), seed.group.tolist(), strict=True))
        # An edit must not be recognised by its photograph: the one it owes most to decides the fold.
        origin = seed.bank.donor[made] if label else seed.bank.host[made]
        cluster = np.concatenate([seed.group[real], [group_of.get(path, path) for path in origin.tolist()]])
        tests.append((synthetic, _cross_fitted(features, synthetic, cluster, seed.number), cluster))
        sizes.append((len(real), len(made)))
    if not tests:
        return None
    value, low, high = auroc_over_seeds(tests)
    word: Word = "look" if low > PLAIN else "ok"
    words = (
        "Synthetic images are plainly recognisable. Both labels pass through the generator, so this does not give the "
        "label away, but a detector may spend itself on it."
        if word == "look"
        else "Synthetic images are not plainly recognisable."
    )
    n = (
        f"{range_in_words([r for r, _ in sizes])} real and {range_in_words([m for _, m in sizes])} synthetic images "
        f"a seed, {seeds_in_words(len(sizes))}"
    )
    name = f"real or synthetic, {('genuine', 'counterfeit')[label]}"
    return Finding(name, "auroc", value, low, high, 0.5, "chance", n, word, words)


def _cross_fitted(
    features: NDArray[np.float32], target: NDArray[np.int64], cluster: NDArray[np.str_], seed: int
) -> Array:
    names, member = np.unique(cluster, return_inverse=True)
    fold = np.random.default_rng([seed, 23]).permutation(len(names))[member] % PROBE_FOLDS
    scores = np.zeros(len(target))
    for k in np.unique(fold):
        inside = fold == k
        scores[inside] = ridge_scores(features[~inside], target[~inside].astype(np.float64), features[inside])
    return scores


def _tested(seeds: Sequence[AuditedSeed]) -> str:
    genuine = range_in_words([len(seed.rows("test", 0)) for seed in seeds])
    counterfeit = range_in_words([len(seed.rows("test", 1)) for seed in seeds])
    return f"{genuine} genuine and {counterfeit} counterfeit test images a seed, {seeds_in_words(len(seeds))}"
