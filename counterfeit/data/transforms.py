"""Classic augmentation, the same for the same seed in any process; the only file that knows albumentations."""

import random
from functools import lru_cache
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
    pipeline = _pipeline(preset, flips)
    entropy = np.random.SeedSequence(seed)
    # albumentations copies its state into every worker of a loader, which would then repeat each other in every epoch;
    # and `set_random_seed` starts each step at the same number, so that all of them would be strong or weak together.
    generator = np.random.default_rng(entropy)
    pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
    augmented: NDArray[np.uint8] = pipeline(image=image)["image"]
    return np.ascontiguousarray(augmented)


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
