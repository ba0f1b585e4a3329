"""A folded backbone sees what the backbone sees, with gradients, and gives up where it could not."""

import timm
import torch
from torch import nn

from counterfeit.backbone import Backbone, folded_backbone, folding, load_backbone


def count(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


def test_it_sees_the_same_with_the_same_gradients_and_no_normalisation_left():
    plain, folded = load_backbone(), folded_backbone("tf_efficientnet_lite0")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for backbone in (plain, folded):
        leaf = images.clone().requires_grad_()
        sum(stage.square().mean() for stage in backbone.stage_maps(leaf)[1]).backward()
        gradients.append(leaf.grad)
    for a, b in zip(plain.stage_maps(images)[1], folded.stage_maps(images)[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-3 * float(gradients[0].abs().max()))
    assert count(plain.network, nn.BatchNorm2d) > 40
    assert count(folded.network, nn.BatchNorm2d) == 0
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def made(name: str) -> Backbone:
    """Untrained, with statistics that matter."""
    network = timm.create_model(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return Backbone(network, (0.5,) * 3, (0.5,) * 3).eval().requires_grad_(False)


def test_a_residual_network_is_folded_too(monkeypatch):
    backbone = made("resnet18")
    monkeypatch.setattr(folding, "load_backbone", lambda name: backbone)
    folded = folded_backbone.__wrapped__("resnet18")
    assert folded is not backbone
    assert count(folded.network, nn.BatchNorm2d) == 0


def test_a_network_that_normalises_before_it_convolves_stays_as_it_is(monkeypatch):
    backbone = made("densenet121")
    monkeypatch.setattr(folding, "load_backbone", lambda name: backbone)
    assert folded_backbone.__wrapped__("densenet121") is backbone
