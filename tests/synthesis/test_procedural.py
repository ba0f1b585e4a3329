"""Anomalies by rule change the photograph where the mask says, and nowhere else."""

import numpy as np
import pytest

from counterfeit.synthesis.procedural import DRAWINGS, perlin_noise, procedural


def photographs(count: int = 12, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(40, 216, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(size // 8, 1).repeat(size // 8, 2)


@pytest.mark.parametrize("draw", DRAWINGS, ids=lambda draw: draw.__name__)
def test_an_anomaly_stays_inside_of_its_mask_and_is_visible_there(draw) -> None:
    generator = np.random.default_rng(1)
    image, texture = photographs()[:2].astype(np.float32) / 255
    for _ in range(30):
        changed, mask = draw(image, texture, generator)
        assert changed.shape == image.shape and changed.dtype == np.float32
        assert mask.shape == image.shape[:2] and mask.min() >= 0 and mask.max() <= 1
        difference = np.abs(changed - image).max(2)
        assert difference[mask == 0].max(initial=0) < 1e-6
        assert difference.max() > 0.03 and 0.001 < (mask > 0.5).mean() < 0.5


def test_a_bank_has_every_kind_and_names_what_it_was_made_from() -> None:
    pixels, label = photographs(), np.r_[np.zeros(8, np.int64), np.ones(4, np.int64)]
    path = np.array([f"{'counterfeit' if y else 'genuine'}/{i}.png" for i, y in enumerate(label)])
    bank = procedural(pixels, label, path, 9, seed=0)
    assert bank.label.tolist() == [1] * 9 + [0] * 9
    assert all(name.startswith("genuine/") for name in [*bank.host.tolist(), *bank.donor.tolist()])
    position = {name: i for i, name in enumerate(path.tolist())}
    hosts = pixels[[position[name] for name in bank.host.tolist()]]
    changed = (bank.pixels != hosts).any((1, 2, 3))
    assert changed[:9].all() and not changed[9:].any()
    assert (bank.masks[:9] > 150).any((1, 2)).all() and not bank.masks[9:].any()
    other = procedural(pixels, label, path, 9, seed=1)
    assert not np.array_equal(bank.pixels, other.pixels)
    assert np.array_equal(bank.pixels, procedural(pixels, label, path, 9, seed=0).pixels)


def test_a_scratch_is_wide_enough_in_its_mask_to_fill_patches() -> None:
    image = photographs()[0].astype(np.float32) / 255
    _, mask = DRAWINGS[2](image, image, np.random.default_rng(0))
    assert mask.reshape(8, 8, 8, 8).mean((1, 3)).max() > 0.6


def test_perlin_noise_is_smooth_and_zero_on_average() -> None:
    noise = np.stack([perlin_noise(64, 4, np.random.default_rng(i)) for i in range(50)])
    assert abs(noise.mean()) < 0.03 and noise.std() > 0.1
    assert np.abs(np.diff(noise, axis=1)).max() < 0.2


def test_anomalies_in_grey_photographs_are_grey() -> None:
    grey = photographs()[:, :, :, :1].repeat(3, 3)
    bank = procedural(grey, np.zeros(12, np.int64), np.arange(12).astype(str), 6, seed=0)
    assert np.ptp(bank.pixels.astype(int), axis=3).max() <= 1
