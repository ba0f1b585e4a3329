"""What a run refuses before it reads a photograph: stages, seeds and trainers with which nothing could be said."""

from collections.abc import Sequence
from typing import Literal, get_args

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.strategies import SingleDeviceStrategy

from counterfeit.data.datamodule import ProductData
from counterfeit.detector.train import STEPS_PER_EPOCH
from counterfeit.errors import UserError
from counterfeit.evaluation.predictions import read_parquet
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.settings import ExperimentSettings
from counterfeit.options import check_seed

Stage = Literal["data", "gan", "synthesis", "detector", "compare", "curve", "holdout", "report"]
STAGES: tuple[Stage, ...] = get_args(Stage)
TRAINING: set[Stage] = {"synthesis", "detector", "curve", "holdout"}  # in which heads are trained


def chosen_stages(experiment: ExperimentSettings, named: Sequence[Stage] | None) -> list[Stage]:
    """Those named, in their own order; without names all but those that the experiment does not ask for.

    Raises:
        UserError: none is named, or one that the experiment does not ask for.
    """
    if named is not None and not named:
        raise UserError("--stages is empty: name at least one, as in --stages '[compare,report]', or leave it out")
    unset: dict[Stage, str] = {}
    if experiment.learning_curve is None:
        unset["curve"] = "experiment.learning_curve, as in '[8,16,32]'"
    if experiment.holdout_kind is None:
        unset["holdout"] = "experiment.holdout_kind, as in all"
    for stage, option in unset.items():
        if named is not None and stage in named:
            raise UserError(f"the stage {stage} needs --{option}")
    return [stage for stage in STAGES if (stage in named if named is not None else stage not in unset)]


def check_seeds(seeds: list[int]) -> None:
    """Raise ``UserError`` where there is none, one twice, or one that cannot be."""
    if not seeds:
        raise UserError("--seeds is empty: name at least one, as in --seeds '[0,1,2]'")
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"--seeds {seeds}: name each seed once, none below 0")
    check_seed("seeds", max(seeds))


def check_same_photographs(folder: RunFolder, data: ProductData) -> None:
    """Raise ``UserError`` where a machine sees other photographs than the one that wrote the manifest of the run.

    Args:
        folder: with a manifest, or else nothing is checked.
        data: set up.
    """
    if not folder.manifest.is_file():
        return
    written = read_parquet(folder.manifest, ["path", "sha256"]).to_pydict()
    if (written["path"], written["sha256"]) != (data.photos.path.tolist(), data.photos.sha256.tolist()):
        raise UserError(
            f"there are other photographs in {data.folder} than {folder.manifest} names: give all machines the same"
        )


def check_trainer(trainer: pl.Trainer) -> None:
    """Raise ``UserError`` for a trainer of several devices, and for one that trains nothing or never ends."""
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        raise UserError(
            f"--trainer.devices {trainer.num_devices}: heads train in seconds on one device; "
            "set --trainer.devices 1, and leave --trainer.strategy and --trainer.num_nodes out"
        )
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise UserError(
            "--trainer.fast_dev_run trains hardly anything, and a verdict would say nothing: leave it out; "
            "--config configs/smoke.yaml is a small run"
        )
    limit = trainer.limit_train_batches
    batches = limit if isinstance(limit, int) else int((1.0 if limit is None else limit) * STEPS_PER_EPOCH)
    seconds = [callback.time_remaining() for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    for option, value, enough in (
        ("max_epochs", trainer.max_epochs, trainer.max_epochs != 0),
        ("max_steps", trainer.max_steps, trainer.max_steps != 0),
        ("limit_train_batches or overfit_batches", limit, batches > 0),
        ("max_time", "of no time", all(left is None or left > 0 for left in seconds)),
    ):
        if not enough:
            raise UserError(f"--trainer.{option} {value}: nothing would be trained; leave it out or raise it")
    endless = trainer.max_epochs == -1 or (trainer.max_epochs is None and seconds)
    if endless and trainer.max_steps == -1:
        raise UserError(
            f"--trainer.max_epochs {trainer.max_epochs}: the learning rate falls over a known number of steps; "
            "give --trainer.max_epochs or --trainer.max_steps, beside max_time too"
        )
