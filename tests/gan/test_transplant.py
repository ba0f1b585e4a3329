"""Composites: whose pixels, whose label, where."""

import numpy as np
import pytest
import torch

from counterfeit.gan.transplant import (
    Sources,
    draw_composites,
    evidence_masks,
    host_candidates,
    moved,
    to_float,
    to_pixels,
)

GENUINE, COUNTERFEITS, SIZE, GRID = 12, 3, 64, 8


@pytest.fixture
def sources() -> Sources:
    rng = np.random.default_rng(0)
    count = GENUINE + COUNTERFEITS
    label = np.r_[np.zeros(GENUINE, np.int64), np.ones(COUNTERFEITS, np.int64)]
    evidence = rng.uniform(0, 0.1, (count, GRID, GRID)).astype(np.float32)
    evidence[:, 2:4, 5:7] += 1.0  # where each image is unusual
    pixels = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    neighbours = host_candidates(rng.normal(size=(count, 6)).astype(np.float32), label)
    return Sources(pixels, label, evidence, neighbours)


@pytest.mark.parametrize("label", [0, 1])
def test_hosts_are_genuine_neighbours_and_the_label_is_the_donors(sources: Sources, label: int) -> None:
    made = draw_composites(sources, label, 20, np.random.default_rng(1))
    assert len(made) == 20 and made.images.shape == (20, 3, SIZE, SIZE) and made.masks.shape == (20, 1, SIZE, SIZE)
    assert (made.label == label).all() and (sources.label[made.donor] == label).all()
    assert (sources.label[made.host] == 0).all() and (made.host != made.donor).all()
    assert all(host in sources.neighbours[donor] for host, donor in zip(made.host, made.donor, strict=True))


def test_pixels_outside_the_mask_are_the_hosts(sources: Sources) -> None:
    made = draw_composites(sources, 1, 10, np.random.default_rng(2))
    outside = (made.masks == 0).expand_as(made.images)
    assert torch.equal(made.images[outside], to_float(sources.pixels[made.host])[outside])
    assert made.images.min() >= 0 and made.images.max() <= 1


def test_a_mask_begins_where_evidence_is_highest(sources: Sources) -> None:
    masks = evidence_masks(sources.evidence, SIZE, np.random.default_rng(3))
    cell = SIZE // GRID
    inside = masks[:, 0, 2 * cell : 4 * cell, 5 * cell : 7 * cell].mean((1, 2))
    assert (inside > 2 * masks.mean((1, 2, 3))).all() and masks.max() <= 1
    assert masks.mean() < 0.3


def test_evidence_moves_a_little_with_its_mask_in_place_angle_and_size() -> None:
    masks = torch.zeros(200, 1, SIZE, SIZE)
    masks[:, :, 24:40, 20:36] = 1
    images, found = moved(masks.expand(-1, 3, -1, -1).clone(), masks, np.random.default_rng(4))
    assert (images[:, :1] - found).min() > -1e-5  # what was inside is inside still
    area = found.sum((1, 2, 3)) / 256
    assert 0.8 < area.min() < 0.85 and 1.18 < area.max() < 1.25
    line = torch.linspace(-1, 1, SIZE)
    across = (found[:, 0].sum(1) * line).sum(1) / found.sum((1, 2, 3))
    assert across.std().item() == pytest.approx(0.05, abs=0.01)


def test_flips_mirror_half_of_the_donors(sources: Sources) -> None:
    def heavier_left(flips: bool) -> float:
        masks = draw_composites(sources, 1, 400, np.random.default_rng(4), flips).masks[:, 0]
        return (masks[:, :, :32].mean((1, 2)) > masks[:, :, 32:].mean((1, 2))).float().mean().item()

    # The evidence lies right of the middle; little of it is moved across.
    assert heavier_left(False) < 0.25
    assert heavier_left(True) == pytest.approx(0.5, abs=0.1)


def test_every_donor_is_used_before_any_repeats(sources: Sources) -> None:
    donors = draw_composites(sources, 1, 2 * COUNTERFEITS, np.random.default_rng(5)).donor
    assert set(donors[:COUNTERFEITS]) == set(donors[COUNTERFEITS:]) == set(np.flatnonzero(sources.label == 1))


def test_the_generator_decides(sources: Sources) -> None:
    first, again, other = (draw_composites(sources, 1, 8, np.random.default_rng(s), True) for s in (6, 6, 7))
    assert torch.equal(first.images, again.images) and (first.host == again.host).all()
    assert not torch.equal(first.images, other.images)


def test_pixels_survive_the_way_to_float_and_back(sources: Sources) -> None:
    np.testing.assert_array_equal(to_pixels(to_float(sources.pixels)), sources.pixels)
