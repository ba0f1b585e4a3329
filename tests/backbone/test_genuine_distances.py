"""Relative distances see what is odd about a place, absolute ones what is odd about the whole image."""

import pytest
import torch

from counterfeit.backbone import GenuineDistances

IMAGES, GRID, CHANNELS, WAYS, FOLDS = 24, 6, 16, 3, 3
RELATIVE, ABSOLUTE = 0, 1


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def patches(images: int, seed: int) -> torch.Tensor:
    """Images of one product: patches differ in a few ways out of many."""
    shared, ways = torch.randn(1 + WAYS, CHANNELS, generator=seeded(100)).split([1, WAYS])
    drawn = torch.randn(images, GRID, GRID, WAYS + CHANNELS, generator=seeded(seed))
    return 2 * shared + drawn[..., :WAYS] @ ways + 0.1 * drawn[..., WAYS:]


def in_another_light(images: torch.Tensor) -> torch.Tensor:
    """All patches of an image moved alike."""
    return images + torch.randn(len(images), 1, 1, CHANNELS, generator=seeded(7))


@pytest.fixture(scope="module")
def distances() -> GenuineDistances:
    made = GenuineDistances(CHANNELS, 400, FOLDS)
    made.fit(patches(IMAGES, 0), torch.arange(IMAGES) % FOLDS, seeded(1))
    return made


def test_each_cell_has_both_distances(distances):
    found = distances(patches(5, 1))
    assert found.shape == (5, 2, GRID, GRID)
    assert found.min() >= 0 and found.max() <= 2


def test_what_a_whole_image_is_moved_by_changes_absolute_distances_alone(distances):
    fresh = patches(5, 1)
    plain, moved = distances(fresh), distances(in_another_light(fresh))
    torch.testing.assert_close(moved[:, RELATIVE], plain[:, RELATIVE], rtol=0, atol=1e-4)
    assert (moved[:, ABSOLUTE].mean((1, 2)) > plain[:, ABSOLUTE].mean((1, 2)) + 0.2).all()


def test_an_odd_place_is_the_farthest_of_its_image_in_any_light(distances):
    fresh = in_another_light(patches(5, 1))
    fresh[:, 2, 4] += 1.5 * torch.randn(CHANNELS, generator=seeded(9))
    highest = distances(fresh)[:, RELATIVE].flatten(1).argmax(1)
    assert highest.tolist() == [2 * GRID + 4] * 5


def test_a_genuine_training_image_never_finds_itself(distances):
    known, fold = patches(IMAGES, 0), torch.arange(IMAGES) % FOLDS
    assert (distances(known, fold) >= distances(known) - 1e-6).all()
    assert distances(known, fold).mean() > distances(known).mean() + 0.01


def test_both_banks_share_the_entries_asked_for(distances):
    assert len(distances.relative.entries) + len(distances.absolute.entries) == 400


def test_a_checkpoint_carries_everything(distances):
    other = GenuineDistances(CHANNELS, 400, FOLDS)
    other.load_state_dict(distances.state_dict())
    assert torch.equal(other(patches(3, 2)), distances(patches(3, 2)))
