"""Groups that grow from pairs of duplicates; those that were given never become one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.progress import track


@dataclass(frozen=True)
class Pair:
    """Image ``moving`` in pose number ``pose`` resembles image ``fixed``."""

    moving: int
    fixed: int
    pose: int


def joined_groups(
    given: Sequence[str], pairs: Sequence[Pair], agreement: Callable[[Pair], float], threshold: float
) -> list[str]:
    """The name of each image's group.

    An image without a given group that duplicates images of several joins the one that it agrees with most. The other
    pairs follow in their order; one that a chain joins already, or may not join, is not looked at.

    Args:
        given: a name for each image, empty where none is known.
        pairs: candidates, the most similar first.
        agreement: of a pair; costly.
        threshold: agreement from which on a pair are duplicates.

    Returns:
        Given names, or such as ``near00012``: the number is the first image of the group.
    """
    groups = GrowingGroups(given)
    apart = [pair for pair in pairs if bool(given[pair.moving]) != bool(given[pair.fixed])]
    found = [(agreement(pair), pair) for pair in track(apart, "copies", disable=len(apart) < 2000, transient=True)]
    for score, pair in sorted(found, key=lambda one: -one[0]):
        if score >= threshold and groups.may_join(pair):
            groups.join(pair)
    others = [pair for pair in pairs if bool(given[pair.moving]) == bool(given[pair.fixed])]
    for pair in track(others, "near-duplicates", disable=len(others) < 2000, transient=True):
        if groups.may_join(pair) and agreement(pair) >= threshold:
            groups.join(pair)
    return groups.names()


class GrowingGroups:
    """Sets of images; at first every image by itself, or with those of the same given name.

    Args:
        given: a name for each image, empty where none is known.
    """

    def __init__(self, given: Sequence[str]) -> None:
        first: dict[str, int] = {}
        self._leader = [first.setdefault(name, i) if name else i for i, name in enumerate(given)]
        self._given = list(given)

    def may_join(self, pair: Pair) -> bool:
        """Whether two images are apart, and not both in groups that were given."""
        first, second = self._leader_of(pair.moving), self._leader_of(pair.fixed)
        return first != second and not (self._given[first] and self._given[second])

    def join(self, pair: Pair) -> None:
        """Make one group of the groups of two images; it keeps the given name of either."""
        first, second = sorted((self._leader_of(pair.moving), self._leader_of(pair.fixed)))
        self._leader[second] = first
        self._given[first] = self._given[first] or self._given[second]

    def names(self) -> list[str]:
        """The name of each image's group."""
        leaders = [self._leader_of(image) for image in range(len(self._leader))]
        return [self._given[leader] or f"near{leader:05d}" for leader in leaders]

    def _leader_of(self, image: int) -> int:
        leader = self._leader
        while leader[image] != image:
            leader[image] = leader[leader[image]]
            image = leader[image]
        return image
