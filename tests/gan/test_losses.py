"""Every loss equals its formula on numbers worked by hand."""

import pytest
import torch

from counterfeit.gan.losses import (
    DIVERSITY_TARGET,
    diversity_loss,
    hinge_loss_discriminator,
    hinge_loss_generator,
    identity_loss,
    masked_difference,
)


def test_hinge_loss_of_the_discriminator() -> None:
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0])
    assert hinge_loss_discriminator(real, fake).item() == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 1) / 2)


def test_hinge_loss_of_the_generator() -> None:
    assert hinge_loss_generator(torch.tensor([[1.0, -2.0], [4.0, 1.0]])).item() == -1.0


def test_identity_weighs_inside_and_outside_by_their_own_area() -> None:
    composite = torch.zeros(1, 3, 2, 2)
    refined = torch.tensor([[0.4, 0.0], [0.0, 0.3]]).expand(1, 3, 2, 2)
    mask = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    # Inside: 0.4 over one pixel; outside: 0.3 over three.
    assert identity_loss(refined, composite, mask, 2.0, 10.0).item() == pytest.approx(2 * 0.4 + 10 * 0.1)


def test_difference_without_any_weight_is_zero() -> None:
    assert masked_difference(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.zeros(1, 1, 2, 2)).item() == 0


def test_diversity_falls_from_one_to_zero_as_results_differ() -> None:
    first, mask = torch.zeros(2, 3, 4, 4), torch.ones(2, 1, 4, 4)
    z_first, z_second = torch.zeros(2, 16), torch.full((2, 16), 2.0)

    def loss(difference: float) -> float:
        return diversity_loss(first, first + difference, z_first, z_second, mask).item()

    assert loss(0.0) == 1.0
    assert loss(DIVERSITY_TARGET) == pytest.approx(0.5)  # latents differ by 2: half of the target ratio
    assert loss(1.0) == 0.0
