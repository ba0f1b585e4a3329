"""Relative distances see what is odd about a place, absolute ones what is odd about the whole image."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from counterfeit.backbone import GenuineDistances, patch_sample

IMAGES, GRID, CHANNELS, WAYS, FOLDS = 24, 6, 16, 3, 3
RELATIVE, ABSOLUTE, PLACED = 0, 1, 2


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
    made = GenuineDistances(CHANNELS, 400, FOLDS, GRID)
    made.fit(patches(IMAGES, 0), torch.arange(IMAGES) % FOLDS, seeded(1))
    return made


def test_each_cell_has_all_distances(distances):
    found = distances(patches(5, 1))
    assert found.shape == (5, 3, GRID, GRID)
    assert found.min() >= 0 and found[:, :PLACED].max() <= 2


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
    own, left_out = distances(known).mean((0, 2, 3)), distances(known, fold).mean((0, 2, 3))
    assert (left_out > own + 0.01).all()  # in both banks and at every place


def test_scales_are_of_images_from_all_over_the_set():
    early = torch.zeros(600, 1, 1, 2).half()
    early[300:] = 1.0
    assert patch_sample(early).mean() == pytest.approx(0.5, abs=0.01)
    assert len(patch_sample(early[:7])) == 7


def test_fitting_copies_no_more_than_the_patches_that_it_draws():
    many = torch.randn(1200, 12, 12, CHANNELS, generator=seeded(3)).half()
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.dtype == torch.float32:
                largest = max(largest, result.numel())
            return result

    with Watch():
        GenuineDistances(CHANNELS, 64, FOLDS, 12).fit(many, torch.zeros(1200, dtype=torch.long), seeded(1))
    assert 16384 * CHANNELS <= largest < 0.5 * many.numel()


def test_both_banks_share_the_entries_asked_for(distances):
    assert len(distances.relative.entries) + len(distances.absolute.entries) == 400


def test_a_checkpoint_carries_all_that_new_images_need(distances):
    other = GenuineDistances(CHANNELS, 400, FOLDS, GRID)
    other.load_state_dict(distances.state_dict())
    assert torch.equal(other(patches(3, 2)), distances(patches(3, 2)))


def test_distances_across_folds_are_taken_over(distances):
    known, fold = patches(IMAGES, 0), torch.arange(IMAGES) % FOLDS
    other = GenuineDistances(CHANNELS, 400, FOLDS, GRID)
    other.take_over(distances)
    assert torch.equal(other(known, fold), distances(known, fold))
