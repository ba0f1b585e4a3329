"""A bank on disk: images, masks, a manifest and provenance, readable without the run that made it."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# The IPTC's digital source type of media made by a trained algorithm, so that the mark travels with the file.
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Bank:
    """Synthetic images with what they were made from.

    Attributes:
        pixels: ``(N, S, S, 3)`` uint8.
        masks: ``(N, S, S)`` uint8, share of the donor in each pixel in 1/255.
        label: ``(N,)`` the donor's label.
        host: ``(N,)`` path of the genuine photograph that was edited.
        donor: ``(N,)`` path of the photograph whose evidence was carried over.
        scores: what the gates and the choice saw of each image, a column each.
    """

    pixels: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    label: NDArray[np.int64]
    host: NDArray[np.str_]
    donor: NDArray[np.str_]
    scores: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.label)


def write_bank(folder: Path, bank: Bank, provenance: dict[str, Any]) -> None:
    """Write a bank as a whole: into a temporary folder first, renamed when all is there."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    mark = PngInfo()
    mark.add_itxt("XML:com.adobe.xmp", _xmp())
    names = [f"{'counterfeit' if y else 'genuine'}_{i:05d}.png" for i, y in enumerate(bank.label)]
    for name, pixels, mask in zip(names, bank.pixels, bank.masks, strict=True):
        Image.fromarray(pixels).save(partial / name, pnginfo=mark, compress_level=1)
        Image.fromarray(mask).save(partial / name.replace(".png", ".mask.png"), compress_level=1)
    columns = {
        "path": pa.array(names),
        "label": pa.array(bank.label, pa.int8()),
        "source": pa.array(["synthetic"] * len(names)),
        "split": pa.array(["train"] * len(names)),
        "host": pa.array(bank.host.tolist()),
        "donor": pa.array(bank.donor.tolist()),
        "sha256": pa.array([hashlib.sha256((partial / name).read_bytes()).hexdigest() for name in names]),
        **{name: pa.array(values) for name, values in bank.scores.items()},
    }
    pq.write_table(pa.table(columns), partial / "manifest.parquet")
    (partial / "provenance.json").write_text(json.dumps(provenance, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def read_bank(folder: Path) -> Bank:
    """The bank that :func:`write_bank` wrote."""
    table = pq.read_table(folder / "manifest.parquet")
    paths = table["path"].to_pylist()
    known = {"path", "label", "source", "split", "host", "donor", "sha256"}
    pixels = [np.asarray(Image.open(folder / p)) for p in paths]
    masks = [np.asarray(Image.open(folder / p.replace(".png", ".mask.png"))) for p in paths]
    return Bank(
        pixels=np.stack(pixels) if paths else np.empty((0, 0, 0, 3), np.uint8),  # where all were rejected
        masks=np.stack(masks) if paths else np.empty((0, 0, 0), np.uint8),
        label=table["label"].to_numpy().astype(np.int64),
        host=np.asarray(table["host"].to_pylist(), np.str_),
        donor=np.asarray(table["donor"].to_pylist(), np.str_),
        scores={name: table[name].to_numpy() for name in table.column_names if name not in known},
    )


def empty_bank() -> Bank:
    """A bank without images: of a generator none of whose images passed the gates."""
    none = np.empty(0, np.str_)
    pixels, masks = np.empty((0, 0, 0, 3), np.uint8), np.empty((0, 0, 0), np.uint8)
    return Bank(pixels, masks, np.empty(0, np.int64), none, none, {})


def _xmp() -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE}"/></rdf:RDF></x:xmpmeta>'
    )
