"""Where the photographs of a run lie. Without torch, for whoever wants the files alone."""

from collections.abc import Mapping
from pathlib import Path

from counterfeit.cache import default_cache_folder

DRAWN_GENUINE, DRAWN_COUNTERFEIT, DRAWN_AT_LEAST = 900, 300, 128  # labels, and pixels at which they are drawn
DRAWING = 2  # raised with every version that draws other labels, so that none meets those of another in the cache


def photographs_folder(
    root: str | None = None,
    manifest: str | None = None,
    cache: str | None = None,
    size: int = DRAWN_AT_LEAST,
    drawn_genuine: int = DRAWN_GENUINE,
    drawn_counterfeit: int = DRAWN_COUNTERFEIT,
) -> Path:
    """The root; where there is none, the folder of the manifest; else a folder of drawn labels in the cache.

    Arguments are those of :class:`~counterfeit.data.datamodule.ProductData`.
    """
    if root is not None:
        return Path(root).expanduser()
    if manifest:
        return Path(manifest).expanduser().parent
    folder = Path(cache).expanduser() if cache else default_cache_folder()
    return folder / f"labels{DRAWING}-{drawn_genuine}-{drawn_counterfeit}-{max(size, DRAWN_AT_LEAST)}"


def are_drawn(settings: Mapping[str, object]) -> bool:
    """Whether these settings of a run's ``data`` name no photographs, so that labels are drawn."""
    return settings.get("root") is None and not settings.get("manifest")
