"""Patch heads are blind to what the way of capturing does to patches, and to nothing else."""

import numpy as np
import pytest
import torch

from counterfeit.backbone import Embeddings
from counterfeit.data.transforms import CONDITIONS, IN_PLACE
from counterfeit.detector.captures import Copies
from counterfeit.detector.heads import PatchHeads
from counterfeit.detector.steady import DIRECTIONS, capture_directions

PHOTOGRAPHS, GRID, CHANNELS = 12, 4, 40
GENUINE = np.arange(PHOTOGRAPHS) < 8
STILL = next(i for i, name in enumerate(CONDITIONS) if name.startswith("paler"))


def copies_of(patches: np.ndarray, generator: np.random.Generator) -> Copies:
    """In place a condition moves one channel of its own, otherwise channel 39; counterfeits also move in channel 38."""
    moved, source, condition = [], [], []
    for number, in_place in enumerate(IN_PLACE):
        change = np.zeros_like(patches)
        if number != STILL:
            channel = number % DIRECTIONS if in_place else 39
            strength = 10.0 ** (number % 3)  # mild conditions count as much as strong ones
            change[..., channel] = strength * generator.normal(size=patches.shape[:3])
            change[~GENUINE, ..., 38] = 100.0
        moved.append(patches + change)
        source.append(np.arange(len(patches)))
        condition.append(np.full(len(patches), number))
    embedded = Embeddings(np.zeros((len(moved) * len(patches), 1), np.float32), np.concatenate(moved))
    return Copies(embedded, np.concatenate(source), np.concatenate(condition))


@pytest.fixture(scope="module")
def directions() -> torch.Tensor:
    generator = np.random.default_rng(0)
    patches = generator.normal(size=(PHOTOGRAPHS, GRID, GRID, CHANNELS)).astype(np.float16)
    return capture_directions(patches, GENUINE, copies_of(patches, generator), torch.full((CHANNELS,), 2.0))


def test_directions_are_those_in_which_captures_move_genuine_patches(directions: torch.Tensor) -> None:
    torch.testing.assert_close(directions @ directions.T, torch.eye(DIRECTIONS), atol=1e-5, rtol=0)
    inside = directions.square().sum(0)  # how much of each channel is among them
    torch.testing.assert_close(inside[:DIRECTIONS], torch.ones(DIRECTIONS), atol=1e-3, rtol=0)
    assert inside[DIRECTIONS:].max() < 1e-3


def test_what_is_ignored_changes_no_logit_and_is_not_learned_from(directions: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(1)
    heads = PatchHeads(CHANNELS + 3, hidden=4, folds=2)
    patches = torch.randn(6, 9, CHANNELS + 3, generator=generator)
    heads.standardise_to(patches.flatten(0, 1))
    heads.ignore(directions)
    moved, other = patches.clone(), patches.clone()
    moved[..., :CHANNELS] += torch.randn(6, 9, DIRECTIONS, generator=generator) @ directions * heads.std[:CHANNELS]
    other[..., -1] += 1.0  # a distance
    torch.testing.assert_close(heads(moved), heads(patches), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(heads.bags(moved), heads.bags(patches), atol=1e-4, rtol=1e-4)
    assert (heads(other) - heads(patches)).abs().max() > 0.01
    heads(patches).square().sum().backward()
    assert heads.first.weight.grad is not None
    assert (heads.first.weight.grad[:, :CHANNELS] @ directions.T).abs().max() < 1e-3


def test_heads_ignore_nothing_until_told() -> None:
    heads = PatchHeads(CHANNELS, hidden=4, folds=2)
    assert not heads.ignored.any()
