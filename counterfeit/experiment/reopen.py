"""Read a run back: its photographs, splits and detectors, for making more with what it trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from counterfeit.backbone import Embedder
from counterfeit.data.datamodule import ProductData
from counterfeit.detector import Detector
from counterfeit.errors import UserError
from counterfeit.evaluation.predictions import read_parquet
from counterfeit.evaluation.rebuild import read_config
from counterfeit.experiment.cells import Cells
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.seed import Seed
from counterfeit.gan.settings import GanSettings
from counterfeit.synthesis import SynthesisSettings


@dataclass(frozen=True)
class Reopened:
    """One seed of a run as its stages left it.

    Attributes:
        seed: the training side of the seed.
        cells: reads what the run made; trains nothing.
    """

    seed: Seed
    cells: Cells


def reopen(path: Path, number: int | None = None) -> Reopened:
    """Open a seed of a run.

    Args:
        path: the run folder.
        number: which seed; the first of the run if ``None``.

    Raises:
        UserError: it is no run, its photographs have changed, or it has no such seed.
    """
    folder = RunFolder(path)
    if not folder.config.is_file() or not folder.splits.is_file():
        raise UserError(f"--run {path} is not the folder of a run: it lacks config.yaml or splits.parquet")
    config = read_config(path)
    try:
        seeds, model, rule = list(config["seeds"]), config["model"], config["experiment"]["operating_point"]
        chosen = seeds[0] if number is None else number
        data = ProductData(**config["data"])
        gan, synthesis = GanSettings(**config["gan"]), SynthesisSettings(**config["synthesis"])
        example = Detector(**model, size=data.size)
    except (KeyError, IndexError, TypeError) as error:
        raise UserError(f"{folder.config} is damaged or of another version ({error}): start a new run") from error
    if chosen not in seeds:
        raise UserError(f"--run {path} has the seeds {seeds}, not {chosen}")

    def make_detector() -> Detector:
        return Detector(**model, size=data.size)

    data.prepare_data()
    data.setup()
    embedder = Embedder(str(example.hparams["backbone"]), data.size, data.cache)
    data.group(embedder)
    seed = Seed(chosen, data, embedder, example.folds)
    _check_same(folder, seed)
    return Reopened(seed, Cells(folder, make_detector, _train_nothing, rule, synthesis, gan))


def _check_same(folder: RunFolder, seed: Seed) -> None:
    """Refuse photographs other than those of the run: its generator and detectors belong to their split."""
    photos = seed.data.photos
    manifest, splits = read_parquet(folder.manifest), read_parquet(folder.splits)
    files = dict(zip(manifest["path"].to_pylist(), manifest["sha256"].to_pylist(), strict=True))
    split = {row["path"]: row["split"] for row in splits.to_pylist() if row["seed"] == seed.number}
    path = photos.path.tolist()
    now = (dict(zip(path, values.tolist(), strict=True)) for values in (photos.sha256, seed.split))
    if [files, split] != list(now):
        raise UserError(f"the photographs or their split are no longer those of --run {folder.path}: start a new run")


def _train_nothing() -> NoReturn:
    raise UserError("--run has no detector of the arm real for this seed: finish it with counterfeit.fit first")
