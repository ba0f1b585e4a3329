"""The generator ``noise`` as a LightningModule: class-conditional noise to image, relativistic loss with R1 and R2."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from counterfeit.gan.augment import Batch, diff_augment
from counterfeit.gan.losses import gradient_penalty, relativistic_loss
from counterfeit.gan.noise_networks import NOISE, NoiseDiscriminator, NoiseGenerator, ramp
from counterfeit.gan.refiner import ema_decay, update_average

MAX_GRADIENT = 10.0  # norm to which gradients are clipped


class NoiseGan(pl.LightningModule):
    """Whole images from noise: what a refiner is measured against (after Huang et al. 2024, R3GAN).

    Args:
        size: side of the images in pixels, 4 times a power of 2, at least 16.
        classes: number of classes.
        kimg: budget in thousands of generated images.
        batch_size: generated images a step; as many real ones beside them.
        lr: learning rate of both Adams.
        penalty: weight of R1 and of R2.
        ema_half_life: images after which a state counts half in the average; never over 5 % of those seen.
        seed: of the networks' first weights.
    """

    latent = NOISE
    step: Tensor

    def __init__(
        self,
        size: int = 64,
        classes: int = 2,
        kimg: float = 10.0,
        batch_size: int = 16,
        lr: float = 2e-4,
        penalty: float = 10.0,
        ema_half_life: float = 20_000.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.size, self.classes, self.batch_size = size, classes, batch_size
        self.lr, self.penalty, self.ema_half_life = lr, penalty, ema_half_life
        self.total_steps = max(1, -(-round(kimg * 1000) // batch_size))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = NoiseGenerator(size, classes)
            self.discriminator = NoiseDiscriminator(size, classes)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        # Counted here: with two optimisers the trainer's global step counts both.
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @property
    def images_seen(self) -> int:
        """Generated images seen in training."""
        return int(self.step) * self.batch_size

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Images ``(N, 3, size, size)`` in [0, 1], by the averaged weights, see :meth:`sample`."""
        told = ramp(int(self.step), self.total_steps)
        image: Tensor = self.average(z, label, told) / 2 + 0.5
        return image

    def sample(self, label: Tensor, z: Tensor, chunk: int = 64) -> Tensor:
        """Images ``(N, 3, size, size)`` in [0, 1] on the CPU, without gradients.

        Args:
            label: ``(N,)`` classes.
            z: ``(N, 64)`` standard normal.
            chunk: images at once.
        """
        return sample_in_chunks(self, label, z, chunk)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """One step of the generator, then one of the discriminator on the same generated images."""
        for_generator, for_discriminator = self.optimizers()  # type: ignore[attr-defined]
        label, told = batch["label"], ramp(int(self.step), self.total_steps)
        real, generated = batch["real"] * 2 - 1, self.generator(batch["z"], label, told)
        with frozen(self.discriminator):
            score_fake = self.score(generated, batch["augment_fake"], label, told)
            score_real = self.score(real, batch["augment_real"], label, told)
            loss_generator = relativistic_loss(score_fake, score_real)
        descend(self, loss_generator, for_generator, self.generator)
        real, fake = real.requires_grad_(), generated.detach().requires_grad_()
        score_real = self.score(real, batch["augment_real"], label, told)
        score_fake = self.score(fake, batch["augment_fake"], label, told)
        loss_discriminator = relativistic_loss(score_real, score_fake)
        r1, r2 = gradient_penalty(score_real, real), gradient_penalty(score_fake, fake)
        descend(self, loss_discriminator + self.penalty * (r1 + r2), for_discriminator, self.discriminator)
        self.step += 1
        update_average(self.average, self.generator, ema_decay(self.batch_size, self.images_seen, self.ema_half_life))
        gap = (score_real - score_fake).mean()
        metrics = {"loss_generator": loss_generator, "loss_discriminator": loss_discriminator, "r1": r1, "r2": r2}
        return {name: value.detach() for name, value in (metrics | {"gap": gap}).items()}

    def score(self, images: Tensor, augmentation: Tensor, label: Tensor, told: float) -> Tensor:
        """Scores ``(N,)`` of augmented images ``(N, 3, size, size)`` in [-1, 1]."""
        scores: Tensor = self.discriminator(diff_augment(images, augmentation), label, told)
        return scores

    def configure_optimizers(self) -> Any:
        """Adam without momentum for both networks."""
        networks = (self.generator, self.discriminator)
        return [torch.optim.Adam(network.parameters(), lr=self.lr, betas=(0.0, 0.99)) for network in networks]

    def weights(self) -> dict[str, Tensor]:
        """All state."""
        return dict(self.state_dict())


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Within, a network passes gradients on and collects none: with several processes, none may be left waiting."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def descend(module: pl.LightningModule, loss: Tensor, optimizer: Any, network: nn.Module) -> None:
    """One step of one network; none if the gradient is not finite, so that weights stay usable."""
    optimizer.zero_grad()
    module.manual_backward(loss)
    if torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT).isfinite():
        optimizer.step()


def sample_in_chunks(module: pl.LightningModule, label: Tensor, z: Tensor, chunk: int) -> Tensor:
    """Images of classes ``(N,)`` and noise ``(N, D)``, computed where the module is, returned on the CPU."""
    device, training = module.device, module.training
    module.eval()
    with torch.inference_mode():
        parts = zip(torch.split(z, chunk), torch.split(label, chunk), strict=True)
        images = [module(*(x.to(device) for x in part)).cpu() for part in parts]
    module.train(training)
    return torch.cat(images)
