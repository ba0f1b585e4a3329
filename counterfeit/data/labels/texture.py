"""Procedural textures: the materials of labels and the surfaces that they are photographed on."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""One value a pixel: `(height, width)`."""

SURFACES = ("wood", "linen", "denim", "stone", "felt", "board")


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> Plane:
    """Return noise of standard deviation about 1 that varies over `cells` (down, across) of the `shape`."""
    grid = rng.standard_normal(cells).astype(np.float32)
    return np.asarray(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _weave(shape: tuple[int, int], period: float, twill: float = 0.0) -> Plane:
    """Return a weave between -1 and 1 with threads every `period` pixels; `twill` shears it into diagonals."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) * np.float32(2 * np.pi / period)
    return np.asarray(np.sin(x + twill * y) * np.sin(y * (1 - twill) + 0.5 * np.pi * twill), np.float32)


@lru_cache(maxsize=32)
def material(name: str, shape: tuple[int, int]) -> Plane:
    """Return the relief of a label's material as a factor of brightness around 1. Read-only."""
    rng = np.random.default_rng([11, len(name), *shape])
    size = max(shape)
    grain = smooth_noise(rng, shape, (size // 2, size // 2))
    cloud = smooth_noise(rng, shape, (7, 7))
    if name == "woven":
        relief = 0.075 * _weave(shape, size / 56) + 0.015 * grain
    elif name == "leather":
        pores = smooth_noise(rng, shape, (size // 5, size // 5))
        relief = 0.05 * np.abs(pores) + 0.02 * grain + 0.03 * cloud - 0.04
    else:
        relief = 0.010 * grain + 0.008 * cloud
    factor = np.asarray(1 + relief, np.float32)
    factor.setflags(write=False)
    return factor


@lru_cache(maxsize=16)
def surface(name: str, side: int) -> NDArray[np.float32]:
    """Return a background `(side, side, 3)` in RGB, 0 to 255, large enough to crop a photograph from. Read-only."""
    rng = np.random.default_rng([13, SURFACES.index(name), side])
    shape = (side, side)
    grain, cloud = smooth_noise(rng, shape, (side // 2, side // 2)), smooth_noise(rng, shape, (6, 6))
    if name == "wood":
        rings = smooth_noise(rng, shape, (5, 3)) * 2 + np.linspace(0, 16, side, dtype=np.float32)[:, None]
        relief = 0.06 * np.sin(2 * rings) + 0.03 * smooth_noise(rng, shape, (side // 2, 5)) + 0.02 * grain
        relief[:: side // 3] -= 0.2
        base = (150, 104, 66)
    elif name == "linen":
        relief, base = 0.06 * _weave(shape, side / 48) + 0.03 * grain + 0.02 * cloud, (196, 188, 172)
    elif name == "denim":
        relief, base = 0.09 * _weave(shape, side / 44, 0.5) + 0.05 * grain + 0.05 * cloud, (66, 84, 118)
    elif name == "stone":
        relief, base = 0.07 * cloud + 0.04 * smooth_noise(rng, shape, (24, 24)) + 0.03 * grain, (142, 142, 138)
    elif name == "felt":
        relief, base = 0.06 * grain + 0.03 * smooth_noise(rng, shape, (20, 20)) + 0.03 * cloud, (76, 74, 78)
    else:
        relief, base = 0.012 * grain + 0.02 * cloud, (214, 210, 204)
    picture = np.asarray((1 + relief)[..., None] * np.array(base, np.float32), np.float32)
    picture.setflags(write=False)
    return picture
