"""What compression and blur do to scores is taken out again; where they hide the evidence, nothing is claimed."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from counterfeit.backbone import Embeddings
from counterfeit.detector.captures import CaptureConditions, Copies

FEATURES, CONDITIONS = 5, 3
KINDS = ("as in training", "moved", "hidden", "moved")
EQUAL = np.ones(2)  # weights of the parts
FAR, HIDING, HARMLESS = range(CONDITIONS)  # moves all scores and spreads them; hides all evidence; does nothing


class Made(NamedTuple):
    pooled: np.ndarray
    parts: np.ndarray


def photographs(label: np.ndarray, generator: np.random.Generator, condition: int | None = None) -> Made:
    """Two parts, of which counterfeits have 3 deviations more, and early means that tell the condition."""
    early, parts = generator.normal(size=(len(label), FEATURES)), generator.normal(size=(len(label), 2))
    parts += 3 * label[:, None] * (condition != HIDING)
    if condition is not None:
        early[:, condition] += 9
    if condition == FAR:
        parts = 20 + 2 * parts
    rest = generator.normal(size=(len(label), 7 + FEATURES))
    return Made(np.concatenate([rest[:, :7], early, rest[:, 7:]], 1).astype(np.float32), parts)


@pytest.fixture(scope="module")
def fitted() -> CaptureConditions:
    generator = np.random.default_rng(0)
    label = np.r_[np.zeros(180, np.int64), np.ones(20, np.int64)]
    seen = photographs(label, generator)
    source = np.tile(np.r_[:40, 180:200], CONDITIONS)
    condition = np.repeat(np.arange(CONDITIONS), 60)
    found = [photographs(label[source[:60]], generator, number) for number in range(CONDITIONS)]
    pooled, copied = (np.concatenate(values) for values in zip(*found, strict=True))
    # A copy shows its photograph: the early means of the two differ by what the condition does.
    pooled[:, 7 : 7 + FEATURES] = seen.pooled[source, 7 : 7 + FEATURES]
    pooled[np.arange(len(pooled)), 7 + condition] += 9
    patches = np.zeros((len(pooled), 1, 1, 1), np.float16)
    copies = Copies(Embeddings(pooled, patches), source, condition)
    made = CaptureConditions(2, FEATURES, KINDS)
    made.fit(seen.pooled, seen.parts, label, copies, copied)
    alike, copied = corrected(made, seen), corrected(made, Made(pooled, copied))
    made.fit_attenuation(alike, label, copies, copied, EQUAL)
    return made


def total(parts: np.ndarray) -> np.ndarray:
    return parts.sum(1)


def corrected(captures: CaptureConditions, images: Made) -> np.ndarray:
    parts, pooled = torch.from_numpy(images.parts).float(), torch.from_numpy(images.pooled)
    return captures(parts, pooled).double().numpy()


def fresh(condition: int | None = None) -> tuple[np.ndarray, Made]:
    label = np.r_[np.zeros(400, np.int64), np.ones(400, np.int64)]
    return label, photographs(label, np.random.default_rng(1), condition)


def test_until_it_is_fitted_nothing_changes() -> None:
    _, images = fresh(FAR)
    np.testing.assert_allclose(corrected(CaptureConditions(2, FEATURES, KINDS), images), images.parts, rtol=1e-5)


def test_photographs_captured_like_those_of_training_stay_as_they_are(fitted: CaptureConditions) -> None:
    _, images = fresh()
    assert not torch.equal(fitted.shift, torch.zeros_like(fitted.shift))
    assert np.quantile(np.abs(corrected(fitted, images) - images.parts), 0.99) < 0.02


def test_genuine_photographs_of_a_known_condition_are_flagged_no_more_often(fitted: CaptureConditions) -> None:
    (label, images), (_, usual) = fresh(FAR), fresh()
    threshold = np.quantile(usual.parts[label == 0, 0], 0.95)
    alike = corrected(fitted, images)
    assert (images.parts[label == 0, 0] > threshold).mean() > 0.95
    assert (alike[label == 0, 0] > threshold).mean() < 0.12
    assert abs(np.median(alike[label == 0])) < 0.4
    assert np.std(alike[label == 0]) == pytest.approx(1, abs=0.35)
    assert roc_auc_score(label, alike[:, 0]) > 0.95


def test_where_the_evidence_is_hidden_photographs_are_neither_genuine_nor_counterfeit(
    fitted: CaptureConditions,
) -> None:
    label, images = fresh(HIDING)
    alike, usual = corrected(fitted, images), fresh()[1].parts
    assert fitted.kept[1 + HIDING] < 0.4 < 0.8 < fitted.kept[1 + FAR]
    for value in (0, 1):
        assert 0.4 < np.median(alike[label == value]) < 1.5  # beyond the 0 of genuine ones, before the middle to 3
    assert (total(alike) > np.quantile(total(usual[label == 0]), 0.95)).mean() < 0.05
    assert (total(alike) < np.quantile(total(usual[label == 1]), 0.05)).mean() > 0.9


def test_the_kind_of_capture_is_called_by_its_name_whatever_its_strength(fitted: CaptureConditions) -> None:
    assert fitted.names == ("as in training", "moved", "hidden")
    for condition, name in ((None, "as in training"), (FAR, "moved"), (HIDING, "hidden"), (HARMLESS, "moved")):
        called = fitted.called(torch.from_numpy(fresh(condition)[1].pooled))
        assert (called == fitted.names.index(name)).float().mean() > 0.99, name


def test_strengths_of_one_kind_are_added_up_and_until_fitted_all_is_as_in_training() -> None:
    made, pooled = CaptureConditions(2, FEATURES, KINDS), torch.zeros(3, 7 + 2 * FEATURES)
    assert made.called(pooled).tolist() == [0, 0, 0]
    made.bias.copy_(torch.tensor([0.10, 0.28, 0.34, 0.28]).log())  # twice 0.28 are more than 0.34
    assert made.called(pooled).tolist() == [made.names.index("moved")] * 3


def test_an_unknown_condition_is_taken_for_the_most_similar_one(fitted: CaptureConditions) -> None:
    _, images = fresh()
    images.pooled[:, 7 + FAR] += 14
    probability = fitted.probability(torch.from_numpy(images.pooled))
    assert probability.sum(1).numpy() == pytest.approx(1, abs=1e-5)
    assert (probability.argmax(1) == 1 + FAR).all()


@pytest.mark.parametrize("counterfeits", [0, 3, 4])
def test_three_copied_counterfeits_do_not_say_what_evidence_is_left(counterfeits: int) -> None:
    generator, label = np.random.default_rng(2), np.r_[np.zeros(60, np.int64), np.ones(4, np.int64)]
    source = np.r_[:30, 60 : 60 + counterfeits]
    seen, copied = photographs(label, generator), photographs(label[source], generator, HIDING)
    patches = np.zeros((len(source), 1, 1, 1), np.float16)
    copies = Copies(Embeddings(copied.pooled, patches), source, np.full(len(source), HIDING))
    made = CaptureConditions(2, FEATURES, KINDS)
    made.fit(seen.pooled, seen.parts, label, copies, copied.parts)
    made.fit_attenuation(seen.parts, label, copies, copied.parts, EQUAL)
    assert (made.kept < 1).any() == (counterfeits == 4)
    assert torch.isfinite(made(torch.zeros(3, 2), torch.zeros(3, 7 + 2 * FEATURES))).all()


def test_where_the_classes_lie_close_scores_turn_about_their_middle() -> None:
    generator, label = np.random.default_rng(3), np.r_[np.zeros(300, np.int64), np.ones(300, np.int64)]
    seen = photographs(label, generator)
    seen.parts[label == 1] -= 2  # one deviation is left
    copies = Copies(Embeddings(seen.pooled[:0], np.zeros((0, 1, 1, 1), np.float16)), np.arange(0), np.arange(0))
    made = CaptureConditions(2, FEATURES, KINDS)
    made.fit_attenuation(seen.parts, label, copies, seen.parts[:0], EQUAL)
    assert made.middle.numpy() == pytest.approx([0.5, 0.5], abs=0.15)


def test_two_genuine_photographs_are_enough_to_know_their_like() -> None:
    generator, label = np.random.default_rng(4), np.array([0, 0, 1])
    seen = photographs(label, generator)
    source, condition = np.tile([0, 1, 2], CONDITIONS), np.repeat(np.arange(CONDITIONS), 3)
    pooled = seen.pooled[source].copy()
    pooled[np.arange(len(pooled)), 7 + condition] += 9
    copies = Copies(Embeddings(pooled, np.zeros((len(pooled), 1, 1, 1), np.float16)), source, condition)
    made = CaptureConditions(2, FEATURES, KINDS)
    made.fit(seen.pooled, seen.parts, label, copies, seen.parts[source])
    made.fit_attenuation(seen.parts, label, copies, seen.parts[source], EQUAL)
    assert (made.probability(torch.from_numpy(seen.pooled[:2]))[:, 0] > 0.5).all()
    assert torch.isfinite(made(torch.from_numpy(seen.parts).float(), torch.from_numpy(seen.pooled))).all()
