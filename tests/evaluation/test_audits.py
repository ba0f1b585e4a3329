"""Each audit sees what was planted, and sees nothing where nothing was."""

import numpy as np
import pytest
from PIL import Image

from counterfeit.evaluation.fidelity import audit_fidelity, kernel, kid, manifold
from counterfeit.evaluation.findings import AuditedBank, AuditedSeed, auroc_over_seeds, proportion, ridge_scores
from counterfeit.evaluation.leakage import audit_leakage
from counterfeit.evaluation.memorisation import audit_memorisation
from counterfeit.evaluation.shortcuts import audit_shortcuts, image_traits, jpeg_quality

SIDE, FEATURES = 64, 24


def textures(count, rng):
    """Images with detail of their own, such that no two are near-duplicates."""
    coarse = rng.integers(40, 215, (count, 16, 16, 1), np.uint8)
    return np.repeat(np.repeat(np.repeat(coarse, 4, 1), 4, 2), 3, 3) + rng.integers(
        0, 30, (count, SIDE, SIDE, 1), np.uint8
    )


def seed(number=0, genuine=80, counterfeit=60, bank=40, **changes):
    """A seed whose features tell the labels apart and whose bank resembles held-out counterfeits."""
    rng = np.random.default_rng(number)
    label = np.repeat([0, 1], [genuine, counterfeit])
    count = len(label)
    centre = np.zeros((2, FEATURES))
    centre[1, 0] = 2.5
    features = (centre[label] + rng.normal(size=(count, FEATURES))).astype(np.float32)
    split = np.array(["train", "test"])[np.arange(count) % 2]
    path = np.array([f"{'gc'[y]}/{i:03d}.jpg" for i, y in enumerate(label)])
    made = None
    if bank:
        made_label = np.repeat([0, 1], bank)
        train = [path[(split == "train") & (label == y)] for y in (0, 1)]
        made = AuditedBank(
            path=np.array([f"synthetic/0/{i}.png" for i in range(2 * bank)]),
            label=made_label,
            host=rng.choice(train[0], 2 * bank),
            donor=np.array([rng.choice(train[y]) for y in made_label]),
            pixels=textures(2 * bank, rng),
            features=(centre[made_label] + rng.normal(size=(2 * bank, FEATURES))).astype(np.float32),
            sha256=np.array([f"s{i}" for i in range(2 * bank)]),
        )
    parts = {
        "number": number,
        "path": path,
        "label": label,
        "group": np.array([f"group{i}" for i in range(count)]),
        "split": split,
        "sha256": np.array([f"{i:064x}" for i in range(count)]),
        "pixels": textures(count, rng),
        "features": features,
        "traits": rng.normal(size=(count, 6)),
        "score": 1 / (1 + np.exp(-3 * (features[:, 0] - 1.25))),
        "bank": made,
    }
    return AuditedSeed(**(parts | changes))


def changed(start, **changes):
    return AuditedSeed(**(vars(start) | changes))


def with_bank(start, **changes):
    return changed(start, bank=AuditedBank(**(vars(start.bank) | changes)))


def finding(audit, name):
    return next(f for f in audit.findings if f.name == name)


def test_nothing_planted_nothing_found():
    clean = [seed(0), seed(1)]
    few = [seed(0, genuine=24, counterfeit=24, bank=8)]
    assert audit_leakage(few).finding == "ok"
    for audit in (audit_shortcuts, audit_memorisation, audit_fidelity):
        found = audit(clean)
        assert found.finding == "ok", [f for f in found.findings if f.finding != "ok"]
        assert all(f.low <= f.value <= f.high and f.n and f.words for f in found.findings)


def test_a_group_a_file_and_a_host_on_the_wrong_side_are_bad():
    start = seed(genuine=8, counterfeit=8, bank=8)
    group = start.group.copy()
    group[:2] = "shared"  # rows 0 and 1 are a training and a test image
    assert finding(audit_leakage([changed(start, group=group)]), "groups in two splits").finding == "bad"
    digest = start.sha256.copy()
    digest[:2] = "same"
    assert finding(audit_leakage([changed(start, sha256=digest)]), "identical files in two splits").finding == "bad"
    host = start.bank.host.copy()
    host[0] = start.path[1]
    made_of_test = finding(audit_leakage([with_bank(start, host=host)]), "synthetic images from outside of training")
    assert made_of_test.finding == "bad"
    assert made_of_test.value == pytest.approx(1 / 16)


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_brightened_copy_of_a_test_image_is_found_in_training_in_validation_and_in_the_bank(side):
    start = seed(genuine=24, counterfeit=24, bank=8)
    split = np.where(np.arange(len(start.split)) == 0, side, start.split)
    pixels = start.pixels.copy()
    copied = np.clip(pixels[1].astype(int) + 12, 0, 255).astype(np.uint8)
    pixels[0] = copied
    bank = start.bank.pixels.copy()
    bank[7] = copied
    audit = audit_leakage([with_bank(changed(start, pixels=pixels, split=split), pixels=bank)])
    assert finding(audit, "near-duplicates in training and validation").finding == "look"
    assert finding(audit, "near-duplicates in the bank").value == pytest.approx(1 / 24)
    assert {image for image, _ in audit.named} == {start.path[1]}
    assert any("synthetic/0/7.png" in why for _, why in audit.named)


def test_a_file_size_that_tells_the_label_is_bad():
    start = seed()
    traits = start.traits.copy()
    traits[:, 0] = start.label * 5 + np.random.default_rng(0).normal(size=len(traits))
    audit = audit_shortcuts([changed(start, traits=traits)])
    assert finding(audit, "file metadata alone").finding == "bad"
    assert finding(audit, "file metadata alone").reference_name == "the detector (real)"


def test_a_colour_that_tells_something_is_worth_a_look():
    start = seed()
    traits = start.traits.copy()
    traits[:, 4] += 1.8 * start.label
    audit = audit_shortcuts([changed(start, traits=traits)])
    assert finding(audit, "file metadata alone").finding == "ok"
    assert finding(audit, "file metadata and mean colour").finding == "look"


def test_a_trace_of_the_generator_is_recognised():
    start = seed()
    features = start.bank.features.copy()
    features[start.bank.label == 0, 5] += 6
    audit = audit_shortcuts([with_bank(start, features=features)])
    assert finding(audit, "real or synthetic, genuine").value > 0.9
    assert finding(audit, "real or synthetic, genuine").finding == "look"
    assert finding(audit, "real or synthetic, counterfeit").finding == "ok"


def test_copies_of_training_counterfeits_are_named():
    start = seed()
    features = start.bank.features.copy()
    training = start.rows("train", 1)
    made = np.flatnonzero(start.bank.label == 1)
    features[made] = start.features[training[np.arange(len(made)) % len(training)]] + 0.01
    audit = audit_memorisation([with_bank(start, features=features)])
    assert finding(audit, "counterfeit: near-copies").value == 1
    assert finding(audit, "counterfeit: synthetic nearer than held-out").value == 1
    assert audit.finding == "bad"
    assert audit.named
    assert all(path.startswith("synthetic/0/") and why.startswith("c/") for path, why in audit.named)


def test_an_edit_of_its_host_is_no_copy_of_the_host():
    start = seed()
    features = start.bank.features.copy()
    made = np.flatnonzero(start.bank.label == 0)
    row = {path: i for i, path in enumerate(start.path)}
    features[made] = start.features[[row[path] for path in start.bank.host[made]]] + 0.01
    audit = audit_memorisation([with_bank(start, features=features)])
    assert finding(audit, "genuine: near-copies").value < 0.1


def test_counterfeits_that_look_like_nothing_real_are_seen():
    start = seed()
    features = start.bank.features.copy()
    features[:, 1:] += 4
    audit = audit_fidelity([with_bank(start, features=features)])
    assert finding(audit, "KID").finding == "look"
    assert finding(audit, "precision").value == 0
    assert finding(audit, "coverage").finding == "look"


def test_swapped_labels_teach_the_wrong_thing():
    start = seed()
    audit = audit_fidelity([with_bank(start, label=1 - start.bank.label)])
    assert finding(audit, "train on synthetic, test on real").finding == "bad"
    assert finding(audit, "train on synthetic, test on real").value < 0.2


def test_no_bank_leaves_the_audits_of_the_photographs():
    start = [seed(bank=0)]
    assert len(audit_leakage(start).findings) == 3
    assert len(audit_shortcuts(start).findings) == 3
    assert audit_memorisation(start).findings == []
    assert audit_fidelity(start).findings == []


def test_kid_is_its_formula_and_unbiased():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    within = [
        np.mean([kernel(x[[i]], x[[j]])[0, 0] for i in range(len(x)) for j in range(len(x)) if i != j])
        for x in (first, second)
    ]
    cross = np.mean([kernel(first[[i]], second[[j]])[0, 0] for i in range(5) for j in range(4)])
    assert kid(first, second) == pytest.approx(sum(within) - 2 * cross)
    pairs = rng.normal(size=(400, 2, 20, 6)).astype(np.float32)
    values = np.array([kid(a, b) for a, b in pairs])
    assert abs(values.mean()) < 4 * values.std() / 20
    assert kid(pairs[0, 0], pairs[0, 1] + 2) > 10 * values.std()


def test_kid_does_not_compare_images_of_one_cluster():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=(6, 4)).astype(np.float32)
    twice, cluster = np.repeat(first, 2, axis=0), np.repeat(list("abcdef"), 2)
    assert kid(twice, second, cluster) == pytest.approx(kid(first, second), abs=1e-6)
    assert kid(twice, second) > kid(first, second) + 0.1  # copies taken for independent images look like a distance


def test_manifold_counts_on_a_line():
    real = np.array([[0.0], [1.0], [2.0], [10.0]], np.float32)
    generated = np.array([[0.5], [30.0]], np.float32)
    found = manifold(real, generated, neighbours=1)
    # Radii of the real: 1, 1, 1, 8. 0.5 lies in the balls of 0 and 1, and not in that of 10; 30 lies in none.
    assert found.precise.tolist() == [1, 0]
    assert found.dense.tolist() == [2, 0]
    assert found.covered.tolist() == [1, 1, 0, 0]
    # Radius of the generated: 29.5 each, which reaches every real image from 0.5.
    assert found.recalled.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_jpeg_quality_is_read_from_the_file(quality, tmp_path):
    file = tmp_path / "a.jpg"
    Image.new("RGB", (32, 16), (200, 100, 50)).save(file, quality=quality)
    size, per_pixel, read, *colour = image_traits(file, np.full((8, 8, 3), (200, 100, 50), np.uint8))
    assert read == pytest.approx(quality, abs=1.5)
    assert np.exp(size) == pytest.approx(file.stat().st_size)
    assert per_pixel == pytest.approx(file.stat().st_size / 512)
    assert colour == [200, 100, 50]
    assert jpeg_quality(None) == -1


def test_ridge_scores_equal_scikit_learn_up_to_order():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(30, 12)).astype(np.float32), rng.normal(size=(20, 12)).astype(np.float32)
    target = (rng.random(30) > 0.5).astype(float)
    expected = Ridge(alpha=12, fit_intercept=False).fit(train, target - target.mean()).predict(test)
    assert ridge_scores(train, target, test) == pytest.approx(expected, abs=1e-4)


def test_intervals_know_their_n():
    value, low, high = proportion(0, 100)
    assert (value, low) == (0, 0)
    assert high == pytest.approx(0.0362, abs=1e-4)  # Clopper and Pearson
    rng = np.random.default_rng(0)

    def width(count, copies):
        label = np.tile([0, 1], count // 2)
        score = label + rng.normal(size=count)
        cluster = np.array([str(i) for i in range(count)])
        repeated = [np.repeat(x, copies) for x in (label, score, cluster)]
        _, low, high = auroc_over_seeds([tuple(repeated)])
        return high - low

    assert width(400, 1) < 0.7 * width(100, 1)
    assert width(100, 4) > 1.5 * width(400, 1)  # copies are no new evidence
