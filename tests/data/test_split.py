"""Splits: whole groups, both classes, close to the fractions; and fewer counterfeits, nested."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfeit.data.split import limit_counterfeits, split_groups
from counterfeit.errors import UserError

REAL = next((p / "shared" / "data" for p in Path(__file__).parents if (p / "shared" / "data").is_dir()), None)
SETS = ("magnetic_tile", "print_scan_codes", "sneakers_af1")
FRACTIONS = {"train": 0.5, "validation": 0.15, "test": 0.35}


def real_columns(name: str) -> tuple[np.ndarray, np.ndarray]:
    if REAL is None:
        pytest.skip("the real sets (shared/data) are not beside the project")
    with (REAL / name / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    return np.array([row["label"] == "counterfeit" for row in rows], int), np.array([row["group"] for row in rows])


def assert_groups_whole(split: np.ndarray, group: np.ndarray) -> None:
    assert len({(s, g) for s, g in zip(split, group, strict=True)}) == len(set(group))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("seed", range(4))
def test_class_fractions_on_real_sets(name: str, seed: int) -> None:
    label, group = real_columns(name)
    split = split_groups(label, group, seed=seed)
    assert_groups_whole(split, group)
    for value in (0, 1):
        for part, fraction in FRACTIONS.items():
            assert abs((split[label == value] == part).mean() - fraction) < 0.025


def test_the_giant_group_is_for_training() -> None:
    label, group = real_columns("magnetic_tile")
    for seed in range(10):
        assert set(split_groups(label, group, seed=seed)[group == "t0003"]) == {"train"}


def test_seeds_give_different_splits_and_the_order_of_images_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    group = np.array([f"g{i}" for i in generator.integers(0, 80, 400)])
    label = generator.integers(0, 2, 400)
    split = split_groups(label, group, seed=1)
    np.testing.assert_array_equal(split, split_groups(label, group, seed=1))
    assert (split != split_groups(label, group, seed=2)).mean() > 0.3
    order = generator.permutation(400)
    np.testing.assert_array_equal(split[order], split_groups(label[order], group[order], seed=1))


def test_other_fractions() -> None:
    label = np.arange(1000) % 4 == 0
    split = split_groups(label, [str(i) for i in range(1000)], fractions=(0.8, 0.1, 0.1), seed=0)
    assert [(split == part).sum() for part in FRACTIONS] == [800, 100, 100]
    assert [(split[label] == part).sum() for part in FRACTIONS] == [200, 25, 25]


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(any), min_size=1, max_size=25),
    seed=st.integers(0, 2**32),
)
def test_any_groups_are_split_whole_with_both_classes_or_refused(sizes: list[tuple[int, int]], seed: int) -> None:
    label = np.concatenate([[0] * genuine + [1] * counterfeit for genuine, counterfeit in sizes]).astype(int)
    group = np.repeat([f"group {i}" for i in range(len(sizes))], [sum(size) for size in sizes])
    genuine, counterfeit = (sum(size[value] > 0 for size in sizes) for value in (0, 1))
    if genuine < 4 or counterfeit < 3:
        with pytest.raises(UserError, match="too few for train, validation and test"):
            split_groups(label, group, seed=seed)
        return
    split = split_groups(label, group, seed=seed)
    assert_groups_whole(split, group)
    assert {(s, y) for s, y in zip(split, label, strict=True)} == {(s, y) for s in FRACTIONS for y in (0, 1)}
    assert len(set(group[(split == "train") & (label == 0)])) >= 2
    np.testing.assert_array_equal(split, split_groups(label, group, seed=seed))


def test_too_few_groups_are_told_how_many_are_needed() -> None:
    group = [f"item {i}" for i in range(8)]
    for genuine, counterfeit, message in ((3, 3, "genuine .* 3 groups, .* 4 are"), (4, 2, "counterfeit .* 2 .* 3 are")):
        label = [0] * genuine + [1] * counterfeit
        with pytest.raises(UserError, match=message):
            split_groups(label, group[: len(label)], seed=0)
    for seed in range(20):
        split = split_groups([0] * 4 + [1] * 3, group[:7], seed=seed)
        assert sorted(split[:4]) == ["test", "train", "train", "validation"]


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.0), (0.5, 0.2, 0.2), (0.9, 0.2, -0.1), (0.5, 0.5)])
def test_fractions_that_are_none(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(UserError, match="sum to 1"):
        split_groups([0, 1], ["a", "b"], fractions=fractions, seed=0)


@pytest.fixture
def divided() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    group = np.array([f"g{i}" for i in generator.integers(0, 60, 600)])
    label = (generator.random(600) < 0.4).astype(int)
    return split_groups(label, group, seed=0), label, group


def test_only_training_counterfeits_are_dropped(divided: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    split, label, group = divided
    keep = limit_counterfeits(split, label, group, 16, seed=0)
    limited = (split == "train") & (label == 1)
    assert keep[limited].sum() == 16
    assert keep[~limited].all()


def test_smaller_selections_are_nested_and_seeded(divided: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    split, label, group = divided
    kept = [limit_counterfeits(split, label, group, count, seed=5) for count in (0, 4, 8, 16, 32, 64)]
    for smaller, greater in itertools.pairwise(kept):
        assert not (smaller & ~greater).any()
    assert (limit_counterfeits(split, label, group, 16, seed=6) != kept[3]).any()


def test_few_counterfeits_come_from_many_groups(divided: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    split, label, group = divided
    found = (split == "train") & (label == 1)
    count = len(set(group[found]))
    keep = limit_counterfeits(split, label, group, count, seed=0)
    assert len(set(group[found & keep])) == count


def test_more_counterfeits_than_there_are(divided: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    split, label, group = divided
    found = int(((split == "train") & (label == 1)).sum())
    assert limit_counterfeits(split, label, group, found, seed=0).all()
    for count in (found + 1, -1):
        with pytest.raises(UserError, match=f"at seed 0 there are {found}; .*counterfeits to 1 to {found}$"):
            limit_counterfeits(split, label, group, count, seed=0)
