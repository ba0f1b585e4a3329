"""The run folder: where everything lies, and whether a run may use it."""

import contextlib
import errno
import fcntl
import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

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
WITHOUT_EFFECT = ("seed_everything", "data.num_workers", "data.cache")  # on the results
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # said by file systems on which nobody can be kept out
MOST_SHOWN = 3  # differing keys that a message names


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
        self.lock = path / ".lock"

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
            config: the configuration without ``out``, ``stages``, ``gate`` and ``ray``, as YAML.
            stages_named: whether the user asked for stages, which runs them again in a finished folder.

        Raises:
            UserError: the folder holds something else, or a finished run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file; choose a folder")
        if self.path.exists() and any(path != self.lock for path in self.path.iterdir()):
            if not self.config.is_file():
                raise UserError(f"--out {self.path} exists and holds no run; choose another folder")
            if differing := self.differing(config):
                raise UserError(
                    f"--out {self.path} holds a run of another configuration ({differing}); choose another folder"
                )
            if self.report.exists() and not stages_named:
                raise UserError(
                    f"--out {self.path} is a finished run; choose another folder, or name the --stages to run"
                )

    def differing(self, config: str) -> str:
        """What :func:`differences` says of the configuration kept here and this one; ``UserError`` if it is damaged."""
        try:
            return differences(self.config.read_text(encoding="utf-8"), config)
        except (UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
            raise UserError(f"{self.config} is damaged; choose another --out folder") from error

    def claim(self, config: str, stages_named: bool) -> None:
        """Take the folder for this configuration, or continue what the same configuration left unfinished.

        Args:
            config: as in :meth:`check`.
            stages_named: as in :meth:`check`.

        Raises:
            UserError: as in :meth:`check`, or the folder cannot be created.
        """
        self.check(config, stages_named)
        self.make()
        write_text(self.config, config)
        write_json(self.path / "env.json", environment())

    def make(self) -> None:
        """Create the folder where it is missing; ``UserError`` where that cannot be done."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot create --out {self.path}: {error.strerror}") from error

    @contextlib.contextmanager
    def occupied(self) -> Iterator[None]:
        """Keep other processes out of the folder, which is created where it is missing.

        The lock ends with this process, however that ends. It knows of processes, not of threads: to occupy the folder
        once more in the same process succeeds, and ends the lock with the first of the two.

        Raises:
            UserError: another process is at work in the folder, or it cannot be created.
        """
        self.make()
        with self.lock.open("a") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise UserError(
                        f"--out {self.path}: another process is at work in this run; wait for its end, "
                        "or choose another folder"
                    ) from error
                if error.errno not in WITHOUT_LOCKS:
                    raise
            yield


def next_run(runs: Path, name: str, config: str) -> Path:
    """``runs/<name>-<n>``: the latest if the same configuration left it unfinished, else a new one."""
    named = (re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name) for path in (runs.iterdir() if runs.is_dir() else ()))
    number = max((int(match[1]) for match in named if match), default=0)
    latest = RunFolder(runs / f"{name}-{number}")
    unfinished = latest.config.is_file() and not latest.report.exists()
    with contextlib.suppress(UserError):  # a damaged run is none that could be continued
        if unfinished and not latest.differing(config):
            return latest.path
    return runs / f"{name}-{number + 1}"


def differences(before: str, now: str) -> str:
    """The keys in which two configurations differ, with both values; empty where a run of one may continue the other.

    Args:
        before: YAML, as a run folder keeps it.
        now: YAML, as the command line gives it.
    """
    one, other = (dict(_settings(yaml.safe_load(text) or {})) for text in (before, now))
    differing = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
    shown = [f"{key} was {one.get(key)}, now {other.get(key)}" for key in differing[:MOST_SHOWN]]
    return "; ".join([*shown, *(["..."] if len(differing) > MOST_SHOWN else [])])


def _settings(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and value:
            yield from _settings(value, f"{key}.")
        elif key not in WITHOUT_EFFECT:
            yield key, value


def environment() -> dict[str, str]:
    """Versions and machine, for the report."""
    return {
        "counterfeit": version("counterfeit"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count()),
        **{name: version(name) for name in PACKAGES},
    }
