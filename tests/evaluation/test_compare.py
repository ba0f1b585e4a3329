"""A planted effect is found, an A/A comparison is not, and an interval is as wide as the data are dependent."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom, binomtest

from counterfeit.errors import UserError
from counterfeit.evaluation.compare import compare
from counterfeit.evaluation.comparison import Comparison, headline, last_lines
from counterfeit.evaluation.metrics import auroc


def experiment(random_state, effects, seeds=5, groups=400, copies=2, share=0.25, training=0.2, noise=0.4):
    """Simulate predictions: one logit per image, the same for all arms, plus each arm's own noise.

    `effects` maps (arm, dose) to the logits by which it separates counterfeits better than the baseline. `copies`
    images make a group and nearly share their logit; each seed tests on a `share` of the groups; `training` is the
    standard deviation of an arm's separation between seeds, `noise` that of its logits.
    """
    rng = np.random.default_rng(random_state)
    group = np.repeat(np.arange(groups), copies)
    label = (rng.random(groups) < 0.2).astype(int)[group]
    shared = rng.normal(size=groups)[group] + 0.3 * rng.normal(size=len(group)) - 2
    tables = []
    for seed in range(seeds):
        tested = np.flatnonzero(np.isin(group, rng.choice(groups, int(share * groups), replace=False)))
        for (arm, dose), effect in effects.items():
            separation = 2 + effect + training * rng.normal()
            logit = shared[tested] + separation * label[tested] + noise * rng.normal(size=len(tested))
            tables.append(rows(arm, dose, seed, tested, group[tested], label[tested], 1 / (1 + np.exp(-logit))))
    return pa.concat_tables(tables)


def rows(arm, dose, seed, image, group, label, score):
    n = len(image)
    return pa.table(
        {
            "arm": [arm] * n,
            "dose": [float(dose)] * n,
            "seed": [seed] * n,
            "path": [f"{i:05d}.jpg" for i in image],
            "group": [f"g{g}" for g in group],
            "kind": ["" if y == 0 else "font" for y in label],
            "label": np.asarray(label),
            "score": np.asarray(score),
        }
    )


REAL, SYNTHETIC = ("real", 0.0), ("synthetic", 0.1)


def false_alarms(trials, **settings):
    verdicts = [
        compare(experiment(trial, {REAL: 0, SYNTHETIC: 0}, **settings), resamples=300, seed=trial).verdict
        for trial in range(trials)
    ]
    return sum(verdict != "NO EVIDENCE" for verdict in verdicts)


def test_a_against_a_is_seldom_called():
    assert false_alarms(20) <= binom.ppf(0.99, 20, 0.05)


@pytest.mark.parametrize(("effect", "verdict"), [(1.2, "HELPS"), (-1.2, "HURTS")])
def test_a_planted_effect_is_found(effect, verdict):
    comparison = compare(experiment(0, {REAL: 0, SYNTHETIC: effect}))
    assert comparison.verdict == verdict
    difference = comparison.pair().differences["auroc"]
    assert np.sign(difference.low) == np.sign(difference.high) == np.sign(effect)
    # Lower is better: a helpful arm has the smaller Brier score, which must not count as harm.
    assert np.sign(comparison.pair().differences["brier"].estimate) == -np.sign(effect)


def test_calibration_alone_is_no_verdict():
    table = experiment(0, {REAL: 0})
    shouting = table.set_column(table.column_names.index("score"), "score", [np.asarray(table["score"]) ** 0.2])
    shouting = shouting.set_column(0, "arm", [["synthetic"] * len(table)])
    comparison = compare(pa.concat_tables([table, shouting]))
    assert comparison.pair().differences["brier"].p < 0.05
    assert comparison.pair().differences["auroc"].estimate == 0
    assert comparison.verdict == "NO EVIDENCE"


def width(interval):
    return interval.high - interval.low


def test_groups_widen_the_interval():
    table = experiment(0, {REAL: 0, SYNTHETIC: 0.5}, seeds=1, groups=100, copies=6, share=1.0, noise=0.0, training=0.0)
    # Noise that images of one group share, as photographs of one item do.
    shift = np.random.default_rng(1).normal(size=100)
    number = np.array([int(group[1:]) for group in table["group"].to_pylist()])
    synthetic = np.asarray(table["arm"]) == "synthetic"
    score = 1 / (
        1 + np.exp(-np.log(np.asarray(table["score"]) / (1 - np.asarray(table["score"]))) - synthetic * shift[number])
    )
    table = table.set_column(table.column_names.index("score"), "score", [score])
    apart = table.set_column(table.column_names.index("group"), "group", table["path"])
    clustered, naive = (compare(t).pair().differences["auroc"] for t in (table, apart))
    assert width(clustered) > 1.5 * width(naive)


def test_pairing_narrows_the_interval():
    comparison = compare(experiment(0, {REAL: 0, SYNTHETIC: 0}, noise=0.1, training=0.05))
    unpaired = np.hypot(*(width(arm.levels["auroc"]) for arm in comparison.arms))
    assert width(comparison.pair().differences["auroc"]) < unpaired / 2


def test_seeds_that_disagree_widen_the_interval():
    calm = compare(experiment(0, {REAL: 0, SYNTHETIC: 0.5}, training=0.0)).pair().differences["auroc"]
    moody = compare(experiment(0, {REAL: 0, SYNTHETIC: 0.5}, training=1.0)).pair().differences["auroc"]
    assert width(moody) > 2 * width(calm)


def test_agrees_with_delong_where_both_apply():
    table = experiment(0, {REAL: 0, SYNTHETIC: 0.5}, seeds=1, groups=600, copies=1, share=1.0)
    pair = compare(table).pair()
    assert pair.differences["auroc"].standard_error == pytest.approx(pair.delong_se, rel=0.15)


def test_levels_are_means_over_seeds():
    table = experiment(0, {REAL: 0, SYNTHETIC: 0}, seeds=3)
    comparison = compare(table, resamples=50)
    values = []
    for seed in range(3):
        part = table.filter((np.asarray(table["arm"]) == "real") & (np.asarray(table["seed"]) == seed))
        values.append(auroc(part["label"], part["score"]))
    real = next(arm for arm in comparison.arms if arm.arm == "real")
    assert real.levels["auroc"].estimate == pytest.approx(np.mean(values))
    assert real.levels["auroc"].low < np.mean(values) < real.levels["auroc"].high
    assert real.n_seeds == comparison.worst.n_seeds == 3


def test_same_seed_same_result_whatever_the_order_of_rows():
    table = experiment(0, {REAL: 0, SYNTHETIC: 0.5})
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    assert compare(table, resamples=200).to_json() == compare(shuffled, resamples=200).to_json()
    assert compare(table, resamples=200) != compare(table, resamples=200, seed=1)


def test_json_keeps_everything_and_passes_over_foreign_keys():
    one_class = experiment(0, {REAL: 0, SYNTHETIC: 0}, seeds=1)
    one_class = one_class.filter(np.asarray(one_class["label"]) == 0)
    text = compare(one_class, resamples=20).to_json()
    assert "NaN" not in text
    restored = Comparison.from_json(text.replace("{", '{"dose_reason": "one standard error",', 1))
    assert restored.to_json() == text
    assert np.isnan(restored.pair().differences["auroc"].estimate)
    assert restored.verdict == "NO EVIDENCE"
    whole = compare(experiment(0, {REAL: 0, SYNTHETIC: 0}), resamples=20)
    assert Comparison.from_json(whole.to_json()) == whole


def test_pairs_and_doses():
    arms = {REAL: 0, ("placebo", 0.3): 0, ("transplant", 0.1): 0, ("transplant", 0.3): 0}
    table = experiment(0, arms | {("synthetic", 0.1): 0, ("synthetic", 0.3): 0}, seeds=2)
    comparison = compare(table, resamples=20)
    assert comparison.product_dose == 0.1
    assert len(comparison.arms) == 6
    comparison = compare(table, resamples=20, product_dose=0.3)
    assert comparison.product_dose == comparison.pair().dose == 0.3
    pairs = {(p.arm, p.dose, p.against, p.against_dose) for p in comparison.pairs}
    assert ("synthetic", 0.3, "transplant", 0.3) in pairs
    assert ("synthetic", 0.3, "placebo", 0.3) in pairs
    assert sum(against == "real" for _, _, against, _ in pairs) == 5


def test_dose_zero_is_the_baseline():
    comparison = compare(experiment(0, {REAL: 0, SYNTHETIC: 1}), resamples=20, product_dose=0)
    assert comparison.verdict == "NO EVIDENCE"
    assert all(d.estimate == d.low == d.high == 0 and d.p == 1 for d in comparison.pair().differences.values())
    assert any("dose 0" in note for note in comparison.notes)


def test_where_all_are_caught_the_interval_is_exact():
    """Eight groups of counterfeits, all above all genuine images: no resample differs, and yet eight are not all."""
    image = np.arange(48)
    tables = [
        rows(*arm, seed, image, image // 2, (image < 16).astype(int), 0.9 - 0.01 * image + 0.001 * (arm == SYNTHETIC))
        for arm in (REAL, SYNTHETIC)
        for seed in range(2)
    ]
    comparison = compare(with_thresholds(pa.concat_tables(tables), {"real": 0.745, "synthetic": 0.745}), resamples=50)
    low, _ = binomtest(8, 8).proportion_ci(0.95, "exact")
    for arm in comparison.arms:
        for level in (arm.levels["recall_at_1pct_fpr"], arm.levels["recall_at_5pct_fpr"], arm.operating["recall"]):
            assert (level.estimate, level.high) == (1, 1)
            assert level.low == pytest.approx(low)
        false_alarms = arm.operating["fpr"]
        assert (false_alarms.estimate, false_alarms.low) == (0, 0)
        assert false_alarms.high == pytest.approx(binomtest(0, 16).proportion_ci(0.95, "exact").high)
    difference = comparison.pair().differences["recall_at_5pct_fpr"]
    assert (difference.low, difference.high) == pytest.approx((low - 1, 1 - low))
    assert difference.estimate == 0 and difference.p == 1
    assert 1 - low < difference.detectable < 1 and difference.groups_needed > 24  # as many as there are do not do


def test_arms_that_score_all_images_alike_do_not_differ_for_certain():
    alike = experiment(0, {REAL: 0, SYNTHETIC: 0}, seeds=3)
    arm = np.asarray(alike["arm"])
    score = np.asarray(alike["score"]).copy()
    score[arm == "synthetic"] = score[arm == "real"]
    alike = alike.set_column(alike.column_names.index("score"), "score", pa.array(score))
    comparison = compare(alike, resamples=20)
    assert all(d.estimate == d.low == d.high == 0 and d.p == 1 for d in comparison.pair().differences.values())


def test_one_group_of_counterfeits_decides_nothing():
    """Both images of the only group are missed by one arm and caught by the other, in every seed and resample."""
    image = np.arange(42)
    caught, missed = (np.where(image < 2, value, 0.5 - 0.01 * image) for value in (0.9, 0.01))
    tables = [
        rows(*arm, seed, image, image // 2, (image < 2).astype(int), score)
        for arm, score in ((REAL, missed), (SYNTHETIC, caught))
        for seed in range(3)
    ]
    comparison = compare(pa.concat_tables(tables), resamples=2000)
    difference = comparison.pair().differences["recall_at_5pct_fpr"]
    assert (difference.estimate, difference.high) == (1, 1)
    assert difference.low == pytest.approx(0.025) and difference.p == 1


def test_pairs_use_the_seeds_they_share():
    table = experiment(0, {REAL: 0, SYNTHETIC: 0}, seeds=3)
    stopped = table.filter((np.asarray(table["arm"]) == "real") | (np.asarray(table["seed"]) < 2))
    comparison = compare(stopped, resamples=20)
    assert comparison.pair().n_seeds == comparison.worst.n_seeds == 2


def test_what_to_do_next_is_a_command_for_what_was_learned_from():
    comparison = compare(experiment(0, {REAL: 0, SYNTHETIC: 1.2}, seeds=1), resamples=20)
    drawn, own = (last_lines(comparison, Path("my runs/a/report.html"), own=own)[-1] for own in (False, True))
    assert drawn == "next: python -m counterfeit.fit --data.root FOLDER"
    assert own == "next: python -m counterfeit.predict FOLDER --run 'my runs/a' --out scores"


def test_headline_says_how_sure():
    comparison = compare(experiment(0, {REAL: 0, SYNTHETIC: 1.2}, seeds=1))
    lines = headline(comparison)
    difference = comparison.pair().differences["recall_at_5pct_fpr"]
    assert lines[0] == "verdict: HELPS"
    assert last_lines(comparison, Path("runs/a/report.html"), own=False)[:-1] == [*lines, "report: runs/a/report.html"]
    assert f"recall at 5 % FPR {100 * difference.estimate:+.1f} pp [{100 * difference.low:+.1f}, " in lines[1]
    assert lines[1].endswith("; 1 seed, 200 test images")
    notes = " ".join(lines[2:])
    genuine = comparison.tests[0].n_genuine
    assert f"1 % of {genuine} genuine test images is {genuine / 100:.1f}" in notes
    assert "one seed" in notes
    unsure = headline(compare(experiment(0, {REAL: 0, SYNTHETIC: 0}), resamples=200))
    assert "four times in five" in unsure[2]


def with_thresholds(table, of_arm):
    return table.append_column("threshold", [[of_arm[arm] for arm in table["arm"].to_pylist()]])


def test_decisions_are_compared_at_each_cells_own_threshold():
    table = experiment(0, {REAL: 0, SYNTHETIC: 1.0}, seeds=3)
    comparison = compare(with_thresholds(table, {"real": 0.5, "synthetic": 0.6}), resamples=200)
    found = []
    for arm, threshold in (("real", 0.5), ("synthetic", 0.6)):
        part = table.filter(np.asarray(table["arm"]) == arm)
        label, flagged = np.asarray(part["label"]), np.asarray(part["score"]) >= threshold
        found.append(flagged == label)
        level = next(a for a in comparison.arms if a.arm == arm)
        seed = np.asarray(part["seed"])
        recalls = [flagged[(seed == s) & (label == 1)].mean() for s in range(3)]
        assert level.operating["recall"].estimate == pytest.approx(np.mean(recalls))
        assert level.operating["fpr"].low < level.operating["fpr"].estimate < level.operating["fpr"].high
        assert level.referral[0].estimate == pytest.approx(found[-1].mean(), abs=0.01)  # seeds differ in size
        assert level.referral[-1].estimate > level.referral[0].estimate
    assert comparison.pair().mcnemar.gained == (found[1] & ~found[0]).sum()
    assert comparison.pair().mcnemar.lost == (found[0] & ~found[1]).sum()
    assert comparison.pair().mcnemar.p < 0.05
    assert Comparison.from_json(comparison.to_json()) == comparison


def test_without_thresholds_no_decision_is_compared():
    comparison = compare(experiment(0, {REAL: 0, SYNTHETIC: 0}, seeds=1), resamples=20)
    assert comparison.pair().mcnemar is None
    assert not comparison.arms[0].operating
    assert Comparison.from_json(comparison.to_json()).pair().mcnemar is None


def test_says_how_many_more_images_would_do():
    table = experiment(0, {REAL: 0, SYNTHETIC: 0}, noise=0.1, training=0.0, seeds=1, share=1.0)
    difference = compare(table, resamples=500).pair().differences["auroc"]
    assert difference.training_error == 0
    # Four times the images halve the error: what 5 pp needs follows from what can be found now.
    assert difference.groups_needed == pytest.approx(400 * (difference.detectable / 0.05) ** 2, rel=0.02)
    moody = compare(experiment(0, {REAL: 0, SYNTHETIC: 0}, training=2.0), resamples=200).pair().differences["auroc"]
    assert moody.groups_needed is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop_columns(["score"]), "no column score"),
        (lambda t: t.slice(0, 0), "no rows"),
        (lambda t: t.slice(1), "other images"),
        (lambda t: pa.concat_tables([t, t]), "twice"),
        (lambda t: t.filter(np.asarray(t["arm"]) == "real"), "no arm 'synthetic'"),
        (lambda t: t.filter(np.asarray(t["arm"]) == "synthetic"), "no arm 'real'"),
        (lambda t: t.set_column(7, "score", [[float("nan")] * len(t)]), "not a finite number"),
        (lambda t: t.set_column(4, "group", [[None] * len(t)]), "empty cells"),
    ],
)
def test_refuses_what_cannot_be_compared(spoil, message):
    with pytest.raises(UserError, match=message):
        compare(spoil(experiment(0, {REAL: 0, SYNTHETIC: 0}, seeds=1)), resamples=20)


def test_refuses_to_compare_an_arm_with_itself():
    with pytest.raises(UserError, match="nothing to compare it with"):
        compare(experiment(0, {REAL: 0}, seeds=1), resamples=20, product="real")


def test_refuses_a_dose_that_was_not_trained():
    with pytest.raises(UserError, match=r"not trained at dose 0\.5, only at 0\.1"):
        compare(experiment(0, {REAL: 0, SYNTHETIC: 0}, seeds=1), resamples=20, product_dose=0.5)
