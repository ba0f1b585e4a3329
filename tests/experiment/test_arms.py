"""What each arm adds to the real photographs, and what a seed decides."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from counterfeit.backbone import Embedder, GenuinePlaces
from counterfeit.data.datamodule import ProductData
from counterfeit.data.transforms import CONDITIONS
from counterfeit.errors import UserError
from counterfeit.experiment import ExperimentSettings
from counterfeit.experiment.arms import with_bank, with_placebo
from counterfeit.experiment.seed import Seed
from counterfeit.synthesis import Bank, SynthesisSettings, transplants

COUNT, DOSE = 6, 0.3


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    cache = tmp_path_factory.mktemp("cache")
    data = ProductData(size=64, views=2, drawn_genuine=40, drawn_counterfeit=20, counterfeits=7, cache=str(cache))
    data.prepare_data()
    data.setup()
    embedder = Embedder("tf_efficientnet_lite0", 64, cache)
    data.group(embedder)
    return Seed(3, data, embedder, folds=3)


def bank_of(seed: Seed, number: int = 3) -> Bank:
    return transplants(seed.sources, seed.data.photos.path[seed.train], SynthesisSettings(count=COUNT), number)


def test_a_seed_decides_the_split_and_keeps_groups_whole(seed: Seed) -> None:
    group = seed.data.photos.group
    parts = {name: set(group[seed.rows(name)].tolist()) for name in ("train", "validation", "test")}
    assert all(parts.values())
    assert not parts["train"] & parts["test"] and not parts["train"] & parts["validation"]
    assert not parts["validation"] & parts["test"]
    other = Seed(4, seed.data, seed.embedder, 3)
    assert (other.split != seed.split).any()


def test_the_same_photographs_of_both_labels_are_copied_under_every_condition(seed: Seed) -> None:
    copies = seed.copies
    drawn = [copies.source[copies.condition == number].tolist() for number in range(len(CONDITIONS))]
    assert len(copies.embeddings) == len(CONDITIONS) * len(drawn[0]) and all(rows == drawn[0] for rows in drawn)
    label = seed.label[drawn[0]]
    assert (label == 1).sum() == 7 and (label == 0).sum() == min(32, (seed.label == 0).sum())
    last = seed.data.embed_recaptured(seed.embedder, seed.train[copies.source[-1:]], CONDITIONS[-1:])
    np.testing.assert_array_equal(copies.embeddings.pooled[-1], last.pooled[0])


def test_folds_keep_groups_whole_and_spread_the_counterfeits(seed: Seed) -> None:
    fold_of: dict[str, int] = {}
    for group, fold in zip(seed.data.photos.group[seed.train], seed.fold, strict=True):
        assert fold_of.setdefault(str(group), int(fold)) == fold
    counts = np.bincount(seed.fold[seed.label == 1], minlength=3)
    assert counts.sum() == 7 and counts.max() - counts.min() <= 1


def test_genuine_images_of_a_single_group_are_refused(seed: Seed) -> None:
    seed.check()
    lone = replace(seed)
    vars(lone)["fold"] = np.where(lone.label == 0, 1, lone.fold)  # a group lies in one fold
    with pytest.raises(UserError, match="one group"):
        lone.check()


def test_the_real_set_holds_every_view_and_marks_the_photographs_themselves(seed: Seed) -> None:
    real, count = seed.real, len(seed.train)
    assert len(real) == 2 * count and real.real.all()
    assert real.original.tolist() == [True] * count + [False] * count
    assert (real.folds == np.tile(seed.fold, 2)[:, None]).all()
    assert np.isnan(real.masks).all()


def test_what_a_seed_forgets_it_makes_again_the_same(seed: Seed) -> None:
    real, sources = seed.real, seed.sources
    seen = weakref.ref(real), weakref.ref(sources)
    kept = real.embeddings.patches.copy(), sources.evidence.copy(), sources.neighbours.copy()
    seed.release()
    del real, sources
    assert [found() for found in seen] == [None, None]  # the memory is free at once
    again = seed.real.embeddings.patches, seed.sources.evidence, seed.sources.neighbours
    for before, after in zip(kept, again, strict=True):
        np.testing.assert_array_equal(before, after)


def test_evidence_has_a_value_for_every_patch_and_hosts_are_other_genuine_images(seed: Seed) -> None:
    sources = seed.sources
    assert sources.evidence.shape == (len(seed.train), 8, 8)
    genuine = sources.evidence[seed.label == 0]
    assert genuine.mean(0) == pytest.approx(0, abs=1e-4) and genuine.std(0).max() < 1 + 1e-4
    patches, fold = (torch.from_numpy(x) for x in (seed.embeddings().patches, seed.fold))
    for number in range(3):  # an image is compared with genuine ones of other folds
        known = torch.from_numpy(seed.label == 0) & (fold != number)
        others = GenuinePlaces(patches.shape[-1], 8, 3)
        others.fit(patches[known], fold[known])
        rows = (fold == number).numpy()
        for cell in ((2, 3), (5, 5)):  # standardised, hence equal up to scale and shift
            there = others(patches[fold == number])[:, *cell]
            assert np.corrcoef(there, sources.evidence[rows][:, *cell])[0, 1] == pytest.approx(1, abs=1e-2)
    assert (seed.label[sources.neighbours] == 0).all()
    assert (sources.neighbours != np.arange(len(seed.train))[:, None]).all()


@pytest.mark.parametrize("dose", [0.1, DOSE, 2.0])
def test_a_bank_teaches_the_mask_heads_at_its_dose_and_the_image_heads_nothing(seed: Seed, dose: float) -> None:
    training = with_bank(seed, bank_of(seed), dose)
    assert training.dose == dose and seed.real.dose == 0
    assert (~training.real).sum() == 2 * COUNT and not training.weight[~training.real].any()


def test_an_added_image_carries_its_mask_and_the_folds_of_host_and_donor(seed: Seed) -> None:
    bank = bank_of(seed)
    training = with_bank(seed, bank, DOSE)
    added = ~training.real
    fold = dict(zip(seed.data.photos.path[seed.train].tolist(), seed.fold.tolist(), strict=True))
    assert training.folds[added, 0].tolist() == [fold[path] for path in bank.host.tolist()]
    assert training.folds[added, 1].tolist() == [fold[path] for path in bank.donor.tolist()]
    masks = training.masks[added]
    assert masks.min() >= 0 and masks.max() <= 1
    assert masks.mean((1, 2)) == pytest.approx(bank.masks.mean((1, 2)) / 255, abs=1e-3)
    assert not training.original[added].any()


def test_the_placebo_adds_as_many_images_at_the_same_weight_but_none_that_is_new(seed: Seed) -> None:
    training, treated = with_placebo(seed, COUNT, DOSE), with_bank(seed, bank_of(seed), DOSE)
    copies = ~training.real
    assert len(training) == len(treated)
    for label in (0, 1):
        chosen, real = copies & (training.label == label), training.real & (training.label == label)
        assert chosen.sum() == (~treated.real & (treated.label == label)).sum() == COUNT
        assert training.weight[chosen].sum() == pytest.approx(DOSE * training.weight[real].sum())
    known = {row.tobytes() for row in seed.real.embeddings.pooled}
    assert all(row.tobytes() in known for row in training.embeddings.pooled[copies])


def test_transplants_are_a_function_of_the_seed(seed: Seed) -> None:
    first, again, other = bank_of(seed), bank_of(seed), bank_of(seed, number=9)
    assert (first.pixels == again.pixels).all() and (first.masks == again.masks).all()
    assert not (first.pixels == other.pixels).all()
    assert np.bincount(first.label).tolist() == [COUNT, COUNT]


def test_the_baseline_comes_first_and_each_cell_once() -> None:
    settings = ExperimentSettings(arms=["synthetic", "real", "one-class", "synthetic"], doses=[0.3, 0.1, 0.3])
    assert settings.cells() == [("real", 0.0), ("synthetic", 0.3), ("synthetic", 0.1), ("one-class", 0.0)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"arms": ["synthetic"]}, "real"),
        ({"doses": []}, "doses"),
        ({"doses": [0.0]}, "doses"),
        ({"doses": [11.0]}, "doses"),
    ],
)
def test_an_experiment_without_a_comparison_is_refused(options: dict[str, list], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ExperimentSettings(**options).cells()
