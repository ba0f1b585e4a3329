"""The refiner as a LightningModule: one step is a pure function of its state and of the batch."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from counterfeit.backbone import folded_backbone
from counterfeit.gan.adversarial import Adversarial, frozen
from counterfeit.gan.augment import Batch, diff_augment
from counterfeit.gan.losses import (
    diversity_loss,
    hinge_loss_discriminator,
    hinge_loss_generator,
    identity_loss,
    masked_difference,
)
from counterfeit.gan.networks import LATENT, Discriminator, Generator

PROBE_SEED = 11  # of the latents with which every row of metrics is measured


class Refiner(Adversarial):
    """Makes transplants look photographed: a gated U-Net against a projected discriminator, hinge loss, EMA.

    Args:
        backbone: timm name of the discriminator's frozen network.
        size: side of the training crops in pixels, a multiple of 8.
        kimg: budget in thousands of composites seen.
        batch_size: composites a step, even; as many real crops beside them.
        lr: learning rate of both Adams.
        identity_inside: weight of the change inside the mask.
        identity_outside: weight of the change outside of it.
        diversity: weight of the penalty on ignoring the latent.
        core: how strongly the core of a transplant may be changed, in [0, 1]; the seam may be changed fully.
        ema_half_life: images after which a state counts half in the average; never over 5 % of those seen.
        seed: of the networks' first weights.
    """

    discriminator: Discriminator

    def __init__(
        self,
        backbone: str = "tf_efficientnet_lite0",
        size: int = 64,
        kimg: float = 1.2,
        batch_size: int = 16,
        lr: float = 4e-4,
        identity_inside: float = 0.5,
        identity_outside: float = 1.0,
        diversity: float = 0.2,
        core: float = 0.25,
        ema_half_life: float = 20_000.0,
        seed: int = 0,
    ) -> None:
        network = folded_backbone(backbone)  # not below: building it the first time would use up random numbers
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = (Generator(core), Discriminator(network, seed))
        super().__init__(*networks, kimg, batch_size, lr, ema_half_life)
        self.save_hyperparameters()
        self.size = size
        self.identity_inside, self.identity_outside, self.diversity = identity_inside, identity_outside, diversity
        self.held: list[Tensor] = []

    def forward(self, composite: Tensor, mask: Tensor, z: Tensor) -> Tensor:
        """Refined images ``(N, 3, H, W)`` in [0, 1] by the averaged generator, see :meth:`Generator.forward`."""
        refined: Tensor = self.average(composite, mask, z)
        return refined

    def sample(self, composites: Tensor, masks: Tensor, z: Tensor, chunk: int = 32) -> Tensor:
        """Refined images ``(N, 3, S, S)`` in [0, 1] on the CPU, without gradients.

        Args:
            composites: ``(N, 3, S, S)`` in [0, 1]; ``S`` is a multiple of 8.
            masks: ``(N, 1, S, S)`` in [0, 1].
            z: ``(N, 16)`` standard normal.
            chunk: images at once.
        """
        if not len(composites):
            return composites.clone()
        parts = zip(*(torch.split(x, chunk) for x in (composites, masks, z)), strict=True)
        with torch.inference_mode():
            refined = [self(*(x.to(self.device) for x in part)).cpu() for part in parts]
        return torch.cat(refined)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """One step of the generator, then one of the discriminator on the same refined images."""
        for_generator, for_discriminator = self.optimizers()  # type: ignore[attr-defined]
        label = batch["label"]
        refined = self.generator(batch["composite"], batch["mask"], batch["z"][0])
        features = self.discriminator.features(diff_augment(refined, batch["augment_fake"]))
        with frozen(self.discriminator.heads):
            loss_generator = hinge_loss_generator(self.discriminator.score(features, label))
        self.descend(loss_generator + self.regularisation(batch, refined), for_generator, self.generator)
        with torch.no_grad():
            real = self.discriminator.features(diff_augment(batch["real"], batch["augment_real"]))
        # One frozen pass over the refined images serves both steps: a third of the time saved.
        fake = [stage.detach() for stage in features]
        score_fake = self.discriminator.score(fake, label)
        score_real = self.discriminator.score(real, label)
        loss_discriminator = hinge_loss_discriminator(score_real, score_fake)
        self.descend(loss_discriminator, for_discriminator, self.discriminator.heads)
        # Held until the next step, or the allocator returns the memory in between and a step takes 17 % longer.
        self.held = [refined.detach(), *fake, *real]
        self.count_step()
        losses = {"loss_generator": loss_generator, "loss_discriminator": loss_discriminator}
        metrics = {k: v.detach() for k, v in losses.items()}
        metrics |= {"score_real": score_real.detach().mean(), "score_fake": score_fake.detach().mean()}
        self.log_dict(metrics, batch_size=len(label))
        return metrics

    def on_train_end(self) -> None:
        """Let go of the last step's features."""
        self.held = []

    def regularisation(self, batch: Batch, refined: Tensor) -> Tensor:
        """Identity of all composites, and diversity on a quarter of them, which costs a second pass."""
        composite, mask = batch["composite"], batch["mask"]
        loss = identity_loss(refined, composite, mask, self.identity_inside, self.identity_outside)
        if not self.diversity:
            return loss
        few = max(2, len(refined) // 4)
        first, second = batch["z"][:, :few]
        other = self.generator(composite[:few], mask[:few], second)
        return loss + self.diversity * diversity_loss(refined[:few], other, first, second, mask[:few])

    def configure_optimizers(self) -> Any:
        """Adam without momentum for the generator and for the discriminator's heads."""
        networks = (self.generator, self.discriminator.heads)
        return [torch.optim.Adam(network.parameters(), lr=self.lr, betas=(0.0, 0.99)) for network in networks]

    def measure(self, composite: Tensor, mask: Tensor, donor: Tensor) -> dict[str, float]:
        """What the averaged generator does to composites ``(N, 3, H, W)`` with masks ``(N, 1, H, W)``.

        Args:
            composite: ``(N, 3, H, W)`` in [0, 1].
            mask: ``(N, 1, H, W)`` in [0, 1].
            donor: ``(N, 3, H, W)`` the same crops of the images whose evidence was carried over.

        Returns:
            ``change``, the mean change of a pixel inside the mask in [0, 1]; ``diversity``, the difference between two
            latents as a part of the change; ``spread``, the mean distance between refined images in feature space as a
            part of that between their composites; ``donor_distance``, the mean difference between refined images and
            their donors inside the mask as a part of that between composites and donors.
        """
        generator = torch.Generator().manual_seed(PROBE_SEED)
        first, second = (
            self.sample(composite, mask, z) for z in torch.randn(2, len(mask), LATENT, generator=generator)
        )
        change = masked_difference(first, composite, mask).item()
        diversity = masked_difference(first, second, mask).item() / max(change, 1e-6)
        with torch.inference_mode():
            after, before = (self.evidence_spread(x, mask) for x in (first, composite))
        pasted = masked_difference(composite, donor, mask).item()
        return {
            "diversity": diversity,
            "change": change,
            "spread": after / max(before, 1e-6),
            "donor_distance": masked_difference(first, donor, mask).item() / max(pasted, 1e-6),
        }

    def evidence_spread(self, images: Tensor, mask: Tensor) -> float:
        """Mean distance between the deepest features ``(N, 48)`` inside the masks.

        Those of a grey image are taken off first: near the border padding alone makes places differ.
        """
        pair = torch.cat([images, torch.full_like(images, 0.5)]).to(self.device)
        deepest, grey = self.discriminator.features(pair)[-1].cpu().chunk(2)
        weight = F.adaptive_avg_pool2d(mask, deepest.shape[-1])
        inside = ((deepest - grey) * weight).sum((2, 3)) / weight.sum((2, 3)).clamp_min(1e-6)
        return float(torch.pdist(inside).mean())

    def weights(self) -> dict[str, Tensor]:
        """All state but the backbone, which is loaded by its name."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("discriminator.backbone.")}
