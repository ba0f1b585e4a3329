"""The baseline and the product once more: on other views of the photographs, in folders of their own."""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pytorch_lightning as pl

from counterfeit.data.datamodule import ProductData
from counterfeit.errors import UserError
from counterfeit.evaluation.arms import BASELINE
from counterfeit.evaluation.predictions import read_cell
from counterfeit.experiment.cells import Cells
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.seed import Seed
from counterfeit.experiment.settings import WITHOUT_DOSE, ExperimentSettings
from counterfeit.gan.finished import read_done
from counterfeit.gan.loggers import publish
from counterfeit.gan.settings import GanSettings, GanTrainerSettings
from counterfeit.gan.train import train_generator

Tell = Callable[[str], None]


def check_repeated(experiment: ExperimentSettings) -> None:
    """Raise ``UserError`` where there is no product that adds images to the real ones."""
    if experiment.product() in WITHOUT_DOSE:
        raise UserError(
            "experiment.learning_curve and experiment.holdout_kind compare 'real' with an arm that adds images:"
            " add one to experiment.arms, as synthetic"
        )


class Repeater:
    """Trains ``real`` and the product on a view of the photographs, or reads what an earlier run finished.

    Args:
        cells: of the run.
        experiment: names the product and its dose.
        gan_trainer: where generators are trained.
        tell: takes a line for each detector.
    """

    def __init__(
        self, cells: Cells, experiment: ExperimentSettings, gan_trainer: GanTrainerSettings, tell: Tell
    ) -> None:
        self.cells, self.gan_trainer, self.tell = cells, gan_trainer, tell
        self.arm, self.dose = experiment.product(), experiment.product_dose()
        kinds = replace(experiment, arms=["real", self.arm]).generators(cells.gan.kind)
        self.generators = [replace(cells.gan, kind=kind) for kind in kinds]

    def predictions(self, cells: Cells, seeds: Sequence[Seed], data: ProductData, name: str) -> pa.Table:
        """Predictions of both arms for every seed, each with its cell's threshold.

        Args:
            cells: in the folder of this view.
            seeds: of the run.
            data: the view.
            name: of the view, for the line that is told.
        """
        tables = []
        for seed in (replace(one, data=data) for one in seeds):
            for arm, dose in ((BASELINE, 0.0), (self.arm, self.dose)):
                folder = cells.folder.cell(seed.number, arm, dose)
                if not (folder / "predictions.parquet").exists():
                    if arm == self.arm:
                        self._train_generators(cells, seed, name)
                    cells.predictions(seed, arm, dose)
                tables.append(read_cell(folder))
                self.tell(f"{name}  seed {seed.number}  {arm} {dose or ''}")
                gc.collect()  # a trainer, what it trained and what that learned from hold on to each other
        return pa.concat_tables(tables, promote_options="permissive")

    def _train_generators(self, cells: Cells, seed: Seed, name: str) -> None:
        for note in train_generators(cells.folder, seed, self.generators, self.gan_trainer, cells.make_trainer):
            self.tell(f"{name}  {note}")


def train_generators(
    folder: RunFolder,
    seed: Seed,
    generators: Sequence[GanSettings],
    gan_trainer: GanTrainerSettings,
    make_trainer: Callable[[], pl.Trainer],
) -> Iterator[str]:
    """Train the generators of a seed that the folder does not hold yet, and send them to the trainer's loggers.

    Yields:
        A line for each generator that failed its health checks three times.
    """
    for settings in generators:
        place, flips = folder.gan(seed.number, settings.kind), seed.data.flips
        if (place / "done.json").exists():  # without the sources, which take time
            done = read_done(place, settings)
        else:
            (place / "published").unlink(missing_ok=True)  # of a training whose end was removed
            done = train_generator(place, seed.sources, settings, seed.number, flips=flips, trainer=gan_trainer)
        if not done["healthy"]:
            instead = "made of plain transplants" if settings.kind == "refiner" else "empty"
            reason = f"the {settings.kind} failed three times ({done['reason']})"
            yield f"seed {seed.number}: {reason}; its bank is {instead}"
        if not (published := place / "published").exists():
            publish(place, make_trainer().loggers, seed.number)
            published.touch()
