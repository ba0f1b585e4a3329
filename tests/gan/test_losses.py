"""Every loss equals its formula on numbers worked by hand."""

import math

import pytest
import torch

from counterfeit.gan.losses import (
    DIVERSITY_TARGET,
    cross_entropy_discriminator,
    cross_entropy_generator,
    diversity_loss,
    gradient_penalty,
    hinge_loss_discriminator,
    hinge_loss_generator,
    identity_loss,
    masked_difference,
    relativistic_loss,
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


def test_relativistic_loss_judges_pairs_and_sees_no_common_offset() -> None:
    winner, loser = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 1.0])
    by_hand = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    assert relativistic_loss(winner, loser).item() == pytest.approx(by_hand)
    assert relativistic_loss(winner + 100, loser + 100).item() == pytest.approx(by_hand, rel=1e-4)


def test_cross_entropy_of_both_networks() -> None:
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([-1.0])
    for_real = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert cross_entropy_discriminator(real, fake).item() == pytest.approx(for_real + math.log(1 + math.exp(-1)))
    assert cross_entropy_generator(fake).item() == pytest.approx(math.log(1 + math.e))
    chance = cross_entropy_discriminator(torch.zeros(3), torch.zeros(3)).item()
    assert chance == pytest.approx(2 * math.log(2))


def test_the_penalty_of_a_linear_discriminator_is_half_its_squared_weight_whatever_the_images() -> None:
    weight = torch.randn(3 * 4 * 4, requires_grad=True)
    for seed in (0, 1):
        images = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(seed)).requires_grad_()
        penalty = gradient_penalty(images.flatten(1) @ weight, images)
        assert penalty.item() == pytest.approx(0.5 * weight.square().sum().item(), rel=1e-5)
        (gradient,) = torch.autograd.grad(penalty, weight)
        torch.testing.assert_close(gradient, weight.detach())


def test_the_penalty_of_a_quadratic_discriminator_grows_with_the_images() -> None:
    images = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).requires_grad_()
    scores = images.square().flatten(1).sum(1)
    assert gradient_penalty(scores, images).item() == pytest.approx(0.5 * (2.0**2 + 6.0**2) / 2)
