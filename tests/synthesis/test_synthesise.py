"""The making of a bank from a dozen images, with a detector that measures how red an image is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from counterfeit import synthesis
from counterfeit.backbone import Embeddings
from counterfeit.gan.finished import Refine, leave_plain
from counterfeit.gan.transplant import Sources, host_candidates
from counterfeit.synthesis import Bank, Candidates, SynthesisSettings, draw_candidates

SETTINGS = SynthesisSettings(count=6, overdraw=4)
SIDE, GENUINE, COUNTERFEITS = 32, 20, 8


def embed(pixels: np.ndarray) -> Embeddings:
    """Mean colours as pooled features: all that this detector sees."""
    return Embeddings(pixels.mean((1, 2)).astype(np.float32), np.zeros((len(pixels), 4, 4, 1), np.float16))


def redness(found: Embeddings, fold: np.ndarray) -> np.ndarray:
    return (found.pooled[:, 0] - found.pooled[:, 1:].mean(1)).astype(np.float64)


@pytest.fixture(scope="module")
def real() -> Candidates:
    """Grey labels; counterfeits have a red corner, which is their evidence."""
    generator = np.random.default_rng(0)
    label = np.r_[np.zeros(GENUINE, np.int64), np.ones(COUNTERFEITS, np.int64)]
    pixels = generator.integers(100, 140, (len(label), SIDE, SIDE, 3), dtype=np.uint8)
    strength = np.linspace(140, 250, COUNTERFEITS)[:, None, None]  # from barely visible to bright
    pixels[label == 1, :16, :16, 0] = strength
    evidence = generator.random((len(label), 4, 4)).astype(np.float32) / 10
    evidence[label == 1, :2, :2] += 1
    embeddings = embed(pixels)
    fold = np.arange(len(label)) % 3
    return Candidates(
        sources=Sources(pixels, label, evidence, host_candidates(embeddings.pooled, label)),
        path=np.array([f"{i}.png" for i in range(len(label))]),
        group=np.array([f"item{i}" for i in range(len(label))]),
        fold=fold,
        features=embeddings.pooled.astype(np.float64),
        score=redness(embeddings, fold),
        operating_point=5.0,
        embed=embed,
        standardise=lambda pooled: pooled.astype(np.float64),
        rate=redness,
    )


def synthesise(real: Candidates, refine: Refine, settings: SynthesisSettings, seed: int) -> tuple[Bank, dict[str, Any]]:
    return synthesis.synthesise(real, draw_candidates(real, refine, settings, seed), settings, seed)


def test_a_bank_is_of_both_labels_with_hosts_and_donors_of_its_own(real: Candidates) -> None:
    bank, counts = synthesise(real, leave_plain, replace(SETTINGS, novelty=0.0), seed=1)
    genuine = real.path[:GENUINE]
    assert set(bank.label.tolist()) == {0, 1}
    assert np.isin(bank.host, genuine).all()
    drawn_by_rule = bank.scores["anomaly"] == 1
    assert np.array_equal(np.isin(bank.donor, genuine), (bank.label == 0) | drawn_by_rule)
    assert (bank.host != bank.donor)[~drawn_by_rule].all() and (bank.label[drawn_by_rule] == 1).all()
    assert counts["kept"] == {"counterfeit": int((bank.label == 1).sum()), "genuine": int((bank.label == 0).sum())}
    assert bank.pixels.shape == (len(bank), SIDE, SIDE, 3) and bank.masks.shape == (len(bank), SIDE, SIDE)


def test_two_choices_from_one_drawing_are_those_from_a_drawing_each(real: Candidates) -> None:
    drawn = draw_candidates(real, leave_plain, SETTINGS, seed=1)
    for hard in (0.5, 0.0, 0.5):
        settings = replace(SETTINGS, hard=hard)
        (bank, counts), (again, counts_again) = (
            synthesis.synthesise(real, drawn, settings, 1),
            synthesise(real, leave_plain, settings, 1),
        )
        assert np.array_equal(bank.pixels, again.pixels) and bank.host.tolist() == again.host.tolist()
        assert counts == counts_again


def test_every_candidate_is_kept_or_counted_by_the_reason_against_it(real: Candidates) -> None:
    _, counts = synthesise(real, leave_plain, SETTINGS, seed=1)
    assert counts["drawn"] == {"counterfeit": 24, "genuine": 12}
    for label in ("counterfeit", "genuine"):
        assert counts["kept"][label] + sum(counts["rejected"][label].values()) == counts["drawn"][label]


def test_kept_counterfeits_carry_their_evidence(real: Candidates) -> None:
    bank, _ = synthesise(real, leave_plain, SETTINGS, seed=1)
    made = bank.pixels[bank.label == 1].astype(float)
    red = made[..., 0] - made[..., 1:].mean(-1)
    inside = bank.masks[bank.label == 1] > 150
    assert len(made) and red[inside].mean() > 3 * abs(red[~inside].mean())


def test_a_refiner_that_washes_the_evidence_out_adds_no_counterfeit(real: Candidates) -> None:
    def wash(images: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
        return images.mean(1, keepdim=True) * torch.tensor([0.98, 1.0, 1.0]).view(1, 3, 1, 1)

    bank, counts = synthesise(real, wash, replace(SETTINGS, refined=1.0), seed=1)
    assert counts["kept"]["counterfeit"] == (bank.label == 1).sum() == 0
    rejected = counts["rejected"]["counterfeit"]
    assert rejected["support"] + rejected["label"] == 24


def test_a_refiner_that_returns_the_host_is_no_novelty(real: Candidates) -> None:
    def host(images: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
        return torch.full_like(images, 120 / 255)

    flat = replace(real, sources=replace(real.sources, pixels=np.full_like(real.sources.pixels, 120)))
    _, counts = synthesise(flat, host, replace(SETTINGS, novelty=2.0, refined=1.0), seed=1)
    assert counts["kept"] == {"counterfeit": 0, "genuine": 0}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_refiner_changes_the_share_of_candidates_it_is_given(real: Candidates, share: float) -> None:
    def mark(images: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
        images = images.clone()
        images[:, :, -1, -1] = 1.0  # a white corner, which no photograph has
        return images

    many = replace(SETTINGS, novelty=0.0, refined=share, count=40, hard=0.0)
    bank, _ = synthesise(real, mark, many, seed=1)
    white = (bank.pixels[:, -1, -1] == 255).all(1)
    assert np.array_equal(white, bank.scores["refined"] == 1)
    assert white.mean() == pytest.approx(share, abs=0.2 if 0 < share < 1 else 0)


def test_the_seed_decides(real: Candidates) -> None:
    first, again, other = (synthesise(real, leave_plain, SETTINGS, seed=s)[0] for s in (1, 1, 2))
    assert np.array_equal(first.pixels, again.pixels) and np.array_equal(first.donor, again.donor)
    assert first.pixels.shape != other.pixels.shape or not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_anomalies_are_the_share_of_counterfeit_candidates_that_was_asked_for(real: Candidates, share: float) -> None:
    open_gates = replace(
        real,
        rate=lambda found, fold: np.full(len(found), 3.0),
        features=np.zeros((GENUINE + COUNTERFEITS, 1)),
        standardise=lambda pooled: np.zeros((len(pooled), 1)),
    )
    many = replace(SETTINGS, novelty=0.0, anomalies=share, count=20, overdraw=1, hard=0.0)
    bank, counts = synthesise(open_gates, leave_plain, many, seed=1)
    assert counts["drawn"]["counterfeit"] == 20
    assert bank.scores["anomaly"][bank.label == 1].mean() == pytest.approx(share, abs=0.15)
    assert not bank.scores["anomaly"][bank.label == 0].any()
