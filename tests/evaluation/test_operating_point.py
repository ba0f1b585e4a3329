"""Thresholds chosen by a rule: what each promises on the images it was chosen on, and what it says of them."""

import numpy as np
import pytest
from scipy.stats import binomtest

from counterfeit.errors import UserError
from counterfeit.evaluation.operating_point import OperatingPoint, choose_operating_point, parse_rule

RULES = ("fpr<=0.05", "recall>=0.9", "cost=10", "capacity=100/1000")


def scored(genuine: int, counterfeit: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities, with ties, of overlapping classes."""
    generator = np.random.default_rng(seed)
    label = np.r_[np.zeros(genuine, int), np.ones(counterfeit, int)]
    logit = generator.normal(size=len(label)) + 2 * label - 1
    return label, np.round(1 / (1 + np.exp(-logit)), 3)


def rates(label: np.ndarray, probability: np.ndarray, point: OperatingPoint) -> tuple[float, float]:
    called = probability >= point.threshold
    return called[label == 1].mean(), called[label == 0].mean()


def test_the_false_positive_rate_is_kept_and_used_up() -> None:
    label = np.r_[np.zeros(100, int), np.ones(5, int)]
    probability = np.r_[np.arange(100) / 100, np.full(5, 0.505)]
    point = choose_operating_point(label, probability, "fpr<=0.05")
    assert rates(label, probability, point)[1] == pytest.approx(0.05)


def test_tied_genuine_scores_do_not_break_the_rate() -> None:
    label = np.r_[np.zeros(50, int), np.ones(3, int)]
    probability = np.r_[np.full(50, 0.7), np.full(3, 0.7)]
    point = choose_operating_point(label, probability, "fpr<=0.05")
    assert point.fpr.estimate == 0 and rates(label, probability, point) == (0, 0)


def test_the_recall_is_reached_with_as_few_images_as_possible() -> None:
    label = np.r_[np.ones(10, int), np.zeros(1, int)]
    probability = np.r_[np.arange(10) / 10, 0.95]
    point = choose_operating_point(label, probability, "recall>=0.8")
    assert rates(label, probability, point)[0] == pytest.approx(0.8)


def test_a_cost_ratio_is_the_cheapest_of_all_thresholds() -> None:
    label, probability = scored(300, 60)
    for ratio in (0.2, 1.0, 10.0):
        point = choose_operating_point(label, probability, f"cost={ratio}")

        def cost(threshold: float, ratio: float = ratio) -> float:
            called = probability >= threshold
            return ratio * (~called & (label == 1)).sum() + (called & (label == 0)).sum()

        assert cost(point.threshold) == min(cost(t) for t in np.r_[probability, 0, 1.1])


def test_dearer_misses_lower_the_threshold() -> None:
    label, probability = scored(300, 60)
    thresholds = [choose_operating_point(label, probability, f"cost={c}").threshold for c in (0.1, 1, 10, 100)]
    assert thresholds == sorted(thresholds, reverse=True) and thresholds[0] > thresholds[-1]


def test_the_capacity_is_used_up_and_not_exceeded() -> None:
    label = np.r_[np.zeros(180, int), np.ones(20, int)]
    probability = np.random.default_rng(0).permutation(200) / 200
    point = choose_operating_point(label, probability, "capacity=100/1000")
    assert (probability >= point.threshold).sum() == 20


@pytest.mark.parametrize("rule", RULES)
def test_no_score_lies_so_near_the_threshold_that_rounding_flips_its_label(rule: str) -> None:
    label, probability = scored(300, 60)
    point = choose_operating_point(label, probability, rule)
    assert np.abs(probability - point.threshold).min() > 4e-4  # scores are a thousandth apart


@pytest.mark.parametrize(
    ("rule", "everything"), [("fpr<=0", False), ("recall>=0", False), ("fpr<=1", True), ("capacity=0/10", False)]
)
def test_extreme_rules_call_all_or_few(rule: str, everything: bool) -> None:
    label, probability = scored(50, 20)
    called = probability >= choose_operating_point(label, probability, rule).threshold
    assert called.all() if everything else not called[label == 0].any()


def test_certain_scores_can_still_be_refused() -> None:
    point = choose_operating_point(np.array([0, 1]), np.array([1.0, 1.0]), "fpr<=0")
    assert point.threshold > 1


@pytest.mark.parametrize("rule", RULES)
def test_it_is_stored_with_numbers_and_wilson_intervals(rule: str) -> None:
    label, probability = scored(200, 40)
    point = choose_operating_point(label, probability, rule)
    recall, fpr = rates(label, probability, point)
    assert (point.rule, point.n, point.n_genuine, point.n_counterfeit) == (rule, 240, 200, 40)
    assert (point.recall.estimate, point.fpr.estimate) == pytest.approx((recall, fpr))
    expected = binomtest(round(recall * 40), 40).proportion_ci(method="wilson")
    assert (point.recall.low, point.recall.high) == pytest.approx((expected.low, expected.high))
    assert point.fpr.low <= fpr <= point.fpr.high


def test_the_interval_is_the_published_one() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 gives 0.2553 to 0.3662, 15 of 148 gives 0.0624 to 0.1605.
    label = np.r_[np.zeros(148, int), np.ones(263, int)]
    probability = np.r_[np.full(15, 0.9), np.full(133, 0.1), np.full(81, 0.9), np.full(182, 0.1)]
    point = choose_operating_point(label, probability, "fpr<=0.11")
    assert (point.recall.low, point.recall.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert (point.fpr.low, point.fpr.high) == pytest.approx((0.0624, 0.1605), abs=1e-4)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("rule", RULES)
def test_validation_of_one_class_is_refused(rule: str, label: int) -> None:
    with pytest.raises(UserError, match="one class"):
        choose_operating_point(np.full(5, label), np.linspace(0, 1, 5), rule)


@pytest.mark.parametrize(
    "rule",
    ["", "fpr<0.1", "fpr<=2", "precision>=0.5", "cost=0", "cost=-1", "capacity=5", "capacity=9/3", "capacity=1/0"],
)
def test_an_unknown_rule_is_a_user_error(rule: str) -> None:
    with pytest.raises(UserError, match="operating point"):
        parse_rule(rule)


def test_spaces_and_whole_numbers_are_read() -> None:
    assert parse_rule("fpr <= 1") == ("fpr", 1.0)
    assert parse_rule("capacity = 100 / 10000") == ("capacity", pytest.approx(0.01))
