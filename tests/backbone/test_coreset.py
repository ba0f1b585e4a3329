"""A coreset covers what it stands for, and distances to a bank are the true ones, with and without its folds."""

import pytest
import torch

from counterfeit.backbone.coreset import greedy_coreset, nearest_distances


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters(seed: int = 0) -> torch.Tensor:
    """One cluster of 950 points and ten of 5 points each, far from it: what a random choice leaves out."""
    generator = seeded(seed)
    centres = 20 * torch.randn(10, 48, generator=generator).repeat_interleave(5, 0)
    return torch.cat([torch.zeros(950, 48), centres]) + torch.randn(1000, 48, generator=generator)


def brute_force(patches: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
    return (patches[:, None].double() - bank[None].double()).square().sum(-1).sqrt().amin(1).float()


def test_covers_far_points_that_a_random_choice_leaves_out():
    points = clusters()
    chosen = greedy_coreset(points, 40, seeded(1))
    random = torch.randperm(len(points), generator=seeded(1))[:40]
    assert brute_force(points, points[chosen]).max() < 0.2 * brute_force(points, points[random]).max()


def test_chooses_distinct_points_and_the_same_for_the_same_seed():
    points = clusters()
    chosen = greedy_coreset(points, 60, seeded(3))
    assert chosen.dtype == torch.long
    assert len(chosen.unique()) == 60
    assert torch.equal(chosen, greedy_coreset(points, 60, seeded(3)))
    assert not torch.equal(chosen, greedy_coreset(points, 60, seeded(4)))


def test_a_shorter_coreset_is_the_beginning_of_a_longer_one():
    points = clusters()
    assert torch.equal(greedy_coreset(points, 20, seeded(5)), greedy_coreset(points, 40, seeded(5))[:20])


@pytest.mark.parametrize("size", [7, 8])
def test_takes_all_points_when_there_are_no_more_than_asked_for(size):
    assert greedy_coreset(torch.randn(7, 4, generator=seeded(0)), size, seeded(0)).tolist() == list(range(7))


def test_distances_are_those_of_brute_force():
    patches, bank = clusters(0)[::7], clusters(1)[::5]
    torch.testing.assert_close(nearest_distances(patches, bank), brute_force(patches, bank)[:, None])


def test_distances_with_each_fold_left_out():
    patches, bank = clusters(0)[::7], clusters(1)[::5]
    fold = torch.arange(len(bank)) % 3
    found = nearest_distances(patches, bank, fold, 3)
    assert found.shape == (len(patches), 4)
    for k in range(3):
        torch.testing.assert_close(found[:, k], brute_force(patches, bank[fold != k]))
    torch.testing.assert_close(found[:, 3], brute_force(patches, bank))


def test_a_fold_that_is_the_whole_bank_leaves_nothing_near():
    found = nearest_distances(torch.zeros(2, 3), torch.ones(4, 3), torch.zeros(4, dtype=torch.long), 2)
    assert found[0].tolist() == pytest.approx([torch.inf, 3**0.5, 3**0.5])


def test_no_patches_have_no_distances():
    assert nearest_distances(torch.zeros(0, 3), torch.ones(4, 3)).shape == (0, 1)


def test_folds_need_to_be_named():
    with pytest.raises(ValueError, match="fold of each bank entry"):
        nearest_distances(torch.zeros(1, 3), torch.ones(4, 3), folds=2)
