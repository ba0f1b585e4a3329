import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from counterfeit.detector.views import (
    DISTANCES,
    IMAGE,
    MASK,
    PARTS,
    PATCH,
    auroc,
    auroc_error,
    chance_of_being_best,
    fold_levels,
    part_weights,
    trust,
    view_weights,
)


def scores(*shift: float, counterfeits: int = 24, genuine: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Unit Gaussians of genuine images; those of counterfeits are moved by ``shift``, one for each column."""
    label = np.r_[np.ones(counterfeits, int), np.zeros(genuine, int)]
    noise = np.random.default_rng(0).normal(size=(len(label), len(shift)))
    return noise + label[:, None] * np.array(shift), label


def parts(counterfeits: int = 24, **shift: float) -> tuple[np.ndarray, np.ndarray]:
    return scores(*(shift.get(name, 0.0) for name in PARTS), counterfeits=counterfeits)


def test_better_views_weigh_more_and_equal_ones_alike() -> None:
    weight = view_weights(*scores(2.0, 2.0, -1.0, counterfeits=400))
    assert weight[0] == pytest.approx(weight[1], rel=0.3) and weight[2] < 0.2 * weight[0]
    assert weight.sum() == pytest.approx(1)


def test_a_view_that_tells_nothing_has_no_say_once_counterfeits_are_many_enough_to_know() -> None:
    few, many = (view_weights(*scores(1.0, -0.5, counterfeits=n)) for n in (4, 100))
    assert many[1] < 0.01 < few[1] < 0.5


def test_perfect_and_hopeless_views_have_finite_weights() -> None:
    weight = view_weights(*scores(50.0, -50.0))
    assert np.isfinite(weight).all() and weight[0] > 0.98


def test_a_perfect_view_outweighs_a_good_one_where_counterfeits_are_few() -> None:
    # At an AUROC that stops at 0.99 both would weigh alike, and a view that is good by chance would spoil a solved set.
    weight = view_weights(*scores(50.0, 3.0, counterfeits=8, genuine=200))
    assert weight[0] > 2 * weight[1]


def test_the_better_distance_is_chosen_where_it_is_certain() -> None:
    assert chance_of_being_best(*scores(0.3, 2.0))[1] > 0.95
    assert chance_of_being_best(*scores(1.0, 1.05, counterfeits=6)).min() > 0.1


def test_columns_that_rank_alike_share_the_chance() -> None:
    one, label = scores(1.0)
    assert chance_of_being_best(np.hstack([one, one]), label) == pytest.approx([0.5, 0.5])


def test_levels_of_folds_do_not_pass_for_knowledge() -> None:
    areas = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        label, fold = np.r_[1, 1, np.zeros(100, int)], np.r_[0, 1, np.arange(100) % 5]
        noise = generator.normal(size=(102, 1)) - 2 * np.array([1, 1, 0, 0, 0])[fold, None]
        areas.append(auroc(noise - fold_levels(noise, fold, label == 0)[fold], label)[0])
    assert np.mean(areas) == pytest.approx(0.5, abs=0.04)


def test_a_fold_without_genuine_images_keeps_its_level() -> None:
    levels = fold_levels(np.array([1.0, 3.0, 9.0]), np.array([0, 0, 2]), np.array([True, True, False]))
    assert levels.tolist() == [0, 0, 0]


def test_masks_are_believed_as_far_as_distances_tell_anything() -> None:
    good, label = parts(image=1.0, distance_top=2.0, distance_mean=1.0, patch=1.0, mask=1.0)
    weight, used = part_weights(good, label, 1.0)
    assert used == pytest.approx(1, abs=0.02) and weight[MASK] == pytest.approx(8 * used * weight[PATCH])
    blind, _ = parts(image=1.0, **{PARTS[i]: -0.5 for i in DISTANCES}, patch=1.0, mask=1.0)
    weight, used = part_weights(blind, label, 1.0)
    assert used < 0.02 and weight[MASK] < 0.1 * weight[PATCH]


def test_without_a_dose_masks_count_for_nothing() -> None:
    given, label = parts(image=1.0, distance_top=2.0, patch=1.0, mask=3.0)
    weight, used = part_weights(given, label, 0.0)
    assert used == 0 and weight[MASK] == 0
    assert weight[PARTS.index("distance_max")] == 0
    assert min(weight[IMAGE], weight[PATCH], weight[DISTANCES].sum()) > 0


@pytest.mark.parametrize(("shift", "least", "most"), [(50.0, 0.0, 0.0), (2.4, 0.2, 0.8), (1.0, 0.97, 1.0)])
def test_masks_count_less_where_photographs_taught_it_all(shift: float, least: float, most: float) -> None:
    _, used = part_weights(*parts(200, distance_top=3.0, patch=shift, mask=3.0), 1.0)
    assert least <= used <= most


def test_trust_is_a_probability_that_grows_with_the_number_of_counterfeits() -> None:
    few, many = (trust(column[:, 0], label) for column, label in (scores(0.7, counterfeits=n) for n in (6, 60)))
    assert 0.5 < few < many < 1


def test_auroc_is_that_of_scikit_learn_with_ties() -> None:
    values, label = scores(1.0, 0.2)
    values = values.round(1)
    assert auroc(values, label) == pytest.approx([roc_auc_score(label, column) for column in values.T])


def test_auroc_error_is_that_of_the_worked_example() -> None:
    # Hanley and McNeil 1982, section V: theta = 0.893, 51 abnormal and 58 normal images give 0.0325 by their formula.
    assert auroc_error(np.array([0.893]), 51, 58)[0] == pytest.approx(0.032, abs=0.001)
