"""A genuine training image never finds itself in the bank, and folds keep groups whole and classes even."""

import pytest
import torch
from torch.nn import functional as F

from counterfeit.backbone import GenuineBank, cross_fitting_folds

IMAGES, GRID, CHANNELS, FOLDS = 12, 4, 24, 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def patches(images: int = IMAGES, seed: int = 0) -> torch.Tensor:
    """Random directions of random lengths, all different."""
    return torch.randn(images, GRID, GRID, CHANNELS, generator=seeded(seed)).half()


def image_folds() -> torch.Tensor:
    return torch.arange(IMAGES) % FOLDS


def fitted(size: int = IMAGES * GRID**2) -> GenuineBank:
    """A bank that, unless told otherwise, holds every patch of the training images."""
    bank = GenuineBank(CHANNELS, size, FOLDS)
    bank.fit(patches(), image_folds(), seeded())
    return bank


def test_patches_in_the_bank_are_at_distance_zero():
    found = fitted().distances(patches())
    assert found.shape == (IMAGES, GRID, GRID)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=2e-3)


def test_a_genuine_training_image_never_finds_itself():
    bank, images, folds = fitted(), patches(), image_folds()
    found = bank.distances(images, folds)
    assert found.min() > 0.1
    directions = F.normalize(images.float(), dim=-1)
    for i in range(IMAGES):
        own, others = directions[i].reshape(-1, CHANNELS), directions[folds != folds[i]].reshape(-1, CHANNELS)
        torch.testing.assert_close(found[i].flatten(), torch.cdist(own, others).amin(1))


def test_fold_minus_one_is_compared_with_the_whole_bank():
    bank, fresh = fitted(), patches(seed=1)
    whole = bank.distances(fresh)
    torch.testing.assert_close(bank.distances(fresh, torch.full((IMAGES,), -1)), whole)
    assert (bank.distances(fresh, image_folds()) >= whole - 1e-6).all()
    assert whole.min() > 0.1 and whole.max() < 2


def test_the_length_of_a_feature_does_not_matter():
    bank, fresh = fitted(), patches(seed=1)
    torch.testing.assert_close(bank.distances(4 * fresh), bank.distances(fresh))


def test_entries_are_unit_patches_of_the_fold_they_remember():
    bank, directions = fitted(size=50), F.normalize(patches().float(), dim=-1).reshape(-1, CHANNELS)
    similarity, patch = (bank.entries @ directions.T).max(1)
    torch.testing.assert_close(similarity, torch.ones(50))
    assert torch.equal(bank.fold, image_folds()[patch // GRID**2])


def test_a_checkpoint_carries_the_bank():
    bank, other = fitted(size=50), GenuineBank(CHANNELS, 50, FOLDS)
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.distances(patches(seed=1), image_folds()), bank.distances(patches(seed=1), image_folds()))


def test_the_same_seed_gives_the_same_bank():
    assert torch.equal(fitted(size=50).entries, fitted(size=50).entries)


def test_fewer_patches_than_entries_are_repeated():
    bank = GenuineBank(CHANNELS, 100, FOLDS)
    bank.fit(patches(2), torch.tensor([0, 1]), seeded())
    assert len(bank.entries.unique(dim=0)) == 2 * GRID**2
    torch.testing.assert_close(bank.distances(patches(2)), torch.zeros(2, GRID, GRID), rtol=0, atol=2e-3)


def labelled(counterfeits: int = 17) -> tuple[torch.Tensor, list[str]]:
    """120 images in 40 groups of 3; the first images are counterfeit, one group is mixed."""
    label = (torch.arange(120) < counterfeits).long()
    return label, [f"item{i // 3}" for i in range(120)]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_keep_groups_whole_and_classes_even(folds):
    label, group = labelled()
    fold = cross_fitting_folds(label, group, folds, seeded())
    assert set(fold.tolist()) == set(range(folds))
    assert all(len({f for f, g in zip(fold.tolist(), group, strict=True) if g == name}) == 1 for name in set(group))
    for c in (0, 1):
        counts = torch.bincount(fold[label == c], minlength=folds)
        assert counts.max() - counts.min() <= 3  # one group


def test_few_counterfeits_are_spread_over_the_folds():
    label, group = labelled(counterfeits=9)
    fold = cross_fitting_folds(label, group, 3, seeded())
    assert torch.bincount(fold[label == 1]).tolist() == [3, 3, 3]


def test_folds_follow_the_seed_alone():
    label, group = labelled()
    fold = cross_fitting_folds(label, group, 5, seeded(1))
    assert torch.equal(fold, cross_fitting_folds(label, group, 5, seeded(1)))
    assert not torch.equal(fold, cross_fitting_folds(label, group, 5, seeded(2)))
