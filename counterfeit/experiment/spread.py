"""The seeds of a run side by side on a Ray cluster."""

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl

from counterfeit.errors import UserError
from counterfeit.experiment.checks import Stage
from counterfeit.experiment.run import Plan, run_seed
from counterfeit.scale import spread

ACCELERATOR = {"cuda": "gpu"}  # Lightning's names, where they are not torch's


@dataclass(frozen=True)
class Share:
    """What one machine does of a run: stages of one seed, over a run folder that holds its configuration.

    Attributes:
        plan_of: options to the plan that they ask for.
        options: of this machine.
        folder: that relative paths of the options are relative to, where the machine has it.
        out: the run folder.
        seed: which.
        stages: which.
    """

    plan_of: Callable[[list[str]], Plan]
    options: list[str]
    folder: Path
    out: Path
    seed: int
    stages: list[Stage]


def on_cluster(plan: Plan, plan_of: Callable[[list[str]], Plan], out: Path, stages: list[Stage]) -> None:
    """Run stages of all seeds on the connected cluster, with a line on standard error for each that is done.

    Args:
        plan: of the run.
        plan_of: options to the plan that they ask for.
        out: the claimed run folder.
        stages: of one seed.

    Raises:
        UserError: as of :func:`run_seed` and of :func:`~counterfeit.scale.spread`.
    """
    trainers = {"trainer": plan.make_trainer()}
    if plan.experiment.generators(plan.gan.kind):
        options = plan.gan_trainer.options()
        trainers["gan_trainer"] = pl.Trainer(**options, logger=False, enable_checkpointing=False)
    arguments, gpus = ["--config", str(out / "config.yaml")], 0
    for group, trainer in trainers.items():
        device = trainer.strategy.root_device.type
        # As it was resolved here, on all machines alike; a call sees its own GPU alone, whatever number it has.
        arguments += [f"--{group}.accelerator", ACCELERATOR.get(device, device), f"--{group}.devices", "1"]
        gpus = max(gpus, int(device != "cpu"))
    shares = [Share(plan_of, arguments, Path.cwd(), out, seed, stages) for seed in plan.seeds]
    for number, seed in enumerate(spread(run_share, shares, gpus), 1):
        print(f"seed {seed} is done on the cluster, {number} of {len(shares)}", file=sys.stderr)


def run_share(share: Share) -> int:
    """Run a share and return its seed; a ``UserError`` names the machine."""
    if share.folder.is_dir():
        os.chdir(share.folder)
    try:
        if not (share.out / "config.yaml").is_file():
            raise UserError(f"there is no run in {share.out}: --out must be a folder that all machines share")
        run_seed(share.plan_of(share.options), share.out, share.seed, share.stages)
    except UserError as error:
        raise UserError(f"on {platform.node()}: {error}") from error
    return share.seed
