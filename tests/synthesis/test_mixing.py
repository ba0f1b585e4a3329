"""Mixes lie where their papers put them, and their labels say how much of each image is in them."""

import numpy as np
import pytest

from counterfeit.errors import UserError
from counterfeit.synthesis.mixing import counterfeit_share, cut_mix, draw_mixup_shares, draw_pairs, smote

LABEL = np.r_[np.zeros(30, np.int64), np.ones(6, np.int64)]


def test_smote_joins_neighbours_of_one_class_and_names_them() -> None:
    features = np.random.default_rng(0).normal(size=(36, 12)) + 5 * LABEL[:, None]
    new, label, parents = smote(features, LABEL, 40, seed=1)
    assert np.bincount(label).tolist() == [40, 40]
    assert (LABEL[parents] == label[:, None]).all()
    first, second = features[parents[:, 0]], features[parents[:, 1]]
    direction = second - first
    share = ((new - first) * direction).sum(1) / (direction**2).sum(1)
    assert (share >= -1e-6).all() and (share <= 1 + 1e-6).all()
    assert new == pytest.approx(first + share[:, None] * direction, abs=1e-6)


def test_smote_of_two_counterfeits_lies_between_them_and_of_one_is_refused() -> None:
    features = np.random.default_rng(0).normal(size=(32, 3))
    _, label, parents = smote(features, LABEL[:32], 10, seed=0)
    assert set(map(tuple, np.sort(parents[label == 1], 1))) == {(30, 31)}
    with pytest.raises(UserError, match="two training images"):
        smote(features[:31], LABEL[:31], 10, seed=0)


def test_pairs_are_drawn_from_both_classes_alike() -> None:
    pairs = draw_pairs(LABEL, 4000, np.random.default_rng(0))
    assert LABEL[pairs].mean(0) == pytest.approx([0.5, 0.5], abs=0.03)
    assert set(np.unique(pairs)) == set(range(36))


def test_the_label_of_a_mix_is_its_share_of_counterfeit() -> None:
    pairs = np.array([[0, 30], [30, 0], [0, 1], [30, 31]])
    assert counterfeit_share(LABEL, pairs, np.full(4, 0.3)) == pytest.approx([0.7, 0.3, 0.0, 1.0])


def test_mixup_shares_are_symmetric_and_mostly_near_one_image() -> None:
    share = draw_mixup_shares(4000, np.random.default_rng(0))
    assert share.min() >= 0 and share.max() <= 1 and share.mean() == pytest.approx(0.5, abs=0.03)
    assert (np.abs(share - 0.5) > 0.25).mean() > 0.5


def test_cutmix_pastes_one_rectangle_and_counts_its_area() -> None:
    first, second = np.zeros((200, 32, 32, 3), np.uint8), np.full((200, 32, 32, 3), 255, np.uint8)
    mixed, share = cut_mix(first, second, np.random.default_rng(0))
    assert mixed.shape == first.shape and 0.5 < share.mean() < 0.9
    for image, kept in zip(mixed[..., 0] == 255, share, strict=True):
        assert kept == pytest.approx(1 - image.mean())
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert image[rows][:, columns].all() and image.sum() == len(rows) * len(columns)
