"""The with-and-without experiment: stages over one run folder, each resumable from it."""

from counterfeit.experiment.run import STAGES, Outcome, Stage, run
from counterfeit.experiment.settings import Arm, ExperimentSettings

__all__ = ["STAGES", "Arm", "ExperimentSettings", "Outcome", "Stage", "run"]
