"""The picture of the README: from a run folder, what a synthetic counterfeit is made of.

    python benchmarks/picture.py runs/labels-1 --out docs/picture.png

Each row is one image of a bank: the genuine photograph, the real counterfeit, the result,
and what was changed. The last row is an anomaly drawn by rule: no counterfeit stands behind it.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from counterfeit.fit import command_line

TITLES = ("genuine (host)", "real counterfeit (donor)", "synthetic counterfeit", "what was changed (mask)")
SIDE, GAP, HEAD = 224, 8, 30  # pixels
TINT = np.array([214, 40, 40], np.float32)


def main() -> None:
    """Parse the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--root", type=Path, help="folder of its photographs; that of its config.yaml if none")
    parser.add_argument("--seed", type=int, default=0, help="whose bank")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("docs/picture.png"))
    args = parser.parse_args()
    root = args.root or command_line(["--config", str(args.run / "config.yaml")]).plan().data.folder
    picture = draw(args.run / "synthetic" / str(args.seed), root, args.rows)
    picture.quantize(256, dither=Image.Dither.NONE).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1024:.0f} KB")


def draw(bank: Path, root: Path, rows: int) -> Image.Image:
    """The picture: one row an image of the bank, each of another donor, from large changes of the host to small."""
    table = pq.read_table(bank / "manifest.parquet").sort_by([("change", "descending")]).to_pylist()
    counterfeits = [image for image in table if image["label"] == 1]
    of_donor: dict[str, dict[str, Any]] = {}
    for image in counterfeits:
        if not image["anomaly"]:
            of_donor.setdefault(image["donor"], image)
    different, by_rule = list(of_donor.values()), [image for image in counterfeits if image["anomaly"]]
    chosen = different[:: max(1, len(different) // (rows - 1))][: rows - 1] + by_rule[len(by_rule) // 2 :][:1]
    rows = len(chosen)
    size = (len(TITLES) * (SIDE + GAP) - GAP, HEAD + rows * (SIDE + GAP) - GAP)
    picture = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    for column, title in enumerate(TITLES):
        pen.text((column * (SIDE + GAP) + SIDE / 2, HEAD / 2), title, "black", font, anchor="mm")
    for row, image in enumerate(chosen):
        made = Image.open(bank / image["path"])
        genuine, counterfeit = (
            Image.open(root / image[role]).convert("RGB").resize(made.size) for role in ("host", "donor")
        )
        mask = np.asarray(Image.open(bank / image["path"].replace(".png", ".mask.png")))
        if image["anomaly"]:
            counterfeit = Image.new("RGB", made.size, "white")
        for column, cell in enumerate((genuine, counterfeit, made, tinted(made, mask))):
            place = (column * (SIDE + GAP), HEAD + row * (SIDE + GAP))
            picture.paste(cell.resize((SIDE, SIDE), Image.Resampling.LANCZOS), place)
        if image["anomaly"]:
            middle = (SIDE + GAP + SIDE / 2, place[1] + SIDE / 2)
            pen.text(middle, "none:\ndrawn by rule", "black", font, anchor="mm", align="center")
    return picture


def tinted(image: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    """The image in grey, with its own colours and a red rim where the mask is high."""
    pixels, share = np.asarray(image, np.float32), mask.astype(np.float32)[..., None] / 255
    grey = 0.5 * pixels.mean(2, keepdims=True) + 110
    rim = np.clip(1 - np.abs(share / max(share.max(), 1e-6) - 0.5) / 0.25, 0, 1)
    shown = grey + (pixels - grey) * np.clip(share / max(share.max(), 1e-6), 0, 1)
    return Image.fromarray(np.clip(shown + 0.8 * rim * (TINT - shown), 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
