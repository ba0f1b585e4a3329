"""What happens to a photograph between camera and moderator, as pure functions, and what it does to a detector.

A corruption takes an image ``(H, W, 3)`` uint8 RGB and a seed to one of the same shape; the result depends on nothing
else. Strengths are relative to the image's side where they have a length, so that they mean the same at any resolution.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from counterfeit.evaluation.bootstrap import exact_where_all_agree, group_weights, resampled_mean
from counterfeit.evaluation.decisions import decision_rates
from counterfeit.evaluation.metrics import replicate_metrics
from counterfeit.evaluation.predictions import SeedScores, distinct_groups, scores_by_arm

Pixels = NDArray[np.uint8]
Array = NDArray[np.float64]
Corruption = Callable[[Pixels, int], Pixels]


def compress(image: Pixels, seed: int, *, quality: int, codec: str = "JPEG") -> Pixels:
    """Encode and decode once, JPEG or WebP."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, codec, quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def double_jpeg(image: Pixels, seed: int) -> Pixels:
    """Compress at quality 60, shift by part of a block, compress at 80: as a photograph that was saved and cropped."""
    rows, columns = np.random.default_rng(seed).integers(1, 8, 2)
    shifted = np.roll(compress(image, seed, quality=60), (rows, columns), axis=(0, 1))
    return np.roll(compress(shifted, seed, quality=80), (-rows, -columns), axis=(0, 1))


def down_and_up(image: Pixels, seed: int, *, factor: int = 2) -> Pixels:
    """Shrink by area averaging and enlarge again, bicubically."""
    height, width = image.shape[:2]
    small = (max(1, width // factor), max(1, height // factor))
    return _uint8(
        cv2.resize(
            cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_CUBIC
        )
    )


def crop(image: Pixels, seed: int, *, share: float = 0.8) -> Pixels:
    """Keep a window of ``share`` of each side at a random place, enlarged to the whole."""
    height, width = image.shape[:2]
    inner = (round(height * share), round(width * share))
    generator = np.random.default_rng(seed)
    top, left = (int(generator.integers(whole - part + 1)) for whole, part in zip((height, width), inner, strict=True))
    window = image[top : top + inner[0], left : left + inner[1]]
    return _uint8(cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR))


def screenshot(image: Pixels, seed: int) -> Pixels:
    """Show the photograph smaller on a bright page, with a bar and lines of text, and save that at quality 80."""
    height, width = image.shape[:2]
    generator = np.random.default_rng(seed)
    inner = (round(height * 0.86), round(width * 0.92))
    page = np.full_like(image, 246)
    page[: max(1, height // 20)] = generator.integers(40, 120, 3)
    top, left = height // 16, int(generator.integers(width - inner[1] + 1))
    shown = cv2.resize(image, inner[::-1], interpolation=cv2.INTER_AREA)
    # The screen's own tone curve.
    page[top : top + inner[0], left : left + inner[1]] = 255 * (shown / 255) ** generator.uniform(0.9, 1.1)
    page[top + inner[0] + height // 50 :: max(2, height // 50), left : left + inner[1] // 2] = 110
    return compress(page, seed, quality=80)


def blur(image: Pixels, seed: int, *, share: float = 1 / 128) -> Pixels:
    """Blur with a Gaussian whose standard deviation is a share of the shorter side."""
    return _uint8(cv2.GaussianBlur(image, (0, 0), share * min(image.shape[:2])))


def noise(image: Pixels, seed: int, *, deviation: float = 12.0) -> Pixels:
    """Add Gaussian noise of a standard deviation in grey levels, each channel its own."""
    return _uint8(image + np.random.default_rng(seed).normal(0, deviation, image.shape))


def brightness(image: Pixels, seed: int, *, factor: float) -> Pixels:
    """Multiply, clipping what gets too bright."""
    return _uint8(image * factor)


def rotate(image: Pixels, seed: int, *, degrees: float = 5.0) -> Pixels:
    """Turn about the centre, one way or the other; the corners are filled by reflection."""
    height, width = image.shape[:2]
    angle = degrees * (1 if np.random.default_rng(seed).random() < 0.5 else -1)
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    return _uint8(
        cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    )


def overlay_text(image: Pixels, seed: int) -> Pixels:
    """Write a seller's translucent mark across a random place, two thirds of the width."""
    height, width = image.shape[:2]
    text, face = "SHOP 24/7", cv2.FONT_HERSHEY_SIMPLEX
    generator = np.random.default_rng(seed)
    (wide, high), _ = cv2.getTextSize(text, face, 1.0, 2)
    scale = 0.66 * width / wide
    place = (int(generator.integers(width - int(wide * scale))), int(generator.integers(int(high * scale) + 1, height)))
    thickness, shade = max(1, round(width / 100)), int(generator.choice([0, 255]))
    written = cv2.putText(image.copy(), text, place, face, scale, (shade,) * 3, thickness, cv2.LINE_AA)
    return _uint8(0.4 * image + 0.6 * written)


def greyscale(image: Pixels, seed: int) -> Pixels:
    """Take the colour away (ITU-R 601 luma)."""
    return np.asarray(Image.fromarray(image).convert("L").convert("RGB"))


CORRUPTIONS: Mapping[str, Corruption] = {
    "none": lambda image, seed: image,
    "JPEG 90": partial(compress, quality=90),
    "JPEG 70": partial(compress, quality=70),
    "JPEG 50": partial(compress, quality=50),
    "JPEG 30": partial(compress, quality=30),
    "double JPEG": double_jpeg,
    "WebP 50": partial(compress, quality=50, codec="WEBP"),
    "down and up 2x": down_and_up,
    "crop 80 %": crop,
    "screenshot": screenshot,
    "blur": blur,
    "noise": noise,
    "darker": partial(brightness, factor=0.7),
    "brighter": partial(brightness, factor=1.3),
    "rotation 5 degrees": rotate,
    "overlay text": overlay_text,
    "greyscale": greyscale,
}
"""By name, in the order of the report; ``none`` is what the others are compared with."""


def robustness_rows(name: str, scores: pa.Table, resamples: int = 1000, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield an entry of ``robustness.json`` for each arm of the scores under one corruption.

    Args:
        name: of the corruption.
        scores: in the columns of ``predictions.parquet`` and ``threshold``; 0.5 where that is not known.
        resamples: of the groups.
        seed: of the resamples.

    Yields:
        Recall, FPR and AUROC, means over seeds with their 95 % interval from a bootstrap over groups and seeds:
        ``[value, low, high]``, null where not defined. The counts are the smallest of any seed.

    Raises:
        UserError: the scores cannot be compared.
    """
    for (arm, dose), tests in scores_by_arm(scores).items():
        n_groups = 1 + max(int(test.group.max()) for test in tests.values())
        weights = group_weights(n_groups, resamples, seed)
        values = np.stack([_values(test, weights) for test in tests.values()], axis=1)
        rests_on = (*(distinct_groups(list(tests.values()), label) for label in (1, 0)), 0)
        recall, fpr, area = (_interval(values[:, :, column], seed, n) for column, n in enumerate(rests_on))
        counterfeit = [int(test.label.sum()) for test in tests.values()]
        yield {
            "name": name,
            "arm": arm,
            "dose": dose,
            "n_seeds": len(tests),
            "recall": recall,
            "fpr": fpr,
            "auroc": area,
            "n_genuine": min(len(test.label) - n for test, n in zip(tests.values(), counterfeit, strict=True)),
            "n_counterfeit": min(counterfeit),
        }


def _values(test: SeedScores, weights: NDArray[np.int64]) -> Array:
    """Recall, FPR and AUROC, ``(R + 1, 3)``; the first row is of the images as they are."""
    every = np.vstack([np.ones_like(test.label), weights[:, test.group]])
    flagged = test.score >= (0.5 if test.threshold is None else test.threshold)
    area = replicate_metrics(test.label, test.score, every)[:, :1]
    return np.concatenate([decision_rates(test.label, flagged, every)[:, :2], area], axis=1)


def _interval(values: Array, seed: int, rests_on: int) -> list[float | None]:
    mean = exact_where_all_agree(resampled_mean(values[0], values[1:], seed), rests_on)
    numbers = (mean.estimate, max(0.0, mean.low), min(1.0, mean.high))
    return [None if np.isnan(mean.estimate) else float(number) for number in numbers]


def _uint8(image: NDArray[Any]) -> Pixels:
    pixels: Pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return pixels
