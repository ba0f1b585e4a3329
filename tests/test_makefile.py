"""What make would do: install where nothing is installed yet or the requirements changed, and only then."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
RUN = {
    "fit": ".venv/bin/python -m counterfeit.fit ",
    "test": "OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile ",
}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the project in which everything was installed after the last change of its requirements."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for second, name in enumerate(("pyproject.toml", ".venv/.installed", ".venv/.lint", ".venv/bin/pip")):
        path = tmp_path / name
        path.touch()
        os.utime(path, (1_000_000 + second, 1_000_000 + second))
    return tmp_path


def planned(folder: Path, target: str) -> list[str]:
    """The commands of a target, none of which is run."""
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "ARGS")}
    done = subprocess.run(["make", "-n", target], cwd=folder, env=clean, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith("make")]


@pytest.mark.parametrize("target", RUN)
def test_a_second_call_starts_at_once(target: str, installed: Path) -> None:
    assert planned(installed, target) == [RUN[target]]


@pytest.mark.parametrize("target", RUN)
@pytest.mark.parametrize("change", ["pyproject.toml", ".venv/.installed"])
def test_changed_requirements_and_an_installation_cut_short_are_installed(
    change: str, target: str, installed: Path
) -> None:
    if change == "pyproject.toml":
        (installed / change).touch()
    else:
        (installed / change).unlink()
    commands = planned(installed, target)
    assert sum("pip install" in command for command in commands) == 1
    assert commands[-1] == RUN[target]


def test_fit_needs_no_tools_of_developers(installed: Path) -> None:
    (installed / ".venv/.lint").unlink()
    assert planned(installed, "fit") == [RUN["fit"]]
    assert any("pip install" in command for command in planned(installed, "lint"))
