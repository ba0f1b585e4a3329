"""Decoding: any JPEG, PNG or WebP to square RGB pixels, once, into a cache; files that fail are set aside by name."""

import hashlib
import io
import multiprocessing
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from rich.progress import track

from counterfeit.cache import ArrayCache
from counterfeit.data.manifest import write_table
from counterfeit.data.walk import ESCAPED
from counterfeit.errors import UserError

MAX_PIXELS = 40_000_000  # decoded; a JPEG can be decoded at 1/8 of its sides, so that its header may name more
MAX_JPEG_PIXELS = 256_000_000
FORMATS = ("JPEG", "PNG", "WEBP")
# Markers with a length that may stand before the first scan: tables, application data, comments.
JPEG_HEADER = {bytes([marker]) for marker in (0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0))}
BATCH = 256  # images decoded between two writes to the cache: what a kill loses
PROGRESS_FROM = 500  # images to decode, below which no bar is shown

ImageFile.LOAD_TRUNCATED_IMAGES = False  # half a photograph is no evidence of anything
Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS // 2  # Pillow warns of more and refuses twice as many
# `decode_image` refuses what is too large, in one line.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", message="Corrupt EXIF data")

Pixels = NDArray[np.uint8]


class BadImage(Exception):  # noqa: N818  (what it is, not an error of the program)
    """A file that cannot be used; ``reason`` is a few words such as ``truncated``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Loaded:
    """The images that could be decoded, in the order asked for, and those that could not.

    ``paths`` and ``sha256`` (of the file's bytes) belong together; ``quarantine`` holds (path, reason).
    """

    paths: list[str]
    sha256: list[str]
    quarantine: list[tuple[str, str]]
    cache: ArrayCache = field(repr=False)

    def pixels(self, sha256: Sequence[str] | None = None) -> Pixels:
        """Return the pixels of the given images, or of all, ``(N, size, size, 3)`` uint8 RGB."""
        return cast(Pixels, self.cache.rows(self.sha256 if sha256 is None else sha256))


def decode_image(source: Path | bytes, size: int) -> Pixels:
    """Decode a file or its bytes to ``(size, size, 3)`` uint8 RGB, squashed to a square.

    Upright by EXIF, alpha composited over white, 16 bits scaled to 8, the first frame of an animation.

    Raises:
        BadImage: ``missing``, ``unreadable``, ``zero bytes``, ``not an image``, ``truncated`` or
            ``more than 40 megapixels`` (found in the header: such an image is never decoded; of a baseline JPEG
            those count that are left at the reduced scale it is decoded at, and 256 megapixels are the limit).
    """
    content = source if isinstance(source, bytes) else _read(source)
    return square_pixels(decode_upright(content, size), size)


def decode_upright(content: bytes, side: int) -> Image.Image:
    """Decode a file's bytes to an upright RGB image of its own shape, at least ``side`` pixels where it has them.

    Raises:
        BadImage: as :func:`decode_image` does.
    """
    if not content:
        raise BadImage("zero bytes")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _reduce(image, content, side)
            image.load()
            return upright_rgb(image)
    except UnidentifiedImageError as error:
        raise BadImage("not an image") from error
    except Image.DecompressionBombError as error:
        raise BadImage("more than 40 megapixels") from error
    except BadImage:
        raise
    except Exception as error:  # decoders raise whatever they like on a broken file
        raise BadImage("truncated" if _is_cut(content, error) else "unreadable") from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """A decoded image of any mode as 8-bit RGB, turned upright by EXIF, alpha composited over white."""
    with suppress(Exception):  # broken EXIF: as it is stored
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else a copy would be made for nothing
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def square_pixels(image: Image.Image, size: int) -> Pixels:
    """An upright RGB image as ``(size, size, 3)`` uint8, squashed to a square."""
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0), np.uint8)


def load_pixels(root: Path, paths: Sequence[str], size: int, cache_folder: Path, workers: int = 0) -> Loaded:
    """Decode images below ``root`` that are not yet in the cache ``pixels-<size>``, keyed by the file's SHA-256.

    Args:
        root: the folder that the paths are relative to; links that lead out of it are quarantined.
        paths: images, relative to ``root``.
        size: side of the decoded squares in pixels.
        cache_folder: where the decoded pixels are kept between runs.
        workers: processes that decode; 0 decodes in threads of this one. The result is the same.
    """
    cache = ArrayCache(cache_folder, f"pixels-{size}", (size, size, 3), np.uint8)
    digests: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for path in paths:
        try:
            digests[path] = hashlib.sha256(read_inside(root, path)).hexdigest()
        except BadImage as bad:
            reasons[path] = bad.reason
    path_of = {digest: path for path, digest in digests.items()}
    bad_digests = _fill(cache, {digest: root / path_of[digest] for digest in cache.missing(list(path_of))}, workers)
    reasons |= {path: bad_digests[digest] for path, digest in digests.items() if digest in bad_digests}
    good = [path for path in paths if path not in reasons]
    quarantine = [(path, reasons[path]) for path in paths if path in reasons]
    return Loaded(good, [digests[path] for path in good], quarantine, cache)


def check_bad_rate(quarantined: Sequence[tuple[str, str]], total: int, max_bad_rate: float) -> None:
    """Raise ``UserError`` if more than ``max_bad_rate`` of ``total`` images, or all of them, are unusable."""
    if not quarantined or (len(quarantined) <= max_bad_rate * total and len(quarantined) < total):
        return
    examples = "; ".join(f"{path} ({reason})" for path, reason in quarantined[:3])
    advice = (
        "check --data.root and the files"
        if len(quarantined) >= total
        else "repair or remove them, or raise --data.max_bad_rate"
    )
    raise UserError(
        f"{len(quarantined)} of {total} images are unusable, more than the {max_bad_rate:.1%} allowed:"
        f" {examples}{' ...' if len(quarantined) > 3 else ''}; {advice}"
    )


def write_quarantine(quarantined: Sequence[tuple[str, str]], path: Path) -> None:
    """Write ``path,reason`` of the images set aside as CSV."""
    columns = {"path": [path for path, _ in quarantined], "reason": [reason for _, reason in quarantined]}
    write_table(pa.table(columns, schema=pa.schema([("path", pa.string()), ("reason", pa.string())])), path)


def read_inside(root: Path, path: str) -> bytes:
    """The bytes of an image below ``root``.

    Raises:
        BadImage: ``missing``, ``unreadable``, ``zero bytes``, ``symlink out of root`` or ``file name is not UTF-8``.
    """
    try:
        return _read(_inside(root, path))
    except BadImage as bad:
        if bad.reason == "missing" and ESCAPED.search(path):
            raise BadImage("file name is not UTF-8") from bad
        raise


def _read(file: Path) -> bytes:
    try:
        if file.exists() and not file.is_file():  # reading a named pipe would wait for ever
            raise BadImage("unreadable")
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise BadImage("missing") from error
    except OSError as error:
        raise BadImage("unreadable") from error
    if not content:
        raise BadImage("zero bytes")
    return content


def _reduce(image: Image.Image, content: bytes, side: int) -> None:
    """Have a large JPEG decoded at 1/2, 1/4 or 1/8 of its sides, twice ``side`` or more; refuse what stays too large.

    One over the limit may be reduced down to ``side``.
    """
    over = image.width * image.height > MAX_PIXELS
    if not over or _in_one_scan(content):
        least = side if over else 2 * side
        image.draft(None, (least, least))
    if image.width * image.height > MAX_PIXELS:
        raise BadImage("more than 40 megapixels")


def _in_one_scan(content: bytes) -> bool:
    """Whether this is a JPEG decoded row by row; one in several scans is held whole, however small it is asked for."""
    position, components = 2, None
    while content.startswith(b"\xff\xd8") and content[position : position + 1] == b"\xff":
        marker, segment = content[position + 1 : position + 2], content[position + 2 : position + 10]
        if marker == b"\xda" and len(segment) == 8:
            return segment[2] == components  # of the first scan, and of the image
        if marker in (b"\xc0", b"\xc1") and len(segment) == 8:
            components = segment[7]
        elif marker not in JPEG_HEADER:
            return False
        position += 2 + int.from_bytes(segment[:2], "big")
    return False


def _is_cut(content: bytes, error: Exception) -> bool:
    webp_length = 8 + int.from_bytes(content[4:8], "little") if content.startswith(b"RIFF") else 0
    return isinstance(error, EOFError) or "truncated" in str(error) or len(content) < webp_length


def _inside(root: Path, path: str) -> Path:
    file = root / path
    try:
        inside = file.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a link to itself, a name with NUL
        raise BadImage("unreadable") from error
    if not inside:
        raise BadImage("symlink out of root")
    return file


def _decode(file: Path, sha256: str, size: int) -> Pixels | str:
    """Pixels of the file that had this checksum, or the reason why there are none."""
    try:
        content = _read(file)
        if hashlib.sha256(content).hexdigest() != sha256:  # kept under it, other pixels would be found for ever
            return "changed while it was read"
        return decode_image(content, size)
    except BadImage as bad:
        return bad.reason


def _fill(cache: ArrayCache, files: dict[str, Path], workers: int) -> dict[str, str]:
    """Decode the files, named by their SHA-256, into the cache; return the reasons of those that failed, likewise."""
    size = cache.shape[0]
    keys = list(files)
    reasons: dict[str, str] = {}
    batches = range(0, len(keys), BATCH)
    with _decoders(workers if keys else 0) as executor:
        for start in track(batches, "decoding", disable=len(keys) < PROGRESS_FROM, transient=True):
            batch = keys[start : start + BATCH]
            results = executor.map(partial(_decode, size=size), [files[key] for key in batch], batch, chunksize=8)
            good: dict[str, Pixels] = {}
            for key, result in zip(batch, results, strict=True):
                if isinstance(result, str):
                    reasons[key] = result
                else:
                    good[key] = result
            if good:
                cache.append(list(good), np.stack(list(good.values())))
    return reasons


def _decoders(workers: int) -> Executor:
    if workers:
        # Spawned, not forked: a fork of a process in which torch or a progress bar runs threads can hang.
        return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    return ThreadPoolExecutor()  # Pillow lets other threads run while it decodes and resizes
