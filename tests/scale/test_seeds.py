"""Seeds trained side by side on a real Ray cluster, against seeds that are trained one after the other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterfeit.errors import UserError
from counterfeit.scale import connected, spread
from tests.test_fit import PROJECT, TINY, predictions

ray = pytest.importorskip("ray", reason="needs Ray: pip install -e '.[scale]'")
pytestmark = pytest.mark.slow


def begin(*options: str) -> subprocess.Popen[str]:
    tinier = ["--seeds=[0,1]", "--data.drawn_genuine=60", "--data.drawn_counterfeit=30"]
    arms = "--experiment.arms=[real,synthetic]"
    command = [sys.executable, "-m", "counterfeit.fit", *TINY, *tinier, arms, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as many as a call has, of two that share two processors
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, cwd=PROJECT, env=environment, **streams)


def test_seeds_side_by_side_stopped_and_continued_end_as_one_after_the_other(tmp_path: Path) -> None:
    apart, here, cache = tmp_path / "apart", tmp_path / "here", f"--data.cache={tmp_path / 'cache'}"
    stopped = begin(cache, f"--out={apart}", "--ray=local")
    while not list(apart.glob("gan/*")):
        assert stopped.poll() is None, stopped.communicate()
        time.sleep(0.1)
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate(timeout=120)
    assert stopped.returncode == 143, said
    assert said.strip().endswith("stopped by SIGTERM; the same command continues")
    assert not (apart / "comparison.json").exists()

    process = begin(cache, f"--out={apart}", "--ray=local")
    printed, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert {f"seed {seed} is done on the cluster" in said for seed in (0, 1)} == {True}
    assert f"report: {apart / 'report.html'}" in printed

    process = begin(cache, f"--out={here}")
    _, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert predictions(apart) == predictions(here)
    for name in ("config.yaml", "comparison.json"):
        assert (apart / name).read_text() == (here / name).read_text()
    assert files(apart) == files(here)


def files(run: Path) -> set[Path]:
    return {path.relative_to(run) for path in run.rglob("*")}


def refuse_two(number: int) -> int:
    """For a process of the cluster."""
    if number == 2:
        raise UserError("two is refused")
    return number * number


def test_calls_give_what_they_would_here_and_a_mistake_of_the_user_is_one_line() -> None:
    stopping = signal.getsignal(signal.SIGTERM)
    with connected("local", 2):
        assert signal.getsignal(signal.SIGTERM) is stopping
        assert sorted(spread(refuse_two, [1, 3, 5])) == [1, 9, 25]
        with pytest.raises(UserError, match=r"^two is refused$"):
            list(spread(refuse_two, [2]))
        with pytest.raises(UserError, match="no GPU"):
            list(spread(refuse_two, [1], gpus=1))
