"""``python -m counterfeit.synthesize``: more images from the generator of a run, or a first GAN on digits."""

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_lightning.utilities.exceptions import SIGTERMException

from counterfeit.cache import default_cache_folder
from counterfeit.data.digits import Digits, read_digits
from counterfeit.data.files import replacing
from counterfeit.errors import DONE, TERMINATED, UserError, verb
from counterfeit.experiment.cells import digital_source
from counterfeit.experiment.reopen import reopen
from counterfeit.gan.finished import load_generate
from counterfeit.gan.settings import GanSettings
from counterfeit.gan.train import train_generator
from counterfeit.gan.transplant import Sources, to_pixels
from counterfeit.options import Parser, check_seed
from counterfeit.output import check_free, writing
from counterfeit.synthesis import write_bank

CLASSIC = GanSettings(kind="dcgan", crop=32)
COLUMNS = 12  # of the grid of digits


def synthesize(
    out: str,
    run: str | None = None,
    count: int = 2000,
    draw: int = 1,
    seed: int | None = None,
    data: Digits | None = None,
    gan: GanSettings = CLASSIC,
) -> str:
    """Write more images from the generator of a run, or train a generator on handwritten digits.

    Args:
        out: folder to write, which must not exist or be empty, unless an interrupted training is to be continued.
        run: folder of a run; its generator makes images, which are gated and chosen as those of the run were.
        count: images to keep of each label, with --run.
        draw: another number draws other images, with --run.
        seed: of the run, its first if none; of the training on digits, 0 if none.
        data: digits to learn from: those of scikit-learn, or MNIST, which is downloaded.
        gan: how the generator of digits is trained.

    Returns:
        What was written, in one line.

    Raises:
        UserError: neither or both of --run and --data, or what they name cannot be used.
    """
    if (run is None) == (data is None):
        raise UserError("give either --run, the folder of a run, or --data digits, as in --config configs/digits.yaml")
    if run is not None:
        return more(Path(run), Path(out), count, draw, seed)
    assert data is not None
    return learn_digits(data, Path(out), gan, seed or 0)


def more(run: Path, out: Path, count: int, draw: int, seed: int | None) -> str:
    """Write a bank from the generator of a run; arguments as of :func:`synthesize`."""
    check_free(out)
    if count < 1 or draw < 1:
        raise UserError("--count and --draw must be at least 1")
    check_seed("draw", draw)
    opened = reopen(run, seed)
    bank, provenance = opened.cells.more(opened.seed, count, draw)
    with writing(out):
        write_bank(out, bank, provenance | {"run": str(run), "draw": draw}, digital_source("synthetic", provenance))
    kept = f"{(bank.label == 1).sum()} counterfeit and {(bank.label == 0).sum()} genuine images in {out}"
    return kept if len(bank) == 2 * count else f"{kept}; fewer than --count passed the gates: raise synthesis.overdraw"


def learn_digits(data: Digits, out: Path, gan: GanSettings, seed: int) -> str:
    """Train a generator on digits and write ``samples.png``; arguments as of :func:`synthesize`."""
    if gan.kind == "refiner":
        raise UserError("--gan.kind refiner needs photographs of both labels: choose dcgan or noise for digits")
    check_seed("seed", seed)
    with writing(out):
        finished, begun = (out / "samples.png").exists(), (out / "samples").is_dir()
    if finished:
        raise UserError(f"--out {out} is finished; choose another folder")
    if not begun:
        check_free(out, in_place=True)
    pixels, label = read_digits(data, default_cache_folder())
    none = np.empty((len(label), 0, 0), np.float32), np.empty((len(label), 0), np.intp)
    train_generator(out, Sources(pixels, label, *none), gan, seed, flips=False)
    generate, done = load_generate(out, gan)
    if generate is None:
        raise UserError(
            f"the training failed three times ({done['reason']}): try another --seed or a lower learning rate, "
            "in another --out"
        )
    shown = torch.arange(10).repeat_interleave(COLUMNS)
    images = to_pixels(generate(shown, torch.Generator().manual_seed(seed)))
    with replacing(out / "samples.png") as partial:
        Image.fromarray(as_grid(images, COLUMNS)).save(partial, format="PNG")
    return f"ten rows of digits in {out / 'samples.png'}, after {done['images']} images"


def as_grid(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Images ``(N, S, S, 3)`` side by side: ``(N / columns * S, columns * S, 3)``."""
    size = images.shape[1]
    rows = images.reshape(-1, columns, size, size, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(rows.reshape(-1, columns * size, 3))


@verb
def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 the user's input, 143 SIGTERM."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # Lightning's own call of torch (pytorch_lightning/utilities/_pytree.py).
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    try:
        given, prog = None if args is None else list(args), "python -m counterfeit.synthesize"
        options: dict[str, Any] = {"as_positional": False, "exit_on_error": False, "parser_class": Parser, "prog": prog}
        print(jsonargparse.auto_cli(synthesize, args=given, **options))
    except SIGTERMException:
        print("stopped by SIGTERM; the same command continues", file=sys.stderr)
        return TERMINATED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
