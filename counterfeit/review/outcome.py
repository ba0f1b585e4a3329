"""What a decision leads to: done, a second opinion, or a dispute. Pure functions."""

import hashlib
from collections.abc import Sequence
from typing import Literal

Verdict = Literal["counterfeit", "genuine", "unsure"]
State = Literal["open", "second", "disputed", "done"]
VERDICTS: tuple[Verdict, ...] = ("counterfeit", "genuine", "unsure")
REASONS = {
    "print": "Print quality",
    "lettering": "Lettering",
    "emblem": "Logo, emblem",
    "colour": "Colour",
    "material": "Material, seam",
    "packaging": "Packaging",
    "listing": "Seller, listing",
    "other": "Other: see note",
}


def outcome(verdicts: Sequence[Verdict], band: str, second: bool, sampled: bool) -> tuple[State, Verdict | None]:
    """State of an item, and its verdict once it is done.

    A second reviewer is asked where the first is unsure or disagrees with a band that is not ``unclear``, and for a
    random share of all items, without which the agreement between reviewers could not be estimated. Two that agree, or
    one of whom is unsure, settle an item; two that disagree leave it disputed until a third decision.

    Args:
        verdicts: decisions that stand, in their order.
        band: of the score.
        second: whether there is a second reviewer at all.
        sampled: whether this item belongs to the random share.
    """
    if not verdicts:
        return "open", None
    first = verdicts[0]
    if len(verdicts) == 1:
        contradicts = band == {"counterfeit": "likely genuine", "genuine": "likely counterfeit"}.get(first)
        asked = second and (sampled or contradicts or first == "unsure")
        return ("second", None) if asked else ("done", first)
    if len(verdicts) > 2:
        return "done", verdicts[-1]
    sure = [verdict for verdict in verdicts if verdict != "unsure"]
    if len(set(sure)) > 1:
        return "disputed", None
    return "done", sure[0] if sure else "unsure"


def sampled_for_second(sha256: str, share: float) -> bool:
    """Whether an item belongs to the random share that two reviewers see: by its content, the same at every start."""
    number = int.from_bytes(hashlib.sha256(f"second {sha256}".encode()).digest()[:8], "big")
    return number < share * 2**64
