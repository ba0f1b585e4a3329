"""What every arm promises, whatever it adds: shapes, weights, folds, and no photograph outside of training."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from counterfeit.backbone import Embedder, Embeddings
from counterfeit.data.datamodule import ProductData
from counterfeit.detector import Detector, TrainingSet
from counterfeit.errors import UserError
from counterfeit.experiment import Arm, cells
from counterfeit.experiment.arms import BANKS, training_set
from counterfeit.experiment.cells import Cells
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.oracle import check_oracle, more_counterfeits
from counterfeit.experiment.seed import Seed
from counterfeit.experiment.settings import FROM_NOISE
from counterfeit.gan.settings import GanSettings
from counterfeit.synthesis import Bank, SynthesisSettings, transplants
from counterfeit.synthesis.procedural import procedural

COUNT, DOSE, FOUND = 9, 0.3, 6
MASKED = [arm for arm in BANKS if arm not in FROM_NOISE]
ADDING = [arm for arm in get_args(Arm) if arm not in ("one-class", "real", "oracle")]


class WatchedData(ProductData):
    """Remembers every photograph that it was asked for."""

    asked: set[int]

    def pixels(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        self.asked |= set(rows.tolist())
        return super().pixels(rows)

    def embed(self, embedder: Embedder, rows: NDArray[np.intp], view: int) -> Embeddings:
        self.asked |= set(rows.tolist())
        return super().embed(embedder, rows, view)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> WatchedData:
    cache = tmp_path_factory.mktemp("cache")
    made = WatchedData(size=64, drawn_genuine=40, drawn_counterfeit=30, counterfeits=FOUND, cache=str(cache))
    made.asked = set()
    made.prepare_data()
    made.setup()
    made.group(Embedder("tf_efficientnet_lite0", 64, cache))
    return made


def seed_of(data: WatchedData) -> Seed:
    return Seed(3, data, Embedder("tf_efficientnet_lite0", 64, data.cache), folds=3)


@pytest.fixture(scope="module")
def seed(data: WatchedData) -> Seed:
    return seed_of(data)


def bank_of(seed: Seed, arm: str) -> Bank:
    """A bank as the arm has one: of anomalies by rule, of whole images, or of composites, as refined ones are."""
    path = seed.data.photos.path[seed.train]
    if arm == "procedural":
        return procedural(seed.data.pixels(seed.train), seed.label, path, COUNT, seed.number)
    bank = transplants(seed.sources, path, SynthesisSettings(count=COUNT), seed.number)
    return replace(bank, masks=np.full_like(bank.masks, 255)) if arm in FROM_NOISE else bank


def make(seed: Seed, arm: str, dose: float = DOSE) -> TrainingSet:
    return training_set(seed, arm, COUNT, dose, lambda name: bank_of(seed, name))


@pytest.mark.parametrize("arm", get_args(Arm))
def test_shapes_fit_each_other_and_the_real_photographs_come_first(seed: Seed, arm: str) -> None:
    made, real = make(seed, arm), seed.real
    count = len(made)
    assert made.embeddings.pooled.shape == (count, real.embeddings.pooled.shape[1])
    assert made.embeddings.patches.shape == (count, *real.embeddings.patches.shape[1:])
    assert made.masks.shape == (count, 8, 8) and made.folds.shape == (count, 2)
    assert made.weight.shape == made.real.shape == made.original.shape == (count,)
    assert np.isfinite(made.embeddings.pooled).all() and np.isfinite(made.weight).all() and (made.weight >= 0).all()
    assert set(np.unique(made.label)) == {0, 1} and set(np.unique(made.folds)) <= {0, 1, 2}
    for name in ("label", "weight", "folds", "real", "original"):
        assert np.array_equal(getattr(made, name)[: len(real)], getattr(real, name)), name


@pytest.mark.parametrize("dose", [0.1, 2.0])
@pytest.mark.parametrize("arm", ADDING)
def test_the_dose_goes_to_the_image_heads_or_with_masks_to_the_mask_heads(seed: Seed, arm: str, dose: float) -> None:
    made, real = make(seed, arm, dose), seed.real
    added = ~made.real
    assert made.dose == (dose if arm in MASKED else 0)
    assert added.sum() == 2 * COUNT and not made.original[added].any()
    for label in (0, 1):
        assert (added & (made.label == label)).sum() == COUNT
        weight = made.weight[added & (made.label == label)].sum()
        assert weight == pytest.approx(0 if arm in MASKED else dose * (real.label == label).sum())


@pytest.mark.parametrize("arm", get_args(Arm))
def test_validation_and_test_are_never_looked_at(data: WatchedData, arm: str) -> None:
    fresh = seed_of(data)
    data.asked = set()
    make(fresh, arm)
    allowed = {"train", "unused"} if arm == "oracle" else {"train"}
    assert {fresh.split[row] for row in data.asked} == allowed


@pytest.mark.parametrize("arm", get_args(Arm))
def test_an_arm_is_a_function_of_the_seed(seed: Seed, arm: str) -> None:
    first, again = make(seed, arm), make(seed, arm)
    assert np.array_equal(first.embeddings.pooled, again.embeddings.pooled)
    assert np.array_equal(first.weight, again.weight) and np.array_equal(first.folds, again.folds)


def test_smote_lies_between_the_images_whose_folds_it_carries(seed: Seed) -> None:
    made = make(seed, "smote")
    pooled = seed.embeddings().pooled.astype(np.float64)
    for row in np.flatnonzero(~made.real):
        point, label = made.embeddings.pooled[row], made.label[row]
        one, other = (np.flatnonzero((seed.label == label) & (seed.fold == fold)) for fold in made.folds[row])
        ways = (
            np.linalg.norm(pooled[one] - point, axis=1)[:, None] + np.linalg.norm(pooled[other] - point, axis=1)[None]
        )
        direct = np.linalg.norm(pooled[one][:, None] - pooled[other][None], axis=2)
        assert (ways - direct).min() < 1e-3 * direct.max()


@pytest.mark.parametrize("arm", ["mixup", "cutmix"])
def test_a_mix_appears_once_for_each_label_with_its_share(seed: Seed, arm: str) -> None:
    made, real = make(seed, arm), seed.real
    rows = np.flatnonzero(~made.real)
    as_counterfeit, as_genuine = rows[:COUNT], rows[COUNT:]
    assert made.label[as_counterfeit].all() and not made.label[as_genuine].any()
    assert np.array_equal(made.embeddings.pooled[as_counterfeit], made.embeddings.pooled[as_genuine])
    assert np.array_equal(made.folds[as_counterfeit], made.folds[as_genuine])
    assert np.isnan(made.masks[rows]).all()
    # Undone the scaling to the dose, the two weights of a mix are its two shares, and these sum to 1.
    sums = [(real.label == label).sum() * DOSE for label in (1, 0)]
    shares = np.stack([made.weight[as_counterfeit] / sums[0], made.weight[as_genuine] / sums[1]], 1)
    scale, *_ = np.linalg.lstsq(shares, np.ones(COUNT), rcond=None)
    assert shares @ scale == pytest.approx(np.ones(COUNT), abs=1e-6)


def test_only_arms_with_known_masks_teach_the_patch_head(seed: Seed) -> None:
    for arm in ADDING:
        known = ~np.isnan(make(seed, arm).masks).any((1, 2))
        assert known.any() == (arm in MASKED), arm


def test_the_oracle_doubles_the_real_counterfeits_and_nothing_else(seed: Seed) -> None:
    made, real = make(seed, "oracle"), seed.real
    more = slice(len(real), None)
    assert made.real.all() and made.label[more].all() and (made.weight == 1).all()
    assert (made.label == 1).sum() == 2 * (real.label == 1).sum()
    assert (made.original & (made.label == 1)).sum() == 2 * FOUND
    # What is added is what a run with twice the limit would have learned from.
    twice = seed.data
    limit, twice.counterfeits = twice.counterfeits, 2 * FOUND
    larger = set(np.flatnonzero((twice.split(seed.number) == "train") & (twice.photos.label == 1)).tolist())
    twice.counterfeits = limit
    kept = set(seed.train[seed.label == 1].tolist())
    assert larger == kept | set(more_counterfeits(seed).tolist()) and check_oracle(seed) is None


def test_the_oracle_keeps_groups_in_one_fold(seed: Seed, data: WatchedData, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every further counterfeit is one more photograph of an item that training knows.
    unused, known = np.flatnonzero(seed.split == "unused"), seed.train[seed.label == 1]
    group = seed.data.photos.group.copy()
    group[unused] = group[np.resize(known, len(unused))]
    monkeypatch.setattr(data, "photos", replace(data.photos, group=group))
    made, more = make(seed, "oracle"), more_counterfeits(seed)
    fold_of = dict(zip(group[seed.train].tolist(), seed.fold.tolist(), strict=True))
    assert made.folds[len(seed.real) :, 0].tolist() == [fold_of[name] for name in np.tile(group[more], 2).tolist()]
    assert len(set(made.folds[len(seed.real) :, 0].tolist())) > 1


def cells_of(folder: Path) -> Cells:
    """Cells with detectors that train for one epoch."""
    trainer = partial(pl.Trainer, max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    settings = SynthesisSettings(count=COUNT, overdraw=2)
    detector = partial(Detector, size=64, folds=3)
    return Cells(RunFolder(folder), detector, trainer, "fpr<=0.05", settings, GanSettings())


def test_the_banks_of_the_product_never_look_at_test(
    data: WatchedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation is looked at: the operating point, around which hardness is centred, was chosen there."""
    monkeypatch.setattr(cells, "load_generator", lambda *_: (lambda images, *_: images, {"name": "refiner"}))
    fresh, made = seed_of(data), cells_of(tmp_path)
    data.asked = set()
    for arm in ("synthetic", "synthetic-random", "unrefined"):
        bank = made.bank(fresh, arm)
        assert len(bank) and bank.scores["refined"].any() == (arm != "unrefined")
    assert {fresh.split[row] for row in data.asked} == {"train", "validation"}


@pytest.mark.parametrize("arm", FROM_NOISE)
def test_whole_images_are_gated_and_name_the_photograph_of_their_label_that_they_are_nearest_to(
    arm: Arm, data: WatchedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator is one that knows its photographs well: it changes each a little more than a copy."""
    fresh, made = seed_of(data), cells_of(tmp_path)
    reals = torch.from_numpy(data.pixels(fresh.train)).permute(0, 3, 1, 2) / 255

    def generate(label: Tensor, generator: torch.Generator) -> Tensor:
        rows = [np.flatnonzero(fresh.label == c)[int(torch.randint(6, (), generator=generator))] for c in label]
        noise = torch.randn(len(rows), *reals.shape[1:], generator=generator)
        return (reals[rows] + 0.03 * noise).clamp(0, 1)

    monkeypatch.setattr(cells, "load_generate", lambda *_: (generate, {"name": arm}))
    bank, data.asked = made.bank(fresh, arm), set()
    label_of = dict(zip(data.photos.path[fresh.train].tolist(), fresh.label.tolist(), strict=True))
    assert set(bank.label.tolist()) == {0, 1} and bank.pixels.shape[1:] == (64, 64, 3)
    assert [label_of[path] for path in bank.donor.tolist()] == bank.label.tolist()
    assert bank.host.tolist() == bank.donor.tolist() and (bank.masks == 255).all()
    image = Image.open(next((tmp_path / arm / "3").glob("counterfeit_*[0-9].png")))
    assert "trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]


@pytest.mark.parametrize("failed", ["a generator that failed", "a generator of one label"])
def test_a_bank_without_both_labels_is_empty_and_teaches_nothing(
    failed: str, data: WatchedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, made = seed_of(data), cells_of(tmp_path)
    genuine = torch.from_numpy(data.pixels(fresh.train[fresh.label == 0])).permute(0, 3, 1, 2) / 255

    def generate(label: Tensor, generator: torch.Generator) -> Tensor:
        noise = 0.03 * torch.randn(len(label), *genuine.shape[1:], generator=generator)
        return (genuine[: len(label)] + noise).clamp(0, 1) if not label[0] else torch.zeros_like(noise)

    loaded = (None, {"name": "none", "reason": "collapsed"}) if "failed" in failed else (generate, {"name": "dcgan"})
    monkeypatch.setattr(cells, "load_generate", lambda *_: loaded)
    assert len(made.bank(fresh, "dcgan")) == 0
    kept = json.loads((tmp_path / "dcgan/3/provenance.json").read_text())["kept"]
    assert kept == 0 if "failed" in failed else kept["genuine"] > kept["counterfeit"] == 0
    assert training_set(fresh, "dcgan", COUNT, DOSE, lambda arm: made.bank(fresh, arm)) is fresh.real


def test_the_oracle_shrinks_with_a_note_and_refuses_where_nothing_is_left(tmp_path: Path, seed: Seed) -> None:
    def with_limit(counterfeits: int | None) -> Seed:
        data = ProductData(size=64, counterfeits=counterfeits, cache=str(tmp_path))
        data.photos = seed.data.photos
        data.counterfeits = counterfeits
        return Seed(3, data, seed.embedder, 3)

    all_of_them = int((with_limit(None).label == 1).sum())
    assert "oracle has 2 counterfeits more, not" in str(check_oracle(with_limit(all_of_them - 2)))
    with pytest.raises(UserError, match="oracle"):
        check_oracle(with_limit(None))


def test_a_cell_of_another_version_is_refused_in_one_line(data: WatchedData, tmp_path: Path) -> None:
    fresh, made = seed_of(data), cells_of(tmp_path)
    made.detector(fresh, "one-class", 0.0)
    (heads,) = tmp_path.rglob("heads.safetensors")
    kept = load_file(heads)
    assert made.detector(fresh, "one-class", 0.0).combination.weight.equal(kept["combination.weight"])
    for other in ({"evidence.mean": torch.zeros(3, 8, 8)}, {"bank.entries": torch.zeros(2, 2)}):
        save_file(kept | other, heads)
        with pytest.raises(UserError, match="of another version of counterfeit"):
            made.detector(fresh, "one-class", 0.0)
