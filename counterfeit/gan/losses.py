"""Losses of the generators and their discriminators: pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F

DIVERSITY_TARGET = 0.01  # difference of pixels per difference of latents beyond which more variety earns nothing


def hinge_loss_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of a discriminator (Lim and Ye 2017): real above 1, fake below -1, and no reward beyond.

    Args:
        real: scores of real images, any shape.
        fake: scores of refined images, any shape.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_loss_generator(fake: Tensor) -> Tensor:
    """What the generator pays to the discriminator: the negative mean score of its images, any shape."""
    return -fake.mean()


def masked_difference(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of two batches where ``weight`` is large.

    Args:
        first: ``(N, 3, H, W)``.
        second: ``(N, 3, H, W)``.
        weight: ``(N, 1, H, W)``, at least 0.

    Returns:
        A scalar; 0 where all weights are 0.
    """
    difference = (first - second).abs().mean(1, keepdim=True)
    return (weight * difference).sum() / weight.sum().clamp_min(1e-6)


def identity_loss(refined: Tensor, composite: Tensor, mask: Tensor, inside: float, outside: float) -> Tensor:
    """How far a refined image strays from its composite: L1, weighted inside and outside of the mask.

    Args:
        refined: ``(N, 3, H, W)``.
        composite: ``(N, 3, H, W)``.
        mask: ``(N, 1, H, W)`` in [0, 1].
        inside: weight of the mean difference inside the mask, where the evidence must survive.
        outside: weight of the mean difference outside of it, where the host must.
    """
    kept = inside * masked_difference(refined, composite, mask)
    return kept + outside * masked_difference(refined, composite, 1 - mask)


def diversity_loss(first: Tensor, second: Tensor, z_first: Tensor, z_second: Tensor, mask: Tensor) -> Tensor:
    """1 if two latents give the same result, 0 once results differ enough (Yang et al. 2019, bounded).

    Args:
        first: ``(N, 3, H, W)`` refined with ``z_first``.
        second: ``(N, 3, H, W)`` the same composites refined with ``z_second``.
        z_first: ``(N, D)``.
        z_second: ``(N, D)``.
        mask: ``(N, 1, H, W)`` in [0, 1]: results are compared inside.
    """
    latent = (z_first - z_second).abs().mean().clamp_min(1e-6)
    ratio = masked_difference(first, second, mask) / latent
    return F.relu(1 - ratio / DIVERSITY_TARGET)


def relativistic_loss(winner: Tensor, loser: Tensor) -> Tensor:
    """Relativistic pairing loss (Jolicoeur-Martineau 2019, Huang et al. 2024, R3GAN): pairs, not classes, are judged.

    The discriminator pays it with real images as ``winner``, the generator with its own. Only differences count: a
    score has no zero, so never compare one with a threshold.

    Args:
        winner: ``(N,)`` scores of the images that should score more.
        loser: ``(N,)`` scores of those that they are paired with.
    """
    return F.softplus(loser - winner).mean()


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Half the mean squared gradient of the scores: R1 on real images, R2 on generated ones (Mescheder et al. 2018).

    Args:
        scores: ``(N,)`` of a discriminator, each depending on its own image.
        images: ``(N, C, H, W)`` that the scores were computed from, requiring a gradient.

    Returns:
        A scalar through which gradients reach the discriminator's weights.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return 0.5 * gradient.square().sum((1, 2, 3)).mean()


def cross_entropy_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of a discriminator's logits, any shape (Goodfellow et al. 2014, Radford et al. 2016)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def cross_entropy_generator(fake: Tensor) -> Tensor:
    """Binary cross-entropy of generated images taken for real, the loss that does not saturate; logits of any shape."""
    return F.softplus(-fake).mean()
