"""``python -m counterfeit.fit``: everything, from photographs to the verdict."""

import contextlib
import gc
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import SIGTERMException

from counterfeit.backbone import load_backbone
from counterfeit.data.datamodule import ProductData
from counterfeit.data.place import are_drawn
from counterfeit.detector import Detector
from counterfeit.detector.engine import available_processors
from counterfeit.errors import DONE, GATE_FAILED, TERMINATED, UserError, continuing, verb
from counterfeit.evaluation.comparison import headline, last_lines
from counterfeit.experiment import ExperimentSettings, Outcome, Stage, run
from counterfeit.experiment.folder import next_run
from counterfeit.experiment.run import Plan
from counterfeit.experiment.spread import on_cluster
from counterfeit.gan.settings import GanSettings, GanTrainerSettings
from counterfeit.options import check_options, check_seed, config_read
from counterfeit.scale import connected
from counterfeit.synthesis import SynthesisSettings

DESCRIPTION = (
    "Train detectors with and without synthetic counterfeits, compare them on real test images, and say with intervals "
    "whether the synthetic images helped. Without --data.root, on drawn labels."
)
CLASS_PATH = re.compile(r"Problem with given class_path '([^']+)'")  # as jsonargparse says it
TRAINER_DEFAULTS = {
    "max_epochs": 6,
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class FitCLI(LightningCLI):
    """The detector, the data and the trainer, and beside them the groups of synthesis and experiment."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the groups; the detector works at the size of the data."""
        parser.add_argument("--gan", type=GanSettings, default=GanSettings())
        parser.add_argument("--gan_trainer", type=GanTrainerSettings, default=GanTrainerSettings())
        parser.add_argument("--synthesis", type=SynthesisSettings, default=SynthesisSettings())
        parser.add_argument("--experiment", type=ExperimentSettings, default=ExperimentSettings())
        parser.add_argument("--seeds", type=list[int], default=[0, 1, 2], help="each draws its own split and GAN")
        parser.add_argument(
            "--stages", type=list[Stage] | None, default=None, help="run these only; what is finished of them is kept"
        )
        parser.add_argument("--out", type=str | None, default=None, help="run folder; runs/<name>-<n> if none")
        parser.add_argument("--gate", action="store_true", help="exit with 3 if the verdict is HURTS")
        parser.add_argument(
            "--ray",
            type=str | None,
            default=None,
            help="train seeds side by side on a Ray cluster: its address, auto for the one that runs here, or local to "
            "start one for this command; --out must be a folder that all its machines share",
        )
        parser.link_arguments("data.size", "model.size")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and refuse what no setting can mean."""
        with config_read():
            super().parse_arguments(parser, args)
        check_options(self.config)
        if isinstance(self.config.seed_everything, int) and not isinstance(self.config.seed_everything, bool):
            check_seed("seed_everything", self.config.seed_everything)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The trainer; options that it refuses are the user's mistake."""
        with _refusals("--trainer"):
            return super().instantiate_trainer(**kwargs)

    def instantiate_classes(self) -> None:
        """Detector, data and trainer; a logger or callback whose package is missing is told with what to install."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            named, missing = CLASS_PATH.search(str(error)), _import_error(error)
            if not named or missing is None:
                raise
            raise UserError(f"{named[1]}: {missing}") from error

    def plan(self) -> Plan:
        """What the parsed configuration asks for; detectors and trainers are made afresh for every arm."""
        made, config = self.parser.instantiate(self.config), self.config
        gan_trainer = made.gan_trainer
        if kinds := made.experiment.generators(made.gan.kind):
            if "refiner" in kinds:
                load_backbone(made.gan.backbone)  # raises now rather than after the stages before
            gan_trainer = gan_trainer.following(config.trainer)
            with _refusals("--gan_trainer"):
                pl.Trainer(**gan_trainer.options(), logger=False, enable_checkpointing=False)
        return Plan(
            data=made.data,
            make_detector=lambda: self.parser.instantiate(config).model,
            make_trainer=lambda: pl.Trainer(**self.parser.instantiate(config).trainer),
            gan=made.gan,
            synthesis=made.synthesis,
            experiment=made.experiment,
            seeds=list(config.seeds),
            config=self.kept_config(),
            gan_trainer=gan_trainer,
        )

    def run_experiment(self) -> Outcome:
        """Run the stages asked for over ``--out``, or over the next folder of ``runs/``."""
        plan = self.plan()
        out = Path(self.config.out) if self.config.out else next_run(Path("runs"), plan.data.title, plan.config)
        if self.config.ray is None:
            return run(plan, out, self.config.stages)
        with connected(self.config.ray, available_processors()):
            return run(plan, out.absolute(), self.config.stages, partial(on_cluster, plan, plan_of))

    def kept_config(self) -> str:
        """The configuration as YAML, without where it was written and which part of it ran."""
        config = self.config.clone()
        for key in ("out", "stages", "gate", "ray", "config"):
            config.pop(key, None)
        for key in ("data.root", "data.manifest"):  # a run is read from other folders, too
            if config[key] is not None:
                config[key] = str(Path(config[key]).expanduser().resolve())
        text: str = self.parser.dump(config, skip_validation=True)
        return text


def plan_of(args: list[str]) -> Plan:
    """What a command line asks for; errors as of :func:`command_line`."""
    return command_line(args).plan()


@verb
def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 the user's input, 3 the gate, 143 SIGTERM."""
    try:
        with _stopping():
            return _fit(args)
    except (SIGTERMException, _Terminated):
        print("stopped by SIGTERM; the same command continues", file=sys.stderr)
        return TERMINATED


def _fit(args: Sequence[str] | None) -> int:
    cli = command_line(args)
    outcome = cli.run_experiment()
    _print_end(outcome, own=not are_drawn(cli.config.data.as_dict()))
    hurts = outcome.comparison is not None and outcome.comparison.verdict == "HURTS"
    return GATE_FAILED if cli.config.gate and hurts else DONE


def command_line(args: Sequence[str] | None = None) -> FitCLI:
    """Parse the command line ``args``, those of the process if ``None``; nothing is run yet.

    Raises:
        UserError: the trainer refuses its options, or a setting cannot be used.
        jsonargparse.ArgumentError: a key or a value is not understood.
    """
    _quieten()
    return FitCLI(
        Detector,
        ProductData,
        args=None if args is None else list(args),
        run=False,
        auto_configure_optimizers=False,
        save_config_callback=None,
        seed_everything_default=False,
        trainer_defaults=TRAINER_DEFAULTS,
        parser_kwargs={"prog": "python -m counterfeit.fit", "exit_on_error": False, "description": DESCRIPTION},
    )


def _quieten() -> None:
    """Hide what a trainer for every arm would repeat, and what is not the user's to mend."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # ``counterfeit fit`` hands its arguments on, so that there are some on the command line too.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
    # Lightning's own call of torch (pytorch_lightning/utilities/_pytree.py).
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    # Batches are drawn in the main process; the length is exact there.
    warnings.filterwarnings("ignore", message=".*IterableDataset. has .__len__. defined.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # The backbone is frozen and stays in evaluation mode on purpose.
    warnings.filterwarnings("ignore", message=".*module.s. in eval mode at the start of training.*")


@contextlib.contextmanager
def _refusals(option: str) -> Iterator[None]:
    """What Lightning's trainer refuses is the user's mistake."""
    try:
        yield
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise UserError(f"{option}: {error}") from error


def _import_error(error: BaseException | None) -> ImportError | None:
    """The import that failed below an error; ``None`` if it has another reason."""
    while error is not None and not isinstance(error, ImportError):
        error = error.__cause__ or error.__context__
    return error


def _print_end(outcome: Outcome, own: bool) -> None:
    if outcome.comparison and outcome.report:
        lines = last_lines(outcome.comparison, outcome.report, own)
    else:
        lines = headline(outcome.comparison) if outcome.comparison else []
        lines += [f"next: {continuing(outcome.folder)}"]
    print("", *lines, sep="\n")


class _Terminated(BaseException):
    """Raised where SIGTERM arrives, so that every ``finally`` runs on the way out."""


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """While this lasts, SIGTERM raises, and neither it nor Ctrl+C is lost.

    What is raised in a finaliser is forgotten, and a signal during a garbage collection is handled in the first
    finaliser of it. Where Python forgets one of them, the signal is given once more.
    """
    forget, waiting = sys.unraisablehook, []

    def forgotten(unraisable: Any) -> None:
        number = STOPPING.get(unraisable.exc_type)
        if number is None:
            forget(unraisable)
            return
        waiting.append(threading.Timer(0.05, os.kill, (os.getpid(), number)))  # when the finaliser is over
        waiting[-1].start()

    previous = signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = forgotten
    try:
        yield
    finally:
        sys.unraisablehook = forget
        for timer in waiting:
            timer.cancel()
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, frame: FrameType | None) -> Any:
    raise _Terminated


STOPPING = {_Terminated: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}

if __name__ == "__main__":
    gc.freeze()  # half a million objects of what was imported are not searched for garbage, meanwhile or at the end
    sys.exit(main())
