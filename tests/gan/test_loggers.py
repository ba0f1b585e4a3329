"""What a GAN left behind arrives in real TensorBoard event files, and a whole run fills them."""

import csv

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from counterfeit.fit import main
from counterfeit.gan.loggers import publish

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard, in the extra of that name"
)
TINY = [
    "--data.size=64", "--data.drawn_genuine=90", "--data.drawn_counterfeit=45", "--data.counterfeits=12",
    "--data.views=1", "--trainer.max_epochs=2", "--model.bank=64", "--gan.kimg=0.064", "--gan.pool=32",
    "--synthesis.count=8", "--synthesis.overdraw=3", "--seeds=[0]", "--experiment.arms=[real,synthetic]",
    "--stages=[data,gan,synthesis,detector]",
]  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def events(folder):
    """The accumulated events of every directory below ``folder`` that holds any."""
    found = []
    for directory in sorted({file.parent for file in folder.rglob("events.out.tfevents.*")}):
        read = accumulator.EventAccumulator(str(directory), size_guidance={"images": 0, "scalars": 0})
        read.Reload()
        found.append(read)
    return found


@pytest.fixture
def trained(tmp_path):
    folder = tmp_path / "gan"
    (folder / "samples").mkdir(parents=True)
    rows = ["step,images,loss_generator,kid", "10,160,0.5,", "20,320,0.25,0.1"]
    (folder / "metrics.csv").write_text("\n".join(rows))
    for seen, shade in ((160, 10), (320, 200)):
        Image.new("RGB", (24, 16), (shade, 0, 0)).save(folder / "samples" / f"{seen:06d}.png")
    return folder


def test_curves_and_grids_arrive_in_tensorboard(trained, tmp_path):
    publish(trained, [TensorBoardLogger(tmp_path / "tb")], seed=3)
    (read,) = events(tmp_path / "tb")
    assert [(event.step, event.value) for event in read.Scalars("gan/loss_generator")] == [(160, 0.5), (320, 0.25)]
    assert [event.step for event in read.Scalars("gan/kid")] == [320]  # a gap is no zero
    grids = read.Images("gan/samples")
    assert [grid.step for grid in grids] == [160, 320]
    assert (grids[0].width, grids[0].height) == (24, 16)


def test_pictures_go_to_a_logger_that_takes_them(trained, tmp_path):
    class Pictures(Logger):  # a logger by class path, as MLflow's or that of Weights & Biases
        name, version, experiment = "pictures", "0", None

        def __init__(self):
            super().__init__()
            self.images, self.rows = [], []

        def log_hyperparams(self, params, *_):
            self.params = params

        def log_metrics(self, metrics, step=None):
            self.rows.append((step, metrics))

        def log_image(self, key, images, step=None):
            self.images.append((key, np.asarray(images[0]).shape, step))

    logger = Pictures()
    publish(trained, [logger], seed=3)
    assert logger.images == [("gan/samples", (16, 24, 3), 160), ("gan/samples", (16, 24, 3), 320)]
    assert logger.rows[0] == (160, {"gan/step": 10.0, "gan/loss_generator": 0.5})
    assert logger.params == {"gan_seed": 3}


def test_csv_needs_no_second_copy(trained, tmp_path):
    publish(trained, [CSVLogger(tmp_path / "csv")], seed=0)
    assert not list((tmp_path / "csv").rglob("*.csv"))


@pytest.mark.slow
def test_a_run_with_tensorboard_holds_detector_and_gan(cache, tmp_path):
    logger = ["--trainer.logger=TensorBoardLogger", f"--trainer.logger.save_dir={tmp_path / 'tb'}"]
    assert main([*TINY, *logger, f"--data.cache={cache}", f"--out={tmp_path / 'run'}"]) == 0
    found = events(tmp_path / "tb")
    tags = [set(read.Tags()["scalars"]) for read in found]
    assert sum("loss_mask" in names for names in tags) == 2  # one directory an arm
    assert sum("gan/loss_generator" in names for names in tags) == 1
    assert sum("gan/samples" in read.Tags()["images"] for read in found) == 1
    assert not list((tmp_path / "run").rglob("log/metrics.csv"))


@pytest.mark.slow
def test_without_a_logger_every_detector_leaves_its_losses_as_csv(cache, tmp_path):
    assert main([*TINY, f"--data.cache={cache}", f"--out={tmp_path / 'run'}"]) == 0
    for arm, dose, learned in (("real", "0", "loss_image"), ("synthetic", "1", "loss_mask")):
        file = tmp_path / "run" / "detector" / "0" / arm / dose / "log" / "metrics.csv"
        rows = list(csv.DictReader(file.read_text().splitlines()))
        losses = [float(row[learned]) for row in rows if row[learned]]
        assert len(losses) == 2
        assert losses[1] < losses[0]
