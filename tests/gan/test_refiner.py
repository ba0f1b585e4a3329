"""Training runs, is decided by its seed, survives a kill, and reports what failed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from counterfeit.backbone import load_backbone
from counterfeit.errors import UserError
from counterfeit.gan import train
from counterfeit.gan.adversarial import ema_decay, update_average
from counterfeit.gan.augment import RefinerBatches, draw_pool
from counterfeit.gan.finished import load_generator, load_refiner
from counterfeit.gan.refiner import Refiner
from counterfeit.gan.settings import GanSettings, GanTrainerSettings
from counterfeit.gan.train import Recorder, train_generator
from counterfeit.gan.transplant import Sources

SETTINGS = GanSettings(
    kimg=0.096, batch_size=4, crop=32, lr=2e-3, pool=8, sample_every=40, checkpoint_every=40, ema_half_life=100.0
)


@pytest.fixture(scope="module")
def uninterrupted(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gan")
    train_generator(folder, sources, SETTINGS, 3, flips=True)
    return folder


def metrics(folder: Path) -> list[str]:
    """The rows of metrics.csv without the speed."""
    return [line.rsplit(",", 1)[0] for line in (folder / "metrics.csv").read_text().splitlines()]


def test_a_finished_run_has_its_files(uninterrupted: Path) -> None:
    done = json.loads((uninterrupted / "done.json").read_text())
    assert done["healthy"] and done["reason"] is None and done["attempt"] == 0 and done["images"] == 96
    assert sorted(p.name for p in (uninterrupted / "samples").iterdir()) == ["000040.png", "000080.png", "000096.png"]
    assert len(metrics(uninterrupted)) == 1 + 3
    assert not (uninterrupted / "last.ckpt").exists()


def test_a_killed_run_continues_bit_by_bit(
    sources: Sources, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    checkpoint = Recorder.checkpoint

    def checkpoint_and_die(*args: object) -> None:
        checkpoint(*args)  # type: ignore[arg-type]
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "checkpoint", checkpoint_and_die)
        for _ in range(2):  # once from the start, once from a checkpoint
            with pytest.raises(KilledError):
                train_generator(tmp_path, sources, SETTINGS, 3, flips=True)
    with pytest.raises(UserError, match="other settings"):
        train_generator(tmp_path, sources, dataclasses.replace(SETTINGS, lr=1e-3), 3, flips=True)
    train_generator(tmp_path, sources, SETTINGS, 3, flips=True)
    assert (tmp_path / "gan.safetensors").read_bytes() == (uninterrupted / "gan.safetensors").read_bytes()
    assert (tmp_path / "done.json").read_bytes() == (uninterrupted / "done.json").read_bytes()
    assert metrics(tmp_path) == metrics(uninterrupted)


def test_a_finished_run_is_loaded_and_guarded(sources: Sources, uninterrupted: Path, tmp_path: Path) -> None:
    assert train_generator(uninterrupted, sources, SETTINGS, 3, flips=True)["healthy"]
    refiner = load_refiner(uninterrupted, SETTINGS)
    composites, masks, z = torch.rand(3, 3, 64, 64), torch.rand(3, 1, 64, 64), torch.randn(3, 16)
    refined = refiner.sample(composites, masks, z, chunk=2)
    assert refined.shape == composites.shape and refined.min() >= 0 and refined.max() <= 1
    assert not torch.equal(refined, composites)
    torch.testing.assert_close(refined[2:], refiner.sample(composites[2:], masks[2:], z[2:]))
    refine, generator = load_generator(uninterrupted, SETTINGS)
    drawn = torch.randn(3, 16, generator=torch.Generator().manual_seed(4))
    again = refine(composites, masks, torch.Generator().manual_seed(4))
    torch.testing.assert_close(again, refiner.sample(composites, masks, drawn))
    assert (generator["name"], generator["reason"]) == ("refiner", None)
    weights = load_file(uninterrupted / "gan.safetensors")
    assert all(torch.equal(v, weights[k]) for k, v in refiner.average.state_dict().items())
    (tmp_path / "gan.safetensors").write_bytes(b"cut")
    (tmp_path / "done.json").write_bytes((uninterrupted / "done.json").read_bytes())
    with pytest.raises(UserError, match="damaged"):
        train_generator(tmp_path, sources, SETTINGS, 3, flips=True)


def test_a_failed_training_starts_anew_and_says_so_in_the_end(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "diagnose", lambda history, finished: "collapsed: planted")
    done = train_generator(tmp_path, sources, SETTINGS, 3, restarts=1, flips=True)
    assert done == json.loads((tmp_path / "done.json").read_text())
    assert (done["seed"], done["attempt"], done["healthy"], done["images"]) == (3, 1, False, 40)
    assert done["reason"] == "collapsed: planted"
    assert (tmp_path / "gan.safetensors").exists()
    with pytest.raises(UserError, match="collapsed: planted"):
        load_refiner(tmp_path, SETTINGS)
    refine, generator = load_generator(tmp_path, SETTINGS)
    composites, masks = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    assert torch.equal(refine(composites, masks, torch.Generator()), composites)
    assert (generator["name"], generator["reason"]) == ("transplant", "collapsed: planted")


def test_the_seed_and_the_step_decide_a_batch(sources: Sources) -> None:
    pool = draw_pool(sources, 6, 0, flips=True)
    one, other = (RefinerBatches(sources, pool, 32, 8, steps, 5, True) for steps in (range(10), range(4, 10)))
    first, second = list(one)[4], next(iter(other))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert first["label"].tolist() == [0, 1] * 4
    assert first["composite"].shape == first["real"].shape == (8, 3, 32, 32)
    assert not torch.equal(first["z"], one.batch(5)["z"])


def test_average_of_weights() -> None:
    assert ema_decay(16, 320, 20_000) == 0.5  # 5 % of 320 images are one batch
    assert ema_decay(100, 10_000_000, 200) == pytest.approx(0.5**0.5)
    old, new = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(old.weight, 1.0)
    torch.nn.init.constant_(new.weight, 5.0)
    update_average(old, new, 0.75)
    assert old.weight.item() == 2.0


def test_weights_are_decided_by_the_seed_alone() -> None:
    load_backbone.cache_clear()  # whether the backbone was in memory must not matter
    first, again, other = (dict(Refiner(seed=s).weights()) for s in (1, 1, 2))
    assert all(torch.equal(v, again[k]) for k, v in first.items())
    assert not torch.equal(first["generator.enter.weight"], other["generator.enter.weight"])


@pytest.mark.parametrize("wrong", [{"batch_size": 3}, {"crop": 60}, {"core": 1.5}, {"kimg": 0.0}])
def test_wrong_settings_are_the_users_mistake(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError):
        GanSettings(**wrong)  # type: ignore[arg-type]


def test_the_defaults_of_the_settings_are_those_of_the_refiner() -> None:
    assert dict(GanSettings().refiner(0).hparams) == dict(Refiner().hparams)


def test_a_refiner_trains_in_half_precision_and_samples_in_full(
    sources: Sources, uninterrupted: Path, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, kimg=0.04)
    done = train_generator(
        tmp_path, sources, settings, 3, flips=True, trainer=GanTrainerSettings(precision="bf16-mixed")
    )
    assert done["healthy"] and done["images"] == 40
    half, full = (load_file(folder / "gan.safetensors") for folder in (tmp_path, uninterrupted))
    assert {v.dtype for v in half.values()} == {torch.float32}
    assert not torch.equal(half["leave.weight"], full["leave.weight"])


def test_one_label_is_the_users_mistake(sources: Sources, tmp_path: Path) -> None:
    genuine = dataclasses.replace(sources, label=np.zeros(13, np.int64))
    with pytest.raises(UserError, match="one label is missing"):
        train_generator(tmp_path, genuine, SETTINGS, 0, flips=False)


def test_no_composites_are_refined_to_none() -> None:
    none = Refiner(size=32).sample(torch.zeros(0, 3, 64, 64), torch.zeros(0, 1, 64, 64), torch.zeros(0, 16))
    assert none.shape == (0, 3, 64, 64)
