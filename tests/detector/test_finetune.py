"""Fine-tuning learns, changes what it may and nothing else, and is found again in a file."""

import copy

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from rich.progress import Progress
from safetensors.torch import load, save
from torch.nn import functional as F
from torch.utils.data import DataLoader

from counterfeit.backbone import load_backbone
from counterfeit.detector import Detector
from counterfeit.detector.finetune import (
    IMAGES,
    STEPS_PER_EPOCH,
    BackboneTuning,
    PixelBatches,
    Steps,
    TuningSet,
    finetune,
)
from counterfeit.errors import UserError

FOLDS = 3


def images() -> TuningSet:
    """Noise, and in counterfeits a fine grid over it."""
    label = np.r_[np.ones(12, np.int64), np.zeros(12, np.int64)]
    pixels = np.random.default_rng(0).integers(60, 196, (24, 64, 64, 3), dtype=np.uint8)
    pixels[:12, ::4] = 220
    return TuningSet(pixels, label, np.full(24, 1 / 24))


def same(pixels: np.ndarray, seed: int) -> np.ndarray:
    return pixels


def trainer(**others: int) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=1, **others, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip


def detector(stages: int) -> Detector:
    made = Detector(size=64, folds=FOLDS, bank=16, unfreeze=stages)
    with torch.inference_mode():
        noise = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        made.image_heads.standardise_to(made.backbone(noise)[0], torch.arange(8) // 4, torch.arange(8) % FOLDS)
    return made


def tuning_of(made: Detector, stages: int) -> BackboneTuning:
    return BackboneTuning(made.backbone, stages, made.image_heads.std)


def loss(tuning: BackboneTuning) -> float:
    batch = PixelBatches(images(), same, seed=9).draw(np.random.default_rng(9))
    with torch.inference_mode():
        return F.binary_cross_entropy_with_logits(tuning.eval()(batch["images"]), batch["label"]).item()


@pytest.fixture(scope="module")
def tuned() -> tuple[Detector, BackboneTuning, BackboneTuning]:
    before = detector(2)
    tuning = tuning_of(before, 2)
    start = copy.deepcopy(tuning)
    trainer().fit(tuning, DataLoader(PixelBatches(images(), same, seed=0), batch_size=None))
    return before, start, tuning


def test_the_loss_falls(tuned: tuple[Detector, BackboneTuning, BackboneTuning]) -> None:
    _, start, tuning = tuned
    assert loss(tuning) < 0.7 * loss(start)


def test_frozen_stages_stay_as_they_were_and_the_last_ones_change(
    tuned: tuple[Detector, BackboneTuning, BackboneTuning],
) -> None:
    _, start, tuning = tuned
    before, after = start.backbone.state_dict(), tuning.backbone.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    # The last two of the five stages of Lite0 are blocks 3 to 6; running statistics never change.
    assert {name.split(".")[2] for name in changed if ".blocks." in name} == {"3", "4", "5", "6"}
    assert not any("running" in name or ".conv_stem." in name for name in changed)


def test_neither_the_detector_nor_the_shared_backbone_is_touched(
    tuned: tuple[Detector, BackboneTuning, BackboneTuning],
) -> None:
    before, start, _ = tuned
    load_backbone.cache_clear()
    fresh = load_backbone().state_dict()
    for backbone in (before.backbone, start.backbone):
        assert all(torch.equal(value, fresh[name]) for name, value in backbone.state_dict().items())


def test_a_tuned_detector_scores_the_same_after_reloading_and_leaves_others_alone() -> None:
    saved = detector(1)
    saved.backbone = finetune(tuning_of(saved, 1), trainer(), images(), same, seed=0)
    torch.nn.init.normal_(saved.image_heads.weight)
    assert not any(parameter.requires_grad for parameter in saved.backbone.parameters())
    state = save({name: value.contiguous() for name, value in saved.state_dict().items()})
    frozen, batch = Detector(size=64, folds=FOLDS, bank=16), torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        unrelated = frozen.backbone(batch)[0]
        again = Detector(**dict(saved.hparams)).eval()
        again.load_state_dict(load(state))
        assert torch.equal(again(batch), saved.eval()(batch))
        assert torch.equal(frozen.backbone(batch)[0], unrelated)
        assert not torch.equal(again.backbone(batch)[0], unrelated)


@pytest.mark.slow
def test_both_seeds_decide_the_result() -> None:
    def tuned(seed: int, of_torch: int) -> torch.Tensor:
        made = detector(1)
        torch.manual_seed(0)  # the layer's bias
        tuning = tuning_of(made, 1)
        torch.manual_seed(of_torch)  # dropout
        return finetune(tuning, trainer(), images(), same, seed).state_dict()["network.conv_head.weight"]

    first, again, other_batches, other_dropout = tuned(0, 7), tuned(0, 7), tuned(1, 7), tuned(0, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other_batches)
    assert not torch.equal(first, other_dropout)


def test_batches_hold_augmented_views() -> None:
    batches = PixelBatches(images(), lambda pixels, seed: np.full_like(pixels, seed % 256), seed=0)
    batch = next(iter(batches))
    assert batch["images"].shape == (IMAGES, 3, 64, 64)
    assert len(batch["images"][:, 0, 0, 0].unique()) > IMAGES / 2  # another seed for each image


def test_steps_are_counted_on_the_progress_bar() -> None:
    bar, training = Progress(disable=True), trainer(accumulate_grad_batches=2)
    training.callbacks.append(Steps(bar, "tuning"))
    training.fit(tuning_of(detector(1), 1), DataLoader(PixelBatches(images(), same, seed=0), batch_size=None))
    assert bar.tasks[0].completed == bar.tasks[0].total == STEPS_PER_EPOCH / 2


@pytest.mark.parametrize("steps", [1, 5])
def test_a_few_steps_are_trained_too(steps: int) -> None:
    finetune(tuning_of(detector(1), 1), trainer(max_steps=steps), images(), same, seed=0)


def test_before_training_no_image_is_suspect() -> None:
    tuning = BackboneTuning(load_backbone(), 1, torch.ones(load_backbone().pooled_features)).eval()
    with torch.inference_mode():
        assert tuning(torch.rand(2, 3, 64, 64)).abs().max() < 0.1


@pytest.mark.parametrize("stages", [-1, 6])
def test_there_are_five_stages_to_unfreeze(stages: int) -> None:
    with pytest.raises(UserError, match="from 0 to 5"):
        Detector(unfreeze=stages)


def test_stages_are_counted_from_the_end_and_end_with_their_stride() -> None:
    backbone = load_backbone()
    names = {id(parameter): name for name, parameter in backbone.network.named_parameters()}
    last = [{names[id(p)].split(".")[0] for p in backbone.last_stages(n)} for n in (0, 1)]
    assert last == [set(), {"blocks", "conv_head", "bn2", "classifier"}]
    assert {names[id(p)].split(".")[1] for p in backbone.last_stages(1) if "blocks" in names[id(p)]} == {"5", "6"}
    assert len(backbone.last_stages(5)) == len(names)
