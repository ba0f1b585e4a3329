"""How a generator is trained, whichever of the three it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from counterfeit.errors import UserError
from counterfeit.gan.dcgan import Dcgan
from counterfeit.gan.noise import NoiseGan
from counterfeit.gan.refiner import Refiner

# Of Lightning; with 16-mixed gradients would be clipped before they are scaled back.
Precision = Literal["32-true", "bf16-mixed"]
Generative = Refiner | NoiseGan | Dcgan
MOST = 100_000  # composites of a label: 5 GB at 128 px
Kind = Literal["refiner", "noise", "dcgan"]


@dataclass(frozen=True)
class GanSettings:
    """How a generator is trained; see :class:`Refiner` for the meaning of the weights.

    Attributes:
        kind: what the arm ``synthetic`` is made with: a refiner of transplants, or whole images from noise.
        kimg: budget in thousands of composites seen.
        batch_size: images a step, even.
        crop: side of the training crops in pixels, a multiple of 8; of ``noise`` and ``dcgan`` the side of all images.
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
        noise_kimg: budget of ``noise`` and ``dcgan``, which start from nothing, in thousands of images.
        noise_lr: their learning rate.
        penalty: weight of R1 and of R2 in ``noise``.
    """

    kind: Kind = "refiner"
    kimg: float = 1.2
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
    noise_kimg: float = 10.0
    noise_lr: float = 2e-4
    penalty: float = 10.0

    def __post_init__(self) -> None:
        if self.batch_size < 2 or self.batch_size % 2:
            raise UserError(f"gan.batch_size must be even, half of each label, not {self.batch_size}")
        if self.crop < 32 or self.crop % 8:
            raise UserError(f"gan.crop must be a multiple of 8 pixels and at least 32, not {self.crop}")
        if not 0 <= self.core <= 1:
            raise UserError(f"gan.core is a share between 0 and 1, not {self.core}")
        for name in ("kimg", "noise_kimg"):
            if not 0.001 <= getattr(self, name) < math.inf:
                raise UserError(f"gan.{name} is in thousands of images, at least 0.001, not {getattr(self, name)}")
        for name in ("pool", "sample_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"gan.{name} must be at least 1, not {getattr(self, name)}")
        if self.pool > MOST:
            raise UserError(f"gan.pool {self.pool}: composites lie in memory, at most {MOST} of each label")
        for name in ("lr", "noise_lr", "ema_half_life"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"gan.{name} must be above 0, not {getattr(self, name)}")
        for name in ("identity_inside", "identity_outside", "diversity", "penalty"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"gan.{name} is a weight and not below 0, not {getattr(self, name)}")
        if self.kind != "refiner" and self.crop & (self.crop - 1):
            raise UserError(f"gan.crop must be a power of 2 for gan.kind {self.kind}, as 64, not {self.crop}")

    def refiner(self, seed: int) -> Refiner:
        """An untrained refiner."""
        own = ("kimg", "batch_size", "lr", "core", "identity_inside", "identity_outside", "diversity", "backbone")
        options = {name: getattr(self, name) for name in (*own, "ema_half_life")}
        return Refiner(size=self.crop, seed=seed, **options)

    def generative(self, seed: int, classes: int = 2) -> Generative:
        """An untrained generator of this kind, with its discriminator."""
        if self.kind == "refiner":
            return self.refiner(seed)
        shared: dict[str, Any] = {"size": self.crop, "classes": classes, "kimg": self.noise_kimg, "seed": seed}
        shared |= {"lr": self.noise_lr, "batch_size": self.batch_size, "ema_half_life": self.ema_half_life}
        return NoiseGan(**shared, penalty=self.penalty) if self.kind == "noise" else Dcgan(**shared)


@dataclass(frozen=True)
class GanTrainerSettings:
    """Where a generator is trained, on one device; what is none follows the detector's trainer.

    Attributes:
        accelerator: of Lightning, such as cpu, gpu or auto.
        devices: 1 for any device, or the number of one in brackets, as in [1].
        precision: of the training; samples are made in 32 bits.
    """

    accelerator: str | None = None
    devices: int | list[int] | None = None
    precision: Precision | None = None

    def __post_init__(self) -> None:
        if self.devices is not None and (self.devices if isinstance(self.devices, int) else len(self.devices)) != 1:
            raise UserError(f"gan_trainer.devices {self.devices}: the refiner is trained on one device, 1 or as in [1]")

    def following(self, trainer: Mapping[str, Any]) -> "GanTrainerSettings":
        """These settings, completed by ``accelerator``, ``devices`` and ``precision`` of the detector's trainer.

        Raises:
            UserError: the detector's precision is not one that the refiner can be trained in.
        """
        precision = self.precision or refiner_precision(trainer.get("precision"))
        devices = first_device(trainer.get("devices")) if self.devices is None else self.devices
        return GanTrainerSettings(self.accelerator or trainer.get("accelerator") or "auto", devices, precision)

    def options(self) -> dict[str, Any]:
        """Arguments of Lightning's trainer."""
        return {
            "accelerator": self.accelerator or "auto",
            "devices": self.devices or 1,
            "precision": self.precision or "32-true",
        }


def first_device(devices: Any) -> int | list[int]:
    """The first device that Lightning's ``devices`` names, as in ``[1]``; 1, any, where it counts or says ``auto``."""
    named = (
        [int(part) for part in devices.split(",") if part] if isinstance(devices, str) and "," in devices else devices
    )
    return [named[0]] if isinstance(named, list) and named else 1


def refiner_precision(precision: Any) -> Precision:
    """Lightning's ``precision`` where the refiner can be trained in it; ``UserError`` where it cannot."""
    known: dict[str, Precision] = {"32": "32-true", "None": "32-true", "bf16": "bf16-mixed"}
    known |= {name: name for name in get_args(Precision)}
    if str(precision) not in known:
        raise UserError(
            f"the refiner cannot follow --trainer.precision {precision}: "
            f"set --gan_trainer.precision to {' or '.join(get_args(Precision))}"
        )
    return known[str(precision)]
