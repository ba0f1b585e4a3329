import numpy as np
import pytest
import torch
from scipy.special import expit

from counterfeit.detector.combination import SURE, Combination, unbound
from counterfeit.errors import UserError


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


def test_logits_beyond_all_evidence_keep_their_order_and_hardly_grow() -> None:
    combination = Combination(1)
    far = torch.linspace(-200, 200, 4001)
    logit = combination(far[:, None])
    assert (logit.diff() > 0).all()
    within = far.abs() <= SURE
    torch.testing.assert_close(logit[within], far[within])
    torch.testing.assert_close(combination.unbounded(far[:, None]), far)
    torch.testing.assert_close(unbound(logit), far, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logit, -logit.flip(0))
    assert logit[-1] == pytest.approx(SURE + np.log1p(200 - SURE))
    probability = expit(logit[-10:].double().numpy())
    assert (np.diff(probability) > 0).all() and probability[-1] < 1


def test_validation_of_one_class_is_refused() -> None:
    with pytest.raises(UserError, match="one class"):
        Combination(2).calibrate(torch.zeros(4, 2), np.zeros(4, int))
