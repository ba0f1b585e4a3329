"""The generator starts at the identity and respects its gate; the discriminator leaves the backbone alone."""

import pytest
import torch

from counterfeit.backbone import load_backbone
from counterfeit.gan.augment import diff_augment, draw_augmentation
from counterfeit.gan.networks import AMPLITUDE, REACH, Discriminator, Generator, residual_gate


def square_mask(size: int) -> torch.Tensor:
    """A pasted square in the middle with soft edges."""
    mask = torch.zeros(2, 1, size, size)
    mask[:, :, size // 4 : -size // 4, size // 4 : -size // 4] = 0.8
    return torch.nn.functional.avg_pool2d(mask, 9, stride=1, padding=4)


def trained(core: float) -> Generator:
    """A generator whose last layer is no longer zero."""
    torch.manual_seed(0)
    generator = Generator(core)
    torch.nn.init.normal_(generator.leave.weight)
    return generator


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 128), (64, 96)])
def test_starts_at_the_identity_at_any_size(height: int, width: int) -> None:
    composite, mask = torch.rand(2, 3, height, width), torch.rand(2, 1, height, width)
    refined = Generator()(composite, mask, torch.randn(2, 16))
    torch.testing.assert_close(refined, composite, rtol=0, atol=0)


def test_changes_nothing_outside_the_dilated_mask() -> None:
    composite, mask = torch.rand(2, 3, 64, 64), square_mask(64)
    refined = trained(1.0)(composite, mask, torch.randn(2, 16))
    reached = torch.nn.functional.max_pool2d(mask, 2 * REACH + 1, stride=1, padding=REACH) > 0
    outside = ~reached.expand_as(composite)
    assert torch.equal(refined[outside], composite[outside])
    assert (refined != composite)[reached.expand_as(composite)].float().mean() > 0.9


def test_gate_is_full_in_the_seam_and_weak_in_the_core() -> None:
    gate = residual_gate(square_mask(64), core=0.25)
    assert gate[0, 0, 32, 32].item() == pytest.approx(0.25)
    assert gate.max().item() == pytest.approx(1.0, abs=0.02)
    assert gate[0, 0, 0, 0].item() == 0
    assert residual_gate(torch.zeros(1, 1, 16, 16), 1.0).max().item() == 0


def test_core_bounds_the_change_of_the_evidence() -> None:
    composite = torch.full((2, 3, 64, 64), 0.5)
    change = (trained(0.25)(composite, square_mask(64), torch.randn(2, 16)) - composite).abs()
    assert change[:, :, 28:36, 28:36].max().item() <= 0.25 * AMPLITUDE + 1e-6
    assert change.max().item() > 0.8 * AMPLITUDE


def test_is_fully_convolutional() -> None:
    """Far from the borders, a crop on the latent's raster is refined as in the whole image."""
    generator = trained(0.25)
    composite, mask, z = torch.rand(1, 3, 256, 256), torch.rand(1, 1, 256, 256), torch.randn(1, 16)
    mask[:, :, 128, 128] = 1.0  # the gate is relative to the largest value, which the crop must hold too
    whole = generator(composite, mask, z)[:, :, 128 - 4 : 128 + 4, 128 - 4 : 128 + 4]
    crop = generator(composite[:, :, 64:192, 64:192], mask[:, :, 64:192, 64:192], z)[:, :, 60:68, 60:68]
    torch.testing.assert_close(whole, crop, rtol=0, atol=1e-5)


def test_discriminator_is_conditional_and_leaves_the_backbone_alone() -> None:
    backbone = load_backbone()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    discriminator = Discriminator(backbone, seed=0).train()
    crops = torch.rand(2, 3, 64, 64, requires_grad=True)
    scores = discriminator(crops, torch.tensor([0, 1]))
    scores.sum().backward()
    assert scores.shape == (2, 16 * 16 + 8 * 8 + 4 * 4)
    assert crops.grad is not None and crops.grad.abs().sum() > 0
    assert all(p.grad is None for p in backbone.parameters())
    assert all(p.grad is not None for p in discriminator.heads.parameters())
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())
    assert not torch.equal(discriminator(crops, torch.tensor([0, 0]))[1], discriminator(crops, torch.tensor([0, 1]))[1])


def test_random_mixing_is_decided_by_the_seed() -> None:
    first, again, other = (Discriminator(load_backbone(), seed).get_buffer("mixing_1") for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_augmentation_moves_and_cuts_and_can_be_shared() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8).repeat(2, 1, 1, 1) + 1
    shifted = diff_augment(images, torch.tensor([[1, -1, 8, 8], [0, 0, 2, 3]]))
    torch.testing.assert_close(shifted[0, 0, 1:, :-1], images[0, 0, :-1, 1:])
    assert shifted[0, 0, 0].sum() == 0 and shifted[0, 0, :, -1].sum() == 0
    hole = shifted[1, 0] == 0
    assert hole.sum() == 4 and hole[2:4, 3:5].all()
    drawn = draw_augmentation(16, 64, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, draw_augmentation(16, 64, torch.Generator().manual_seed(0)))
    assert drawn[:, :2].abs().max() <= 8
