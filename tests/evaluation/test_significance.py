"""DeLong, McNemar and Holm against their equations, statsmodels and published examples."""

import doctest

import numpy as np
import pytest
from scipy.stats import chi2, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from counterfeit.evaluation import significance
from counterfeit.evaluation.significance import clustered_mcnemar, delong_standard_error, holm

SEEDS = range(20)


def tied_scores(seed):
    rng = np.random.default_rng(seed)
    label = np.r_[0, 0, 1, 1, rng.integers(0, 2, int(rng.integers(20, 300)))]
    return label, np.round(np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0, 1), int(rng.integers(1, 4)))


def brute_force_delong(label, first, second):
    """DeLong et al. 1988, equations 4 to 7, pair by pair."""
    label = np.asarray(label)
    components = []
    for score in (np.asarray(first), np.asarray(second)):
        x, y = score[label == 1][:, None], score[label == 0][None]
        wins = (x > y) + 0.5 * (x == y)
        components.append((wins.mean(axis=1), wins.mean(axis=0)))
    s10 = np.cov(components[0][0], components[1][0])
    s01 = np.cov(components[0][1], components[1][1])
    covariance = s10 / (label == 1).sum() + s01 / (label == 0).sum()
    return np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])


@pytest.mark.parametrize("seed", SEEDS)
def test_delong_equals_pair_by_pair(seed):
    label, first = tied_scores(seed)
    second = np.round(first + np.random.default_rng(seed).normal(0, 0.1, len(first)), 2)
    assert delong_standard_error(label, first, second) == pytest.approx(brute_force_delong(label, first, second))


def test_delong_by_hand():
    # First score is perfect. The second places one of two counterfeits above 1 of 2 genuine and one above both:
    # placements differ by (1/2, 0) and (1/2, 0), variances 1/8 each, so sqrt(1/16 + 1/16).
    label, first, second = [0, 0, 1, 1], [1, 2, 3, 4], [1, 3, 2, 4]
    assert delong_standard_error(label, first, second) == pytest.approx(np.sqrt(1 / 8))
    assert delong_standard_error(label, first, first) == 0.0
    assert np.isnan(delong_standard_error([0, 0, 1], [1, 2, 3], [1, 3, 2]))


@pytest.mark.parametrize("seed", SEEDS)
def test_holm_equals_statsmodels(seed):
    p = np.round(np.random.default_rng(seed).random(1 + seed % 6) ** 3, 2)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_delong_equals_a_published_example():
    # Hanley and McNeil 1982, table 1: ratings of 109 CT images from 1 (normal) to 5 (abnormal). Stata's manual gives
    # DeLong's standard error of the area 0.8932 as 0.0307. A constant score has neither an area nor an error to add.
    ratings = np.arange(1, 6)
    normal, abnormal = np.repeat(ratings, [33, 6, 6, 11, 2]), np.repeat(ratings, [3, 2, 2, 11, 33])
    label, score = np.r_[np.zeros(58), np.ones(51)], np.r_[normal, abnormal]
    assert delong_standard_error(label, score, np.zeros(109)) == pytest.approx(0.0307, abs=5e-5)


@pytest.mark.parametrize(("gained", "lost"), [(1, 8), (5, 5), (30, 12), (86, 150)])
def test_mcnemar_equals_statsmodels(gained, lost):
    table = [[10, gained], [lost, 10]]
    difference = np.r_[np.ones(gained), -np.ones(lost), np.zeros(20)]
    expected = mcnemar(table, exact=False, correction=False).pvalue
    assert clustered_mcnemar(difference, np.arange(len(difference))) == pytest.approx(expected)


def test_detectors_that_never_differ_are_the_same():
    assert clustered_mcnemar(np.zeros(20), np.arange(20)) == 1.0


def test_mcnemar_equals_a_published_example():
    # Agresti, Categorical Data Analysis (1990), table 10.1: 1600 voters asked twice, 150 turn one way and 86 the other;
    # the statistic is 17.36 on one degree of freedom.
    difference = np.r_[np.ones(150), -np.ones(86), np.zeros(1364)]
    assert clustered_mcnemar(difference, np.arange(1600)) == pytest.approx(chi2.sf(17.36, 1), rel=0.01)


def test_images_of_one_group_are_no_evidence_apart():
    won = np.repeat([1.0, 1.0, 1.0, 1.0, -1.0], 6)
    apart, together = clustered_mcnemar(won, np.arange(30)), clustered_mcnemar(won, np.repeat(np.arange(5), 6))
    assert apart < 0.01
    assert together == pytest.approx(2 * norm.sf(3 / np.sqrt(5)))
    # An image that all five seeds test is one image.
    assert clustered_mcnemar(np.ones(5), np.zeros(5)) == pytest.approx(2 * norm.sf(1))


def test_examples_in_the_docstrings():
    assert doctest.testmod(significance).failed == 0
