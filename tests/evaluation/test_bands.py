"""Bands keep their promise on fresh images, whatever the detector; the table covers all scores."""

import itertools

import numpy as np
import pytest

from counterfeit.errors import UserError
from counterfeit.evaluation.bands import Bands, calibration_table, conformal_bands


def draw(genuine: int, counterfeit: int, shift: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    label = np.r_[np.zeros(genuine, int), np.ones(counterfeit, int)]
    logit = generator.normal(size=len(label)) + shift * label
    return label, 1 / (1 + np.exp(-logit))


def wrong_sides(bands: Bands, label: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    accused = (probability >= bands.counterfeit_from)[label == 0].mean()
    cleared = (probability < bands.genuine_below)[label == 1].mean()
    return accused, cleared


@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])  # of a useless, a weak and a strong detector
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_each_class_is_covered_on_fresh_images(shift: float, alpha: float) -> None:
    generator = np.random.default_rng(0)
    wrong = []
    for _ in range(600):
        bands = conformal_bands(*draw(100, 40, shift, generator), alpha)
        wrong.append(wrong_sides(bands, *draw(200, 200, shift, generator)))
    mean, error = np.mean(wrong, axis=0), np.std(wrong, axis=0) / np.sqrt(len(wrong))
    assert (mean <= alpha + 3 * error).all()


def test_the_promise_is_not_bought_by_never_deciding() -> None:
    generator = np.random.default_rng(1)
    bands = conformal_bands(*draw(200, 100, 2.0, generator), 0.1)
    label, probability = draw(2000, 2000, 2.0, generator)
    decided = (probability < bands.genuine_below) | (probability >= bands.counterfeit_from)
    assert decided.mean() > 0.5
    # A weak detector errs nearly as often as it may.
    assert np.mean(wrong_sides(bands, label, probability)) > 0.05


def test_a_class_with_too_few_images_is_never_decided_against() -> None:
    label, probability = draw(200, 8, 3.0, np.random.default_rng(2))  # alpha 0.1 needs 9
    bands = conformal_bands(label, probability, 0.1)
    assert bands.genuine_below == 0  # no counterfeit can be called likely genuine
    assert bands.counterfeit_from < 1


def test_the_worked_example() -> None:
    # 9 of each: ceil(10 * 0.9) = 9, so the most extreme of either class is the limit.
    label = np.r_[np.zeros(9, int), np.ones(9, int)]
    probability = np.r_[np.arange(1, 10) / 20, np.arange(6, 15) / 20]
    bands = conformal_bands(label, probability, 0.1)
    assert (bands.genuine_below, bands.counterfeit_from) == pytest.approx((0.3, 0.45))
    assert bands.counterfeit_from > 0.45  # the genuine image at 0.45 itself stays unclear
    assert (bands.n, bands.n_genuine, bands.n_counterfeit, bands.alpha) == (18, 9, 9, 0.1)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_the_sets_are_those_of_mapie(alpha: float, shift: float) -> None:
    classification = pytest.importorskip("mapie.classification", reason="mapie is not installed (test extra)")

    class Given:
        """A classifier whose probability of counterfeit is its input."""

        classes_ = np.array([0, 1])
        n_features_in_ = 1

        def fit(self, X: np.ndarray, y: np.ndarray) -> "Given":  # noqa: N803
            return self

        def predict_proba(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
            return np.column_stack([1 - X[:, 0], X[:, 0]])

        def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
            return (X[:, 0] >= 0.5).astype(int)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    generator = np.random.default_rng(3)
    label, probability = draw(120, 60, shift, generator)
    fresh = draw(500, 500, shift, generator)[1]
    contains = np.empty((len(fresh), 2), bool)
    for c in (0, 1):  # conditional on the class: calibrated on its images alone
        conformal = classification.SplitConformalClassifier(
            Given(), confidence_level=1 - alpha, conformity_score="lac", prefit=True
        )
        conformal.conformalize(probability[label == c, None], label[label == c])
        contains[:, c] = conformal.predict_set(fresh[:, None])[1][:, c, 0]
    bands = conformal_bands(label, probability, alpha)
    assert ((fresh < bands.genuine_below) == (contains[:, 0] & ~contains[:, 1])).all()
    assert ((fresh >= bands.counterfeit_from) == (contains[:, 1] & ~contains[:, 0])).all()


@pytest.mark.parametrize("alpha", [0.0, 0.6, -1.0])
def test_an_impossible_error_rate_is_refused(alpha: float) -> None:
    with pytest.raises(UserError, match="error rate"):
        conformal_bands(np.array([0, 1]), np.array([0.1, 0.9]), alpha)


@pytest.mark.parametrize("label", [0, 1])
def test_validation_of_one_class_is_refused(label: int) -> None:
    with pytest.raises(UserError, match="one class"):
        conformal_bands(np.full(5, label), np.linspace(0, 1, 5), 0.1)


@pytest.mark.parametrize("count", [1, 19, 60, 1000])
def test_the_table_counts_every_image_once_and_has_no_gaps(count: int) -> None:
    generator = np.random.default_rng(4)
    probability = generator.random(count) ** 3
    probability[0] = 1.0
    label = (generator.random(count) < probability).astype(int)
    table = calibration_table(label, probability)
    assert (table[0].low, table[-1].high) == (0, 1)
    assert all(a.high == b.low for a, b in itertools.pairwise(table))
    assert (sum(b.n for b in table), sum(b.counterfeits for b in table)) == (count, label.sum())
    assert all(b.n >= 10 for b in table) or len(table) == 1
    for b in table:
        assert b.n == ((probability >= b.low) & ((probability < b.high) | (b.high == 1))).sum()
