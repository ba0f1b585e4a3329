"""Decisions at a threshold, by hand and against scikit-learn, also where nothing is decided."""

import doctest

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_score, recall_score

from counterfeit.evaluation import decisions
from counterfeit.evaluation.decisions import decision_rates, risk_coverage


@pytest.mark.parametrize("seed", range(10))
def test_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    label, flagged, weight = np.r_[0, 1, rng.integers(0, 2, 80)], rng.random(82) < 0.4, rng.integers(1, 4, 82)
    recall, fpr, precision = decision_rates(label, flagged, weight)[0]
    assert recall == pytest.approx(recall_score(label, flagged, sample_weight=weight))
    assert fpr == pytest.approx(1 - recall_score(1 - label, ~flagged, sample_weight=weight))
    assert precision == pytest.approx(precision_score(label, flagged, sample_weight=weight))
    score = rng.random(82)
    found = risk_coverage(label, score, 0.3, weight, [0.0])
    assert found == pytest.approx(accuracy_score(label, score >= 0.3, sample_weight=weight))


def test_a_rate_without_images_is_not_a_number():
    recall, fpr, precision = decision_rates([0, 0], [False, False])[0]
    assert np.isnan(recall)
    assert fpr == 0
    assert np.isnan(precision)
    assert np.isnan(risk_coverage([], [], 0.5)).all()


def test_the_least_sure_are_referred_first():
    # Sure in logits, not in probability: 0.1 is as far from the threshold 0.3 as 0.623 is.
    label, score = [0, 1, 0, 1], [0.1, 0.2, 0.5, 0.9]
    assert risk_coverage(label, score, 0.3, referred=[0.0, 0.25, 0.5, 0.75])[0] == pytest.approx([0.5, 2 / 3, 1, 1])
    # Equally unsure ones are referred in part.
    assert risk_coverage([0, 1, 1], [0.2, 0.2, 0.9], 0.4, referred=[1 / 3])[0] == pytest.approx([(1 + 0.5) / 2])


def test_thresholds_at_the_ends_decide_all_alike():
    label, score = np.array([0, 0, 1]), np.array([0.0, 0.5, 1.0])
    assert risk_coverage(label, score, 0.0, referred=[0.0]) == pytest.approx(1 / 3)
    assert risk_coverage(label, score, np.nextafter(1.0, 2.0), referred=[0.0]) == pytest.approx(2 / 3)


def test_examples_in_the_docstrings():
    assert doctest.testmod(decisions).failed == 0
