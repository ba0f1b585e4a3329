"""How much genuine patches vary, channel by channel."""

from torch import Tensor


def patch_sample(patches: Tensor, images: int = 512) -> Tensor:
    """All patches of up to so many images of ``(N, G, G, C)``, evenly spaced: ``(n, C)``, to take scales from."""
    return patches[:: -(-len(patches) // images)].float().flatten(0, 2)


def floored(deviation: Tensor) -> Tensor:
    """Deviations ``(D,)`` no smaller than a twentieth of the median of those that are not 0.

    A channel that is silent in training would otherwise speak millions of times too loud where it is not.
    """
    heard = deviation[deviation > 0]
    return deviation.clamp_min(0.05 * heard.median().item() if len(heard) else 1.0)
