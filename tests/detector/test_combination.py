import numpy as np
import pytest
import torch
from scipy.special import expit

from counterfeit.detector.combination import Combination, auroc_error, view_weights
from counterfeit.errors import UserError


def views(counterfeits: int = 24, genuine: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    label = np.r_[np.ones(counterfeits, int), np.zeros(genuine, int)]
    noise = generator.normal(size=(len(label), 3))
    return noise + label[:, None] * np.array([2.0, 2.0, -1.0]), label


def test_a_useless_view_gets_nothing_and_good_ones_share() -> None:
    parts, label = views()
    weight = view_weights(parts, label)
    assert weight[2] < 0.01
    assert weight[:2] == pytest.approx([0.5, 0.5], abs=0.01)


def test_all_views_useless_still_gives_weights() -> None:
    parts, label = views()
    weight = view_weights(-np.abs(parts) * label[:, None], label)
    assert weight.sum() == pytest.approx(1)
    assert np.isfinite(weight).all()


def test_auroc_error_is_that_of_the_worked_example() -> None:
    # Hanley and McNeil 1982, section V: theta = 0.893, 51 abnormal and 58 normal images give 0.0325 by their formula.
    assert auroc_error(np.array([0.893]), 51, 58)[0] == pytest.approx(0.032, abs=0.001)


def test_calibrated_probabilities_agree_with_frequencies() -> None:
    generator = np.random.default_rng(1)
    label = (generator.random(4000) < 0.3).astype(int)
    parts = generator.normal(size=(4000, 2)) + label[:, None]
    combination = Combination(2)
    combination.standardise_to(parts[label == 0])
    combination.calibrate(torch.from_numpy(parts).float(), label)
    probability = expit(combination(torch.from_numpy(parts).float()).numpy())
    assert probability.mean() == pytest.approx(0.3, abs=0.02)
    high = probability > 0.6
    assert label[high].mean() == pytest.approx(probability[high].mean(), abs=0.05)


def test_validation_of_one_class_is_refused() -> None:
    with pytest.raises(UserError, match="one class"):
        Combination(2).calibrate(torch.zeros(4, 2), np.zeros(4, int))
