"""Anomalies drawn by rule into genuine photographs, with masks: no counterfeit and no generator behind them."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from counterfeit.gan.transplant import Composites, to_pixels
from counterfeit.synthesis.bank import Bank

Pixels = NDArray[np.float32]
Drawn = tuple[Pixels, Pixels]
SCRATCH_MARGIN = 1 / 16  # of the side: a scratch marks the patches that it touches, not only those it would fill


def cut_paste(image: Pixels, texture: Pixels, generator: np.random.Generator) -> Drawn:
    """A rectangle of the image itself, recoloured and pasted elsewhere (Li et al. 2021, CutPaste).

    Args:
        image: ``(S, S, 3)`` in [0, 1].
        texture: not used.
        generator: source of all randomness.

    Returns:
        the image ``(S, S, 3)`` and where it was changed, ``(S, S)`` in [0, 1].
    """
    size = len(image)
    area, aspect = generator.uniform(0.02, 0.15), np.exp(generator.uniform(np.log(0.3), np.log(1 / 0.3)))
    sides = np.array([np.sqrt(area * aspect), np.sqrt(area / aspect)]) * size
    height, width = np.clip(np.rint(sides).astype(int), 2, size - 1)
    (y, to_y), (x, to_x) = (generator.integers(size - side + 1, size=2) for side in (height, width))
    patch = recoloured(image[y : y + height, x : x + width], generator)
    changed, mask = image.copy(), np.zeros((size, size), np.float32)
    changed[to_y : to_y + height, to_x : to_x + width] = patch
    mask[to_y : to_y + height, to_x : to_x + width] = 1
    return changed, mask


def perlin_texture(image: Pixels, texture: Pixels, generator: np.random.Generator) -> Drawn:
    """Another photograph's texture under a mask of Perlin noise (Zavrtanik et al. 2021, DRAEM).

    The paper takes textures from a collection of its own; here they are another genuine photograph, turned and
    recoloured. Arguments and result as in :func:`cut_paste`; ``texture`` is that other photograph.
    """
    cells = 2 ** int(generator.integers(1, 5))
    noise = perlin_noise(len(image), cells, generator)
    soft = np.clip((noise - np.quantile(noise, generator.uniform(0.75, 0.95))) / 0.05, 0, 1).astype(np.float32)
    turned = np.rot90(texture, int(generator.integers(1, 4)))
    mask = soft * np.float32(generator.uniform(0.4, 1.0))
    changed = image + mask[..., None] * (recoloured(turned, generator) - image)
    return changed.astype(np.float32), soft


def scratch(image: Pixels, texture: Pixels, generator: np.random.Generator) -> Drawn:
    """One to four thin curves, lighter or darker than what they cross; arguments and result as in :func:`cut_paste`."""
    size = len(image)
    line = np.zeros((size, size), np.uint8)
    for _ in range(int(generator.integers(1, 5))):
        heading = generator.uniform(0, 2 * np.pi) + np.cumsum(generator.normal(0, 0.25, 8))
        step = size * generator.uniform(0.1, 0.7) / 8
        points = (
            generator.uniform(0.1, 0.9, 2) * size + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), 0) * step
        )
        width = int(generator.integers(1, max(2, size // 64) + 1))
        cv2.polylines(line, [np.rint(points * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
    cover = line.astype(np.float32)[..., None] / 255
    shade = generator.choice([-1, 1]) * generator.uniform(0.15, 0.6) + draw_tint(image, generator)
    reach = 2 * max(1, round(size * SCRATCH_MARGIN)) + 1
    mask = cv2.dilate(line, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return np.clip(image + cover * shade.astype(np.float32), 0, 1), (mask > 127).astype(np.float32)


DRAWINGS: tuple[Callable[[Pixels, Pixels, np.random.Generator], Drawn], ...] = (cut_paste, perlin_texture, scratch)


def procedural(
    pixels: NDArray[np.uint8], label: NDArray[np.int64], path: NDArray[np.str_], count: int, seed: int
) -> Bank:
    """A bank of genuine photographs with anomalies drawn in, each kind in turn, and of genuine ones as they are.

    Args:
        pixels: ``(N, S, S, 3)`` training photographs; only genuine ones are used.
        label: ``(N,)``.
        path: ``(N,)``.
        count: images of each label.
        seed: source of all randomness.

    Returns:
        A bank with hosts and donors as of :func:`draw_anomalies`.
    """
    generator = np.random.default_rng([seed, 23])
    changed = draw_anomalies(pixels, label, count, generator)
    plain = generator.choice(np.flatnonzero(label == 0), count)
    masks = (changed.masks[:, 0] * 255).round().to(torch.uint8).numpy()
    return Bank(
        pixels=np.concatenate([to_pixels(changed.images), pixels[plain]]),
        masks=np.concatenate([masks, np.zeros_like(masks)]),
        label=np.repeat([1, 0], count),
        host=path[np.concatenate([changed.host, plain])],
        donor=path[np.concatenate([changed.donor, plain])],
        scores={},
    )


def draw_anomalies(
    pixels: NDArray[np.uint8], label: NDArray[np.int64], count: int, generator: np.random.Generator
) -> Composites:
    """Genuine photographs with anomalies drawn in, each kind in turn, labelled counterfeit.

    Args:
        pixels: ``(N, S, S, 3)`` training photographs; only genuine ones are used.
        label: ``(N,)``.
        count: how many.
        generator: source of all randomness.

    Returns:
        Composites whose hosts are the photographs drawn into and whose donors are those that gave the texture, the
        hosts themselves where none did.
    """
    genuine = np.flatnonzero(label == 0)
    host, texture = generator.choice(genuine, (2, count))
    drawings = [DRAWINGS[i % len(DRAWINGS)] for i in range(count)]
    # Only Perlin noise takes another photograph's texture: the others are made of their host alone.
    donor = np.where([draw is perlin_texture for draw in drawings], texture, host)
    images = np.empty((count, *pixels.shape[1:]), np.float32)
    masks = np.empty(images.shape[:3], np.float32)
    for i, draw in enumerate(drawings):
        into, of = (pixels[rows[i]].astype(np.float32) / 255 for rows in (host, texture))
        images[i], masks[i] = draw(into, of, generator)
    drawn = torch.from_numpy(images).permute(0, 3, 1, 2).clamp(0, 1)
    return Composites(drawn, torch.from_numpy(masks)[:, None], host, donor, np.ones(count, np.int64), donated=drawn)


def perlin_noise(size: int, cells: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise ``(size, size)`` around 0 with ``cells`` hills and valleys a side (Perlin 1985, 2002)."""
    angle = generator.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
    slope = np.stack([np.cos(angle), np.sin(angle)])
    place = (np.arange(size) + 0.5) * cells / size
    cell, within = np.floor(place).astype(int), place % 1
    fade = within**3 * (within * (within * 6 - 15) + 10)

    def corner(down: int, right: int) -> NDArray[np.float64]:
        rows, columns = (cell + down)[:, None], (cell + right)[None]
        down_part = slope[0, rows, columns] * (within - down)[:, None]
        product: NDArray[np.float64] = down_part + slope[1, rows, columns] * (within - right)[None]
        return product

    top = corner(0, 0) + fade[None] * (corner(0, 1) - corner(0, 0))
    bottom = corner(1, 0) + fade[None] * (corner(1, 1) - corner(1, 0))
    noise: NDArray[np.float64] = top + fade[:, None] * (bottom - top)
    return noise


def recoloured(image: Pixels, generator: np.random.Generator) -> Pixels:
    """An image ``(H, W, 3)`` in [0, 1] with another brightness, contrast and tint."""
    centre = image.mean((0, 1))
    gain, shift, tint = generator.uniform(0.7, 1.3), generator.uniform(-0.2, 0.2), draw_tint(image, generator)
    changed: Pixels = np.clip(centre + gain * (image - centre) + shift + tint, 0, 1).astype(np.float32)
    return changed


def draw_tint(image: Pixels, generator: np.random.Generator) -> Pixels:
    """A small random colour ``(3,)`` to add; none to a grey photograph, where colour would give the anomaly away."""
    saturation = float((image.max(2) - image.min(2)).mean())
    tint: Pixels = (min(1.0, saturation / 0.1) * generator.normal(0, 0.05, 3)).astype(np.float32)
    return tint
