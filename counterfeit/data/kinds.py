"""Kinds of counterfeits, as the column ``kind`` names them."""

import re


def single_kinds(kind: str | None) -> set[str]:
    """The kinds of one counterfeit, joined by ``+``, ``,`` or ``;``; ``unknown`` if none is named.

    >>> sorted(single_kinds("font+ink"))
    ['font', 'ink']
    """
    return {part.strip() for part in re.split("[+,;]", kind or "") if part.strip()} or {"unknown"}
