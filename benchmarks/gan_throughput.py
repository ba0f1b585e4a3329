"""Training throughput of the refiner under Lightning against a bare PyTorch loop of the same networks and batches.

Example: ``OMP_NUM_THREADS=2 python benchmarks/gan_throughput.py --steps 60``; the goal is a ratio of at least 0.9.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from counterfeit.gan.adversarial import MAX_GRADIENT, ema_decay, frozen, update_average
from counterfeit.gan.augment import RefinerBatches, diff_augment, draw_pool
from counterfeit.gan.losses import hinge_loss_discriminator, hinge_loss_generator
from counterfeit.gan.refiner import Refiner
from counterfeit.gan.transplant import Sources, host_candidates


def random_sources(count: int = 64, size: int = 128) -> Sources:
    """Noise of the right shapes: speed does not depend on what is seen."""
    rng = np.random.default_rng(0)
    label = (np.arange(count) % 4 == 0).astype(np.int64)
    pixels = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    evidence = rng.random((count, size // 8, size // 8), dtype=np.float32)
    return Sources(pixels, label, evidence, host_candidates(rng.random((count, 8), dtype=np.float32), label))


def bare_loop(refiner: Refiner, batches: RefinerBatches) -> None:
    """The refiner's training step written out, without Lightning."""
    for_generator, for_discriminator = refiner.configure_optimizers()
    discriminator = refiner.discriminator

    def descend(loss: Tensor, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(network.parameters(), MAX_GRADIENT)
        optimizer.step()

    for step, batch in enumerate(batches, start=1):
        label = batch["label"]
        refined = refiner.generator(batch["composite"], batch["mask"], batch["z"][0])
        features = discriminator.features(diff_augment(refined, batch["augment_fake"]))
        with frozen(discriminator.heads):
            adversarial = hinge_loss_generator(discriminator.score(features, label))
        descend(adversarial + refiner.regularisation(batch, refined), for_generator, refiner.generator)
        with torch.no_grad():
            real = discriminator.features(diff_augment(batch["real"], batch["augment_real"]))
        fake = discriminator.score([stage.detach() for stage in features], label)
        descend(
            hinge_loss_discriminator(discriminator.score(real, label), fake), for_discriminator, discriminator.heads
        )
        decay = ema_decay(refiner.batch_size, step * refiner.batch_size, refiner.ema_half_life)
        update_average(refiner.average, refiner.generator, decay)


def lightning_loop(refiner: Refiner, batches: RefinerBatches) -> None:
    """The same under ``Trainer.fit``, as :func:`counterfeit.gan.train.train_generator` runs it."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(refiner, DataLoader(batches, batch_size=None))


def main() -> None:
    """Alternate both loops and print the medians as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="training steps of each repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--crop", type=int, default=64, help="side of the crops in pixels")
    parser.add_argument("--batch_size", type=int, default=16)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    sources = random_sources()
    pool = draw_pool(sources, 64, 0, flips=False)
    loops = {"bare PyTorch": bare_loop, "Lightning": lightning_loop}
    speed: dict[str, list[float]] = {name: [] for name in loops}
    for repeat in range(args.repeats + 1):
        for name, loop in loops.items():
            refiner = Refiner(size=args.crop, batch_size=args.batch_size)
            batches = RefinerBatches(sources, pool, args.crop, args.batch_size, range(args.steps), 0, False)
            start = time.perf_counter()
            loop(refiner, batches)
            if repeat:  # the first round warms up
                speed[name].append(args.steps * args.batch_size / (time.perf_counter() - start))
    print(f"| loop ({args.crop} px crops, batch {args.batch_size}) | images/s (median of {args.repeats}) |\n|---|---|")
    for name, values in speed.items():
        print(f"| {name} | {statistics.median(values):.1f} |")
    ratios = [a / b for a, b in zip(speed["Lightning"], speed["bare PyTorch"], strict=True)]
    print(f"| ratio, goal >= 0.9 | {statistics.median(ratios):.2f} |")


if __name__ == "__main__":
    main()
