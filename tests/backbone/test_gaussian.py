import numpy as np
import pytest
import torch

from counterfeit.backbone import GenuineGaussian
from counterfeit.backbone.gaussian import SHRINKAGE


def features(images: int = 200, width: int = 12) -> torch.Tensor:
    """Most of the variance lies in the first three directions."""
    deviation = torch.tensor([6.0, 4.0, 3.0] + [1.0] * (width - 3))
    return torch.randn(images, width, generator=torch.Generator().manual_seed(0)) * deviation


def test_whitened_weights_are_those_of_the_shrunken_covariance() -> None:
    genuine = features()
    gaussian = GenuineGaussian(12, rank=12, folds=1)
    gaussian.fit(genuine, torch.full((200,), 9))
    covariance = np.cov(genuine.numpy().T, bias=True)
    values, vectors = np.linalg.eigh(covariance + SHRINKAGE * np.trace(covariance) / 12 * np.eye(12))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    root /= np.sqrt(np.trace(root @ covariance @ root) / 12)
    weight = torch.randn(12, 1, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(gaussian.whitened(weight).numpy(), root @ weight.numpy(), rtol=1e-3, atol=1e-4)


def test_genuine_images_have_variance_1_on_average_after_whitening() -> None:
    genuine = features()
    gaussian = GenuineGaussian(12, rank=3, folds=1)
    gaussian.fit(genuine, torch.full((200,), 9))
    whitened = genuine @ torch.cat([gaussian.whitened(column[:, None]) for column in torch.eye(12)], dim=1)
    assert whitened.var(0, correction=0).mean().item() == pytest.approx(1, abs=0.02)


def test_directions_in_which_genuine_images_vary_count_less() -> None:
    gaussian = GenuineGaussian(12, rank=3, folds=1)
    gaussian.fit(features(), torch.full((200,), 9))
    gained = gaussian.whitened(torch.ones(12, 1))[:, 0]
    assert gained[0] < gained[1] < gained[3:].min()


def test_a_fold_does_not_learn_from_its_own_images() -> None:
    genuine, fold = features(), torch.arange(200) % 2
    one, other = GenuineGaussian(12, 3, 2), GenuineGaussian(12, 3, 2)
    one.fit(genuine, fold)
    changed = torch.where((fold == 0)[:, None], 5 * genuine.flip(1), genuine)
    other.fit(changed, fold)
    torch.testing.assert_close(one.basis[0], other.basis[0])
    assert (one.average[1] - other.average[1]).abs() > 1


def test_fewer_images_than_directions_still_whiten() -> None:
    gaussian = GenuineGaussian(12, rank=8, folds=2)
    gaussian.fit(features(4), torch.tensor([0, 0, 1, 1]))
    assert torch.isfinite(gaussian.whitened(torch.ones(12, 2))).all()
