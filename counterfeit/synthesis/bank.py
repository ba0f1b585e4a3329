"""A bank on disk: images, masks, a manifest and provenance, readable without the run that made it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from counterfeit.data.files import file_sha256, replacing_folder, write_json

# The IPTC's digital source type travels with the file: by a trained algorithm, of photographs alone, of what not.
DIGITAL_SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DigitalSource = Literal["trainedAlgorithmicMedia", "compositeCapture", "composite"]


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


def write_bank(folder: Path, bank: Bank, provenance: dict[str, Any], source: DigitalSource) -> None:
    """Write a bank as a whole: into a temporary folder first, renamed when all is there.

    Args:
        folder: to be written or replaced.
        bank: the images.
        provenance: how they were made.
        source: the mark that every changed image carries, but for those that a bank says were not refined: these say
            whether they are made of photographs alone or have an anomaly drawn by rule.
    """
    sources = _digital_sources(bank, source)
    names = [f"{'counterfeit' if y else 'genuine'}_{i:05d}.png" for i, y in enumerate(bank.label)]
    with replacing_folder(folder) as partial:
        for name, pixels, mask, origin in zip(names, bank.pixels, bank.masks, sources, strict=True):
            said = _mark(origin) if mask.any() else None
            Image.fromarray(pixels).save(partial / name, pnginfo=said, compress_level=1)
            Image.fromarray(mask).save(partial / name.replace(".png", ".mask.png"), compress_level=1)
        columns = {
            "path": pa.array(names),
            "label": pa.array(bank.label, pa.int8()),
            "source": pa.array(["synthetic"] * len(names)),
            "split": pa.array(["train"] * len(names)),
            "host": pa.array(bank.host.tolist()),
            "donor": pa.array(bank.donor.tolist()),
            "sha256": pa.array([file_sha256(partial / name) for name in names]),
            **{name: pa.array(values) for name, values in bank.scores.items()},
        }
        pq.write_table(pa.table(columns), partial / "manifest.parquet")
        write_json(partial / "provenance.json", provenance)


def read_bank(folder: Path) -> Bank:
    """The bank that :func:`write_bank` wrote."""
    table = pq.read_table(folder / "manifest.parquet")
    paths = table["path"].to_pylist()
    known = {"path", "label", "source", "split", "host", "donor", "sha256"}
    return Bank(
        pixels=_read_images([folder / path for path in paths], (0, 0, 0, 3)),
        masks=_read_images([folder / path.replace(".png", ".mask.png") for path in paths], (0, 0, 0)),
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


def _read_images(paths: list[Path], empty: tuple[int, ...]) -> NDArray[np.uint8]:
    """All images in one array; one of shape ``empty`` if there are none, as nothing may have passed the gates."""
    return np.stack([np.asarray(Image.open(path)) for path in paths]) if paths else np.zeros(empty, np.uint8)


def _digital_sources(bank: Bank, source: DigitalSource) -> list[str]:
    nothing = np.zeros(len(bank))
    refined, anomaly = bank.scores.get("refined", nothing + 1), bank.scores.get("anomaly", nothing)
    sources: list[str] = np.select([refined > 0, anomaly > 0], [source, "composite"], "compositeCapture").tolist()
    return sources


def _mark(source: str) -> PngInfo:
    mark = PngInfo()
    mark.add_itxt(
        "XML:com.adobe.xmp",
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCES}{source}"/></rdf:RDF></x:xmpmeta>',
    )
    return mark
