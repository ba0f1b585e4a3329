"""The generator ``noise`` as a LightningModule: class-conditional noise to image, relativistic loss with R1 and R2."""

from typing import Any

import torch
from torch import Tensor

from counterfeit.gan.adversarial import FromNoise, frozen
from counterfeit.gan.augment import Batch, diff_augment
from counterfeit.gan.losses import gradient_penalty, relativistic_loss
from counterfeit.gan.noise_networks import NOISE, NoiseDiscriminator, NoiseGenerator, ramp


class NoiseGan(FromNoise):
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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = (NoiseGenerator(size, classes), NoiseDiscriminator(size, classes))
        super().__init__(*networks, kimg, batch_size, lr, ema_half_life)
        self.save_hyperparameters()
        self.size, self.classes = size, classes
        self.penalty = penalty

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Images ``(N, 3, size, size)`` in [0, 1], by the averaged weights, see :meth:`sample`."""
        told = ramp(int(self.step), self.total_steps)
        image: Tensor = self.average(z, label, told) / 2 + 0.5
        return image

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """One step of the generator, then one of the discriminator on the same generated images."""
        for_generator, for_discriminator = self.optimizers()  # type: ignore[attr-defined]
        label, told = batch["label"], ramp(int(self.step), self.total_steps)
        real, generated = batch["real"] * 2 - 1, self.generator(batch["z"], label, told)
        with frozen(self.discriminator):
            score_fake = self.score(generated, batch["augment_fake"], label, told)
            score_real = self.score(real, batch["augment_real"], label, told)
            loss_generator = relativistic_loss(score_fake, score_real)
        self.descend(loss_generator, for_generator, self.generator)
        real, fake = real.requires_grad_(), generated.detach().requires_grad_()
        score_real = self.score(real, batch["augment_real"], label, told)
        score_fake = self.score(fake, batch["augment_fake"], label, told)
        loss_discriminator = relativistic_loss(score_real, score_fake)
        r1, r2 = gradient_penalty(score_real, real), gradient_penalty(score_fake, fake)
        self.descend(loss_discriminator + self.penalty * (r1 + r2), for_discriminator, self.discriminator)
        self.count_step()
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
