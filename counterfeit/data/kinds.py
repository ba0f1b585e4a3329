"""Kinds of counterfeits, as the column ``kind`` names them."""

JOINTS = ("+", ",", ";")  # a counterfeit of several kinds has them joined by these


def single_kinds(kind: str | None) -> set[str]:
    """The kinds of one counterfeit, ``unknown`` if none is named.

    >>> sorted(single_kinds("font+ink"))
    ['font', 'ink']
    """
    text = kind or ""
    for joint in JOINTS[1:]:
        text = text.replace(joint, JOINTS[0])
    return {part.strip() for part in text.split(JOINTS[0]) if part.strip()} or {"unknown"}
