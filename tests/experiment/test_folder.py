import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from counterfeit.errors import UserError
from counterfeit.experiment.folder import RunFolder, next_run
from counterfeit.experiment.settings import Arm, ExperimentSettings
from counterfeit.gan.settings import Kind


def test_an_unfinished_run_of_the_same_configuration_is_continued(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").claim("a: 1\n", stages_named=False)
    RunFolder(tmp_path / "run").claim("a: 1\n", stages_named=False)


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").claim("a: 1\n", stages_named=False)
    with pytest.raises(UserError, match="another configuration"):
        RunFolder(tmp_path / "run").claim("a: 2\n", stages_named=False)
    assert (tmp_path / "run" / "config.yaml").read_text() == "a: 1\n"


def test_what_differs_is_named_and_what_cannot_matter_is_passed_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim("# lightning 2.5\ndata: {size: 128, num_workers: 0, cache: null}\nseeds: [0]\n", stages_named=False)
    folder.claim("data: {size: 128, num_workers: 2, cache: elsewhere}\nseeds: [0]\n", stages_named=False)
    with pytest.raises(UserError, match=r"data\.size was 128, now 160; seeds was \[0\], now \[0, 1\]"):
        folder.claim("data: {size: 160, num_workers: 2}\nseeds: [0, 1]\n", stages_named=False)


@pytest.mark.parametrize("name", ["br [2024]", "tile"])
def test_runs_are_counted_by_their_whole_name(tmp_path: Path, name: str) -> None:
    for other in (f"{name}-1", f"{name}-old-7"):
        RunFolder(tmp_path / other).claim("a: 1\n", stages_named=False)
    assert next_run(tmp_path, name, "a: 1\n") == tmp_path / f"{name}-1"
    (tmp_path / f"{name}-1" / "report.html").write_text("done")
    assert next_run(tmp_path, name, "a: 1\n") == tmp_path / f"{name}-2"


def test_a_run_whose_configuration_is_damaged_is_not_continued(tmp_path: Path) -> None:
    RunFolder(tmp_path / "tile-1").claim("a: 1\n", stages_named=False)
    for content in (b"{", b"\xff\xfe", b"5"):
        (tmp_path / "tile-1" / "config.yaml").write_bytes(content)
        assert next_run(tmp_path, "tile", "a: 1\n") == tmp_path / "tile-2"
        with pytest.raises(UserError, match="damaged"):
            RunFolder(tmp_path / "tile-1").check("a: 1\n", stages_named=False)


def test_a_finished_run_opens_for_named_stages_only(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim("a: 1\n", stages_named=False)
    folder.report.write_text("done")
    with pytest.raises(UserError, match="finished"):
        folder.claim("a: 1\n", stages_named=False)
    folder.claim("a: 1\n", stages_named=True)


def test_the_next_run_continues_or_counts_up(tmp_path: Path) -> None:
    assert next_run(tmp_path, "labels", "a: 1\n") == tmp_path / "labels-1"
    RunFolder(tmp_path / "labels-1").claim("a: 1\n", stages_named=False)
    assert next_run(tmp_path, "labels", "a: 1\n") == tmp_path / "labels-1"
    assert next_run(tmp_path, "labels", "a: 2\n") == tmp_path / "labels-2"
    (tmp_path / "labels-1" / "report.html").write_text("done")
    assert next_run(tmp_path, "labels", "a: 1\n") == tmp_path / "labels-2"


def test_cells_hold_every_arm_once_and_doses_where_they_apply() -> None:
    cells = ExperimentSettings(arms=["real", "synthetic", "one-class"], doses=[0.1, 0.3]).cells()
    assert cells == [("real", 0.0), ("synthetic", 0.1), ("synthetic", 0.3), ("one-class", 0.0)]


@pytest.mark.parametrize(
    ("arms", "product"),
    [
        (["real", "transplant", "synthetic", "oracle"], "synthetic"),
        (["real", "smote", "oracle"], "smote"),
        (["oracle", "smote", "mixup", "real", "placebo"], "mixup"),
        (["real", "one-class", "oracle"], "oracle"),
    ],
)
def test_the_verdict_is_about_a_treatment_whatever_the_order(arms: list[Arm], product: str) -> None:
    assert ExperimentSettings(arms=arms).product() == product


@pytest.mark.parametrize(
    ("arms", "kind", "trained"),
    [
        (["real", "transplant", "smote"], "refiner", []),
        (["real", "synthetic", "synthetic-random"], "refiner", ["refiner"]),
        (["real", "synthetic", "dcgan"], "noise", ["noise", "dcgan"]),
        (["real", "noise", "synthetic"], "noise", ["noise"]),
        (["real", "noise"], "refiner", ["noise"]),
    ],
)
def test_generators_are_trained_once_and_only_those_that_arms_need(
    arms: list[Arm], kind: Kind, trained: list[Kind]
) -> None:
    assert ExperimentSettings(arms=arms).generators(kind) == trained


def test_one_process_at_a_time_is_at_work_in_a_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim("a: 1\n", stages_named=False)
    held = (
        "from pathlib import Path; from counterfeit.experiment.folder import RunFolder\n"
        f"with RunFolder(Path({str(folder.path)!r})).occupied(): print('held', flush=True); input()"
    )
    other = subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another process is at work"), folder.occupied():
        pass
    other.kill()
    other.communicate()
    with folder.occupied():  # the lock ended with its process
        folder.claim("a: 1\n", stages_named=False)


def test_a_folder_in_which_only_the_lock_was_left_is_free(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.occupied():
        pass
    folder.claim("a: 1\n", stages_named=False)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with RunFolder(tmp_path / "run").occupied():
        assert (tmp_path / "run").is_dir()
