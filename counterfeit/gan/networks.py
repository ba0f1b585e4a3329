"""The refiner's two networks: a U-Net with a gated residual and a projected discriminator."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from counterfeit.backbone import Backbone

LATENT = 16  # length of z
LATENT_GRID = 4  # cells a side on which z is laid out, repeated over larger images
LATENT_CELL = 2  # positions of the bottom of the U-Net that one cell covers
CHANNELS = (24, 48, 96)  # at strides 2, 4 and 8
AMPLITUDE = 0.25  # largest change of a pixel; at 0.5 the latent painted dark blobs into genuine tiles
REACH = 3  # pixels that the dilated mask reaches beyond the mask
MIXED = 48  # channels of each mixed backbone stage
PROJECTED_SIZE = 128  # pixels: crops are upsampled to this side before the backbone sees them


def residual_gate(mask: Tensor, core: float) -> Tensor:
    """How strongly each pixel may be changed: fully in the seam, weakly in the core, not at all outside.

    A refiner that is free in the core learns to smooth the evidence away, and its images are mislabelled.

    Args:
        mask: ``(N, 1, H, W)`` share of the donor in [0, 1]; its largest value counts as the core.
        core: gate where the donor is pasted entirely, in [0, 1].

    Returns:
        ``(N, 1, H, W)`` in [0, 1], 0 beyond 3 pixels from the mask.
    """
    relative = mask / mask.amax((2, 3), keepdim=True).clamp_min(1e-6)
    seam = 4 * relative * (1 - relative)
    dilated = F.max_pool2d(relative, 2 * REACH + 1, stride=1, padding=REACH)
    return seam + core * (1 - seam) * dilated


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, C, H, W)`` to features of the same shape."""
        update: Tensor = self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))
        return x + update


class Generator(nn.Module):
    """Refines composites of any size; before training it returns them unchanged.

    Args:
        core: how strongly the core of the mask may be changed, see :func:`residual_gate`.
    """

    def __init__(self, core: float = 0.25) -> None:
        super().__init__()
        self.core = core
        fine, middle, coarse = CHANNELS
        self.enter = nn.Conv2d(4 * 4, fine, 3, padding=1)
        self.down_middle = nn.Conv2d(fine, middle, 4, stride=2, padding=1)
        self.down_coarse = nn.Conv2d(middle, coarse, 4, stride=2, padding=1)
        self.latent = nn.Linear(LATENT, coarse * LATENT_GRID**2)
        self.bottom = nn.Sequential(ResidualBlock(coarse), ResidualBlock(coarse))
        self.up_middle = nn.Conv2d(coarse + middle, middle, 3, padding=1)
        self.up_fine = nn.Conv2d(middle + fine, fine, 3, padding=1)
        self.leave = nn.Conv2d(fine, 3 * 4, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, composite: Tensor, mask: Tensor, z: Tensor) -> Tensor:
        """Refined images ``(N, 3, H, W)`` in [0, 1].

        Args:
            composite: ``(N, 3, H, W)`` in [0, 1]; sides are multiples of 8.
            mask: ``(N, 1, H, W)`` share of the donor in [0, 1].
            z: ``(N, 16)`` standard normal.
        """
        seen = torch.cat([composite * 2 - 1, mask * 2 - 1], dim=1)
        fine = F.leaky_relu(self.enter(F.pixel_unshuffle(seen, 2)), 0.2)
        middle = F.leaky_relu(self.down_middle(fine), 0.2)
        coarse = self.down_coarse(middle)
        coarse = self.bottom(coarse + self.lay_out(z, coarse.shape[-2], coarse.shape[-1]))
        middle = F.leaky_relu(self.up_middle(torch.cat([F.interpolate(coarse, scale_factor=2.0), middle], 1)), 0.2)
        fine = F.leaky_relu(self.up_fine(torch.cat([F.interpolate(middle, scale_factor=2.0), fine], 1)), 0.2)
        residual = F.pixel_shuffle(self.leave(fine), 2).tanh()
        return (composite + AMPLITUDE * residual_gate(mask, self.core) * residual).clamp(0, 1)

    def lay_out(self, z: Tensor, height: int, width: int) -> Tensor:
        """``z`` as features ``(N, 96, height, width)``: a 4 x 4 grid of cells, repeated like tiles."""
        grid = self.latent(z).view(len(z), -1, LATENT_GRID, LATENT_GRID)
        rows, columns = (torch.arange(n, device=z.device) // LATENT_CELL % LATENT_GRID for n in (height, width))
        tiled: Tensor = grid[:, :, rows][:, :, :, columns]
        return tiled


class Discriminator(nn.Module):
    """Scores patches of crops in the feature space of a frozen backbone (Sauer et al. 2021, Projected GANs).

    Each stage's channels are mixed by a fixed random projection, so that the heads cannot settle on a few of them.

    Args:
        backbone: frozen; its three stages are looked at.
        seed: of the random projections.
    """

    def __init__(self, backbone: Backbone, seed: int) -> None:
        super().__init__()
        self.backbone = backbone.eval()
        generator = torch.Generator().manual_seed(seed)
        for i, channels in enumerate(backbone.channels):
            mixing = torch.randn(MIXED, channels, 1, 1, generator=generator) / channels**0.5
            self.register_buffer(f"mixing_{i}", mixing)
        self.heads = nn.ModuleList(patch_head() for _ in backbone.channels)

    def train(self, mode: bool = True) -> "Discriminator":
        """Training mode for the heads; the backbone stays frozen, its batch statistics too."""
        super().train(mode)
        self.backbone.eval()
        return self

    def features(self, crops: Tensor) -> list[Tensor]:
        """Mixed features of crops ``(N, 3, S, S)`` in [0, 1]: ``(N, 48, 128 / s, 128 / s)`` for strides 4, 8 and 16."""
        size = (PROJECTED_SIZE, PROJECTED_SIZE)
        large = F.interpolate(crops, size, mode="bilinear", align_corners=False)
        normalised = (large - self.backbone.mean) / self.backbone.std
        # Without the layers behind stride 16, and with channels last, a pass takes 60 % of the time on a CPU.
        stages = self.backbone.network.forward_intermediates(  # type: ignore[operator]
            normalised.contiguous(memory_format=torch.channels_last),
            indices=self.backbone.stages,
            intermediates_only=True,
            stop_early=True,
        )
        return [F.conv2d(stage, self.get_buffer(f"mixing_{i}")) for i, stage in enumerate(stages)]

    def score(self, features: list[Tensor], label: Tensor) -> Tensor:
        """Scores of mixed features, as real images of their label.

        Args:
            features: of :meth:`features`.
            label: ``(N,)``, genuine = 0, counterfeit = 1: which of the two outputs counts.

        Returns:
            ``(N, P)``: one score for each patch at each of the three depths.
        """
        scores = [head(stage).flatten(2) for head, stage in zip(self.heads, features, strict=True)]
        joined = torch.cat(scores, dim=2)
        return joined.gather(1, label.view(-1, 1, 1).expand(-1, 1, joined.shape[2]))[:, 0]

    def forward(self, crops: Tensor, label: Tensor) -> Tensor:
        """Scores ``(N, P)`` of crops ``(N, 3, S, S)`` as real images of their ``label`` ``(N,)``."""
        return self.score(self.features(crops), label)


def patch_head() -> nn.Sequential:
    """Two spectrally normalised layers from 48 channels to one score for each class and patch."""
    return nn.Sequential(
        spectral_norm(nn.Conv2d(MIXED, MIXED, 4, stride=2, padding=1)),
        nn.LeakyReLU(0.2),
        # Without a bias the heads cannot shift all scores of a class at once.
        spectral_norm(nn.Conv2d(MIXED, 2, 3, padding=1, bias=False)),
    )
