"""The worst errors of a detector as pictures: each photograph and where the detector sees evidence in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from counterfeit.data.files import replacing_folder, write_json
from counterfeit.detector.explain import evidence_map
from counterfeit.evaluation.arms import BASELINE
from counterfeit.evaluation.predictions import read_parquet
from counterfeit.experiment.cells import Cells
from counterfeit.experiment.seed import Seed

EACH = 6  # missed counterfeits and false alarms of an arm


def write_gallery(cells: Cells, seed: Seed, arms: Sequence[tuple[str, float]], product: str) -> Path:
    """Write ``gallery/``: pictures, heat maps and ``gallery.json``, for one seed's detectors.

    An error is *missed*, a counterfeit below the detector's threshold, or a *false alarm*, a genuine image at or above
    it. The worst are farthest from the threshold.

    Args:
        cells: whose detectors and predictions exist.
        seed: whose detectors are looked at, the one that is shipped.
        arms: all arms with their doses; the baseline and the smallest dose of the product are shown.
        product: the arm that the verdict is about.

    Returns:
        The folder.
    """
    doses = [dose for arm, dose in arms if arm == product]
    shown = dict.fromkeys([(BASELINE, 0.0), *([(product, min(doses))] if doses else [])])
    folder = cells.folder.path / "gallery"
    with replacing_folder(folder) as partial:
        entries = [entry for arm, dose in shown for entry in _arm(cells, seed, arm, dose, partial)]
        write_json(partial / "gallery.json", {"schema": 1, "errors": entries})
    return folder


def _arm(cells: Cells, seed: Seed, arm: str, dose: float, folder: Path) -> list[dict[str, Any]]:
    detector, _ = cells.final(seed, arm, dose)
    threshold = float(detector.combination.threshold)
    table = read_parquet(cells.predictions(seed, arm, dose)).to_pylist()
    missed = sorted((row for row in table if row["label"] and row["score"] < threshold), key=_score)[:EACH]
    alarms = sorted((row for row in table if not row["label"] and row["score"] >= threshold), key=_score)[-EACH:]
    errors = [(row, "missed") for row in missed] + [(row, "false alarm") for row in reversed(alarms)]
    if not errors:
        return []
    position = {path: i for i, path in enumerate(seed.data.photos.path.tolist())}
    pixels = seed.data.pixels(np.array([position[row["path"]] for row, _ in errors]))
    maps = _stretched(evidence_map(detector, torch.from_numpy(pixels).permute(0, 3, 1, 2)))
    entries = []
    for number, ((row, error), image, heat) in enumerate(zip(errors, pixels, maps, strict=True)):
        name = f"{arm}_{number:02d}"
        Image.fromarray(image).save(folder / f"{name}.png")
        Image.fromarray(overlay(image, heat)).save(folder / f"{name}.map.png")
        kept = {key: row[key] for key in ("arm", "dose", "seed", "path", "group", "kind", "label", "score")}
        shown = {"error": error, "threshold": threshold, "image": f"{name}.png", "map": f"{name}.map.png"}
        entries.append(kept | shown)
    return entries


def _stretched(maps: Tensor) -> Tensor:
    """Each map from its own median to its own highest value: where it looks most suspect, not how suspect."""
    low, high = maps.flatten(1).median(1).values[:, None, None], maps.amax((1, 2), keepdim=True)
    return ((maps - low) / (high - low).clamp_min(1e-6)).clamp_min(0)


def overlay(image: NDArray[np.uint8], heat: Tensor) -> NDArray[np.uint8]:
    """Lay a heat map over a greyed photograph.

    Args:
        image: ``(S, S, 3)``.
        heat: ``(G, G)`` in [0, 1], bright where it looks most counterfeit.
    """
    side = image.shape[0]
    resized = torch.nn.functional.interpolate(heat[None, None], (side, side), mode="bilinear", align_corners=False)
    strength = resized[0, 0].clamp(0, 1).numpy()
    colour = 255 * matplotlib.colormaps["inferno"](strength)[..., :3]
    grey = image.mean(-1, keepdims=True)
    share = 0.75 * strength[..., None]
    mixed: NDArray[np.uint8] = ((1 - share) * grey + share * colour).round().astype(np.uint8)
    return mixed


def _score(row: dict[str, Any]) -> float:
    return float(row["score"])
