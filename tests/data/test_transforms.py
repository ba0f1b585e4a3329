"""Augmentation: decided by the seed alone, in any process."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from counterfeit.data.transforms import CONDITIONS, Preset, augment, recapture


def photograph(side: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


class Augmented(Dataset[torch.Tensor]):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(augment(photograph(), "strong", flips=True, seed=(7, self.epoch, index)))


@pytest.mark.parametrize("preset", ["none", "light", "strong"])
@pytest.mark.parametrize("flips", [False, True])
def test_shape_and_type_stay_and_the_seed_decides(preset: Preset, flips: bool) -> None:
    image = photograph()
    before = image.copy()
    first = augment(image, preset, flips, (1, 2, 3))
    augment(image, preset, flips, (1, 2, 4))
    assert first.shape == image.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, augment(image, preset, flips, (1, 2, 3)))
    np.testing.assert_array_equal(image, before)


def test_none_is_the_identity() -> None:
    for seed in range(20):
        np.testing.assert_array_equal(augment(photograph(), "none", False, seed), photograph())


def test_flips_mirror_half_of_the_images() -> None:
    image = photograph()
    mirrored = [np.array_equal(augment(image, "none", True, (0, 0, i)), image[:, ::-1]) for i in range(200)]
    same = [np.array_equal(augment(image, "none", True, (0, 0, i)), image) for i in range(200)]
    assert sum(mirrored) + sum(same) == 200
    assert 70 <= sum(mirrored) <= 130


@pytest.mark.parametrize("preset", ["light", "strong"])
def test_epochs_and_samples_differ(preset: Preset) -> None:
    seeds = [(0, epoch, index) for epoch in range(4) for index in range(10)]
    assert len({augment(photograph(), preset, seed=seed).tobytes() for seed in seeds}) >= 38


def test_strong_changes_more_than_light() -> None:
    def change(preset: Preset) -> float:
        image = photograph().astype(float)
        return float(np.mean([np.abs(augment(photograph(), preset, seed=i) - image).mean() for i in range(60)]))

    assert change("strong") > 1.3 * change("light") > 0


def test_steps_are_drawn_independently() -> None:
    """With one seed for every step, as albumentations has it, brightness could be told from the mirroring."""
    image = np.tile(np.linspace(90, 160, 64).astype(np.uint8)[None, :, None], (64, 1, 3))
    results = [augment(image, "light", True, i).astype(float) for i in range(300)]
    mirrored = np.array([result[:, :16].mean() > result[:, -16:].mean() for result in results])
    brightness = np.array([result.mean() for result in results])
    assert 0.35 < mirrored.mean() < 0.65
    assert abs(np.corrcoef(mirrored, brightness)[0, 1]) < 0.2


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
def test_workers_do_not_matter() -> None:
    runs = [torch.cat(list(DataLoader(Augmented(0), batch_size=4, num_workers=workers))) for workers in (0, 1, 2)]
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[0], torch.cat(list(DataLoader(Augmented(1), batch_size=4))))


def test_the_global_random_state_is_neither_read_nor_changed() -> None:
    results = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)  # noqa: NPY002
        python, numpy = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
        results.append(augment(photograph(), "strong", seed=5))
        assert random.getstate() == python
        np.testing.assert_array_equal(np.random.get_state()[1], numpy)  # noqa: NPY002
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("side", [128, 256])
def test_a_copy_under_another_condition_is_decided_by_its_seed(condition: str, side: int) -> None:
    image = coloured(side)
    before = image.copy()
    first = recapture(image, condition, 1)
    assert first.shape == image.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, recapture(image, condition, 1))
    np.testing.assert_array_equal(image, before)
    assert not np.array_equal(first, image)
    assert len({recapture(image, condition, seed).tobytes() for seed in range(6)}) > (condition != "paler 0-0")


@pytest.mark.parametrize(
    "kind", ["JPEG", "WebP", "shrunk", "blurred", "noisy", "darker", "brighter", "paler", "cropped", "turned"]
)
def test_conditions_of_a_kind_get_stronger(kind: str) -> None:
    image = coloured(128)
    grades = [name for name in CONDITIONS if name.startswith(kind)]
    changes = [
        np.mean([np.abs(recapture(image, name, seed).astype(int) - image).mean() for seed in range(8)])
        for name in grades
    ]
    assert len(grades) >= 2 and changes == sorted(changes), changes


@pytest.mark.parametrize("condition", [name for name in CONDITIONS if name.startswith("cropped")])
def test_a_crop_shows_nothing_from_outside(condition: str) -> None:
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[None, :, None], (128, 128, 3)).copy()
    for seed in range(40):
        for image in (ramp, ramp.transpose(1, 0, 2).copy()):
            steps = np.diff(recapture(image, condition, seed).astype(int), axis=0 if image is not ramp else 1)
            assert (steps >= 0).all()


def test_the_palest_has_no_colour() -> None:
    copy = recapture(coloured(64), "paler 0-0", 0).astype(int)
    assert np.ptp(copy, axis=2).max() <= 1


def coloured(side: int) -> np.ndarray:
    """Smooth colours and fine detail, neither dark nor bright: all that a condition may take away."""
    generator = np.random.default_rng(5)
    smooth = generator.integers(60, 140, (side // 16, side // 16, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    return smooth + generator.integers(0, 40, (side, side, 1), np.uint8)
