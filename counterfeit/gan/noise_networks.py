"""The two networks of the generator ``noise``: residual, without normalisation, the class from 16 pixels upwards."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

NOISE = 64  # length of z
START = 4  # pixels a side of the first map
CLASS_FROM = 16  # pixels a side from which on the class is told
WIDEST, NARROWEST = 128, 24  # channels at 4 pixels and at the full side


def widths(size: int) -> list[tuple[int, int]]:
    """Sides in pixels and channels of the maps from 4 pixels to ``size``, each twice the side of the one before."""
    sides = [START * 2**i for i in range(10) if START * 2**i <= size]
    return [(side, max(NARROWEST, WIDEST * START * 2 // max(side, 2 * START))) for side in sides]


class Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input passes; they start by changing nothing (Zhang et al. 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, C, H, W)`` to features of the same shape."""
        update: Tensor = self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))
        return x + update


class NoiseGenerator(nn.Module):
    """Images from noise and a class.

    Args:
        size: side of the images in pixels, 4 times a power of 2, at least 16.
        classes: number of classes.
    """

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        plan = widths(size)
        self.start = nn.Linear(NOISE, plan[0][1] * START**2)
        self.blocks = nn.ModuleList(Residual(channels) for _, channels in plan)
        pairs = pairwise(plan)
        self.widen = nn.ModuleList(nn.Conv2d(before, after, 1, bias=False) for (_, before), (_, after) in pairs)
        told = {i: channels for i, (side, channels) in enumerate(plan) if side >= CLASS_FROM}
        self.by_class = nn.ModuleDict({str(i): nn.Embedding(classes, 2 * channels) for i, channels in told.items()})
        for table in self.by_class.values():
            nn.init.zeros_(table.weight)  # type: ignore[arg-type]
        self.leave = nn.Conv2d(plan[-1][1], 3, 3, padding=1)

    def forward(self, z: Tensor, label: Tensor, told: float = 1.0) -> Tensor:
        """Images ``(N, 3, size, size)`` in [-1, 1].

        Args:
            z: ``(N, 64)`` standard normal.
            label: ``(N,)`` class numbers.
            told: how much of the class the network is told, in [0, 1].
        """
        x: Tensor = self.start(F.normalize(z, dim=1) * NOISE**0.5).view(len(z), -1, START, START)
        for i, block in enumerate(self.blocks):
            if i:
                x = F.interpolate(self.widen[i - 1](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            if str(i) in self.by_class:
                scale, shift = (told * self.by_class[str(i)](label))[:, :, None, None].chunk(2, dim=1)
                x = x * (1 + scale) + shift
            x = block(x)
        image: Tensor = self.leave(F.leaky_relu(x, 0.2)).tanh()
        return image


class NoiseDiscriminator(nn.Module):
    """One score an image: of the whole, and, as far as the class is told, of its parts as parts of that class.

    Args:
        size: side of the images in pixels, as of the generator.
        classes: number of classes.
    """

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        plan = widths(size)[::-1]
        self.enter = nn.Conv2d(3, plan[0][1], 3, padding=1)
        self.blocks = nn.ModuleList(Residual(channels) for _, channels in plan)
        pairs = pairwise(plan)
        self.narrow = nn.ModuleList(nn.Conv2d(before, after, 1, bias=False) for (_, before), (_, after) in pairs)
        self.sides = [side for side, _ in plan]
        # Neither has a bias: a relativistic loss cannot see one, and a penalty has no gradient for it.
        self.by_class = nn.Conv2d(dict(plan)[CLASS_FROM], classes, 3, padding=1, bias=False)
        self.leave = nn.Linear(plan[-1][1] * START**2, 1, bias=False)

    def forward(self, images: Tensor, label: Tensor, told: float = 1.0) -> Tensor:
        """Scores ``(N,)`` of images ``(N, 3, size, size)`` in [-1, 1] as images of their class ``(N,)``."""
        x = self.enter(images)
        of_class = images.new_zeros(len(images))
        for i, (side, block) in enumerate(zip(self.sides, self.blocks, strict=True)):
            if i:
                x = F.avg_pool2d(self.narrow[i - 1](x), 2)
            x = block(x)
            if side == CLASS_FROM:
                every = self.by_class(F.leaky_relu(x, 0.2)).mean((2, 3))
                of_class = every.gather(1, label[:, None])[:, 0]
        whole: Tensor = self.leave(F.leaky_relu(x, 0.2).flatten(1))[:, 0]
        return whole + told * of_class


def ramp(step: int, total: int, start: float = 0.3, end: float = 0.6) -> float:
    """How much of the class is told: nothing at first, all at last (Shahbazi et al. 2022).

    Classes of few images collapse if they are told from the beginning; what all classes share is learned first.

    Args:
        step: steps taken.
        total: steps of the whole training.
        start: share of the training after which the ramp begins.
        end: share of the training at which it is complete.
    """
    return min(1.0, max(0.0, (step / total - start) / (end - start)))
