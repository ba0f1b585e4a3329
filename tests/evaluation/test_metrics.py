"""Metrics equal scikit-learn's on data with ties and weights, and worked numbers where there is no reference."""

import doctest

import numpy as np
import pytest
from sklearn import metrics as reference

from counterfeit.evaluation import metrics
from counterfeit.evaluation.metrics import (
    METRICS,
    auroc,
    average_precision,
    brier,
    expected_calibration_error,
    precision_at_capacity,
    recall_at_fpr,
    replicate_metrics,
)

SEEDS = range(20)


def random_test_set(seed):
    """Scores with many ties and integer weights with zeros, both classes always present."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 300))
    label = rng.integers(0, 2, n)
    label[:2] = 0, 1
    score = np.round(np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0, 1), int(rng.integers(1, 4)))
    weight = rng.integers(0, 4, n)
    weight[:2] = 1
    return label, score, weight


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(seed, weighted):
    label, score, weight = random_test_set(seed)
    weight = weight if weighted else None
    assert auroc(label, score, weight) == pytest.approx(reference.roc_auc_score(label, score, sample_weight=weight))
    assert average_precision(label, score, weight) == pytest.approx(
        reference.average_precision_score(label, score, sample_weight=weight)
    )
    assert brier(label, score, weight) == pytest.approx(reference.brier_score_loss(label, score, sample_weight=weight))
    fpr, tpr, _ = reference.roc_curve(label, score, sample_weight=weight, drop_intermediate=False)
    for max_fpr in (0.0, 0.01, 0.05, 0.2, 1.0):
        assert recall_at_fpr(label, score, max_fpr, weight) == pytest.approx(tpr[fpr <= max_fpr].max())


def at_a_fifth(label, score, weight=None):
    return precision_at_capacity(label, score, 0.2, weight)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_weight_counts_like_repetition(seed):
    label, score, weight = random_test_set(seed)
    repeated = np.repeat(label, weight), np.repeat(score, weight)
    for metric in (auroc, average_precision, brier, expected_calibration_error, at_a_fifth):
        assert metric(label, score, weight) == pytest.approx(metric(*repeated))


def test_replicates_equal_one_by_one():
    label, score, _ = random_test_set(3)
    weights = np.random.default_rng(0).integers(0, 3, (300, len(label)))
    values = replicate_metrics(label, score, weights)
    assert values.shape == (300, len(METRICS))
    for row in (0, 127, 128, 299):
        single = [
            auroc(label, score, weights[row]),
            average_precision(label, score, weights[row]),
            recall_at_fpr(label, score, 0.01, weights[row]),
            recall_at_fpr(label, score, 0.05, weights[row]),
            precision_at_capacity(label, score, 0.05, weights[row]),
            brier(label, score, weights[row]),
            expected_calibration_error(label, score, weights[row]),
        ]
        assert values[row] == pytest.approx(single)


def test_recall_reads_whole_thresholds_only():
    # 100 genuine images: one false alarm is exactly 1 %. The two tied at 0.9 pass together, or not at all.
    label = np.r_[np.zeros(100), np.ones(4)]
    score = np.r_[np.linspace(0.0, 0.5, 99), 0.9, 0.95, 0.9, 0.6, 0.1]
    assert recall_at_fpr(label, score, 0.01) == 0.75
    assert recall_at_fpr(label, score, 0.0099) == 0.25
    assert recall_at_fpr(label, np.full(104, 0.5), 0.05) == 0.0
    assert recall_at_fpr(label, np.full(104, 0.5), 1.0) == 1.0


def test_constant_scores_know_nothing():
    label = np.r_[np.zeros(30), np.ones(10)]
    assert auroc(label, np.full(40, 0.3)) == 0.5
    assert average_precision(label, np.full(40, 0.3)) == 0.25


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1], []])
def test_one_class_is_not_a_number(label):
    score = np.linspace(0, 1, len(label))
    assert np.isnan(auroc(label, score))
    assert np.isnan(average_precision(label, score))
    assert np.isnan(recall_at_fpr(label, score, 0.05))
    assert np.isnan(precision_at_capacity(label, score, 0.05))
    assert np.isnan(expected_calibration_error(label, score)) == (len(label) == 0)
    assert np.isnan(brier(label, score)) == (len(label) == 0)


def test_one_counterfeit_is_enough():
    label, score = np.r_[np.zeros(99), 1], np.r_[np.linspace(0, 0.5, 99), 0.492]
    assert auroc(label, score) == pytest.approx(97 / 99)
    assert average_precision(label, score) == pytest.approx(1 / 3)
    assert recall_at_fpr(label, score, 0.01) == 0.0
    assert recall_at_fpr(label, score, 0.05) == 1.0
    assert precision_at_capacity(label, score, 0.05) == pytest.approx(1 / 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_precision_at_capacity_is_that_of_the_first_images(seed):
    label, _, _ = random_test_set(seed)
    score = np.random.default_rng(seed).permutation(len(label)) / len(label)
    first = np.argsort(-score)[: len(label) // 4]
    assert precision_at_capacity(label, score, (len(label) // 4) / len(label)) == pytest.approx(label[first].mean())


def test_precision_at_capacity_shares_out_ties():
    # Room for three of six: the counterfeit at 0.9, and two of four images tied at 0.5, of which one is counterfeit.
    label, score = [1, 0, 0, 1, 0, 0], [0.9, 0.5, 0.5, 0.5, 0.5, 0.1]
    assert precision_at_capacity(label, score, 0.5) == pytest.approx((1 + 2 * 1 / 4) / 3)
    assert precision_at_capacity(label, [0.5] * 6, 0.05) == pytest.approx(1 / 3)
    assert precision_at_capacity(label, score, 1.0) == pytest.approx(1 / 3)


def test_a_class_of_no_weight_is_not_there():
    assert np.isnan(auroc([0, 1], [0.1, 0.9], [1, 0]))
    assert np.isnan(replicate_metrics([0, 1], [0.1, 0.9], [[0, 0]])).all()


def test_calibration_error_by_hand():
    # Bins of 0.5: below, mean probability 0.2 and frequency 0.5; above, 0.8 and 1. Both hold half of the images.
    error = expected_calibration_error([0, 1, 1, 1], [0.1, 0.3, 0.7, 0.9], bins=2)
    assert error == pytest.approx(0.5 * 0.3 + 0.5 * 0.2)
    assert expected_calibration_error([1, 0], [1.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("label", "score", "weight", "message"),
    [
        ([0, 1], [0.1], None, "alike"),
        ([0, 2], [0.1, 0.2], None, "label must be"),
        ([0, 1], [0.1, np.nan], None, "finite"),
        ([0, 1], [0.1, 0.2], [1, -1], "not negative"),
    ],
)
def test_refuses_what_is_no_test_set(label, score, weight, message):
    with pytest.raises(ValueError, match=message):
        auroc(label, score, weight)


def test_examples_in_the_docstrings():
    assert doctest.testmod(metrics).failed == 0
