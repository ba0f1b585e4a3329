"""What all generators share as LightningModules: optimisers driven by hand, averaged weights, a count of steps."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

MAX_GRADIENT = 10.0  # norm to which gradients are clipped


class Adversarial(pl.LightningModule):
    """A generator and its discriminator, each with an optimiser of its own, and the average of the generator's weights.

    Args:
        generator: with its first weights.
        discriminator: with its first weights.
        kimg: budget in thousands of generated images.
        batch_size: generated images a step; as many real ones beside them.
        lr: learning rate of both optimisers.
        ema_half_life: images after which a state counts half in the average; never over 5 % of those seen.
    """

    step: Tensor

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        kimg: float,
        batch_size: int,
        lr: float,
        ema_half_life: float,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.batch_size, self.lr, self.ema_half_life = batch_size, lr, ema_half_life
        self.total_steps = max(1, -(-round(kimg * 1000) // batch_size))
        # Counted here: with two optimisers the trainer's global step counts both.
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @property
    def images_seen(self) -> int:
        """Generated images seen in training."""
        return int(self.step) * self.batch_size

    def descend(self, loss: Tensor, optimizer: Any, network: nn.Module) -> None:
        """One step of one network; none if the gradient is not finite, so that weights stay usable."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        if nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT).isfinite():
            optimizer.step()

    def count_step(self) -> None:
        """After both networks' steps: count one, and move the average."""
        self.step += 1
        update_average(self.average, self.generator, ema_decay(self.batch_size, self.images_seen, self.ema_half_life))

    def weights(self) -> dict[str, Tensor]:
        """All state that cannot be loaded by name."""
        return dict(self.state_dict())


class FromNoise(Adversarial):
    """Makes whole images of classes from noise; arguments as of :class:`Adversarial`."""

    latent: int
    size: int
    classes: int

    def sample(self, label: Tensor, z: Tensor, chunk: int = 64) -> Tensor:
        """Images ``(N, 3, size, size)`` in [0, 1] on the CPU, without gradients.

        Args:
            label: ``(N,)`` classes.
            z: ``(N, latent)`` standard normal.
            chunk: images at once.
        """
        training = self.training
        self.eval()
        with torch.inference_mode():
            parts = zip(torch.split(z, chunk), torch.split(label, chunk), strict=True)
            images = [self(*(x.to(self.device) for x in part)).cpu() for part in parts]
        self.train(training)
        return torch.cat(images)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Within, a network passes gradients on and collects none: with several processes, none may be left waiting."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def ema_decay(batch_size: int, seen: int, half_life: float) -> float:
    """Share of the old average after one step (Karras et al. 2020: the half-life is at most 5 % of images seen)."""
    return float(0.5 ** (batch_size / max(min(half_life, 0.05 * seen), 1e-8)))


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, decay: float) -> None:
    """Moves every weight of ``average`` towards ``current``: ``decay * old + (1 - decay) * new``."""
    for old, new in zip(average.parameters(), current.parameters(), strict=True):
        old.lerp_(new, 1 - decay)
