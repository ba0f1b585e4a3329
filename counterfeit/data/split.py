"""Splits by group, stratified by class, and fewer counterfeits to learn from: all drawn from an explicit seed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from counterfeit.data.manifest import SPLITS
from counterfeit.errors import UserError

TRAIN = SPLITS.index("train")
GIANT = 1 / 3  # share of the smallest split, above which a group goes to training
ROOM = 4  # a split takes a group by chance while it lacks so many times the group's images
CLASSES = ("genuine", "counterfeit")
NEEDED = (4, 3)  # groups of each class: one a split, and in training a second genuine one to compare the first with


def split_groups(
    label: ArrayLike,
    group: Sequence[str] | NDArray[np.str_],
    *,
    fractions: tuple[float, float, float] = (0.5, 0.15, 0.35),
    seed: int,
) -> NDArray[np.str_]:
    """Assign whole groups to train, validation and test so that each class comes close to the fractions.

    Groups are shuffled, the largest placed first, each where it leaves the classes closest to the fractions. A group
    that holds more than a third of what the smallest split should have of a class goes to training: elsewhere a
    single item would decide the result.

    Args:
        label: ``(N,)`` of 0 (genuine) and 1 (counterfeit).
        group: ``(N,)`` names.
        fractions: of train, validation and test, above 0; they sum to 1.
        seed: the same seed gives the same split, whatever the order of the images.

    Returns:
        ``(N,)`` of ``train``, ``validation`` and ``test``: both classes in each, two genuine groups in ``train``.

    Raises:
        UserError: the fractions are no fractions, or there are too few groups: four genuine ones, three counterfeit.
    """
    share = np.asarray(fractions, dtype=float)
    if share.shape != (3,) or not (share > 0).all() or abs(share.sum() - 1) > 1e-6:
        raise UserError(f"the split fractions {fractions} are not three numbers above 0 that sum to 1")
    names, member = np.unique(np.asarray(group, dtype=str), return_inverse=True)
    counts = _count(np.asarray(label, dtype=int), member, len(names))
    _check_enough(counts)
    split = _place(counts, share, np.random.default_rng(seed))
    _repair(split, counts)
    return np.asarray(SPLITS)[split][member]


def limit_counterfeits(
    split: Sequence[str] | NDArray[np.str_],
    label: ArrayLike,
    group: Sequence[str] | NDArray[np.str_],
    count: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Keep ``count`` of the training counterfeits, as if no more had been found; all other images are kept.

    At one seed the smaller selection is part of the greater. The groups take turns in random order, so that a few
    counterfeits come from as many groups as there are; kinds appear as often as chance has it.

    Args:
        split: ``(N,)`` of ``train``, ``validation`` and ``test``.
        label: ``(N,)`` of 0 (genuine) and 1 (counterfeit).
        group: ``(N,)`` names.
        count: training counterfeits to keep, in images.
        seed: decides which.

    Returns:
        ``(N,)``, true for the images that stay.

    Raises:
        UserError: ``count`` is below 0, or training has fewer counterfeits.
    """
    groups = np.asarray(group, dtype=str)
    found = np.flatnonzero((np.asarray(split) == "train") & (np.asarray(label, dtype=int) == 1))
    if not 0 <= count <= len(found):
        raise UserError(
            f"cannot keep {count} training counterfeits: at seed {seed} there are {len(found)};"
            f" set --data.counterfeits to 1 to {len(found)}"
        )
    generator = np.random.default_rng(seed)
    found = found[generator.permutation(len(found))]
    turn = np.empty(len(found), dtype=int)  # 0 for the first image of its group, 1 for the second, ...
    seen: dict[str, int] = {}
    for position, name in enumerate(groups[found]):
        turn[position] = seen.get(name, 0)
        seen[name] = turn[position] + 1
    kept = found[np.argsort(turn, kind="stable")[:count]]
    keep = np.ones(len(groups), dtype=bool)
    keep[found] = False
    keep[kept] = True
    return keep


def _count(label: NDArray[np.int_], member: NDArray[np.intp], groups: int) -> NDArray[np.int_]:
    """Count the images of each class in each group, ``(G, 2)``."""
    counts = np.zeros((groups, 2), dtype=int)
    np.add.at(counts, (member, label), 1)
    return counts


def _check_enough(counts: NDArray[np.int_]) -> None:
    groups = (counts > 0).sum(axis=0)
    for name, found, needed in zip(CLASSES, groups, NEEDED, strict=True):
        if found < needed:
            raise UserError(
                f"{name} images form {found} groups, too few for train, validation and test: {needed} are needed;"
                f" add {name} items, or name smaller groups in the manifest's group column"
            )


def _place(counts: NDArray[np.int_], share: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.intp]:
    total = counts.sum(axis=0)
    wanted = share[:, None] * total
    order = generator.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    giant = (counts > GIANT * wanted.min(axis=0)).any(axis=1)
    split = np.full(len(counts), TRAIN)
    filled = np.zeros((len(SPLITS), 2))
    # Few and large groups are the rule in small sets: where all are giants, treat none as one.
    giant &= (counts[giant].sum(axis=0) <= wanted[TRAIN]).all()
    filled[TRAIN] = counts[giant].sum(axis=0)
    for group in order[~giant[order]]:
        # By how much the group brings the split closer to its wanted counts (half the drop of the chi-square distance).
        gain = ((wanted - filled - counts[group] / 2) * counts[group] / wanted / total).sum(axis=1)
        split[group] = _choose(gain, wanted - filled, counts[group], generator)
        filled[split[group]] += counts[group]
    return split


def _choose(
    gain: NDArray[np.float64], missing: NDArray[np.float64], count: NDArray[np.int_], generator: np.random.Generator
) -> int:
    """Choose a split by chance, as likely as it lacks images, where the group leaves room to mend; else the best one.

    Always taking the best would send the largest groups to the same split whatever the seed: they come first, when all
    is empty, so that the seeds of an experiment would share their hardest test images.
    """
    room = np.where((gain > 0) & (missing >= ROOM * count).all(axis=1), missing.sum(axis=1), 0.0)
    if room.sum() <= 0:
        return int(np.argmax(gain))
    return int(generator.choice(len(room), p=room / room.sum()))


def _repair(split: NDArray[np.intp], counts: NDArray[np.int_]) -> None:
    """Move the smallest spare group of a class into each split that lacks it; in place."""
    for needy in range(len(SPLITS)):
        for label in (0, 1):
            if not counts[split == needy, label].any():
                split[_spare(split, counts, label)] = needy
    if (counts[split == TRAIN, 0] > 0).sum() < 2:
        split[_spare(split, counts, 0)] = TRAIN


def _spare(split: NDArray[np.intp], counts: NDArray[np.int_], label: int) -> int:
    for group in np.argsort(counts.sum(axis=1), kind="stable"):
        rest = (split == split[group]) & (np.arange(len(split)) != group)
        if counts[group, label] and all(counts[rest, other].any() or not counts[group, other] for other in (0, 1)):
            return int(group)
    raise UserError(
        f"no way to give every split {CLASSES[label]} images without dividing a group;"
        f" add {CLASSES[label]} items, or name smaller groups in the manifest's group column"
    )
