"""Which files below a folder are photographs: by their suffix, hidden ones left out. The same for fit and predict."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
ESCAPED = re.compile(r"\\udc[89a-f][0-9a-f]")  # a byte of a name that is not UTF-8, as `photographs_below` spells it


@dataclass(frozen=True)
class Found:
    r"""Photographs of a folder in the order of their names, and the files left out by their suffix.

    Attributes:
        paths: relative to the folder; bytes that are not UTF-8 as ``\udcNN``, for such a name cannot stand in a table.
        ignored: number of files that are no photographs, by suffix.
    """

    paths: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def photographs_below(folder: Path) -> Found:
    """Look for photographs at any depth; hidden files and folders, and links to folders, are left out."""
    found = Found()
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            path = Path(parent, name).relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()
            suffix = PurePosixPath(path).suffix.lower()
            if suffix in SUFFIXES:
                found.paths.append(path)
            else:
                found.ignored[suffix] += 1
    found.paths.sort(key=lambda path: path.split("/"))
    return found


def ignored_in_words(ignored: Counter[str]) -> str:
    """``12 .heic, 1 .txt, 2 without suffix``, the most frequent first, at most five of them."""
    parts = [f"{number} {suffix or 'without suffix'}" for suffix, number in ignored.most_common(5)]
    return ", ".join(parts) + (", ..." if len(ignored) > 5 else "")
