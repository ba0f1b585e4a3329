"""Whether the heat maps point where a counterfeit deviates, and whether the score rests on what they point at.

    python -m counterfeit.fit --out runs/labels
    python benchmarks/explanations.py runs/labels

Needs a run on the drawn labels, whose masks are known. Prints a table for docs/benchmarks.md: pointing-game hit rate of
test counterfeits of severity above one half, and the drop in the logit when the highest tenth of the cells shows the
most similar genuine photograph instead, over the drop when the same pattern lies elsewhere.
"""

import argparse
import csv
import inspect
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from counterfeit.data.datamodule import ProductData
from counterfeit.detector import Detector
from counterfeit.detector.explain import covered_cells, evidence_map, gradient_map, occlusion_effect, pointing_hits
from counterfeit.evaluation.bootstrap import resampled_mean_of_images
from counterfeit.experiment.tensors import load_heads

MAPS = {"evidence": evidence_map, "gradient": gradient_map}
BATCH = 32
Values = dict[str, NDArray[np.float64]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--arms", nargs="+", default=["real/0", "synthetic/1"])
    parser.add_argument("--occluded", type=int, default=40, help="images a seed whose cells are deleted")
    args = parser.parse_args()
    config = yaml.safe_load((args.run / "config.yaml").read_text())
    data = ProductData(**known(ProductData, config["data"]))
    data.prepare_data()
    if not (data.folder / "masks").is_dir():
        raise SystemExit(f"{args.run} is not a run on the drawn labels: there are no masks in {data.folder}")
    print("| arm | map | hit, half a cell of tolerance | hit, half the cell inside | logit drop over elsewhere |")
    print("|---|---|---|---|---|")
    for arm in args.arms:
        seeds = [measure(args.run, seed, arm, config, data.folder, args.occluded) for seed in config["seeds"]]
        for name in (*MAPS, "centre", "blind"):
            cells = [interval(seeds, f"{name} {what}", unit) for what, unit in (("hit", 100), ("inside", 100))]
            cells.append(interval(seeds, f"{name} drop", 1) if name in MAPS else "")
            print(f"| {arm} | {name} | " + " | ".join(cells) + " |")
    images, occluded = ([len(seed[key]) for seed in seeds] for key in ("evidence hit", "evidence drop"))
    print(f"\n{len(seeds)} seeds; {images} counterfeits of severity above 0.5 a seed, {occluded} of them occluded.")


def known(made: type, settings: dict[str, object]) -> dict[str, object]:
    """The settings that this version of a class takes."""
    return {name: value for name, value in settings.items() if name in inspect.signature(made).parameters}


def measure(run: Path, seed: int, arm: str, config: dict, root: Path, occluded: int) -> Values:
    """Hits and drops of one seed's detector, one value an image."""
    cell = run / "detector" / str(seed) / arm
    detector = Detector(**known(Detector, config["model"]) | {"size": config["data"]["size"]}).eval()
    load_heads(detector, cell / "heads.safetensors")
    severity = {row["path"]: float(row["severity"] or 0) for row in csv.DictReader((root / "manifest.csv").open())}
    tested = pq.ParquetFile(cell / "predictions.parquet").read().to_pylist()
    paths = [row["path"] for row in tested if row["label"] and severity[row["path"]] > 0.5]
    images = pictures(root, paths, detector.size)
    masks = torch.stack([mask(root / "masks" / f"{Path(path).stem}.png", detector.size) for path in paths])
    splits = pq.ParquetFile(run / "splits.parquet").read().to_pylist()
    genuine = [
        row["path"]
        for row in splits
        if (row["seed"], row["split"]) == (seed, "train") and row["path"].startswith("genuine")
    ]
    fill = nearest(detector, images[:occluded], pictures(root, genuine[:200], detector.size))
    values: Values = {"group": np.array([int(Path(path).stem.split("_")[1]) for path in paths], float)}
    for name, make in MAPS.items():
        maps = torch.cat([make(detector, images[i : i + BATCH]) for i in range(0, len(images), BATCH)])
        values |= hits(name, maps, masks)
        generator = torch.Generator().manual_seed(seed)
        drop = occlusion_effect(detector, images[:occluded], maps[:occluded], fill, generator, draws=2)
        values[f"{name} drop"] = drop.double().numpy()
    grid = maps.shape[-1]
    centre = torch.zeros_like(maps)
    centre[:, grid // 2, grid // 2] = 1
    values |= hits("centre", centre, masks)
    for what, overlap in (("hit", 0.0), ("inside", 0.5)):
        values[f"blind {what}"] = covered_cells(masks, grid, overlap).double().mean((1, 2)).numpy()
    return values


def hits(name: str, maps: Tensor, masks: Tensor) -> Values:
    """Both criteria of the pointing game."""
    found = (("hit", pointing_hits(maps, masks)), ("inside", pointing_hits(maps, masks, 0.5)))
    return {f"{name} {what}": hit.double().numpy() for what, hit in found}


def interval(seeds: list[Values], key: str, unit: int) -> str:
    """Mean over seeds with its 95 % interval from a bootstrap over labels and seeds."""
    values = [seed[key] for seed in seeds]  # occlusion is of the first images alone
    groups = [seed["group"][: len(value)] for seed, value in zip(seeds, values, strict=True)]
    mean = resampled_mean_of_images(values, groups)
    return f"{unit * mean.estimate:.{1 if unit == 100 else 2}f} [{unit * mean.low:.2f}, {unit * mean.high:.2f}]"


def pictures(root: Path, paths: list[str], size: int) -> Tensor:
    """Photographs as the detector takes them, ``(N, 3, size, size)`` in [0, 1]."""
    opened = [Image.open(root / path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR) for path in paths]
    return torch.from_numpy(np.stack([np.asarray(image) for image in opened])).permute(0, 3, 1, 2).float() / 255


def mask(file: Path, size: int) -> Tensor:
    """Where a drawn label deviates, ``(size, size)``."""
    return torch.from_numpy(np.array(Image.open(file).resize((size, size), Image.Resampling.NEAREST))).float()


def nearest(detector: Detector, images: Tensor, genuine: Tensor) -> Tensor:
    """The genuine photograph most similar to each image, by standardised pooled features."""
    heads = detector.image_heads
    with torch.inference_mode():
        found = [
            torch.cat([detector.backbone(part)[0] / heads.std for part in stack.split(BATCH)])
            for stack in (images, genuine)
        ]
    return genuine[torch.cdist(*found).argmin(1)]


if __name__ == "__main__":
    main()
