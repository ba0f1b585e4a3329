"""Images per second of the Embedder, decoding and caches included, against bare ONNX Runtime on the same images.

    python benchmarks/embedding.py                                 # drawn labels
    python benchmarks/embedding.py --root ../shared/data/magnetic_tile

Run it on an idle machine; the goal is a ratio of at least 0.8 with decoding.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from counterfeit.backbone import Embedder, load_backbone
from counterfeit.backbone.embedder import BATCH, onnx_pass
from counterfeit.data.datamodule import ProductData

NAME = "tf_efficientnet_lite0"


def main() -> None:
    """Alternate all ways and print the medians as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of photographs; drawn labels if none")
    parser.add_argument("--size", type=int, default=128, help="working size in pixels")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = product(args, Path(scratch) / "first")
        ways = prepared(args, data, Path(scratch))
        speed: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(args.repeats):
            for name, way in ways.items():
                start = time.perf_counter()
                count = way(repeat)
                speed[name].append(count / (time.perf_counter() - start))
    bare = speed["bare ONNX Runtime"]
    print(f"| {args.size} px, {torch.get_num_threads()} threads | images/s (median of {args.repeats}) | ratio |")
    print("|---|---|---|")
    for name, values in speed.items():
        ratio = statistics.median(a / b for a, b in zip(values, bare, strict=True))
        print(f"| {name} | {statistics.median(values):.0f} | {ratio:.2f} |")


def product(args: argparse.Namespace, cache: Path) -> ProductData:
    """The photographs, decoded into a cache of their own; drawn labels are drawn once."""
    root = args.root
    if root is None:
        drawn = ProductData(size=args.size, drawn_genuine=args.images * 3 // 4, drawn_counterfeit=args.images // 4)
        drawn.prepare_data()
        root = str(drawn.folder)
    data = ProductData(root=root, size=args.size, cache=str(cache))
    data.setup()
    return data


def prepared(args: argparse.Namespace, data: ProductData, scratch: Path) -> dict[str, Callable[[int], int]]:
    """What is timed, by name; each takes the number of the repeat and returns how many images it embedded."""
    rows = np.arange(len(data.photos))[: args.images]
    pixels = data.pixels(rows)
    run = onnx_pass(load_backbone(NAME), args.size)
    embedders = iter([ready(args.size, scratch / f"cache-{i}") for i in range(3 * args.repeats)])

    def bare(repeat: int) -> int:
        for start in range(0, len(pixels), BATCH):
            run(pixels[start : start + BATCH])
        return len(pixels)

    def cached(repeat: int) -> int:
        return len(data.embed(next(embedders), rows, view=0))

    def augmented(repeat: int) -> int:
        return len(data.embed(next(embedders), rows, view=1))

    def decoded(repeat: int) -> int:
        fresh = product(args, scratch / f"again-{repeat}")
        return len(fresh.embed(next(embedders), np.arange(len(fresh.photos)), view=0))

    return {
        "bare ONNX Runtime": bare,
        "Embedder, decoded images": cached,
        "Embedder, augmented views": augmented,
        "Embedder, files decoded first": decoded,
    }


def ready(size: int, cache: Path) -> Embedder:
    """An embedder with an empty cache, its pass exported and warm."""
    embedder = Embedder(NAME, size, cache)
    embedder(np.zeros((BATCH, size, size, 3), np.uint8))
    return embedder


if __name__ == "__main__":
    main()
