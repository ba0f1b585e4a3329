"""Refiners that are broken on purpose, each found by the check of its name; one that is not broken passes."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from counterfeit.gan import lesson
from counterfeit.gan.augment import RefinerBatches, draw_pool
from counterfeit.gan.health import WINDOW, diagnose
from counterfeit.gan.lesson import probes
from counterfeit.gan.refiner import Refiner
from counterfeit.gan.settings import GanSettings
from counterfeit.gan.train import train_generator
from counterfeit.gan.transplant import Composites, Sources

SETTINGS = GanSettings(kimg=0.48, batch_size=4, crop=32, lr=2e-3, pool=8, ema_half_life=100.0)
LOSSES = {"images": 160.0, "loss_generator": 0.2, "loss_discriminator": 1.7, "score_real": 0.2, "score_fake": -0.2}
Probe = tuple[Tensor, Tensor, Tensor]


def probe_of(sources: Sources, count: int, rows: Tensor) -> Probe:
    return probes(RefinerBatches(sources, draw_pool(sources, count, 0, True), 32, 4, range(1), 0, True), rows)


@pytest.fixture(scope="module")
def probe(sources: Sources) -> Probe:
    return probe_of(sources, 8, torch.tensor([*range(6), *range(8, 14)]))


class Grey(nn.Module):
    """A generator that has collapsed to one image."""

    def forward(self, composite: Tensor, mask: Tensor, z: Tensor) -> Tensor:
        return torch.full_like(composite, 0.5)


class Copier(nn.Module):
    """A generator that has learned its donors by heart."""

    def __init__(self, donors: Tensor) -> None:
        super().__init__()
        self.donors = donors

    def forward(self, composite: Tensor, mask: Tensor, z: Tensor) -> Tensor:
        return composite + (mask > 0) * (self.donors - composite)


class Grain(nn.Module):
    """A generator that adds a little texture inside the mask, another for each latent."""

    def forward(self, composite: Tensor, mask: Tensor, z: Tensor) -> Tensor:
        texture = z[:, :3, None, None] * torch.linspace(-1, 1, composite.shape[-1])
        return composite + 0.02 * mask * texture


def history(refiner: Refiner, probe: Probe) -> list[dict[str, float]]:
    return [LOSSES | refiner.measure(*probe) for _ in range(2 * WINDOW)]


def planted(average: nn.Module) -> Refiner:
    refiner = Refiner(size=32)
    refiner.average = average
    return refiner


@pytest.mark.parametrize("name", ["collapsed", "copied", "unchanged", "nan"])
def test_a_broken_generator_is_found_by_name(name: str, probe: Probe) -> None:
    refiner = planted({"collapsed": Grey(), "copied": Copier(probe[2])}.get(name, Refiner(size=32).average))
    if name == "nan":
        nn.init.constant_(refiner.average.leave.bias, float("nan"))
    assert str(diagnose(history(refiner, probe))).startswith(f"{name}: ")


def test_a_generator_that_is_not_broken_passes(probe: Probe) -> None:
    assert diagnose(history(planted(Grain()), probe)) is None


def test_donors_are_found_as_they_were_pasted(sources: Sources) -> None:
    composite, mask, donor = probe_of(sources, 32, torch.arange(64))  # strengths vary too much to judge by fewer
    pasted = ((composite - donor).abs() * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
    mirrored = ((composite - donor.flip(3)).abs() * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
    assert pasted.mean() < 0.7 * mirrored.mean()


@pytest.mark.slow
def test_a_discriminator_without_loss_ends_the_training(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def black_pool(*args: object) -> Composites:
        pool = draw_pool(*args)  # type: ignore[arg-type]
        return dataclasses.replace(pool, images=torch.zeros_like(pool.images))

    monkeypatch.setattr(lesson, "draw_pool", black_pool)
    done = train_generator(tmp_path, sources, SETTINGS, 0, restarts=0, flips=False)
    assert not done["healthy"] and done["reason"].startswith("discriminator_won: ")
    assert json.loads((tmp_path / "done.json").read_text())["images"] < 480


@pytest.mark.slow
def test_a_training_that_is_left_alone_ends_healthy(sources: Sources, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, lr=4e-4)
    done = train_generator(tmp_path, sources, settings, 0, restarts=0, flips=False)
    assert done["healthy"], done["reason"]
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) > 2 * WINDOW
