"""A run that is stopped says so and continues; nothing of it is lost but the cell at hand."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

PROJECT = Path(__file__).parents[1]
OPTIONS = [
    "--data.size=64", "--data.drawn_genuine=90", "--data.drawn_counterfeit=45", "--data.counterfeits=12",
    "--data.views=1", "--trainer.max_epochs=15", "--model.bank=64", "--experiment.arms=[real,placebo]",
    "--synthesis.count=8", "--experiment.resamples=50", "--seeds=[0]",
]  # fmt: skip
STOPPED = {
    signal.SIGTERM: (143, "stopped by SIGTERM; the same command continues"),
    signal.SIGINT: (130, "interrupted; the same command continues"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, never stopped."""
    return finish(tmp_path_factory.mktemp("whole") / "run", cache)


def start(out: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "counterfeit.fit", *OPTIONS, f"--data.cache={cache}", f"--out={out}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT)


def finish(out: Path, cache: Path) -> Path:
    process = start(out, cache)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return out


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPPED, ids=lambda number: number.name)
def test_a_run_stopped_while_a_detector_trains_continues_to_the_same_end(
    number: signal.Signals, cache: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stopped"
    first = out / "detector/0/real/0/predictions.parquet"
    process = start(out, cache)
    limit = time.monotonic() + 120
    while not first.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    refused = start(out, cache)  # the run at work is not disturbed by the same command
    try:
        _, errors = refused.communicate(timeout=60)
    finally:
        process.send_signal(signal.SIGCONT)
    assert refused.returncode == 2 and "another process is at work in this run" in errors
    time.sleep(0.3)  # into the training of the second arm
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    code, line = STOPPED[number]
    assert process.returncode == code, errors
    assert errors.splitlines()[-1] == line and "Traceback" not in errors
    assert not (out / "detector/0/placebo/1/predictions.parquet").exists()
    written = first.stat().st_mtime_ns
    finish(out, cache)
    assert first.stat().st_mtime_ns == written  # a finished cell is not made again
    for cell in ("real/0", "placebo/1"):
        name = f"detector/0/{cell}/predictions.parquet"
        assert pq.read_table(out / name).equals(pq.read_table(whole / name))
