"""The verb that makes more images: a first GAN on digits, a bank from a finished run, mistakes in one line."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.fit import main as fit
from counterfeit.output import check_free
from counterfeit.synthesis import read_bank
from counterfeit.synthesize import main

PROJECT = Path(__file__).parents[1]
QUICK = ["--data=digits", "--gan.crop=32", "--gan.batch_size=10", "--gan.noise_kimg=0.1", "--gan.sample_every=50"]
TINY = [
    "--data.size=64", "--data.drawn_genuine=90", "--data.drawn_counterfeit=45", "--data.counterfeits=12",
    "--data.views=1", "--trainer.max_epochs=1", "--model.bank=64", "--gan.kimg=0.064", "--gan.pool=32",
    "--gan.noise_kimg=0.032", "--synthesis.count=8", "--synthesis.overdraw=3", "--seeds=[0]",
    "--experiment.arms=[real,synthetic,dcgan,noise]", "--stages=[data,gan,synthesis]",
]  # fmt: skip


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, which is one line."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_digits_are_trained_sampled_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits"
    assert main([*QUICK, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert str(out / "samples.png") in printed.out and printed.err == "dcgan: 100 images, healthy\n"
    assert np.asarray(Image.open(out / "samples.png")).shape == (10 * 32, 12 * 32, 3)
    assert json.loads((out / "done.json").read_text())["classes"] == 10
    before = (out / "samples.png").read_bytes()
    assert main([*QUICK, "--out", str(out)]) == 2
    assert "finished" in one_error(capsys) and (out / "samples.png").read_bytes() == before


def test_digits_are_trained_in_the_folder_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried, made = [], tempfile.TemporaryDirectory
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda **asked: tried.append(asked["dir"]) or made(**asked))
    check_free(Path(), in_place=True)
    assert tried == [tmp_path]  # the folder above need not be writable
    assert main([*QUICK, "--out", "."]) == 0
    assert (tmp_path / "samples.png").is_file()


def test_another_seed_needs_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits"
    assert main([*QUICK, "--out", str(out)]) == 0
    (out / "samples.png").unlink()
    capsys.readouterr()
    assert main([*QUICK, "--seed", "5", "--out", str(out)]) == 2
    assert "trained with seed 0: choose another --out" in one_error(capsys)


def test_what_a_killed_training_left_is_completed(tmp_path: Path) -> None:
    out = tmp_path / "digits"
    assert main([*QUICK, "--out", str(out)]) == 0
    whole = (out / "samples.png").read_bytes()
    (out / "samples.png").unlink()
    assert main([*QUICK, "--out", str(out)]) == 0
    assert (out / "samples.png").read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--run"),
        (["--run", "RUN", "--data", "digits"], "either"),
        (["--run", "RUN"], "not the folder of a run"),
        (["--run", "RUN", "--count", "0"], "at least 1"),
        (["--data", "letters"], "data"),
        ([*QUICK, "--gan.kind", "refiner"], "dcgan or noise"),
        ([*QUICK, "--gan.crop", "48"], "power of 2"),
        ([*QUICK, "--out", "FULL"], "not an empty folder"),
        (["--run", "RUN", "--out", "FULL"], "exists"),
        (["--run", "RUN", "--out", "."], "the folder you are in"),
        ([*QUICK, "--out", "FILE"], "not an empty folder"),
        ([*QUICK, "--out", "NOWHERE"], "cannot write --out"),
        (["--run", "RUN", "--out", "NOWHERE"], "cannot write --out"),
        (["--run", "RUN", "--out", "/proc/nowhere"], "cannot write --out"),  # though root may write to /proc
    ],
)
def test_mistakes_are_one_line(
    options: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = {"RUN": tmp_path / "run", "FULL": tmp_path / "full"}
    for place in places.values():
        place.mkdir()
    letter = places["FULL"] / "letter.txt"
    letter.write_text("mine")
    places |= {"FILE": letter, "NOWHERE": letter / "below"}
    given = [str(places.get(option, option)) for option in options]
    monkeypatch.chdir(places["RUN"])
    assert main(["--out", str(tmp_path / "out"), *given]) == 2
    assert said in one_error(capsys)
    assert not (tmp_path / "out").exists() and len(list(places["FULL"].iterdir())) == 1


def test_the_configuration_of_digits_is_understood(tmp_path: Path) -> None:
    options = ["--gan.noise_kimg", "0.064", "--out", str(tmp_path / "digits")]
    assert main(["--config", str(PROJECT / "configs/digits.yaml"), *options]) == 0
    assert (tmp_path / "digits/samples.png").is_file()


@pytest.mark.slow
def test_a_run_gives_more_images_which_no_run_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, cache = tmp_path / "run", f"--data.cache={tmp_path / 'cache'}"
    assert fit([*TINY, cache, "--out", str(run)]) == 0
    assert {path.name for path in run.glob("gan*")} == {"gan", "gan-dcgan", "gan-noise"}
    before = sorted(path.stat().st_mtime_ns for path in run.rglob("*"))
    for name, draw in (("first", 1), ("again", 1), ("other", 2)):
        assert main(["--run", str(run), "--count", "5", "--draw", str(draw), "--out", str(tmp_path / name)]) == 0
    assert sorted(path.stat().st_mtime_ns for path in run.rglob("*")) == before  # the run is only read
    first, again, other = (read_bank(tmp_path / name) for name in ("first", "again", "other"))
    assert len(first) and np.array_equal(first.pixels, again.pixels)
    of_run = {image.tobytes() for image in (*read_bank(run / "synthetic/0").pixels, *other.pixels)}
    assert not any(image.tobytes() in of_run for image in first.pixels)
    train = {row["path"] for row in pq.read_table(run / "splits.parquet").to_pylist() if row["split"] == "train"}
    assert set(first.host.tolist()) | set(first.donor.tolist()) <= train
    capsys.readouterr()
    assert main(["--run", str(run), "--seed", "7", "--out", str(tmp_path / "none")]) == 2
    assert "seeds [0]" in one_error(capsys)
