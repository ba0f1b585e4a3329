"""The command line as a user meets it: a whole run, the same again, bad input, kills."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from counterfeit.data.images import decode_image
from counterfeit.data.transforms import KINDS_OF_CAPTURE
from counterfeit.detector import Detector
from counterfeit.evaluate import main as evaluate
from counterfeit.evaluation.robustness import CORRUPTIONS
from counterfeit.fit import command_line, main
from counterfeit.gan import train

PROJECT = Path(__file__).parents[1]
TINY = [
    "--data.size=64", "--data.drawn_genuine=90", "--data.drawn_counterfeit=45", "--data.counterfeits=12",
    "--data.views=1", "--trainer.max_epochs=1", "--model.bank=64", "--gan.kimg=0.064", "--gan.pool=32",
    "--synthesis.count=8", "--synthesis.overdraw=3", "--experiment.resamples=50", "--seeds=[0]",
]  # fmt: skip
COLUMNS = ["arm", "dose", "seed", "path", "group", "kind", "label", "score", "captured"]
# Python runs it at its start: the network is off, and every attempt to reach it is written down.
NETWORK_OFF = """
import os, sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        with open(os.environ["NETWORK_ATTEMPTS"], "a") as file:
            print(event, args[1:] if event == "socket.connect" else args, file=file)
        raise OSError("the network is off")

sys.addaudithook(refuse)
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny(cache: Path) -> list[str]:
    return [*TINY, f"--data.cache={cache}"]


@pytest.fixture(scope="session")
def finished(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("runs")
    out, off = folder / "run", folder / "sitecustomize.py"
    off.write_text(NETWORK_OFF)
    environment = os.environ | {"PYTHONPATH": str(folder), "NETWORK_ATTEMPTS": str(folder / "attempts")}
    command = [sys.executable, "-m", "counterfeit.fit", *tiny, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture(scope="session")
def longer(tiny: list[str]) -> list[str]:
    return [*tiny, "--gan.kimg=0.48", "--gan.checkpoint_every=160", "--experiment.arms=[real,synthetic]"]


@pytest.fixture(scope="session")
def uninterrupted(longer: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert main([*longer, "--out", str(out)]) == 0
    return out


def predictions(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): repr(pq.read_table(path).to_pydict()).encode()
        for path in sorted(run.glob("detector/*/*/*/predictions.parquet"))
    }


def test_a_run_ends_with_verdict_report_and_what_next(finished: tuple[Path, str]) -> None:
    out, printed = finished
    lines = printed.strip().splitlines()
    assert lines[0].startswith("verdict: ")
    assert any(line == f"report: {out / 'report.html'}" for line in lines)
    assert lines[-1] == "next: python -m counterfeit.fit --data.root FOLDER"


def test_a_run_asks_nothing_of_the_network(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = finished[0].parent
    assert not (folder / "attempts").exists(), (folder / "attempts").read_text()
    # What would have been written, had it asked:
    environment = os.environ | {"PYTHONPATH": str(folder), "NETWORK_ATTEMPTS": str(tmp_path / "attempts")}
    ask = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    asked = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True)
    assert "the network is off" in asked.stderr
    assert (tmp_path / "attempts").read_text()


def test_evaluate_rebuilds_the_same_comparison_and_ends_alike(
    finished: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, printed = finished
    before = (out / "comparison.json").read_bytes()
    assert evaluate(["--run", str(out)]) == 0
    assert capsys.readouterr().out.strip() == printed.strip()
    assert (out / "comparison.json").read_bytes() == before


def test_the_run_folder_holds_what_the_contract_says(finished: tuple[Path, str]) -> None:
    out, _ = finished
    for name in (
        "config.yaml", "env.json", "manifest.parquet", "splits.parquet", "quarantine.csv", "gan/0/gan.safetensors",
        "gan/0/metrics.csv", "gan/0/samples", "synthetic/0/manifest.parquet", "synthetic/0/provenance.json",
        "comparison.json", "report.html", "detector.safetensors", "detector.json",
    ):  # fmt: skip
        assert (out / name).exists(), name


def test_predictions_are_of_test_images_only_and_the_same_in_every_arm(finished: tuple[Path, str]) -> None:
    out, _ = finished
    splits = pq.read_table(out / "splits.parquet").to_pylist()
    test = sorted(row["path"] for row in splits if row["split"] == "test")
    tables = [pq.read_table(path) for path in out.glob("detector/*/*/*/predictions.parquet")]
    assert {table["arm"][0].as_py() for table in tables} == {"one-class", "real", "placebo", "transplant", "synthetic"}
    for table in tables:
        assert table.column_names == COLUMNS
        assert sorted(table["path"].to_pylist()) == test
        scores = table["score"].to_numpy()
        assert ((scores >= 0) & (scores <= 1)).all()
        assert len(np.unique(scores)) > 10
        assert set(table["captured"].to_pylist()) <= set(KINDS_OF_CAPTURE)


def test_synthetic_images_stem_from_training_photographs(finished: tuple[Path, str]) -> None:
    out, _ = finished
    split = {row["path"]: row["split"] for row in pq.read_table(out / "splits.parquet").to_pylist()}
    bank = pq.read_table(out / "synthetic/0/manifest.parquet")
    assert {split[path] for column in ("host", "donor") for path in bank[column].to_pylist()} == {"train"}


def test_the_same_command_gives_the_same_predictions(
    finished: tuple[Path, str], tiny: list[str], tmp_path: Path
) -> None:
    assert main([*tiny, "--out", str(tmp_path / "again")]) == 0
    assert predictions(tmp_path / "again") == predictions(finished[0])


def test_a_stage_can_be_run_again(finished: tuple[Path, str], tiny: list[str]) -> None:
    report = finished[0] / "report.html"
    text = report.read_text()
    report.write_text("lost")
    assert main([*tiny, "--out", str(finished[0]), "--stages", "[report]"]) == 0
    assert report.read_text() == text


def test_after_other_stages_of_a_finished_run_the_next_command_is_one_that_runs(
    finished: tuple[Path, str], tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny, "--out", str(finished[0]), "--stages", "[gan]"]) == 0
    told = capsys.readouterr().out.splitlines()[-1].removeprefix("next: python -m counterfeit.fit ")
    assert told.endswith("--stages '[detector,compare,report]'")
    assert main(shlex.split(told)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == finished[1].splitlines()[-1]


def test_a_finished_run_is_not_overwritten(
    finished: tuple[Path, str], tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished[0].rglob("*")}
    assert main([*tiny, "--out", str(finished[0])]) == 2
    assert one_error(capsys)
    assert {path: path.stat().st_mtime_ns for path in finished[0].rglob("*")} == before


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def photographs(root: Path, classes: dict[str, int], content: bytes | None = None) -> Path:
    generator = np.random.default_rng(0)
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            path = root / name / f"{i}.png"
            if content is not None:
                path.write_bytes(content)
            else:
                Image.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    return root


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data.root", "/nowhere/at/all"], "no folder"),
        (["--data.rooot", "x"], "rooot"),
        (["--seeds", "[]"], "seeds"),
        (["--seeds", "[0,0]"], "once"),
        (["--experiment.doses", "[]"], "doses"),
        (["--experiment.arms", "[synthetic]"], "real"),
        (["--data.size", "100"], "multiple of 32"),
        (["--gan.batch_size", "3"], "even"),
        (["--experiment.operating_point", "sometimes"], "operating point"),
        (["--model.backbone", "no_such_net"], "no_such_net"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(
    options: list[str], said: str, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny, "--out", str(tmp_path / "out"), *options]) == 2
    assert said in one_error(capsys)
    assert not (tmp_path / "out" / "gan").exists()


def test_one_class_only_is_one_line(tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = photographs(tmp_path / "photos", {"genuine": 4})
    assert main([*tiny, "--data.root", str(root), "--out", str(tmp_path / "out")]) == 2
    assert "counterfeit" in one_error(capsys)
    assert not (tmp_path / "out").exists()


def test_all_images_corrupt_is_one_line(tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = photographs(tmp_path / "photos", {"genuine": 3, "counterfeit": 3}, content=b"no image")
    assert main([*tiny, "--data.root", str(root), "--out", str(tmp_path / "out")]) == 2
    assert "not an image" in one_error(capsys)
    assert not (tmp_path / "out").exists()


def test_a_group_in_two_splits_is_one_line(tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = photographs(tmp_path / "photos", {"genuine": 3, "counterfeit": 3})
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group", "split"])
        for name in ("genuine", "counterfeit"):
            for i, split in enumerate(("train", "validation", "test")):
                writer.writerow([f"{name}/{i}.png", name, "same", split])
    assert main([*tiny, "--data.root", str(root), "--out", str(tmp_path / "out")]) == 2
    assert "same" in one_error(capsys)


def test_an_out_that_holds_something_else_is_left_alone(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main([*tiny, "--out", str(tmp_path)]) == 2
    assert "another folder" in one_error(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_default_configuration_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--print_config"])
    default = yaml.safe_load(capsys.readouterr().out)
    for group, values in yaml.safe_load((PROJECT / "configs" / "default.yaml").read_text()).items():
        if isinstance(values, dict):
            assert {key: default[group][key] for key in values} == values
        else:
            assert default[group] == values


def test_the_detector_works_at_the_size_of_the_data() -> None:
    plan = command_line(["--data.size", "96"]).plan()
    assert plan.data.size == plan.make_detector().size == 96


def interrupted(command: list[str], sign: Path, number: int) -> subprocess.Popen[str]:
    """Start the command and send it a signal as soon as a file appears."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT)
    limit = time.monotonic() + 120
    while not sign.exists():
        assert process.poll() is None, process.communicate()[1]
        if time.monotonic() >= limit:
            process.kill()  # else it goes on beside the tests that follow
            pytest.fail(f"no {sign.name} after 120 s")
        time.sleep(0.02)
    os.kill(process.pid, number)
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, {-9}), (signal.SIGTERM, {143}), (signal.SIGINT, {1, 130})], ids=str
)
def test_a_run_stopped_in_the_gan_continues_to_the_same_end(
    number: int, code: set[int], longer: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "counterfeit.fit", *longer, "--out"]
    process = interrupted([*command, str(tmp_path / "a")], tmp_path / "a/gan/0/last.ckpt", number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in code, errors
    assert not (tmp_path / "a/gan/0/done.json").exists()
    assert main([*longer, "--out", str(tmp_path / "a")]) == 0
    assert predictions(tmp_path / "a") == predictions(uninterrupted)


@pytest.mark.slow
def test_a_run_killed_in_every_later_stage_continues_to_the_same_end(
    finished: tuple[Path, str], tiny: list[str], tmp_path: Path
) -> None:
    (whole, _), out = finished, tmp_path / "run"
    command = [sys.executable, "-m", "counterfeit.fit", *tiny, "--out", str(out)]
    # What a stage writes first, or the stage before it last, and something that it has not written when it is killed.
    for sign, later in (
        ("transplant/0/manifest.parquet", "detector/0/real/0/predictions.parquet"),
        ("detector/0/real/0/predictions.parquet", "comparison.json"),
        ("comparison.json", "report.html"),
        ("detector.json", "report.html"),
    ):
        (out / sign).unlink(missing_ok=True)  # written before the last kill, it would bring the next one too soon
        process = interrupted(command, out / sign, signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
        assert not (out / later).exists()
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    names = {path.relative_to(whole) for path in whole.glob("detector/*/*/*/predictions.parquet")}
    assert len(names) == 5
    for name in [*sorted(names), "detector.safetensors", "detector.json", "comparison.json"]:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert not list(out.rglob("*.partial"))


@pytest.mark.slow
def test_a_refiner_that_failed_three_times_is_replaced_by_plain_transplants(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "diagnose", lambda history, finished: "collapsed: planted")
    out = tmp_path / "out"
    assert main([*tiny, "--out", str(out), "--stages", "[data,gan,synthesis]"]) == 0
    generator = json.loads((out / "synthetic/0/provenance.json").read_text())["generator"]
    assert (generator["name"], generator["attempt"], generator["reason"]) == ("transplant", 2, "collapsed: planted")
    assert "its bank is made of plain transplants" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tuned_detector_ships_with_its_backbone_and_scores_as_in_the_experiment(
    tiny: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ["--model.unfreeze=1", "--experiment.arms=[real,transplant]", "--data.size=64", "--out", str(out)]
    assert main([*tiny, *options]) == 0
    card = json.loads((out / "detector.json").read_text())
    point = card["operating_point"]
    assert point["rule"] == "fpr<=0.05" and 0 <= point["threshold"] <= 1
    assert point["n"] == point["n_genuine"] + point["n_counterfeit"] > 0
    for rate in (point["recall"], point["fpr"]):
        assert 0 <= rate["low"] <= rate["estimate"] <= rate["high"] <= 1 and rate["low"] < rate["high"]
    assert 0 <= card["bands"]["genuine_below"] <= card["bands"]["counterfeit_from"] <= 1
    shipped = Detector(**card["hyperparameters"]).eval()
    shipped.load_state_dict(load_file(out / "detector.safetensors"))
    frozen, tuned = Detector(size=64).backbone.state_dict(), shipped.backbone.state_dict()
    changed = {name.split(".")[1] for name in frozen if not torch.equal(frozen[name], tuned[name])}
    assert changed == {"blocks", "conv_head", "bn2"}
    table = pq.read_table(out / "detector/0" / card["arm"] / f"{card['dose']:g}" / "predictions.parquet")
    data = command_line([*tiny, "--data.size=64"]).plan().data
    pixels = [decode_image(data.folder / path, 64) for path in table["path"].to_pylist()]
    with torch.inference_mode():
        logits, _, _, called = shipped.with_maps(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))
    scores = torch.sigmoid(logits)
    assert scores.numpy() == pytest.approx(table["score"].to_numpy(), abs=1e-3)
    said = np.array(shipped.captures.names)[called.numpy()]
    assert (said == table["captured"].to_numpy(zero_copy_only=False)).mean() > 0.9
    before = predictions(out)
    for path in out.glob("detector/*/*/*/predictions.parquet"):
        path.unlink()  # read from tuned.safetensors again, not trained again
    assert main([*tiny, *options, "--stages", "[detector]"]) == 0
    assert predictions(out) == before
    for path in [*out.glob("detector/*/*/*/predictions.parquet"), *out.glob("detector/*/*/*/tuned.safetensors")]:
        path.unlink()  # as a kill between the two phases leaves it: tuned again, to the same end
    assert main([*tiny, *options, "--stages", "[detector]"]) == 0
    assert predictions(out) == before


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(finished: tuple[Path, str], tmp_path: Path) -> None:
    for workers in (1, 2):
        fresh = [*TINY, f"--data.cache={tmp_path / f'cache-{workers}'}", f"--data.num_workers={workers}"]
        out = tmp_path / str(workers)
        assert main([*fresh, "--stages=[data,gan,synthesis,detector]", "--out", str(out)]) == 0
        assert predictions(out) == predictions(finished[0])


@pytest.mark.slow
def test_robustness_is_measured_and_continued(finished: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = finished
    assert evaluate(["--run", str(out), "--robustness"]) == 0
    rows = json.loads((out / "robustness.json").read_text())["corruptions"]
    assert {row["arm"] for row in rows} == {"real", "synthetic"}
    assert len(rows) == 2 * len(CORRUPTIONS)
    clean = next(row for row in rows if (row["name"], row["arm"]) == ("none", "real"))
    comparison = json.loads((out / "comparison.json").read_text())
    stored = next(arm for arm in comparison["arms"] if arm["arm"] == "real")
    # The same photographs, decoded by way of their own resolution.
    assert abs(clean["auroc"][0] - stored["levels"]["auroc"]["estimate"]) < 0.05
    as_it_is, blurred = (pq.read_table(out / f"robustness/{name}.parquet") for name in ("none", "blur"))
    assert as_it_is["captured"] != blurred["captured"]
    # A part that is lost is made again, the others are read.
    before = {part.name: part.stat().st_mtime_ns for part in (out / "robustness").glob("*.parquet")}
    (out / "robustness" / "blur.parquet").unlink()
    assert evaluate(["--run", str(out), "--robustness"]) == 0
    after = {part.name: part.stat().st_mtime_ns for part in (out / "robustness").glob("*.parquet")}
    assert {name for name in after if after[name] != before[name]} == {"blur.parquet"}
    assert json.loads((out / "robustness.json").read_text())["corruptions"] == rows
