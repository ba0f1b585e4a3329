"""The detector as a LightningModule: raw images in, calibrated logits out."""

import copy
import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from counterfeit.backbone import GenuineDistances, load_backbone
from counterfeit.data.transforms import KINDS_OF_CAPTURE
from counterfeit.detector.captures import CaptureConditions
from counterfeit.detector.combination import Combination
from counterfeit.detector.evidence import EvidenceMaps
from counterfeit.detector.heads import ImageHeads, PatchHeads, log_distances, top_mean, with_distances
from counterfeit.detector.views import DISTANCES, PARTS
from counterfeit.errors import UserError

IMAGE_LR = 0.3  # of the peak learning rate: 1632 strongly correlated inputs move a logit fast
PLACED_SHARE = 0.1  # of the patches, the farthest from genuine ones at their place, that are averaged
BIAS_LR = 30.0  # of the peak learning rate: a bias that lags makes the weights stand in for it


class Detector(pl.LightningModule):
    """Three views of one frozen backbone pass, combined by a calibrated layer.

    The *image heads* see pooled features, the *genuine distances* compare patches with genuine ones. The *patch heads*
    see patches with their distances and learn from whole photographs which of them tell these apart; the *mask heads*
    also from synthetic counterfeits, which know where. Every head exists once for each cross-fitting fold and never
    learns from that fold, so that the combination can be learned from honest scores of the training images; on other
    images the heads are averaged. Scores of photographs that were captured otherwise than those of training are
    corrected (:class:`~counterfeit.detector.captures.CaptureConditions`) before they are combined.

    Args:
        backbone: timm name of a convolutional network.
        size: side of the square working size in pixels, a multiple of 32.
        folds: cross-fitting folds.
        bank: genuine patches kept, half of them for the relative and half for the absolute distance.
        rank: directions in which the variance of genuine images is known to the image heads.
        hidden: units of the patch heads' hidden layer.
        lr: peak learning rate of Adam.
        image_penalty: strength of the squared penalty on the image heads' weights.
        patch_penalty: weight decay of the patch heads.
        unfreeze: stages of the backbone to fine-tune, counted from the end; all heads are fitted anew after it.
    """

    def __init__(
        self,
        backbone: str = "tf_efficientnet_lite0",
        size: int = 128,
        folds: int = 5,
        bank: int = 1024,
        rank: int = 128,
        hidden: int = 64,
        lr: float = 3e-3,
        image_penalty: float = 3.0,
        patch_penalty: float = 1e-3,
        unfreeze: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (("folds", folds, 2), ("bank", bank, 1), ("hidden", hidden, 1), ("rank", rank, 1)):
            if value < least:
                raise UserError(f"--model.{name} must be at least {least}, not {value}")
        if not 0 < lr < math.inf:
            raise UserError(f"--model.lr must be above 0, not {lr}")
        for name, strength in (("image_penalty", image_penalty), ("patch_penalty", patch_penalty)):
            if not 0 <= strength < math.inf:
                raise UserError(f"--model.{name} must not be below 0, not {strength}")
        self.save_hyperparameters()
        self.size, self.folds, self.lr = size, folds, lr
        self.image_penalty, self.patch_penalty = image_penalty, patch_penalty
        self.backbone = load_backbone(backbone)
        if self.backbone.last_stages(unfreeze):
            self.backbone = copy.deepcopy(self.backbone)  # or tuned weights would be loaded into that of all others
        self.image_heads = ImageHeads(self.backbone.pooled_features, rank, folds)
        seen = self.backbone.patch_features + len(DISTANCES)
        self.patch_heads = PatchHeads(seen, hidden, folds)
        self.mask_heads = PatchHeads(seen, hidden, folds)
        self.distances = GenuineDistances(self.backbone.patch_features, bank, folds, size // 8)
        self.captures = CaptureConditions(len(PARTS), self.backbone.patch_features, KINDS_OF_CAPTURE)
        self.combination = Combination(len(PARTS))
        self.evidence = EvidenceMaps(size // 8)
        self.losses: list[dict[str, Tensor]] = []  # of the epoch's steps

    def forward(self, images: Tensor) -> Tensor:
        """Logits of counterfeit.

        Args:
            images: ``(N, 3, H, W)`` uint8, or float in [0, 1]; any size.

        Returns:
            ``(N,)`` calibrated logits.
        """
        logits: Tensor = self.combination(self.image_parts(images))
        return logits

    def image_parts(self, images: Tensor) -> Tensor:
        """The parts' scores ``(N, 7)`` of images as :meth:`forward` takes them."""
        return self.parts(*self.backbone(self.prepare(images)))

    def prepare(self, images: Tensor) -> Tensor:
        """Images as the backbone takes them: float ``(N, 3, size, size)``, resized with antialiasing."""
        if images.dtype == torch.uint8:
            images = images.float() / 255
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        return images

    def parts(
        self, pooled: Tensor, patches: Tensor, fold: Tensor | None = None, distances: Tensor | None = None
    ) -> Tensor:
        """The parts' scores of embedded images.

        Args:
            pooled: ``(N, D)``.
            patches: ``(N, G, G, C)``.
            fold: ``(N,)`` cross-fitting fold of training images; ``None`` for images that no head learned from.
            distances: ``(N, 3, G, G)`` from genuine patches, where they were measured before.

        Returns:
            ``(N, 7)`` in the order of ``PARTS``.
        """
        alike: Tensor = self.captures(self.as_captured(pooled, patches, fold, distances), pooled)
        return alike

    def as_captured(
        self, pooled: Tensor, patches: Tensor, fold: Tensor | None = None, distances: Tensor | None = None
    ) -> Tensor:
        """The parts' scores ``(N, 7)`` as in :meth:`parts`, before they are corrected for how images were captured."""
        if distances is None:
            distances = self.distances(patches, fold)
        every = [top_mean(logits.flatten(1, 2)) for logits in self.patch_logits(patches, distances)]
        every.insert(0, self.image_heads(pooled))
        if fold is None:
            image, patch, mask = (logits.mean(1) for logits in every)
        else:
            image, patch, mask = (logits.gather(1, fold[:, None])[:, 0] for logits in every)
        return stacked(image, distances, patch, mask)

    def patch_logits(self, patches: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(N, G, G, folds)`` of the patch heads and of the mask heads.

        Args:
            patches: ``(N, G, G, C)``.
            distances: ``(N, 3, G, G)`` of the same patches from genuine ones.
        """
        seen = with_distances(patches, log_distances(distances))
        return self.patch_heads(seen), self.mask_heads(seen)

    def with_maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits as :meth:`forward` gives them, where they come from and how images were captured, in one pass.

        Args:
            images: as :meth:`forward` takes them.

        Returns:
            ``(N,)`` calibrated logits, ``(N, G, G)`` evidence as :class:`EvidenceMaps` gives it, ``(N, G, G)``
            distances of relative patches from genuine ones in [0, 2] and ``(N,)`` numbers of the kind of capture in
            ``captures.names``; ``G`` = size / 8.
        """
        pooled, patches = self.backbone(self.prepare(images))
        distances = self.distances(patches)
        logits = self.patch_logits(patches, distances)
        located = self.located(distances, *logits)
        highest = [top_mean(every.flatten(1, 2)).mean(1) for every in logits]
        parts = self.captures(stacked(self.image_heads(pooled).mean(1), distances, *highest), pooled)
        evidence = self.evidence(located, self.combination.weight)
        return self.combination(parts), evidence, located[:, 0], self.captures.called(pooled)

    def located(self, distances: Tensor, patch: Tensor, mask: Tensor) -> Tensor:
        """Maps ``(N, 5, G, G)`` of the views that have a place, in the order of :class:`EvidenceMaps`.

        Args:
            distances: ``(N, 3, G, G)`` from genuine patches.
            patch: ``(N, G, G, folds)`` logits of the patch heads.
            mask: ``(N, G, G, folds)`` logits of the mask heads.
        """
        return torch.cat([distances, torch.stack([patch.mean(-1), mask.mean(-1)], dim=1)], dim=1)

    def take_over_heads(self, trained: "Detector") -> None:
        """Have another's image and patch heads and train the mask heads alone.

        Args:
            trained: with the same seed on the same photographs: its heads are what these would become.
        """
        for own, known in ((self.image_heads, trained.image_heads), (self.patch_heads, trained.patch_heads)):
            own.load_state_dict(known.state_dict())
            own.requires_grad_(False)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Sum of the losses of the image heads, of both patch heads on bags, and of the mask heads on known masks."""

        def on_bags(heads: PatchHeads) -> Tensor:
            return member_loss(heads.bags(batch["bag"]), batch["bag_label"], batch["bag_member"])

        mask = member_loss(self.mask_heads(batch["patch"]), batch["patch_label"], batch["patch_member"])
        losses = {"loss_mask": mask, "loss_bag": on_bags(self.mask_heads)}
        penalty = torch.zeros_like(mask)
        if self.image_heads.weight.requires_grad:
            image = member_loss(self.image_heads(batch["pooled"]), batch["label"], batch["member"])
            losses |= {"loss_image": image, "loss_patch": on_bags(self.patch_heads)}
            penalty = 0.5 * self.image_penalty * self.image_heads.weight.square().sum(0).mean()
        self.losses.append({name: loss.detach() for name, loss in losses.items()})
        return torch.stack([*losses.values(), penalty]).sum()

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean losses; logged with every step they would take a sixth of the time."""
        self.log_dict({name: torch.stack([step[name] for step in self.losses]).mean() for name in self.losses[0]})
        self.losses = []

    def configure_optimizers(self) -> Any:
        """Adam with a one-cycle learning rate over the whole budget."""
        heads = [
            {"params": [self.image_heads.weight], "weight_decay": 0.0, "lr": self.lr * IMAGE_LR},
            {"params": [self.image_heads.bias], "weight_decay": 0.0, "lr": self.lr * BIAS_LR},
            {
                "params": [*self.patch_heads.parameters(), *self.mask_heads.parameters()],
                "weight_decay": self.patch_penalty,
            },
        ]
        optimizer = torch.optim.AdamW(heads, lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=max(steps, 2)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def stacked(image: Tensor, distance: Tensor, patch: Tensor, mask: Tensor) -> Tensor:
    """Scores ``(N,)`` of the three kinds of heads and all distances ``(N, 3, G, G)`` as parts ``(N, 7)``.

    What is odd about a place shows in the highest relative distances, what is odd about the whole in the mean absolute,
    and what is odd for its place, which may be many small things, in the highest tenth of the placed.
    """
    relative, absolute, placed = distance.flatten(2).unbind(1)
    distances = relative.amax(1), top_mean(relative), absolute.mean(1), top_mean(placed, PLACED_SHARE)
    return torch.stack([image, *distances, patch, mask], dim=1)


def member_loss(logits: Tensor, label: Tensor, member: Tensor) -> Tensor:
    """Mean binary cross-entropy over the images that a head may learn from.

    Args:
        logits: ``(N, K)``.
        label: ``(N,)`` in {0, 1}.
        member: ``(N, K)`` in {0, 1}.
    """
    if not len(label):
        return logits.sum()
    loss = F.binary_cross_entropy_with_logits(logits, label[:, None].expand_as(logits), reduction="none")
    return (loss * member).sum() / member.sum().clamp_min(1)
