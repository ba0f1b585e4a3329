"""Evidence maps: how far each place of an image is from what genuine images show at that place."""

import torch
from torch import Tensor, nn

from counterfeit.detector.views import LOCATED


class EvidenceMaps(nn.Module):
    """The located views as one map, each standardised place by place on genuine images and weighed as in the score.

    Without the standardisation a map mostly shows where genuine images vary: edges and background. The view of
    pooled features has no place and is left out.

    Args:
        grid: cells a side, one every 8 pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(LOCATED), grid, grid))
        self.register_buffer("std", torch.ones(len(LOCATED), grid, grid))

    def standardise_to(self, genuine: Tensor) -> None:
        """Take mean and deviation of every cell from the maps ``(N, 5, G, G)`` of genuine images."""
        mean, std = place_scales(genuine)
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Evidence ``(N, G, G)`` in deviations of genuine images at the same place.

        Args:
            maps: ``(N, 5, G, G)``: three distances from genuine patches, logits of patch heads and of mask heads.
            weight: ``(P,)`` weights of all parts, as the combination holds them.
        """
        weight = weight[LOCATED]
        weight = weight / weight.sum().clamp_min(1e-12)
        return (weight[:, None, None] * (maps - self.mean) / self.std).sum(1)


def place_scales(genuine: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every cell of maps ``(N, ..., G, G)`` of genuine images, each ``(..., G, G)``.

    Where genuine images hardly differ, a trifle would be the strongest evidence: no deviation is below a quarter of a
    map's median one.
    """
    deviation = genuine.std(0, correction=0)
    least = 0.25 * deviation.flatten(-2).median(-1).values
    return genuine.mean(0), deviation.maximum(least.clamp_min(1e-6)[..., None, None])
