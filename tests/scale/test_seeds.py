"""Seeds trained side by side on a real Ray cluster, against seeds that are trained one after the other."""

import errno
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from counterfeit.data.datamodule import ProductData
from counterfeit.data.labels import write_labels
from counterfeit.detector.engine import available_processors
from counterfeit.errors import UserError
from counterfeit.experiment.checks import check_same_photographs
from counterfeit.experiment.folder import RunFolder
from counterfeit.scale import connected, spread
from counterfeit.scale.cluster import Machine, share
from tests.test_fit import PROJECT, TINY, predictions

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install -e '.[scale]'")


def begin(threads: str | None, *options: str) -> subprocess.Popen[str]:
    tinier = ["--seeds=[0,1]", "--data.drawn_genuine=60", "--data.drawn_counterfeit=30"]
    arms = "--experiment.arms=[real,synthetic]"
    command = [sys.executable, "-m", "counterfeit.fit", *TINY, *tinier, arms, *options]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": threads} if threads else {}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, cwd=PROJECT, env=environment, **streams)


@needs_ray
@pytest.mark.slow
def test_seeds_side_by_side_stopped_and_continued_end_as_one_after_the_other(tmp_path: Path) -> None:
    apart, here = tmp_path / "apart", tmp_path / "here"
    on_cluster = [f"--data.cache={tmp_path / 'cache'}", f"--out={apart}", "--ray=local"]
    stopped = begin(None, *on_cluster)
    while not list(apart.glob("gan/*")):
        assert stopped.poll() is None, stopped.communicate()
        time.sleep(0.1)
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate(timeout=120)
    assert stopped.returncode == 143, said
    assert said.strip().endswith("stopped by SIGTERM; the same command continues")
    assert not (apart / "comparison.json").exists()

    process = begin(None, *on_cluster)
    printed, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert {f"seed {seed} is done on the cluster" in said for seed in (0, 1)} == {True}
    assert f"report: {apart / 'report.html'}" in printed

    # With as many threads as each of the two calls had, and nothing that the others embedded.
    threads = share([Machine(available_processors(), 0)], 2, 0)
    process = begin(str(threads), f"--data.cache={tmp_path / 'other cache'}", f"--out={here}")
    _, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert predictions(apart) == predictions(here)
    assert (apart / "comparison.json").read_text() == (here / "comparison.json").read_text()
    assert files(apart) == files(here)


def files(run: Path) -> set[Path]:
    return {path.relative_to(run) for path in run.rglob("*")}


@pytest.mark.parametrize(
    ("machines", "calls", "gpus", "each"),
    [
        ([(2, 0)], 2, 0, 1),
        ([(8, 0)], 3, 0, 2),
        ([(4, 0)] * 3, 4, 0, 2),
        ([(8, 0)] * 2, 3, 0, 4),
        ([(2, 0), (8, 0)], 2, 0, 4),
        ([(2, 0)], 5, 0, 1),
        ([(8, 4), (56, 0)], 4, 1, 2),
        ([(8, 1)], 4, 1, 8),
    ],
)
def test_calls_share_the_processors_so_that_as_many_as_can_run_at_once(machines, calls, gpus, each) -> None:
    assert share([Machine(*machine) for machine in machines], calls, gpus) == each


def test_another_folder_on_a_machine_is_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "photos", genuine=12, counterfeit=6, size=64)
    data = ProductData(root=str(tmp_path / "photos"), size=64, cache=str(tmp_path / "cache"))
    data.setup()
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    columns = {"path": data.photos.path.tolist(), "sha256": data.photos.sha256.tolist()}
    pq.write_table(pa.table(columns), folder.manifest)
    check_same_photographs(folder, data)
    pq.write_table(pa.table({name: values[1:] for name, values in columns.items()}), folder.manifest)
    with pytest.raises(UserError, match="there are other photographs"):
        check_same_photographs(folder, data)


def refuse_two(number: int) -> int:
    """For a process of the cluster."""
    if number == 2:
        raise UserError("two is refused")
    if number == 4:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full")
    return number * number


@needs_ray
@pytest.mark.slow
def test_calls_give_what_they_would_here_and_a_mistake_of_the_user_is_one_line() -> None:
    stopping = signal.getsignal(signal.SIGTERM)
    with connected("local", 2):
        assert signal.getsignal(signal.SIGTERM) is stopping
        assert sorted(spread(refuse_two, [1, 3, 5])) == [1, 9, 25]
        with pytest.raises(UserError, match=r"^two is refused$"):
            list(spread(refuse_two, [2]))
        with pytest.raises(OSError, match="No space left") as refused:
            list(spread(refuse_two, [4]))
        assert refused.value.errno == errno.ENOSPC
        with pytest.raises(UserError, match="no GPU"):
            list(spread(refuse_two, [1], gpus=1))
