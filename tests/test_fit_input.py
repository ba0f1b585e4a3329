"""Input that cannot work, and what is said of it: one line, before anything is written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from counterfeit.fit import command_line, main

PROJECT = Path(__file__).parents[1]
# That of digits is read by the verb synthesize: tests/test_synthesize.py.
CONFIGURATIONS = sorted(path for path in (PROJECT / "configs").glob("*.yaml") if path.stem != "digits")
SMALL = ["--data.drawn_genuine=30", "--data.drawn_counterfeit=15", "--data.counterfeits=4", "--data.views=1"]
MISTAKES = {
    "--experiment.arms=[real]": "nothing to compare",
    "--data.counterfeits=100000": "cannot keep 100000",
    "--data.counterfeits=-1": "cannot keep -1",
    "--data.counterfeits=0": "training has no counterfeit",
    "--data.fractions=[0.5,0.5,0.5]": "sum to 1",
    "--data.views=0": "at least one view",
    "--data.preset=wild": "wild",
    "--experiment.doses=[-1]": "experiment.doses",
    "--experiment.operating_point=fpr<0.05": "fpr<=0.05",
    "--experiment.resamples=0": "experiment.resamples",
    "--experiment.resamples=1000000000000": "from 1 to 1000000, not 1000000000000",
    "--synthesis.count=1000000000000": "synthesis.count 1000000000000 times synthesis.overdraw 5",
    "--synthesis.novelty=-1": "synthesis.novelty",
    "--gan.pool=1000000000000": "at most 100000 of each label",
    "--synthesis.count=0": "synthesis.count",
    "--synthesis.overdraw=0": "synthesis.overdraw",
    "--synthesis.hard=2": "synthesis.hard",
    "--synthesis.refined=2": "synthesis.refined",
    "--gan.crop=20": "gan.crop",
    "--gan.pool=0": "gan.pool",
    "--gan.sample_every=0": "gan.sample_every",
    "--gan.checkpoint_every=0": "gan.checkpoint_every",
    "--gan.lr=-1": "gan.lr",
    "--gan.backbone=no_such_net": "no_such_net",
    "--model.folds=1": "--model.folds",
    "--model.bank=0": "--model.bank",
    "--model.hidden=0": "--model.hidden",
    "--model.lr=0": "--model.lr",
    "--data.max_bad_rate=7": "--data.max_bad_rate",
    "--data.num_workers=-1": "--data.num_workers",
    "--trainer.accelerator=gpuu": "gpuu",
    "--gan_trainer.accelerator=gpuu": "gpuu",
    "--gan_trainer.devices=2": "one device",
    "--trainer.precision=64-true": "--gan_trainer.precision",
    "--stages=[repot]": "repot",
    "--stages=[]": "--stages is empty",
    "--seeds=[]": "--seeds is empty",
    "--seeds=[99999999999999999999]": "from 0 to 4294967295",
    "--seed_everything=-1": "from 0 to 4294967295",
    "--trainer.max_epochs=0": "--trainer.max_epochs 0: nothing would be trained",
    "--trainer.max_epochs=-1": "give --trainer.max_epochs or --trainer.max_steps",
    "--trainer.max_steps=0": "--trainer.max_steps 0: nothing would be trained",
    "--trainer.limit_train_batches=0": "limit_train_batches",
    "--trainer.limit_train_batches=0.001": "limit_train_batches",
    "--trainer.overfit_batches=0.001": "overfit_batches",
    "--trainer.max_time=00:00:00:00": "--trainer.max_time",
    "--trainer.fast_dev_run=true": "--trainer.fast_dev_run",
    "--trainer.devices=2": "heads train in seconds on one device",
    "--trainer.devices=-1": "--trainer: `devices`",
    "--trainer.strategy=ddp": "heads train in seconds on one device",
    "--trainer.num_nodes=2": "heads train in seconds on one device",
    "--gan.kimg=0": "gan.kimg",
    "--gan.kimg=nan": "--gan.kimg: nan is not a number",
    "--gan.kimg=.nan": "--gan.kimg: nan is not a finite number",
    "--gan.diversity=-1": "gan.diversity",
    "--data.fractions=[.nan,0.5,0.5]": "--data.fractions",
    "--experiment.doses=[.nan]": "--experiment.doses",
    "--experiment.alpha=.inf": "--experiment.alpha",
    "--experiment.operating_point=fpr<=nan": "fpr<=0.05",
    "--model.lr=.nan": "--model.lr",
    "--model.patch_penalty=-1": "--model.patch_penalty",
    "--trainer.gradient_clip_val=.inf": "--trainer.gradient_clip_val",
    "--data.root=": "data.root is empty",
    "--config=/dev/null": "not a file",
    "--trainer.logger=TensorBoardLogger": "TensorBoardLogger: the following arguments are required: save_dir",
    "--config=nowhere.yaml": "nowhere.yaml",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    mistake: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*SMALL, f"--data.cache={cache}", f"--out={out}", mistake]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and MISTAKES[mistake] in lines[0]
    assert not out.exists()


def test_a_limit_of_time_alone_is_no_budget(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timed = ["--trainer.max_epochs=null", "--trainer.max_time=00:00:10:00"]
    assert main([*SMALL, f"--data.cache={cache}", f"--out={tmp_path / 'out'}", *timed]) == 2
    assert "give --trainer.max_epochs or --trainer.max_steps" in capsys.readouterr().err


def test_a_cache_that_cannot_be_created_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    for cache in (tmp_path / "file", tmp_path / "file" / "cache"):
        assert main([*SMALL, f"--data.cache={cache}", f"--out={tmp_path / 'out'}"]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and "set --data.cache" in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_logger_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(self: object, *args: object, **options: object) -> None:
        raise ModuleNotFoundError("try `pip install mlflow`")

    monkeypatch.setattr("pytorch_lightning.loggers.MLFlowLogger.__init__", missing)
    assert main(["--trainer.logger=pytorch_lightning.loggers.MLFlowLogger", f"--out={tmp_path / 'out'}"]) == 2
    line = capsys.readouterr().err
    assert line == "error: pytorch_lightning.loggers.MLFlowLogger: try `pip install mlflow`\n"


def test_an_empty_out_is_no_run_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, f"--data.cache={tmp_path / 'cache'}", "--out="]) == 2
    assert not list(tmp_path.iterdir())


def test_a_run_folder_with_a_damaged_configuration_is_left_alone(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (b"\xd0\x00", b"[1", b"- 1"):
        (tmp_path / "config.yaml").write_bytes(content)
        assert main([*SMALL, f"--data.cache={cache}", f"--out={tmp_path}"]) == 2
        assert capsys.readouterr().err.endswith("is damaged; choose another --out folder\n")
        assert (tmp_path / "config.yaml").read_bytes() == content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is imitated by /dev/full")
def test_a_full_disk_is_one_line_and_the_same_command_continues(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = [*SMALL, f"--data.cache={cache}", f"--out={out}", "--stages=[data]"]
    assert main(command) == 0
    manifest = (out / "manifest.parquet").read_bytes()
    (out / "manifest.parquet.partial").symlink_to("/dev/full")
    capsys.readouterr()
    assert main(command) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"error: {out / 'manifest.parquet'}: No space left on device; make room")
    assert (out / "manifest.parquet").read_bytes() == manifest
    assert main(command) == 0


def test_smote_of_a_single_counterfeit_is_refused_before_anything_is_trained(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = [*SMALL, f"--data.cache={cache}", f"--out={out}", "--experiment.arms=[real,smote]"]
    assert main([*options, "--data.counterfeits=1"]) == 2
    assert "smote needs two training images" in capsys.readouterr().err
    assert not out.exists()


def test_a_precision_that_no_refiner_follows_matters_only_where_one_is_trained() -> None:
    assert command_line(["--trainer.precision=64-true", "--experiment.arms=[real,smote]"]).plan()


def test_banks_without_a_refiner_name_the_stage_to_run(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*SMALL, f"--data.cache={cache}", f"--out={tmp_path / 'out'}", "--trainer.max_epochs=1"]
    assert main([*options, "--seeds=[0]", "--stages=[data,synthesis]"]) == 2
    assert "run the stage gan first" in capsys.readouterr().err.splitlines()[-1]


def test_too_few_groups_leave_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    rows = ["path,label,group"]
    for i in range(8):
        Image.fromarray(generator.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{i % 2},g{i % 2}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out"
    assert main([f"--data.root={tmp_path}", f"--data.cache={tmp_path / 'cache'}", f"--out={out}"]) == 2
    assert "too few for train, validation and test" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("module", [["counterfeit.fit"], ["counterfeit", "fit"]], ids=" ".join)
def test_a_process_prints_its_error_alone(module: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *module, "--data.rooot", "x"], capture_output=True, text=True, cwd=PROJECT
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: unrecognized arguments: --data.rooot x\n"


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_a_configuration_is_parsed_to_what_it_says(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--config", str(path), "--print_config"])
    parsed = yaml.safe_load(capsys.readouterr().out)
    for group, values in yaml.safe_load(path.read_text()).items():
        for key, value in values.items() if isinstance(values, dict) else ():
            assert parsed[group][key] == value, (group, key)
        if not isinstance(values, dict):
            assert parsed[group] == values, group
