"""Drawn labels as a folder that the rest of the project reads like anyone's photographs."""

import csv
import shutil
import tempfile
from pathlib import Path

import cv2

from counterfeit.data.labels.draw import expose
from counterfeit.errors import UserError

_COLUMNS = ("path", "label", "group", "kind", "severity")


def _write_class(root: Path, label: str, count: int, size: int, seed: int) -> list[tuple[str, str, str, str, float]]:
    """Write the photographs (and masks) of one class and return its rows of the manifest."""
    (root / label).mkdir()
    rows = []
    for index in range(count):
        shot = expose(index, label == "counterfeit", size=size, seed=seed)
        path = f"{label}/label_{index:05d}.jpg"
        (root / path).write_bytes(shot.jpeg)
        if label == "counterfeit":
            (root / "masks" / f"label_{index:05d}.png").write_bytes(cv2.imencode(".png", shot.mask)[1].tobytes())
        rows.append((path, label, f"{label[0]}{index:05d}", shot.kind, round(shot.severity, 4)))
    return rows


def write_labels(root: Path, *, genuine: int = 600, counterfeit: int = 200, size: int = 128, seed: int = 0) -> None:
    """Write a data set: `root/{genuine,counterfeit}/*.jpg`, `root/masks/*.png` for counterfeits, `root/manifest.csv`.

    The manifest has the columns path (below `root`), label, group (each item its own), kind and severity. The files
    hold exactly the pixels of `draw_label`. The folder appears complete or not at all.

    Raises `UserError` if `root` exists and is not an empty folder.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root} exists and is not an empty folder: choose another place, or remove it first")
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        (draft / "masks").mkdir()
        rows = _write_class(draft, "genuine", genuine, size, seed)
        rows += _write_class(draft, "counterfeit", counterfeit, size, seed)
        with (draft / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *rows])
        draft.chmod(0o755)
        try:
            draft.replace(root)
        except OSError:
            if not (root / "manifest.csv").is_file():  # else another process has drawn the same meanwhile
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
