"""Worth on numbers worked by hand, and on experiments whose answer is planted."""

import numpy as np
import pyarrow as pa
import pytest

from counterfeit.evaluation.bootstrap import joint_draws, resampled_mean
from counterfeit.evaluation.unseen import unseen_kinds
from counterfeit.evaluation.worth import learning_curve, worth

COUNTS = [4, 8, 16, 32]
CURVE = np.array([0.60, 0.70, 0.80, 0.90])


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([0.0, 0.0, 0.0, 0.0], [1, 1, 1, 1]),
        ([0.1, 0.1, 0.1, 0.0], [2, 2, 2, 1]),  # as much as one doubling
        ([0.05, 0.15, 0.0, -0.1], [2**0.5, 2**1.5, 1, 0.5]),  # between two counts: straight over the logarithm
        ([0.3, 0.31, -0.2, -0.3], [8, np.inf, 0.25, 1 / 8]),  # to the end of the curve and beyond
        ([-0.01, 0.0, 0.0, 0.01], [0, 1, 1, np.inf]),  # before its beginning
    ],
)
def test_worth_on_a_straight_curve(gains, expected):
    assert worth(COUNTS, CURVE, np.array(gains)) == pytest.approx(expected)


def test_a_curve_that_falls_by_chance_is_levelled_first():
    # 0.74 and 0.70 become 0.72 both: from there a gain of 0.09 leads half of the way to 0.90, which is at 32.
    found = worth([8, 16, 32], np.array([0.74, 0.70, 0.90]), np.array([0.09, 0.09, -0.09]))
    assert found == pytest.approx([2 * 2**0.5, 2**0.5, 1 / 2**0.5])


def test_a_saturated_detector_gains_nothing_and_is_worth_one():
    assert worth([8, 16], np.array([1.0, 1.0]), np.zeros(2)).tolist() == [1, 1]


def test_joint_draws_have_the_spread_of_each_column_alone_and_keep_columns_together():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(2000, 5, 1))
    replicates = 0.5 + 0.05 * np.concatenate([shared, shared, rng.normal(size=(2000, 5, 1))], axis=2)
    actual = 0.5 + 0.1 * rng.normal(size=(5, 1)) * np.array([[1.0, 1.0, 0.0]])
    draws = joint_draws(actual, replicates)
    for column in range(3):
        alone = resampled_mean(actual[:, column], replicates[:, :, column])
        assert np.quantile(draws[:, column], (0.025, 0.975)) == pytest.approx((alone.low, alone.high), abs=0.01)
    assert np.corrcoef(draws.T)[0, 1] > 0.99
    assert abs(np.corrcoef(draws.T)[0, 2]) < 0.2


def test_joint_draws_of_an_undefined_column_are_none():
    assert len(joint_draws(np.array([[0.5], [np.nan]]), np.full((9, 2, 1), 0.5))) == 0


def test_no_difference_in_any_seed_is_no_evidence_however_few_replicates_differ():
    replicates = np.zeros((2000, 2))
    replicates[:3] = -0.2
    found = resampled_mean(np.zeros(2), replicates)
    assert found.low <= 0 <= found.high
    assert found.p == 1


def experiment(reached, gain, seeds=3, images=400):
    """Predictions of `real` and `synthetic` whose counterfeits score `reached`, and `gain` more, higher."""
    rng = np.random.default_rng(1)
    tables = []
    for seed in range(seeds):
        label = (np.arange(images) % 4 == 0).astype(int)
        noise = rng.normal(size=images)
        for arm, dose, more in (("real", 0.0, 0.0), ("synthetic", 0.3, gain)):
            logit = noise + (reached + more) * label + 0.05 * rng.normal(size=images)
            columns = {
                "arm": [arm] * images,
                "dose": [dose] * images,
                "seed": [seed] * images,
                "path": [f"{seed}-{i}.jpg" for i in range(images)],
                "group": [f"{seed}-{i // 2}" for i in range(images)],
                "kind": ["font" if y else "" for y in label],
                "label": label,
                "score": 1 / (1 + np.exp(-logit)),
            }
            tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def test_a_gain_of_one_doubling_is_worth_two():
    tables = {8: experiment(1.0, 0.4), 16: experiment(1.4, 0.4), 32: experiment(1.8, 0.4)}
    found = learning_curve(tables, "synthetic", 0.3, 200)
    assert found["counts"] == [8, 16, 32]
    assert (found["seeds"], found["n_genuine"], found["n_counterfeit"]) == (3, 300, 100)
    entries = {entry["counterfeits"]: entry for entry in found["worth"] if entry["metric"] == "auroc"}
    assert entries[8]["value"] == pytest.approx(2, rel=0.15)
    assert entries[16]["value"] == pytest.approx(2, rel=0.15)
    assert 1.3 < entries[8]["low"] < 2 < entries[8]["high"] < 3.5
    assert entries[32] | {"low": None} == {
        "counterfeits": 32, "metric": "auroc", "n": 3, "value": None, "low": None, "high": None,
    }  # fmt: skip
    for point, (mean, low, high) in enumerate(found["differences"]["auroc"]):
        levels = [found["arms"][arm]["auroc"][point][0] for arm in ("synthetic", "real")]
        assert mean == pytest.approx(levels[0] - levels[1])
        assert 0 < low < mean < high


def test_no_gain_is_worth_one_and_the_interval_says_so():
    tables = {8: experiment(1.0, 0.0), 16: experiment(1.4, 0.0), 32: experiment(1.8, 0.0)}
    entries = [e for e in learning_curve(tables, "synthetic", 0.3, 200)["worth"] if e["counterfeits"] == 16]
    for entry in entries:
        assert entry["low"] <= 1.1 and entry["high"] >= 0.9
        assert 0.75 < entry["value"] < 1.3


def test_unseen_kinds_are_compared_alone_and_together():
    tables = {"font": experiment(1.0, 0.6), "ink": experiment(1.0, 0.0)}
    found = unseen_kinds(tables, "synthetic", 0.3, 200)
    font, ink = found["kinds"]
    assert (font["kind"], font["n_counterfeit"], font["n_genuine"]) == ("font", 100, 300)
    assert font["differences"]["auroc"]["low"] > 0.05
    assert abs(ink["differences"]["auroc"]["estimate"]) < 0.02
    both = [kind["differences"]["auroc"]["estimate"] for kind in (font, ink)]
    assert found["average"]["auroc"]["estimate"] == pytest.approx(np.mean(both))
    assert found["average"]["auroc"]["low"] < np.mean(both) < found["average"]["auroc"]["high"]
