"""One cell of the experiment: seed, arm and dose, trained once, its bank, its predictions, its detector."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import CSVLogger
from safetensors import safe_open

from counterfeit.backbone import Embedder, Embeddings
from counterfeit.data.manifest import write_table
from counterfeit.detector import (
    PARTS,
    Detector,
    Remembered,
    TrainingSet,
    fold_levels,
    score_parts,
    train_detector,
)
from counterfeit.detector.combination import unbound
from counterfeit.evaluation.arms import BASELINE
from counterfeit.experiment.arms import BANKS, training_set
from counterfeit.experiment.calibration import calibrate, probabilities, validation_parts
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.seed import Seed
from counterfeit.experiment.settings import FROM_NOISE
from counterfeit.experiment.tensors import heads_of, load_heads, load_tuned, save_tensors
from counterfeit.experiment.tuning import tune, tuned_embedder, tuning_set
from counterfeit.gan.finished import Refine, leave_plain, load_generate, load_generator
from counterfeit.gan.settings import GanSettings, Kind
from counterfeit.synthesis import (
    Bank,
    Candidates,
    SynthesisSettings,
    draw_candidates,
    read_bank,
    synthesise,
    transplants,
    write_bank,
)
from counterfeit.synthesis.bank import DigitalSource, empty_bank
from counterfeit.synthesis.from_noise import draw_from_noise
from counterfeit.synthesis.procedural import procedural

NEXT_DRAW = 1_000_003  # added to the seed for images beside those of the run


class Cells:
    """Makes what a cell needs, or reads it where an earlier run made it.

    Args:
        folder: the run folder.
        make_detector: gives a fresh detector.
        make_trainer: gives a fresh trainer.
        operating_point: rule that chooses the threshold on validation.
        synthesis: settings of the banks.
        gan: settings of the refiners, which must be those they were trained with.
    """

    def __init__(
        self,
        folder: RunFolder,
        make_detector: Callable[[], Detector],
        make_trainer: Callable[[], pl.Trainer],
        operating_point: str,
        synthesis: SynthesisSettings,
        gan: GanSettings,
    ) -> None:
        self.folder, self.make_detector, self.make_trainer = folder, make_detector, make_trainer
        self.operating_point, self.synthesis, self.gan = operating_point, synthesis, gan

    def elsewhere(self, path: Path) -> "Cells":
        """The same in a folder of its own, for seeds that see the photographs otherwise."""
        other = copy.copy(self)
        other.folder = RunFolder(path)
        return other

    def predictions(self, seed: Seed, arm: str, dose: float) -> Path:
        """``predictions.parquet`` of the cell's test images; written last, so that it marks a finished cell."""
        path = self.folder.cell(seed.number, arm, dose) / "predictions.parquet"
        if not path.exists():
            detector, embedder = self.final(seed, arm, dose)
            rows = seed.rows("test")
            known = seed.known if embedder is seed.embedder else None
            embeddings = seed.data.embed(embedder, rows, view=0)
            parts = score_parts(detector, embeddings, known=known)
            score = probabilities(detector, parts)
            photos = seed.data.photos
            table = {
                "arm": [arm] * len(rows),
                "dose": [dose] * len(rows),
                "seed": [seed.number] * len(rows),
                "path": photos.path[rows].tolist(),
                "group": photos.group[rows].tolist(),
                "kind": photos.kind[rows].tolist(),
                "label": photos.label[rows].tolist(),
                "score": score.tolist(),
                "captured": detector.captures.said(embeddings.pooled),
            }
            columns = {name: parts[:, i].tolist() for i, name in enumerate(PARTS)}
            write_table(pa.table({"path": table["path"], **columns}), path.with_name("parts.parquet"))
            write_table(pa.table(table), path)
        return path

    def detector(self, seed: Seed, arm: str, dose: float) -> Detector:
        """The cell's detector, trained and calibrated, or read back."""
        path = self._heads_file(seed, arm, dose)
        if path.exists():
            detector = self.make_detector()
            load_heads(detector, path)
            return detector.eval()
        # All arms of a seed have the same genuine photographs.
        like = self._across_folds(seed, BASELINE) if self._heads_file(seed, BASELINE, 0.0).exists() else None
        training = self._training_set(seed, arm, dose)
        torch.manual_seed(seed.number)
        detector = self.make_detector()
        trainer = logged(self.make_trainer(), path.parent, {"seed": seed.number, "arm": arm, "dose": dose})
        train_detector(
            detector,
            trainer,
            training,
            seed.number,
            one_class=arm == "one-class",
            like=like,
            known=seed.known,
            places=seed.places,
            copies=seed.copies,
        )
        calibrate(detector, *validation_parts(seed, detector, seed.embedder), self.operating_point)
        save_tensors(heads_of(detector), path)
        return detector.eval()

    def _across_folds(self, seed: Seed, arm: str) -> Detector:
        """The arm's detector without a dose, able to score training images by what has not seen their fold."""
        detector = self.detector(seed, arm, 0.0)
        detector.distances.placed.crossed = seed.places.crossed
        return detector

    def _heads_file(self, seed: Seed, arm: str, dose: float) -> Path:
        return self.folder.cell(seed.number, arm, dose) / "heads.safetensors"

    def dose(self, seed: Seed, arm: str, dose: float) -> float:
        """What of a dose the masks were given in the cell's detector; 0 in arms without masks."""
        tuned = self._heads_file(seed, arm, dose).with_name("tuned.safetensors")  # its views are weighed anew
        with safe_open(tuned if tuned.exists() else self._heads_file(seed, arm, dose), "numpy") as file:
            return float(file.get_tensor("combination.dose"))

    def final(self, seed: Seed, arm: str, dose: float) -> tuple[Detector, Embedder]:
        """The cell's detector as it is used, and an embedder that goes with it: tuned where ``model.unfreeze`` asks."""
        detector = self.detector(seed, arm, dose)
        if not detector.hparams["unfreeze"] or arm == "one-class":
            return detector, seed.embedder
        path = self._heads_file(seed, arm, dose).with_name("tuned.safetensors")
        if not path.exists():
            bank = self.bank(seed, arm) if arm in BANKS else None
            images = tuning_set(seed, arm, self._training_set(seed, arm, dose), bank)
            made = (self.make_detector, self.make_trainer, self.operating_point)
            tuned = tune(seed, detector, images, lambda again: self._training_set(again, arm, dose), *made)
            save_tensors(tuned.state_dict(), path)
        load_tuned(detector, path)
        return detector, tuned_embedder(seed, detector.backbone)

    def _training_set(self, seed: Seed, arm: str, dose: float) -> TrainingSet:
        return training_set(seed, arm, self.synthesis.count, dose, lambda name: self.bank(seed, name))

    def bank(self, seed: Seed, arm: str) -> Bank:
        """The seed's bank for one of ``BANKS``: ``synthetic`` is the product's, ``transplant`` plain composites, ..."""
        folder = self.folder.bank(arm, seed.number)
        if not (folder / "manifest.parquet").exists():
            made = self._make_bank(seed, arm)
            write_bank(folder, *made, digital_source(arm, made[1]))
        return read_bank(folder)

    def more(self, seed: Seed, count: int, draw: int) -> tuple[Bank, dict[str, Any]]:
        """A further bank like the product's, of ``count`` images of each label; ``draw``, from 1, tells banks apart."""
        return self._synthetic(seed, replace(self.synthesis, count=count), seed.number + NEXT_DRAW * draw)

    def _make_bank(self, seed: Seed, arm: str) -> tuple[Bank, dict[str, Any]]:
        if arm == "synthetic":
            return self._synthetic(seed, self.synthesis, seed.number)
        if arm == "synthetic-random":
            return self._synthetic(seed, replace(self.synthesis, hard=0.0), seed.number)
        if arm == "unrefined":
            settings = replace(self.synthesis, refined=0.0)
            return self._made_of_composites(seed, leave_plain, settings, seed.number)
        if arm in FROM_NOISE:
            return self._from_noise(seed, replace(self.gan, kind=FROM_NOISE[arm]), self.synthesis, seed.number)
        return self._transplants(seed) if arm == "transplant" else self._procedural(seed)

    def _procedural(self, seed: Seed) -> tuple[Bank, dict[str, Any]]:
        pixels, path = seed.data.pixels(seed.train), seed.data.photos.path[seed.train]
        bank = procedural(pixels, seed.label, path, self.synthesis.count, seed.number)
        return bank, {"drawn": len(bank), "kept": len(bank), "seed": seed.number}

    def _transplants(self, seed: Seed) -> tuple[Bank, dict[str, Any]]:
        bank = transplants(
            seed.sources, seed.data.photos.path[seed.train], self.synthesis, seed.number, seed.data.flips
        )
        return bank, {"drawn": len(bank), "kept": len(bank), "seed": seed.number}

    def _from_noise(
        self, seed: Seed, gan: GanSettings, settings: SynthesisSettings, number: int
    ) -> tuple[Bank, dict[str, Any]]:
        generate, done = load_generate(self.folder.gan(seed.number, gan.kind), gan)
        if generate is None:
            return empty_bank(), {"drawn": 0, "kept": 0, "seed": number, "generator": done}
        real = self.candidates(seed)
        draw = draw_from_noise(real, generate)
        whole = replace(settings, refined=1.0)  # nothing of them was pasted
        bank, provenance = synthesise(real, draw_candidates(real, leave_plain, whole, number, draw=draw), whole, number)
        if len(np.unique(bank.label)) < 2:  # one label alone would make "generated" the label
            bank = empty_bank()
        return bank, provenance | {"generator": done}

    def _synthetic(self, seed: Seed, settings: SynthesisSettings, number: int) -> tuple[Bank, dict[str, Any]]:
        if self.gan.kind != "refiner":
            return self._from_noise(seed, self.gan, settings, number)
        refine, generator = load_generator(self.folder.gan(seed.number), self.gan)
        if generator["name"] != "refiner":
            settings = replace(settings, refined=0.0)
        bank, provenance = self._made_of_composites(seed, refine, settings, number)
        return bank, provenance | {"generator": generator}

    def _made_of_composites(
        self, seed: Seed, refine: Refine, settings: SynthesisSettings, number: int
    ) -> tuple[Bank, dict[str, Any]]:
        real = self.candidates(seed)
        of = (self.folder.path, replace(settings, hard=0.0), number)  # all that candidates depend on
        if seed.drawn is None or seed.drawn[0] != of:
            seed.drawn = of, draw_candidates(real, refine, settings, number, seed.data.flips)
        return synthesise(real, seed.drawn[1], settings, number)

    def candidates(self, seed: Seed) -> Candidates:
        """The real training images as the gates see them, scored by the ``real`` detector across folds."""
        detector = self._across_folds(seed, "real")
        embeddings, photos = seed.embeddings(), seed.data.photos
        mean = embeddings.pooled.mean(0)

        def standardise(pooled: NDArray[np.float32]) -> NDArray[np.float64]:
            standardised: NDArray[np.float64] = (pooled - mean) / detector.image_heads.std.numpy()
            return standardised.astype(np.float64)

        score = _logits(detector, embeddings, seed.fold, seed.known)
        levels = fold_levels(score, seed.fold, seed.label == 0)

        def rate(found: Embeddings, fold: NDArray[np.int64]) -> NDArray[np.float64]:
            aligned: NDArray[np.float64] = _logits(detector, found, fold) - levels[fold]
            return aligned

        threshold = detector.combination.threshold.double().clamp(1e-6, 1 - 1e-6)
        return Candidates(
            sources=seed.sources,
            path=photos.path[seed.train],
            group=photos.group[seed.train],
            fold=seed.fold,
            features=standardise(embeddings.pooled),
            score=score - levels[seed.fold],
            operating_point=float(unbound(torch.logit(threshold))),
            embed=seed.embedder,
            standardise=standardise,
            rate=rate,
        )


def logged(trainer: pl.Trainer, folder: Path, cell: dict[str, Any]) -> pl.Trainer:
    """Tell the trainer's loggers which cell this is; without one, it logs to ``folder/log/metrics.csv``."""
    if not trainer.loggers:
        trainer.logger = CSVLogger(folder, name="log", version="")
    for logger in trainer.loggers:
        logger.log_hyperparams(cell)
    return trainer


def digital_source(arm: str, provenance: dict[str, Any]) -> DigitalSource:
    """The mark of a bank's images: by whom they were made, which is no generator where that one failed."""
    if arm == "procedural":
        return "composite"
    trained = provenance.get("generator", {}).get("name") in get_args(Kind)
    return "trainedAlgorithmicMedia" if trained else "compositeCapture"


def _logits(
    detector: Detector, embeddings: Embeddings, fold: NDArray[np.int64], known: Remembered | None = None
) -> NDArray[np.float64]:
    with torch.inference_mode():
        logits = detector.combination.unbounded(score_parts(detector, embeddings, fold, known=known))
    array: NDArray[np.float64] = logits.double().numpy()
    return array
