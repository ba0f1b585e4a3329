"""The stages of a run, in the order of the data: each reads the run folder and writes to it, and may be run again."""

import gc
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytorch_lightning as pl
from rich.console import Console

from counterfeit.backbone import Embedder
from counterfeit.data.datamodule import ProductData
from counterfeit.data.files import write_json
from counterfeit.data.images import write_quarantine
from counterfeit.data.manifest import write_table
from counterfeit.detector import Detector
from counterfeit.errors import UserError, naming
from counterfeit.evaluation.arms import BASELINE, CONTROLS
from counterfeit.evaluation.compare import compare
from counterfeit.evaluation.comparison import Comparison
from counterfeit.evaluation.operating_point import parse_rule
from counterfeit.evaluation.predictions import read_cell
from counterfeit.experiment.arms import BANKS
from counterfeit.experiment.audit import write_audits
from counterfeit.experiment.cells import Cells
from counterfeit.experiment.checks import (
    TRAINING,
    Stage,
    check_same_photographs,
    check_seeds,
    check_trainer,
    chosen_stages,
)
from counterfeit.experiment.clock import Clock
from counterfeit.experiment.curve import available_counts, write_curve
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.gallery import write_gallery
from counterfeit.experiment.holdout import check_kinds, write_holdout
from counterfeit.experiment.notes import counts, dose_reason
from counterfeit.experiment.oracle import check_oracle
from counterfeit.experiment.repeat import Repeater, check_repeated, train_generators
from counterfeit.experiment.seed import Seed
from counterfeit.experiment.settings import ExperimentSettings
from counterfeit.experiment.ship import ship
from counterfeit.gan.settings import GanSettings, GanTrainerSettings
from counterfeit.report.html import write_report
from counterfeit.synthesis import SynthesisSettings
from counterfeit.synthesis.mixing import check_smote

OF_ONE_SEED: tuple[Stage, ...] = ("gan", "synthesis", "detector")
Spread = Callable[[Path, list[Stage]], None]
"""Runs stages of ``OF_ONE_SEED`` over a claimed run folder, for each seed."""
console = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass
class Plan:
    """All that a run is made of.

    Attributes:
        data: not yet set up.
        make_detector: gives a fresh detector.
        make_trainer: gives a fresh trainer for one detector.
        gan: settings of the generator.
        synthesis: settings of the bank.
        experiment: what is compared with what.
        seeds: each draws a split, folds, a generator, a bank and detectors of its own.
        config: all of the above as YAML, kept in the run folder.
        gan_trainer: where generators are trained.
    """

    data: ProductData
    make_detector: Callable[[], Detector]
    make_trainer: Callable[[], pl.Trainer]
    gan: GanSettings
    synthesis: SynthesisSettings
    experiment: ExperimentSettings
    seeds: list[int]
    config: str
    gan_trainer: GanTrainerSettings = field(default_factory=GanTrainerSettings)


@dataclass(frozen=True)
class Outcome:
    """What a run ended with: no ``comparison`` where neither compare nor report ran, no ``report`` before its stage."""

    folder: Path
    comparison: Comparison | None
    report: Path | None
    seconds: dict[str, float] = field(default_factory=dict)


def run(plan: Plan, out: Path, stages: Sequence[Stage] | None = None, spread: Spread | None = None) -> Outcome:
    """Run the stages over one folder.

    Args:
        plan: what to run.
        out: the run folder; an unfinished run of the same plan is continued.
        stages: which stages, in their own order; ``None`` for all.
        spread: runs the stages of single seeds elsewhere, before this process reads what they left.

    Raises:
        UserError: the input, the plan or the folder cannot be used; nothing was overwritten.
    """
    check_seeds(plan.seeds)
    if len(plan.experiment.cells()) < 2 and (stages is None or "compare" in stages):
        raise UserError(
            "experiment.arms names nothing to compare 'real' with: add an arm, or leave compare out of --stages"
        )
    parse_rule(plan.experiment.operating_point)
    chosen = chosen_stages(plan.experiment, stages)
    if not TRAINING.isdisjoint(chosen):
        check_trainer(plan.make_trainer())
    folder = RunFolder(out)
    folder.check(plan.config, stages is not None)
    started = _Run(plan, folder)
    with naming(folder.path), folder.occupied():  # not before the splits are known to be possible
        folder.claim(plan.config, stages is not None)
        if spread is not None and (alone := [stage for stage in chosen if stage in OF_ONE_SEED]):
            if chosen[0] == "data":
                started.stages(chosen[:1])
            spread(folder.path, alone)
            chosen = [stage for stage in chosen if stage != "data"]
        return started.stages(chosen)


def run_seed(plan: Plan, out: Path, seed: int, stages: Sequence[Stage]) -> None:
    """Run stages of one seed over a folder that :func:`run` has claimed. Nothing is written that seeds share.

    Args:
        plan: of the run, with all its seeds.
        out: the run folder.
        seed: one of them.
        stages: of ``OF_ONE_SEED``.

    Raises:
        UserError: this machine sees other photographs than the one that claimed the folder.
    """
    alone = _Run(replace(plan, seeds=[seed]), RunFolder(out), elsewhere=True)
    for stage in stages:
        getattr(alone, f"_{stage}_of")(alone.seeds[0])


class _Run:
    """The state that stages share: the data once decoded, and one :class:`Seed` at a time."""

    def __init__(self, plan: Plan, folder: RunFolder, elsewhere: bool = False) -> None:
        self.plan, self.folder = plan, folder
        plan.data.prepare_data()
        plan.data.setup()
        if elsewhere:
            check_same_photographs(folder, plan.data)
        device = plan.make_trainer().strategy.root_device.type
        kinds = plan.experiment.generators(plan.gan.kind)
        self.generators = [replace(plan.gan, kind=kind) for kind in kinds]  # raises where gan.crop does not fit
        data = plan.data
        example = plan.make_detector()
        self.embedder = Embedder(str(example.hparams["backbone"]), data.size, data.cache, device)
        data.group(self.embedder)
        self.seeds = [Seed(number, data, self.embedder, example.folds) for number in plan.seeds]
        for seed in self.seeds:
            seed.check()
            if self._needs("smote"):
                check_smote(seed.label)
            if self._needs("oracle") and (note := check_oracle(seed)):
                console.print(f"  {note}")
        self._check_repetitions()
        rule = plan.experiment.operating_point
        self.cells = Cells(folder, plan.make_detector, plan.make_trainer, rule, plan.synthesis, plan.gan)

    def stages(self, names: Sequence[Stage]) -> Outcome:
        clock = Clock(console)
        for of_one_seed, some in itertools.groupby(names, OF_ONE_SEED.__contains__):
            if of_one_seed:
                self._seed_by_seed(list(some), clock)
                continue
            for name in some:
                with clock.stage(name):
                    getattr(self, f"_{name}")()
        comparison = None  # an older one says nothing of these stages
        if not {"compare", "report"}.isdisjoint(names) and self.folder.comparison.exists():
            comparison = Comparison.from_json(self.folder.comparison.read_text())
        report = self.folder.report if self.folder.report.exists() else None
        return Outcome(self.folder.path, comparison, report, clock.seconds)

    def _seed_by_seed(self, names: Sequence[Stage], clock: Clock) -> None:
        """All stages of one seed before the next: what they share of the training images is made once."""
        for seed in self.seeds:
            for name in names:
                with clock.stage(name, f"seed {seed.number}"):
                    getattr(self, f"_{name}_of")(seed)
            seed.release()
            gc.collect()  # a trainer, what it trained and what that learned from hold on to each other
        if "detector" in names:
            experiment = self.plan.experiment
            with clock.stage("detector", "audits"):
                write_audits(self.folder, self.seeds, experiment.product())
                write_gallery(self.cells, self.seeds[0], experiment.cells(), experiment.product())

    def _data(self) -> None:
        data, photos = self.plan.data, self.plan.data.photos
        write_quarantine(data.quarantine, self.folder.quarantine)
        manifest = {
            "path": photos.path,
            "label": photos.label.astype(np.int8),
            "group": photos.group,
            "kind": photos.kind,
            "sha256": photos.sha256,
        }
        table = pa.table({name: pa.array(values.tolist()) for name, values in manifest.items()})
        write_table(table.append_column("source", pa.array(["real"] * len(photos))), self.folder.manifest)
        parts = [
            pa.table({"seed": [seed.number] * len(photos), "path": photos.path.tolist(), "split": seed.split.tolist()})
            for seed in self.seeds
        ]
        write_table(pa.concat_tables(parts), self.folder.splits)
        console.print(counts(data, self.seeds[0].split))

    def _gan_of(self, seed: Seed) -> None:
        trained = (self.generators, self.plan.gan_trainer, self.plan.make_trainer)
        for note in train_generators(self.folder, seed, *trained):
            console.print(f"  {note}")

    def _synthesis_of(self, seed: Seed) -> None:
        for arm in BANKS:
            if self._needs(arm) and not len(self.cells.bank(seed, arm)):
                console.print(f"  seed {seed.number}: nothing passed the gates, so that {arm} is the same as real")

    def _detector_of(self, seed: Seed) -> None:
        for arm, dose in self.plan.experiment.cells():
            self.cells.predictions(seed, arm, dose)
            gc.collect()
            console.print(f"  seed {seed.number}  {arm} {dose or ''}", style="dim")

    def _compare(self) -> None:
        tables = []
        for seed in self.seeds:
            for arm, dose in self.plan.experiment.cells():
                path = self.folder.cell(seed.number, arm, dose) / "predictions.parquet"
                if not path.exists():
                    raise UserError(f"{path} is missing: run the stage detector first")
                tables.append(read_cell(path.parent))
        predictions = pa.concat_tables(tables, promote_options="permissive")
        product = self.plan.experiment.product()
        comparison = compare(predictions, baseline=BASELINE, product=product, resamples=self.plan.experiment.resamples)
        used = [self.cells.dose(seed, product, comparison.product_dose) for seed in self.seeds]
        chosen = {
            "dose": comparison.product_dose,
            "doses_used": used,
            "dose_reason": dose_reason(product, len(self.plan.experiment.doses), used),
        }
        write_json(self.folder.comparison, json.loads(comparison.to_json()) | chosen)
        kept = comparison.verdict == "HELPS" and product not in CONTROLS
        best = (product, comparison.product_dose) if kept else (BASELINE, 0.0)
        ship(self.cells, self.seeds[0], best[0], best[1], self.plan.experiment.alpha)

    def _curve(self) -> None:
        write_curve(self._repeater(), self.seeds, self.counts, self.plan.experiment.resamples)

    def _holdout(self) -> None:
        write_holdout(self._repeater(), self.seeds, self.kinds, self.kinds_left_out, self.plan.experiment.resamples)

    def _repeater(self) -> Repeater:
        def tell(line: str) -> None:
            console.print(f"  {line}", style="dim", markup=False)

        return Repeater(self.cells, self.plan.experiment, self.plan.gan_trainer, tell)

    def _check_repetitions(self) -> None:
        """What the learning curve and unseen kinds can be measured on; raises where that is nothing."""
        experiment = self.plan.experiment
        if experiment.learning_curve is not None:
            check_repeated(experiment)
            self.counts, note = available_counts(self.seeds, experiment.learning_curve, experiment.product())
            if note:
                console.print(f"  {note}")
        if experiment.holdout_kind is not None:
            check_repeated(experiment)
            self.kinds, self.kinds_left_out = check_kinds(self.seeds, experiment.holdout_kind)
            for kind, reason in self.kinds_left_out.items():
                console.print(f"  {kind} is not held out: it {reason}")

    def _report(self) -> None:
        if not self.folder.comparison.exists():
            raise UserError(f"{self.folder.comparison} is missing: run the stage compare first")
        write_report(self.folder.path)

    def _needs(self, arm: str) -> bool:
        return any(name == arm for name, _ in self.plan.experiment.cells())
