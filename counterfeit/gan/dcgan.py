"""The generator ``dcgan``: the classic deep convolutional GAN with binary cross-entropy (Radford et al. 2016)."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from counterfeit.gan.adversarial import FromNoise, frozen
from counterfeit.gan.augment import Batch, diff_augment
from counterfeit.gan.losses import cross_entropy_discriminator, cross_entropy_generator

NOISE = 100  # length of z, as in the paper
START = 8  # pixels a side of the dense start
WIDTH = 24  # channels at the full side; each halving of the side doubles them
DEVIATION = 0.02  # of the first weights, as in the paper


def doublings(size: int) -> int:
    """How many times 8 pixels double to reach ``size``."""
    return (size // START).bit_length() - 1


class DcganGenerator(nn.Module):
    """A dense 8 x 8 start, then transposed convolutions with batch normalisation, each doubling the side.

    Args:
        size: side of the images in pixels, 8 times a power of 2.
        classes: number of classes, which are told beside the noise.
    """

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        channels = [WIDTH * 2**i for i in range(doublings(size), -1, -1)]
        self.start = nn.Linear(NOISE + classes, channels[0] * START**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for before, after in pairwise(channels):
            grow = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
            layers += [grow, nn.BatchNorm2d(after), nn.ReLU()]
        self.grow = nn.Sequential(*layers, nn.Conv2d(channels[-1], 3, 3, padding=1), nn.Tanh())
        self.apply(draw_weights)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Images ``(N, 3, size, size)`` in [-1, 1] of ``z`` ``(N, 100)`` and classes ``(N,)``."""
        told = torch.cat([z, nn.functional.one_hot(label, self.classes).to(z)], dim=1)
        image: Tensor = self.grow(self.start(told).view(len(z), -1, START, START))
        return image


class DcganDiscriminator(nn.Module):
    """Strided convolutions with batch normalisation down to 4 x 4; one logit for each class.

    Args:
        size: side of the images in pixels, 8 times a power of 2.
        classes: number of classes.
    """

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        channels = [WIDTH * 2**i for i in range(doublings(size) + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before, after in pairwise(channels):
            shrink = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
            layers += [shrink, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.shrink = nn.Sequential(*layers, nn.Flatten())
        self.leave = nn.Linear(channels[-1] * (START // 2) ** 2, classes, bias=False)
        self.apply(draw_weights)

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        """Logits ``(N,)`` of images ``(N, 3, size, size)`` in [-1, 1] as real images of their class ``(N,)``."""
        logits: Tensor = self.leave(self.shrink(images))
        return logits.gather(1, label[:, None])[:, 0]


class Dcgan(FromNoise):
    """The classic: what a careful generator is measured against.

    Departures: both networks are told the class, real and generated images are translated and cut out (Zhao et al.
    2020), and images are made by averaged weights.

    Args:
        size: side of the images in pixels, 8 times a power of 2.
        classes: number of classes.
        kimg: budget in thousands of generated images.
        batch_size: generated images a step; as many real ones beside them.
        lr: learning rate of both Adams.
        ema_half_life: images after which a state counts half in the average; never over 5 % of those seen.
        seed: of the networks' first weights.
    """

    latent = NOISE

    def __init__(
        self,
        size: int = 64,
        classes: int = 2,
        kimg: float = 10.0,
        batch_size: int = 16,
        lr: float = 2e-4,
        ema_half_life: float = 20_000.0,
        seed: int = 0,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = (DcganGenerator(size, classes), DcganDiscriminator(size, classes))
        super().__init__(*networks, kimg, batch_size, lr, ema_half_life)
        self.save_hyperparameters()
        self.size, self.classes = size, classes

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Images ``(N, 3, size, size)`` in [0, 1], by the averaged weights, see :meth:`sample`."""
        image: Tensor = self.average(z, label) / 2 + 0.5
        return image

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """One step of the discriminator, then one of the generator against it."""
        for_generator, for_discriminator = self.optimizers()  # type: ignore[attr-defined]
        label, real = batch["label"], batch["real"] * 2 - 1
        generated = self.generator(batch["z"], label)
        logit_real = self.discriminator(diff_augment(real, batch["augment_real"]), label)
        logit_fake = self.discriminator(diff_augment(generated.detach(), batch["augment_fake"]), label)
        loss_discriminator = cross_entropy_discriminator(logit_real, logit_fake)
        self.descend(loss_discriminator, for_discriminator, self.discriminator)
        with frozen(self.discriminator):
            logit = self.discriminator(diff_augment(generated, batch["augment_fake"]), label)
            loss_generator = cross_entropy_generator(logit)
        self.descend(loss_generator, for_generator, self.generator)
        self.count_step()
        for old, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            old.copy_(new)  # statistics of batch normalisation are averages already
        gap = (logit_real - logit_fake).mean()
        metrics = {"loss_generator": loss_generator, "loss_discriminator": loss_discriminator, "gap": gap}
        return {name: value.detach() for name, value in metrics.items()}

    def configure_optimizers(self) -> Any:
        """Adam with the paper's momentum for both networks."""
        networks = (self.generator, self.discriminator)
        return [torch.optim.Adam(network.parameters(), lr=self.lr, betas=(0.5, 0.999)) for network in networks]


def draw_weights(layer: nn.Module) -> None:
    """First weights as in the paper: normal, with a deviation of 0.02."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, DEVIATION)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, DEVIATION)
