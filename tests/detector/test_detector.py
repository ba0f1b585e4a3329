from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load, save
from sklearn.metrics import roc_auc_score

from counterfeit.backbone import Embeddings, GenuineBank, GenuineGaussian, GenuinePlaces, cross_fitting_folds
from counterfeit.data.transforms import KINDS_OF_CAPTURE
from counterfeit.detector import Copies, Detector, TrainingSet, score_parts, train_detector
from counterfeit.detector.batches import HeadBatches
from counterfeit.detector.heads import PatchHeads, floored, top_mean
from counterfeit.detector.module import member_loss

GRID, FOLDS = 4, 3


def embedded(label: np.ndarray, shift: float, seed: int) -> Embeddings:
    """Random embeddings of the default backbone's shapes in which counterfeits are shifted."""
    generator = np.random.default_rng(seed)
    pooled = generator.normal(size=(len(label), 1632)).astype(np.float32)
    patches = generator.normal(size=(len(label), GRID, GRID, 176)).astype(np.float16)
    pooled[label == 1, :200] += shift
    patches[label == 1, 1, 1, :40] += 4 * shift
    return Embeddings(pooled, patches)


def training_set(shift: float, seed: int = 0, shuffled: bool = False) -> TrainingSet:
    label = np.r_[np.ones(18, np.int64), np.zeros(90, np.int64)]
    embeddings = embedded(label, shift, seed)
    if shuffled:
        label = np.random.default_rng(seed).permutation(label)
    generator, group = torch.Generator().manual_seed(seed), [str(i) for i in range(len(label))]
    fold = cross_fitting_folds(torch.from_numpy(label), group, FOLDS, generator).numpy()
    yes = np.ones(len(label), bool)
    masks = np.full((len(label), GRID, GRID), np.nan, np.float32)
    return TrainingSet(embeddings, label, yes.astype(float), np.stack([fold, fold], 1), masks, yes, yes)


def trained(
    training: TrainingSet,
    epochs: int = 2,
    like: Detector | None = None,
    places: GenuinePlaces | None = None,
    copies: Copies | None = None,
) -> Detector:
    torch.manual_seed(0)
    detector = Detector(size=8 * GRID, folds=FOLDS, bank=64)
    trainer = pl.Trainer(
        max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    train_detector(detector, trainer, training, seed=0, like=like, places=places, copies=copies)
    return detector.eval()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return trained(training_set(shift=0.5))


def test_a_planted_difference_is_found_on_fresh_images(detector: Detector) -> None:
    label = np.r_[np.ones(60, np.int64), np.zeros(60, np.int64)]
    raw = detector.combination.raw(score_parts(detector, embedded(label, 0.5, seed=9)))
    assert roc_auc_score(label, raw) > 0.9


def blurred(embeddings: Embeddings) -> Embeddings:
    """As if a condition of capture shifted the early means and all patches."""
    pooled, patches = embeddings.pooled.copy(), embeddings.patches.copy()
    pooled[:, 1280:1456] += 3
    patches[..., 100:] += 3
    return Embeddings(pooled, patches)


def test_copies_teach_what_a_condition_does_and_maps_agree_with_scores() -> None:
    training = training_set(shift=0.5)
    source = np.arange(60)  # 18 counterfeits and 42 genuine photographs
    copies = Copies(blurred(training.embeddings[source]), source, np.full(60, 4))
    corrected, blind = trained(training, copies=copies), trained(training)
    label = np.r_[np.ones(60, np.int64), np.zeros(60, np.int64)]
    fresh = embedded(label, 0.5, seed=9)
    flagged = []
    for detector in (corrected, blind):
        clean, other = (detector.combination.raw(score_parts(detector, x)).numpy() for x in (fresh, blurred(fresh)))
        flagged.append((other[label == 0] > np.quantile(clean[label == 0], 0.95)).mean())
    assert flagged[0] < 0.2 < 0.8 < flagged[1]
    assert roc_auc_score(label, corrected.combination.raw(score_parts(corrected, blurred(fresh)))) > 0.9
    probability = corrected.captures.probability(torch.from_numpy(blurred(fresh).pooled))
    assert (probability.argmax(1) == 5).all()
    called = corrected.captures.called(torch.from_numpy(blurred(fresh).pooled))
    assert {corrected.captures.names[number] for number in called} == {KINDS_OF_CAPTURE[5]} == {"WebP"}
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    corrected.captures.weight.zero_()  # of all conditions a little, whatever the images
    corrected.captures.bias.zero_()
    with torch.inference_mode():
        torch.testing.assert_close(corrected.with_maps(images)[0], corrected(images))


def test_what_another_arm_knows_of_genuine_photographs_is_taken_over_and_changes_nothing(monkeypatch) -> None:
    arm = training_set(shift=0.5)
    counterfeits = arm.label == 1
    other = replace(arm, embeddings=Embeddings(arm.embeddings.pooled.copy(), arm.embeddings.patches.copy()))
    other.embeddings.pooled[counterfeits] += 1.0  # an arm differs in what it adds to the genuine
    alone, like = trained(arm), trained(other)
    for kind in (GenuineBank, GenuineGaussian):
        monkeypatch.setattr(kind, "fit", lambda *given, **options: pytest.fail("fitted once more"))
    beside = trained(arm, like=like)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, beside.state_dict()[name]), name


def test_heads_that_masks_do_not_teach_are_taken_over_and_change_nothing(monkeypatch) -> None:
    photographs = training_set(shift=0.5)
    masks = np.zeros_like(photographs.masks[:40])
    masks[:, 1, 1] = 1
    no = np.zeros(40, bool)
    columns = {"embeddings": photographs.embeddings[np.arange(40)], "masks": masks, "weight": np.zeros(40)}
    made = replace(
        photographs, **columns, label=photographs.label[:40], folds=photographs.folds[:40], real=no, original=no
    )
    arm = replace(TrainingSet.concatenate([photographs, made]), dose=1.0)
    alone, like, bags, seen = trained(arm), trained(photographs), PatchHeads.bags, []
    monkeypatch.setattr(PatchHeads, "bags", lambda heads, batch: seen.append(heads) or bags(heads, batch))
    beside = trained(arm, like=like)
    assert set(seen) == {beside.mask_heads}
    for name, value in alone.state_dict().items():
        assert torch.equal(value, beside.state_dict()[name]), name
    assert all(parameter.requires_grad for parameter in beside.image_heads.parameters())


def test_places_that_were_fitted_before_are_not_fitted_again_and_change_nothing(monkeypatch) -> None:
    arm = training_set(shift=0.5)
    alone, genuine = trained(arm), arm.label == 0
    places = GenuinePlaces(arm.embeddings.patches.shape[-1], GRID, FOLDS)
    places.fit(*(torch.from_numpy(x[genuine]) for x in (arm.embeddings.patches, arm.folds[:, 0])))
    monkeypatch.setattr(GenuinePlaces, "fit", lambda *given: pytest.fail("fitted once more"))
    beside = trained(arm, places=places)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, beside.state_dict()[name]), name


def test_cross_fitted_scores_of_noise_are_chance() -> None:
    honest, own = [], []
    for seed in range(6):  # one draw of 18 counterfeits strays by 0.1
        training = training_set(shift=0.0, seed=seed, shuffled=True)
        noise = trained(training, epochs=1)
        for found, fold in ((honest, training.folds[:, 0]), (own, None)):
            found.append(roc_auc_score(training.label, score_parts(noise, training.embeddings, fold)[:, 0]))
    assert abs(np.mean(honest) - 0.5) < 0.12
    assert np.mean(own) > 0.95  # without the folds the heads know their training images


def test_forward_takes_any_size_and_bytes_or_floats(detector: Detector) -> None:
    pixels = torch.randint(0, 256, (2, 3, 97, 150), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        from_bytes, from_floats = detector(pixels), detector(pixels.float() / 255)
        parts = detector.parts(*detector.backbone(detector.prepare(pixels)))
    assert from_bytes.shape == (2,)
    torch.testing.assert_close(from_bytes, from_floats)
    torch.testing.assert_close(from_bytes, detector.combination(parts))


def test_saved_and_loaded_detectors_agree(detector: Detector) -> None:
    state = {name: value.contiguous() for name, value in detector.state_dict().items()}
    other = Detector(size=8 * GRID, folds=FOLDS, bank=64).eval()
    other.load_state_dict(load(save(state)))
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(detector(images), other(images))


def test_logits_with_maps_are_those_without_and_maps_have_a_cell_for_every_eight_pixels(detector: Detector) -> None:
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits, evidence, distance, capture = detector.with_maps(images)
        torch.testing.assert_close(logits, detector(images))
    assert evidence.shape == distance.shape == (2, GRID, GRID)
    assert [detector.captures.names[number] for number in capture] == ["as in training"] * 2


def test_patch_and_mask_heads_see_how_far_each_patch_is_from_genuine_ones(detector: Detector) -> None:
    patches = torch.randn(1, GRID, GRID, 176, generator=torch.Generator().manual_seed(3))
    near, far = torch.ones(2, 1, 3, GRID, GRID)
    far[0, :, 2, 1] = 5.0
    with torch.inference_mode():
        for before, after in zip(*(detector.patch_logits(patches, x) for x in (near, far)), strict=True):
            changed = (before != after).any(-1)[0]
            assert changed[2, 1]
            assert changed.sum() == 1


def test_a_head_learns_nothing_from_its_own_fold() -> None:
    heads = PatchHeads(8, 4, folds=2)
    member = torch.tensor([[0.0, 1.0]]).repeat(5, 1)
    member_loss(heads(torch.randn(5, 8)), torch.ones(5), member).backward()
    assert heads.second.grad is not None
    assert heads.second.grad[0].abs().sum() == 0
    assert heads.second.grad[1].abs().sum() > 0


def test_member_loss_is_the_mean_over_members() -> None:
    logits, label = torch.tensor([[0.0, 5.0], [5.0, 0.0]]), torch.tensor([1.0, 0.0])
    member = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert member_loss(logits, label, member).item() == pytest.approx(np.log(2))


def test_top_mean_takes_the_highest_share_and_at_least_one() -> None:
    values = torch.arange(100.0).view(1, 100)
    assert top_mean(values).item() == pytest.approx(98.5)
    assert top_mean(values[:, :10]).item() == 9  # at least one


def test_a_silent_channel_gets_a_floor() -> None:
    assert floored(torch.tensor([0.0, 1.0, 2.0])).tolist() == pytest.approx([0.05, 1.0, 2.0])


def test_both_classes_weigh_the_same_and_doses_count() -> None:
    training = training_set(0.0)
    probability = training.image_probability()
    assert probability[training.label == 1].sum() == pytest.approx(0.5)
    heavier = TrainingSet(**{**vars(training), "weight": np.where(np.arange(108) == 0, 3.0, 1.0)})
    probability = heavier.image_probability()
    assert probability[0] == pytest.approx(3 * probability[1])


def batches(training: TrainingSet) -> HeadBatches:
    logarithms = torch.from_numpy(training.embeddings.patches[..., :3] - 10)  # tell patches as the features do
    return HeadBatches(training, logarithms, FOLDS, 2, images=16, patches=30, bags=4, seed=5)


def test_batches_are_a_function_of_seed_epoch_and_step() -> None:
    training = training_set(0.0)
    first, again = batches(training), batches(training)
    epochs = [[batch["pooled"] for batch in first] for _ in range(2)]
    repeated = [batch["pooled"] for batch in again]
    assert all(torch.equal(a, b) for a, b in zip(epochs[0], repeated, strict=True))
    assert not torch.equal(epochs[0][0], epochs[1][0])


def test_patch_labels_come_from_the_masks() -> None:
    training = training_set(0.0)
    masks = training.masks.copy()
    masks[:18] = 0.3  # neither inside nor outside
    masks[0] = 0.0
    masks[0, 2, 3] = 1.0
    training.embeddings.patches[0, 2, 3] = 77.0
    known = TrainingSet(**{**vars(training), "masks": masks, "real": training.label == 0})
    batch = batches(known).draw(np.random.default_rng(0))
    positive = batch["patch"][batch["patch_label"] == 1]
    assert len(positive) == 10
    assert (positive[:, :-3] == 77.0).all()
    assert (positive[:, -3:] == 67.0).all()  # the distances are those of the same patch
    assert not (batch["patch"][batch["patch_label"] == 0] == 77.0).any()
    bag = batch["bag"]
    torch.testing.assert_close(bag[..., -3:], bag[..., :3] - 10, atol=0.01, rtol=0)  # in half precision


def test_bags_score_as_their_highest_patches_with_the_same_gradient() -> None:
    heads = PatchHeads(features=6, hidden=4, folds=3)
    patches = torch.randn(5, 100, 6, generator=torch.Generator().manual_seed(0))
    gradients = []
    for score in (heads.bags(patches), top_mean(heads(patches))):
        heads.zero_grad()
        score.square().sum().backward()
        assert heads.first.weight.grad is not None
        gradients.append((score.detach(), heads.first.weight.grad.clone()))
    for fast, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, plain)
