"""The run folder: where everything lies, and whether a run may use it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from counterfeit.data.files import write_json, write_text
from counterfeit.errors import UserError

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "timm",
    "onnxruntime",
    "albumentations",
    "scikit-learn",
    "numpy",
)


class RunFolder:
    """Paths of one run, and its claim on them.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.parquet"
        self.splits = path / "splits.parquet"
        self.quarantine = path / "quarantine.csv"
        self.comparison = path / "comparison.json"
        self.report = path / "report.html"

    def gan(self, seed: int, kind: str = "refiner") -> Path:
        """Folder of a seed's generator: ``gan/<seed>`` of the refiner, ``gan-<kind>/<seed>`` of the others."""
        return self.path / ("gan" if kind == "refiner" else f"gan-{kind}") / str(seed)

    def bank(self, arm: str, seed: int) -> Path:
        """Folder of a seed's bank; that of the product is ``synthetic/<seed>``."""
        return self.path / arm / str(seed)

    def cell(self, seed: int, arm: str, dose: float) -> Path:
        """Folder of one trained detector."""
        return self.path / "detector" / str(seed) / arm / f"{dose:g}"

    def check(self, config: str, stages_named: bool) -> None:
        """Whether :meth:`claim` would succeed; writes nothing.

        Args:
            config: the configuration without ``out`` and ``stages``, as YAML.
            stages_named: whether the user asked for stages, which runs them again in a finished folder.

        Raises:
            UserError: the folder holds something else, or a finished run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file; choose a folder")
        if self.path.exists() and any(self.path.iterdir()):
            if not self.config.is_file():
                raise UserError(f"--out {self.path} exists and holds no run; choose another folder")
            if self.config.read_text() != config:
                raise UserError(f"--out {self.path} holds a run of another configuration; choose another folder")
            if self.report.exists() and not stages_named:
                raise UserError(
                    f"--out {self.path} is a finished run; choose another folder, or name the --stages to run"
                )

    def claim(self, config: str, stages_named: bool) -> None:
        """Take the folder for this configuration, or continue what the same configuration left unfinished.

        Args:
            config: as in :meth:`check`.
            stages_named: as in :meth:`check`.

        Raises:
            UserError: as in :meth:`check`, or the folder cannot be created.
        """
        self.check(config, stages_named)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot create --out {self.path}: {error.strerror}") from error
        write_text(self.config, config)
        write_json(self.path / "env.json", environment())


def next_run(runs: Path, name: str, config: str) -> Path:
    """``runs/<name>-<n>``: the latest if the same configuration left it unfinished, else a new one."""
    numbers = [int(p.name.rpartition("-")[2]) for p in runs.glob(f"{name}-*") if p.name.rpartition("-")[2].isdigit()]
    latest = RunFolder(runs / f"{name}-{max(numbers, default=0)}")
    unfinished = latest.config.is_file() and not latest.report.exists() and latest.config.read_text() == config
    return latest.path if unfinished else runs / f"{name}-{max(numbers, default=0) + 1}"


def environment() -> dict[str, str]:
    """Versions and machine, for the report."""
    return {
        "counterfeit": version("counterfeit"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count()),
        **{name: version(name) for name in PACKAGES},
    }
