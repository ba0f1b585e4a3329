"""Classic augmentation, the same for the same seed in any process; the only file that knows albumentations."""

import random
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

Preset = Literal["none", "light", "strong"]


def augment(
    image: NDArray[np.uint8], preset: Preset, flips: bool = False, seed: tuple[int, ...] | int = 0
) -> NDArray[np.uint8]:
    """Return an augmented copy of an image, ``(H, W, 3)`` uint8 RGB.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        preset: ``none`` leaves the image as it is, ``light`` and ``strong`` move, relight, blur and recompress it.
        flips: mirror half of the images; only for products that may be mirrored (no text, no logo).
        seed: for example ``(seed, epoch, index)``; the result depends on nothing else.
    """
    return _seeded(_pipeline(preset, flips), image, seed)


def recapture(image: NDArray[np.uint8], condition: str, seed: tuple[int, ...] | int = 0) -> NDArray[np.uint8]:
    """Return the image as if it had been taken, stored or passed on in another way.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        condition: one of ``CONDITIONS``.
        seed: the result depends on nothing else.
    """
    return _seeded(_condition(condition, min(image.shape[:2])), image, seed)


def _seeded(pipeline: A.Compose, image: NDArray[np.uint8], seed: tuple[int, ...] | int) -> NDArray[np.uint8]:
    entropy = np.random.SeedSequence(seed)
    # albumentations copies its state into every worker of a loader, which would then repeat each other in every epoch;
    # and `set_random_seed` starts each step at the same number, so that all of them would be strong or weak together.
    generator = np.random.default_rng(entropy)
    pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
    changed: NDArray[np.uint8] = pipeline(image=image)["image"]
    return np.ascontiguousarray(changed)


@lru_cache(maxsize=6)
def _pipeline(preset: Preset, flips: bool) -> A.Compose:
    mirror = [A.HorizontalFlip(p=0.5)] if flips else []
    return A.Compose([*mirror, *{"none": list, "light": _light, "strong": _strong}[preset]()])


def _light() -> list[A.BasicTransform]:
    return [
        _affine(zoom=(0.95, 1.1), shift=0.04, degrees=5, shear=0, p=0.8),
        A.RandomBrightnessContrast(brightness_limit=0.15, contrast_limit=0.15, p=0.7),
        A.GaussianBlur(sigma_limit=(0.2, 0.8), blur_limit=0, p=0.2),
        A.ImageCompression(quality_range=(60, 95), p=0.4),
    ]


def _strong() -> list[A.BasicTransform]:
    return [
        _affine(zoom=(0.85, 1.3), shift=0.08, degrees=15, shear=6, p=0.9),
        A.RandomBrightnessContrast(brightness_limit=0.3, contrast_limit=0.3, p=0.8),
        A.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=25, val_shift_limit=0, p=0.5),
        A.RandomGamma(gamma_limit=(75, 135), p=0.3),
        A.GaussianBlur(sigma_limit=(0.3, 1.5), blur_limit=0, p=0.3),
        A.GaussNoise(std_range=(0.01, 0.05), p=0.3),
        A.ImageCompression(quality_range=(35, 95), p=0.5),
    ]


def _affine(zoom: tuple[float, float], shift: float, degrees: float, shear: float, p: float) -> A.Affine:
    """Zoom (above 1 a crop), shift (share of the side), rotate and shear; the edge is mirrored, not blackened."""
    return A.Affine(
        scale=zoom,
        translate_percent=(-shift, shift),
        rotate=(-degrees, degrees),
        shear=(-shear, shear),
        keep_ratio=True,
        border_mode=cv2.BORDER_REFLECT_101,
        p=p,
    )


Range = tuple[float, float]
_Made = dict[str, Callable[[int], A.BasicTransform]]  # what makes a transformation for a side in pixels


def _compressed(codec: Literal["jpeg", "webp"], quality: tuple[int, int], side: int) -> A.BasicTransform:
    return A.ImageCompression(compression_type=codec, quality_range=quality, p=1)


def _shrunk(share: Range, side: int) -> A.BasicTransform:
    ways = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_CUBIC}
    return A.Downscale(scale_range=share, interpolation_pair=ways, p=1)


def _blurred(share: Range, side: int) -> A.BasicTransform:
    return A.GaussianBlur(sigma_limit=(max(0.3, share[0] * side), max(0.4, share[1] * side)), blur_limit=0, p=1)


def _noisy(deviation: Range, side: int) -> A.BasicTransform:
    return A.GaussNoise(std_range=deviation, p=1)


def _light_times(factor: Range, side: int) -> A.BasicTransform:
    return A.MultiplicativeNoise(multiplier=factor, p=1)


def _colour_times(factor: Range, side: int) -> A.BasicTransform:
    return A.ColorJitter(brightness=(1, 1), contrast=(1, 1), saturation=factor, hue=(0, 0), p=1)


def _cropped(zoom: Range, side: int) -> A.BasicTransform:
    return _affine(zoom=zoom, shift=(zoom[0] - 1) / 2, degrees=0, shear=0, p=1)


def _turned(degrees: Range, side: int) -> A.BasicTransform:
    ways = (degrees, (-degrees[1], -degrees[0]))
    return A.OneOf([A.Affine(rotate=way, border_mode=cv2.BORDER_REFLECT_101, p=1) for way in ways], p=1)


def _on_page(shade: int, side: int) -> A.BasicTransform:
    return A.Affine(
        scale=(0.8, 0.95),
        translate_percent=(-0.04, 0.04),
        keep_ratio=True,
        border_mode=cv2.BORDER_CONSTANT,
        fill=shade,
        p=1,
    )


def _graded(name: str, made: Callable[..., A.BasicTransform], *grades: float | Range) -> _Made:
    """Each grade under a name that says all that its pixels depend on: features are kept by it."""
    numbers = ["-".join(f"{n:g}" for n in (grade if isinstance(grade, tuple) else (grade,))) for grade in grades]
    return {f"{name} {number}": partial(made, grade) for number, grade in zip(numbers, grades, strict=True)}


_CONDITIONS: _Made = {
    **_graded("JPEG", partial(_compressed, "jpeg"), (75, 95), (55, 75), (38, 55), (20, 38)),  # quality
    **_graded("WebP", partial(_compressed, "webp"), (60, 90), (35, 60), (15, 35)),  # quality
    **_graded("shrunk", _shrunk, (0.65, 0.9), (0.45, 0.65), (0.3, 0.45)),  # share of the side
    **_graded("blurred", _blurred, (0.0023, 0.0055), (0.0055, 0.0086), (0.0086, 0.014)),  # deviation, of the side
    **_graded("noisy", _noisy, (0.008, 0.02), (0.02, 0.04), (0.04, 0.07)),  # deviation, of 255 grey levels
    **_graded("darker", _light_times, (0.75, 0.92), (0.5, 0.75)),
    **_graded("brighter", _light_times, (1.08, 1.2), (1.2, 1.35), (1.35, 1.6)),
    **_graded("paler", _colour_times, (0.4, 0.8), (0.1, 0.4), (0.0, 0.0)),
    **_graded("cropped", _cropped, (1.06, 1.15), (1.15, 1.3), (1.3, 1.5)),  # zoom
    **_graded("turned", _turned, (2, 5), (5, 9)),  # degrees
    **_graded("on a page of", _on_page, 250, 20),  # grey level
}
CONDITIONS = tuple(_CONDITIONS)
"""Names for :func:`recapture`: kinds of capture and their strengths, from weak to strong; of a page, its shade."""
AS_IN_TRAINING = "as in training"
KINDS_OF_CAPTURE = (AS_IN_TRAINING, *(name.rpartition(" ")[0].removesuffix(" of") for name in CONDITIONS))
"""Names for people, one for each condition, that of training first; names repeat, for they leave out the strength."""


@lru_cache(maxsize=len(CONDITIONS))
def _condition(name: str, side: int) -> A.Compose:
    return A.Compose([_CONDITIONS[name](side)])
