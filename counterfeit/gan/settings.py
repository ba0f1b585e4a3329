"""How the refiner is trained, and where."""

import dataclasses
from dataclasses import dataclass

from counterfeit.errors import UserError
from counterfeit.gan.refiner import Refiner


@dataclass(frozen=True)
class GanSettings:
    """How the refiner is trained; see :class:`Refiner` for the meaning of the weights.

    Attributes:
        kimg: budget in thousands of composites seen.
        batch_size: composites a step, even.
        crop: side of the training crops in pixels, a multiple of 8.
        lr: learning rate.
        core: how strongly the core of a transplant may be changed, in [0, 1].
        identity_inside: weight of the change inside the mask.
        identity_outside: weight of the change outside of it.
        diversity: weight of the penalty on ignoring the latent.
        ema_half_life: images, at most 5 % of those seen.
        backbone: timm name.
        pool: composites of each label to learn from.
        sample_every: images between two grids of samples.
        checkpoint_every: images between two checkpoints.
    """

    kimg: float = 2.0
    batch_size: int = 16
    crop: int = 64
    lr: float = 4e-4
    core: float = 0.25
    identity_inside: float = 0.5
    identity_outside: float = 1.0
    diversity: float = 0.2
    ema_half_life: float = 20_000.0
    backbone: str = "tf_efficientnet_lite0"
    pool: int = 256
    sample_every: int = 500
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        if self.batch_size < 2 or self.batch_size % 2:
            raise UserError(f"gan.batch_size must be even, half of each label, not {self.batch_size}")
        if self.crop < 32 or self.crop % 8:
            raise UserError(f"gan.crop must be a multiple of 8 pixels and at least 32, not {self.crop}")
        if self.kimg <= 0 or not 0 <= self.core <= 1:
            raise UserError("gan.kimg must be above 0 and gan.core between 0 and 1")

    def refiner(self, seed: int) -> Refiner:
        """An untrained refiner."""
        own = {f.name for f in dataclasses.fields(self)} - {"crop", "pool", "sample_every", "checkpoint_every"}
        return Refiner(size=self.crop, seed=seed, **{name: getattr(self, name) for name in own})
