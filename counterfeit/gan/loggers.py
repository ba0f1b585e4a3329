"""Curves and sample grids of a finished GAN for the logger of the user's choice, such as TensorBoard or MLflow."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, Logger


def publish(folder: Path, loggers: Sequence[Logger], seed: int) -> None:
    """Send what a training left in its folder: every row of ``metrics.csv`` and every grid in ``samples/``.

    Steps are images seen. A ``CSVLogger`` is passed over: ``metrics.csv`` is there already. Grids go to loggers that
    take pictures: those with ``log_image``, or with an ``experiment`` that has ``add_image`` (TensorBoard) or
    ``log_image`` (MLflow).

    Args:
        folder: of one seed's GAN.
        loggers: of Lightning, fresh.
        seed: of the GAN, kept among the hyperparameters.
    """
    for logger in loggers:
        if isinstance(logger, CSVLogger):
            continue
        logger.log_hyperparams({"gan_seed": seed})
        with (folder / "metrics.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                values = {f"gan/{name}": float(value) for name, value in row.items() if value and name != "images"}
                logger.log_metrics(values, step=int(float(row["images"])))
        for path in sorted((folder / "samples").glob("*.png")):
            _send(logger, path)
        logger.save()
        logger.finalize("success")


def _send(logger: Logger, path: Path) -> None:
    with Image.open(path) as image:
        grid = np.asarray(image.convert("RGB"))
    seen = int(path.stem) if path.stem.isdigit() else 0
    experiment: Any = getattr(logger, "experiment", None)
    if hasattr(experiment, "add_image"):
        experiment.add_image("gan/samples", grid, seen, dataformats="HWC")
    elif hasattr(logger, "log_image"):
        logger.log_image(key="gan/samples", images=[grid], step=seen)
    elif hasattr(experiment, "log_image"):
        experiment.log_image(getattr(logger, "run_id", None), grid, artifact_file=f"gan/samples/{path.name}")
