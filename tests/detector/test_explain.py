"""Maps point at what moves the score, add up as they say, and the checks on them can fail."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from counterfeit.detector import Detector
from counterfeit.detector.evidence import EvidenceMaps
from counterfeit.detector.explain import (
    blurred,
    covered_cells,
    evidence_map,
    gradient_map,
    occlusion_effect,
    pointing_hits,
)
from counterfeit.detector.heads import log_distances, with_distances
from counterfeit.detector.views import DISTANCES, MASK, PARTS, PATCH


@pytest.fixture(scope="module")
def images():
    """Smooth pictures, in whose first a patch of noise sits in the upper right."""
    generator = torch.Generator().manual_seed(0)
    pictures = blurred(torch.rand(4, 3, 64, 64, generator=generator))
    pictures[0, :, 8:24, 40:56] = torch.rand(3, 16, 16, generator=generator)
    return pictures


@pytest.fixture(scope="module")
def detector(images):
    """Knows the smooth pictures as genuine and looks at distances alone: noise is evidence to it."""
    torch.manual_seed(0)
    made = Detector(size=64, bank=64).eval()
    with torch.inference_mode():
        pooled, patches = made.backbone(images[1:])
        made.distances.fit(patches, torch.zeros(3, dtype=torch.long), torch.Generator().manual_seed(0))
        made.image_heads.standardise_to(pooled, torch.zeros(3), torch.arange(3))
        known = with_distances(patches, log_distances(made.distances(patches))).flatten(0, 2)
        for heads in (made.patch_heads, made.mask_heads):
            heads.standardise_to(known)
        parts = made.parts(pooled, patches).double().numpy()
    made.combination.use_equally(np.concatenate([parts, parts * 1.1]), DISTANCES[:1])
    return made


def upper_right(masks=1):
    mask = torch.zeros(masks, 64, 64)
    mask[:, 8:24, 40:56] = 255
    return mask


def test_both_maps_point_at_the_planted_evidence(detector, images):
    for made in (evidence_map, gradient_map):
        maps = made(detector, images[:1])
        assert maps.shape == (1, 8, 8)
        assert pointing_hits(maps, upper_right()).all()


def test_evidence_is_in_deviations_of_genuine_images_at_the_same_place():
    genuine = torch.rand(50, 5, 4, 4, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 17).view(4, 4)
    maps = EvidenceMaps(4)
    maps.standardise_to(genuine)
    only_distance = torch.zeros(len(PARTS))
    only_distance[DISTANCES[0]] = 0.2
    found = maps(genuine, only_distance)
    torch.testing.assert_close(found.mean(0), torch.zeros(4, 4), atol=1e-5, rtol=0)
    assert (found.std(0, correction=0) <= 1 + 1e-5).all()  # less where genuine images hardly differ
    assert (found.std(0, correction=0) > 0.99).sum() >= 14


def test_evidence_is_weighed_as_in_the_combination():
    maps, located = EvidenceMaps(1), torch.tensor([1.0, 3.0, 5.0, 2.0, 4.0]).view(1, 5, 1, 1)
    weight = torch.zeros(len(PARTS))
    weight[[0, *DISTANCES, PATCH, MASK]] = torch.tensor([0.4, 0.1, 0.1, 0.1, 0.2, 0.1])  # pooled features have no place
    assert maps(located, weight).item() == pytest.approx((0.1 * 1 + 0.1 * 3 + 0.1 * 5 + 0.2 * 2 + 0.1 * 4) / 0.6)
    assert maps(located, torch.zeros(len(PARTS))).item() == 0


def test_gradients_add_up_to_the_logit_over_that_of_the_blurred_image(detector, images):
    maps = gradient_map(detector, images[:1], steps=32)
    with torch.inference_mode():
        parts = (detector.image_parts(x) for x in (images[:1], blurred(images[:1])))
        sharp, base = (detector.combination.unbounded(x) for x in parts)
    assert maps.sum().item() == pytest.approx((sharp - base).item(), rel=0.1)


def test_gradients_hold_how_the_image_was_captured(detector, images):
    plain = gradient_map(detector, images[:1])
    captured = copy.deepcopy(detector)
    with torch.inference_mode():
        pooled = [detector.backbone(x)[0] for x in (images[:1], blurred(images[:1]))]
        features = detector.backbone.patch_features
        sharp, base = (x[0, -2 * features : -features] for x in pooled)
        captured.captures.weight[:, 1] = 20 * (base - sharp) / (base - sharp).square().sum()
        captured.captures.bias[1] = -captured.captures.weight[:, 1] @ (sharp + base) / 2
        captured.captures.shift[1] = 5.0  # all that the blur would gain is taken away again
    assert [captured.captures.probability(x)[0, 1].round().item() for x in pooled] == [0, 1]
    torch.testing.assert_close(gradient_map(captured, images[:1]), plain, atol=0.02, rtol=0.05)


def test_maps_take_any_size_and_type_and_leave_no_gradient_behind(detector, images):
    large = (F.interpolate(images[:1], (100, 80)) * 255).to(torch.uint8)
    assert evidence_map(detector, large).shape == gradient_map(detector, large, steps=2).shape == (1, 8, 8)
    assert not gradient_map(detector, images[:1], steps=2).requires_grad
    assert all(parameter.grad is None for parameter in detector.parameters())


def test_pointing_by_hand():
    maps = torch.zeros(3, 8, 8)
    maps[0, 1, 5] = maps[1, 6, 6] = maps[2, 0, 5] = 1.0
    masks = upper_right(3)
    masks[2, 7, 40] = 1  # a single pixel of the cell of the third peak
    assert pointing_hits(maps, masks).tolist() == [True, False, True]
    assert pointing_hits(maps, masks, overlap=0.5).tolist() == [True, False, False]
    assert covered_cells(upper_right(), 8).float().mean() == 4 / 64


def test_deleting_the_evidence_drops_the_score_and_a_map_that_points_elsewhere_does_not(detector, images):
    fill = images[1:2]
    right = torch.nn.functional.adaptive_avg_pool2d(upper_right()[:, None], 8)[:, 0]
    wrong = right.roll((4, -4), (1, 2))
    effects = [
        occlusion_effect(detector, images[:1], maps, fill, torch.Generator().manual_seed(0), share=4 / 64).item()
        for maps in (right, evidence_map(detector, images[:1]), wrong)
    ]
    assert effects[0] > 0.5
    assert effects[1] > 0.5
    assert effects[2] < 0
