"""The backbone gives the features it promises, from pretrained weights that nothing changes."""

import pytest
import torch
from torch.nn import functional as F

from counterfeit.backbone import load_backbone
from counterfeit.backbone.network import patch_grid
from counterfeit.errors import UserError


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def test_shapes_of_the_default_network(images):
    backbone = load_backbone()
    pooled, patches = backbone(images)
    assert backbone.channels == [24, 40, 112]
    assert pooled.shape == (2, backbone.pooled_features) == (2, 1280 + 2 * 176)
    assert patches.shape == (2, 8, 12, backbone.patch_features) == (2, 8, 12, 176)


def test_pooled_features_are_the_last_layer_then_means_then_maxima_of_the_stages(images):
    backbone = load_backbone()
    pooled, _ = backbone(images)
    last, stages = backbone.stage_maps(images)
    assert [stage.shape[2:] for stage in stages] == [(16, 24), (8, 12), (4, 6)]
    torch.testing.assert_close(pooled[:, :1280], last.mean((2, 3)))
    torch.testing.assert_close(pooled[:, 1280:1304], stages[0].mean((2, 3)))
    torch.testing.assert_close(pooled[:, -112:], stages[2].amax((2, 3)))


def test_agrees_with_the_network_itself_on_normalised_images(images):
    backbone = load_backbone()
    own = backbone.network.forward_features(2 * images - 1)
    torch.testing.assert_close(backbone(images)[0][:, :1280], own.mean((2, 3)))


def test_weights_are_pretrained_and_frozen():
    backbone = load_backbone()
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    # A trained network answers structure with structure: a disc and noise of the same pixels are far apart.
    down, right = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = ((down - 32) ** 2 + (right - 32) ** 2 < 400).float().expand(3, -1, -1)
    shuffled = disc.flatten(1)[:, torch.randperm(4096, generator=torch.Generator().manual_seed(0))].view(3, 64, 64)
    moved = disc.roll(2, 2)
    features = F.normalize(backbone(torch.stack([disc, moved, shuffled]))[0][:, :1280], dim=1)
    assert features[0] @ features[1] > features[0] @ features[2] + 0.2


def test_gradients_reach_the_image(images):
    leaf = images.clone().requires_grad_()
    load_backbone()(leaf)[1].sum().backward()
    assert leaf.grad is not None and leaf.grad.abs().sum() > 0


def test_one_object_for_all_who_ask():
    assert load_backbone("tf_efficientnet_lite0") is load_backbone("tf_efficientnet_lite0")


@pytest.mark.parametrize("name", ["efficientnet_of_my_own", ""])
def test_an_unknown_name_is_the_users_error(name):
    with pytest.raises(UserError, match="timm knows no backbone"):
        load_backbone(name)


def test_constant_stages_stay_constant_on_the_grid():
    stages = [torch.full((1, 1, side, side), value) for side, value in ((16, 1.0), (8, 2.0), (4, 3.0))]
    grid = patch_grid(stages)
    assert grid.shape == (1, 3, 8, 8)
    torch.testing.assert_close(grid, torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8))


def test_a_patch_is_the_mean_of_its_neighbours():
    middle = torch.zeros(1, 1, 8, 8)
    middle[0, 0, 4, 4] = 9.0
    grid = patch_grid([torch.zeros(1, 1, 16, 16), middle, torch.zeros(1, 1, 4, 4)])[0, 1]
    torch.testing.assert_close(grid[3:6, 3:6], torch.ones(3, 3))
    assert grid.sum() == 9
