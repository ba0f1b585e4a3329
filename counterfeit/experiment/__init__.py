"""The with-and-without experiment: stages over one run folder, each resumable from it."""

from counterfeit.experiment.checks import STAGES, Stage
from counterfeit.experiment.run import Outcome, run
from counterfeit.experiment.settings import Arm, ExperimentSettings

__all__ = ["STAGES", "Arm", "ExperimentSettings", "Outcome", "Stage", "run"]
