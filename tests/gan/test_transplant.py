"""Composites: whose pixels, whose label, where."""

import numpy as np
import pytest
import torch

from counterfeit.gan.transplant import Sources, draw_composites, host_candidates, to_float, to_pixels

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


def test_the_mask_lies_where_evidence_is_highest(sources: Sources) -> None:
    made = draw_composites(sources, 1, 10, np.random.default_rng(3), flips=False)
    cell = SIZE // GRID
    middle = made.masks[:, 0, 2 * cell + 4 : 4 * cell - 4, 5 * cell + 4 : 7 * cell - 4]
    assert middle.min() >= 0.6 - 1e-6 and made.masks.max() <= 1
    assert made.masks.mean() < 0.5


def test_flips_are_the_only_way_to_the_other_side(sources: Sources) -> None:
    def heavier_left(flips: bool) -> np.ndarray:
        masks = draw_composites(sources, 1, 30, np.random.default_rng(4), flips).masks[:, 0, 16:32]
        return (masks[:, :, 8:24].mean((1, 2)) > masks[:, :, 40:56].mean((1, 2))).numpy()

    assert not heavier_left(False).any()
    assert 5 < heavier_left(True).sum() < 25


def test_every_donor_is_used_before_any_repeats(sources: Sources) -> None:
    donors = draw_composites(sources, 1, 2 * COUNTERFEITS, np.random.default_rng(5)).donor
    assert set(donors[:COUNTERFEITS]) == set(donors[COUNTERFEITS:]) == set(np.flatnonzero(sources.label == 1))


def test_the_generator_decides(sources: Sources) -> None:
    first, again, other = (draw_composites(sources, 1, 8, np.random.default_rng(s), True) for s in (6, 6, 7))
    assert torch.equal(first.images, again.images) and (first.host == again.host).all()
    assert not torch.equal(first.images, other.images)


def test_pixels_survive_the_way_to_float_and_back(sources: Sources) -> None:
    np.testing.assert_array_equal(to_pixels(to_float(sources.pixels)), sources.pixels)
