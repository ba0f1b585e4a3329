"""What a training leaves in its folder, and whether it may be used."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from counterfeit.data.files import file_sha256, write_bytes, write_json
from counterfeit.errors import UserError
from counterfeit.gan.networks import LATENT
from counterfeit.gan.refiner import Refiner
from counterfeit.gan.settings import GanSettings, Generative

NEXT_ATTEMPT = 1_000_003  # added to the seed when a failed training starts anew
Refine = Callable[[Tensor, Tensor, torch.Generator], Tensor]
Generate = Callable[[Tensor, torch.Generator], Tensor]


def load_generator(folder: Path, settings: GanSettings) -> tuple[Refine, dict[str, Any]]:
    """How a seed's composites become images, and the record of it for the bank's provenance.

    A refiner that failed its health checks on every attempt is not used: the composites then stay plain transplants.

    Args:
        folder: of the finished training.
        settings: those it was trained with.

    Returns:
        Composites ``(N, 3, S, S)``, masks ``(N, 1, S, S)`` and a generator to images ``(N, 3, S, S)``; and what
        ``done.json`` says, with ``name``: ``refiner``, or ``transplant`` where there is only a ``reason``.
    """
    done = read_done(folder, settings)
    if not done["healthy"]:
        return leave_plain, done | {"name": "transplant"}
    refiner = load_refiner(folder, settings)

    def refine(images: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
        return refiner.sample(images, masks, torch.randn(len(images), LATENT, generator=generator))

    return refine, done | {"name": "refiner"}


def leave_plain(images: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
    """The refiner that refines nothing: composites ``(N, 3, S, S)`` as they are."""
    return images


def load_generate(folder: Path, settings: GanSettings) -> tuple[Generate | None, dict[str, Any]]:
    """How whole images are made from classes, and the record of it for the bank's provenance.

    Args:
        folder: of the finished training of ``noise`` or ``dcgan``.
        settings: those it was trained with.

    Returns:
        Classes ``(N,)`` and a generator to images ``(N, 3, s, s)`` in [0, 1], ``None`` if it failed its health checks
        on every attempt; and what ``done.json`` says, with ``name``.
    """
    done = read_done(folder, settings)
    if not done["healthy"]:
        return None, done | {"name": "none"}
    gan = load_gan(folder, settings)
    assert not isinstance(gan, Refiner)

    def generate(label: Tensor, generator: torch.Generator) -> Tensor:
        return gan.sample(label, torch.randn(len(label), gan.latent, generator=generator))

    return generate, done | {"name": settings.kind}


def load_refiner(folder: Path, settings: GanSettings) -> Refiner:
    """The finished refiner of ``folder``, ready for :meth:`Refiner.sample`.

    Raises:
        UserError: it was trained with other settings, its file is damaged, or it failed its health checks.
    """
    refiner = load_gan(folder, settings)
    assert isinstance(refiner, Refiner)
    return refiner


def load_gan(folder: Path, settings: GanSettings) -> Generative:
    """The finished generator of ``folder``, of any kind, ready to sample; errors as of :func:`load_refiner`."""
    done = read_done(folder, settings)
    if not done["healthy"]:
        kind, reason = settings.kind, done["reason"]
        raise UserError(f"the {kind} in {folder} failed its health checks ({reason}): remove it to train anew")
    if file_sha256(folder / "gan.safetensors") != done["sha256"]:
        raise UserError(f"{folder / 'gan.safetensors'} is damaged (its checksum differs): remove {folder}")
    gan = settings.generative(done["seed"] + NEXT_ATTEMPT * done["attempt"], done["classes"])
    weights = load_file(folder / "gan.safetensors")
    gan.average.load_state_dict(weights)
    gan.generator.load_state_dict(weights)
    gan.step.fill_(done["images"] // settings.batch_size)
    return gan.eval()


def read_done(folder: Path, settings: GanSettings) -> dict[str, Any]:
    """How a finished training ended: ``seed, attempt, healthy, reason, images, classes, sha256, settings``.

    Raises:
        UserError: it was trained with other settings, or is not there.
    """
    if not (folder / "done.json").exists():
        raise UserError(f"{folder} holds no finished generator: run the stage gan first")
    done: dict[str, Any] = json.loads((folder / "done.json").read_text())
    if done["settings"] != dataclasses.asdict(settings):
        raise UserError(f"{folder} holds a GAN trained with other settings: choose another --out or remove it")
    return done


def load_checkpoint(path: Path, settings: GanSettings, seed: int) -> dict[str, Any] | None:
    """State of a killed run, ``None`` if there is none; ``UserError`` if it was made differently."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["settings"] != dataclasses.asdict(settings) or state["seed"] != seed:
        raise UserError(f"{path} belongs to a run with other settings: choose another --out or remove it")
    return state


def finish(folder: Path, gan: Generative, settings: GanSettings, seed: int, attempt: int, reason: str | None) -> None:
    """Write the averaged generator, then ``done.json``, then drop the checkpoint."""
    weights = {k: v.detach().cpu().contiguous() for k, v in gan.average.state_dict().items()}
    write_bytes(folder / "gan.safetensors", save(weights))
    done = {
        "seed": seed,
        "attempt": attempt,
        "healthy": reason is None,
        "reason": reason,
        "images": gan.images_seen,
        "classes": getattr(gan, "classes", 2),
        "sha256": file_sha256(folder / "gan.safetensors"),
        "settings": dataclasses.asdict(settings),
    }
    write_json(folder / "done.json", done)
    (folder / "last.ckpt").unlink(missing_ok=True)
