"""Decoding: what each odd file becomes, which files are set aside and why, and the cache of pixels."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from counterfeit.data import images
from counterfeit.data.images import (
    BadImage,
    check_bad_rate,
    decode_image,
    decode_upright,
    load_pixels,
    write_quarantine,
)
from counterfeit.errors import UserError


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(width: int = 64, height: int = 64) -> Image.Image:
    """Red above, blue below."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, :, 0] = 255
    pixels[height // 2 :, :, 2] = 255
    return Image.fromarray(pixels)


def noise(side: int, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def assert_near(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int = 10) -> None:
    assert np.abs(pixels.astype(int) - colour).max() <= tolerance, pixels.reshape(-1, 3)[:3]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb() -> bytes:
    """A PNG that claims 20000 x 20000 pixels: 1.2 GB once decoded."""
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(60001)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_formats_decode_to_a_square(kind: str) -> None:
    pixels = decode_image(encoded(halves(90, 40), kind), 32)
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert_near(pixels[4:12, 4:28], (255, 0, 0))
    assert_near(pixels[20:28, 4:28], (0, 0, 255))


def test_exif_orientation_turns_the_image_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    lying = halves(48, 80).transpose(Image.Transpose.ROTATE_90)
    for kind in ("JPEG", "PNG", "WEBP"):
        pixels = decode_image(encoded(lying, kind, exif=exif), 32)
        assert_near(pixels[2:12], (255, 0, 0), 12)
        assert_near(pixels[20:30], (0, 0, 255), 12)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_ignored() -> None:
    pixels = decode_image(encoded(halves(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff"), 16)
    assert_near(pixels[2:6, 2:14], (255, 0, 0), 12)


def test_cmyk_palette_and_grey() -> None:
    red = Image.new("RGB", (40, 40), (255, 0, 0))
    assert_near(decode_image(encoded(red.convert("CMYK"), "JPEG"), 8), (254, 0, 0))
    assert_near(decode_image(encoded(red.quantize(4)), 8), (255, 0, 0))
    for mode in ("L", "1"):
        assert_near(decode_image(encoded(Image.new("RGB", (9, 9), "white").convert(mode)), 8), (255, 255, 255))


def test_transparent_pixels_are_white() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    half = Image.new("RGBA", (20, 20), (255, 0, 0, 128))
    grey = Image.new("LA", (20, 20), (0, 0))
    palette = Image.new("P", (20, 20), 0)
    assert_near(decode_image(encoded(clear), 8), (255, 255, 255))
    assert_near(decode_image(encoded(half, "WEBP", lossless=True), 8), (255, 127, 127))
    assert_near(decode_image(encoded(grey), 8), (255, 255, 255))
    assert_near(decode_image(encoded(palette, transparency=0), 8), (255, 255, 255))


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, 0)
    pixels = decode_image(encoded(Image.fromarray(ramp)), 64)
    np.testing.assert_allclose(pixels[32, :, 0], ramp[0] / 257, atol=1)


def test_animations_give_their_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for kind in ("PNG", "WEBP"):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
        assert_near(decode_image(content, 8), (255, 0, 0), 8)


def test_reduced_decoding_of_a_large_jpeg_stays_close_to_the_full_one() -> None:
    image = noise(1200)
    content = encoded(image, "JPEG", quality=95)
    full = np.asarray(Image.open(io.BytesIO(content)).resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decode_image(content, 64) - full).mean() < 1.5


def test_resampling_is_antialiased() -> None:
    checks = ((np.indices((256, 256)).sum(0) % 2) * 255).astype(np.uint8)
    assert_near(decode_image(encoded(Image.fromarray(checks)), 32), (127, 127, 127), 12)


def claiming(width: int, height: int, **options: object) -> bytes:
    """A small JPEG whose header names another size: more pixels than there are data for."""
    content = encoded(noise(64), "JPEG", **options)
    start = next(content.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in content)
    return content[: start + 5] + struct.pack(">HH", height, width) + content[start + 9 :]


def in_several_scans(content: bytes) -> bytes:
    """The JPEG as if its first scan held one component of three."""
    start = content.index(b"\xff\xda")
    return content[:start] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + content[start + 14 :]


def test_a_photograph_of_a_phone_is_decoded_at_a_reduced_scale() -> None:
    content = encoded(halves(8000, 6000), "JPEG")  # 48 megapixels
    pixels = decode_image(content, 64)
    assert_near(pixels[2:28], (254, 0, 0))
    assert_near(pixels[36:62], (0, 0, 254))
    assert decode_upright(content, 1600).size == (4000, 3000)
    with pytest.raises(BadImage, match="more than 40 megapixels"):
        decode_upright(content, 5000)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_two_hundred_megapixels_are_decoded() -> None:
    assert decode_upright(claiming(16320, 12240), 512).size == (2040, 1530)


@pytest.mark.parametrize(
    "content",
    [
        claiming(20000, 20000),
        claiming(16320, 12240, progressive=True),
        in_several_scans(claiming(16320, 12240)),
        claiming(65000, 900),
    ],
    ids=["400 megapixels", "progressive", "scans", "too narrow to be reduced enough"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_large_jpegs_that_could_fill_the_memory_are_refused(content: bytes) -> None:
    with pytest.raises(BadImage, match="more than 40 megapixels"):
        decode_image(content, 512)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html>404</html>", "not an image"),
        (encoded(noise(200), "JPEG")[:-900], "truncated"),
        (encoded(noise(200), "PNG")[:-9000], "truncated"),
        (encoded(noise(200), "WEBP")[:-300], "truncated"),
        (encoded(noise(20), "BMP"), "not an image"),
        (bomb(), "more than 40 megapixels"),
        (encoded(Image.new("1", (8000, 6000))), "more than 40 megapixels"),
    ],
    ids=["empty", "html", "jpeg", "png", "webp", "bmp", "bomb", "48 megapixels"],
)
def test_bad_files_say_why(content: bytes, reason: str, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(BadImage) as caught:
        decode_image(content, 16)
    assert caught.value.reason == reason
    assert not recwarn.list


def test_flipped_bytes_never_raise_anything_else() -> None:
    generator = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP"):
        content = np.frombuffer(encoded(noise(60), kind), np.uint8)
        for _ in range(40):
            damaged = content.copy()
            damaged[generator.integers(0, len(content), 12)] = generator.integers(0, 256, 12)
            try:
                assert decode_image(damaged.tobytes(), 16).shape == (16, 16, 3)
            except BadImage as bad:
                assert bad.reason in {"truncated", "not an image", "unreadable", "more than 40 megapixels"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(12):
        noise(40, number).save(root / f"{number:02d}.png")
    (root / "copy.png").write_bytes((root / "00.png").read_bytes())
    (root / "empty.jpg").touch()
    (root / "cut.jpg").write_bytes(encoded(noise(200), "JPEG")[:-900])
    (root / "cut again.jpg").write_bytes(encoded(noise(200), "JPEG")[:-900])
    noise(40, 99).save(tmp_path / "secret.png")
    (root / "outside.png").symlink_to(tmp_path / "secret.png")
    (root / "inside.png").symlink_to(root / "01.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "folder.png").mkdir()
    return root


def names(root: Path) -> list[str]:
    return [*sorted(path.name for path in root.iterdir()), "gone.png", "../secret.png"]


def test_good_files_are_decoded_and_bad_ones_set_aside(folder: Path, tmp_path: Path) -> None:
    loaded = load_pixels(folder, names(folder), 24, tmp_path / "cache")
    assert loaded.paths == [*(f"{number:02d}.png" for number in range(12)), "copy.png", "inside.png"]
    assert dict(loaded.quarantine) == {
        "cut again.jpg": "truncated",
        "cut.jpg": "truncated",
        "empty.jpg": "zero bytes",
        "folder.png": "unreadable",
        "loop.png": "unreadable",
        "outside.png": "symlink out of root",
        "gone.png": "missing",
        "../secret.png": "symlink out of root",
    }
    expected = np.stack([decode_image(folder / path, 24) for path in loaded.paths])
    np.testing.assert_array_equal(loaded.pixels(), expected)
    np.testing.assert_array_equal(loaded.pixels(loaded.sha256[3:5]), expected[3:5])
    assert loaded.sha256[0] == loaded.sha256[12] and len(set(loaded.sha256)) == 12


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_matter(folder: Path, tmp_path: Path, workers: int) -> None:
    alone = load_pixels(folder, names(folder), 24, tmp_path / "alone")
    shared = load_pixels(folder, names(folder), 24, tmp_path / "shared", workers)
    assert (shared.paths, shared.sha256, shared.quarantine) == (alone.paths, alone.sha256, alone.quarantine)
    np.testing.assert_array_equal(shared.pixels(), alone.pixels())


def test_nothing_is_decoded_twice(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = [f"{number:02d}.png" for number in range(12)]
    first = load_pixels(folder, good, 24, tmp_path / "cache").pixels()
    monkeypatch.setattr(images, "decode_image", lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(load_pixels(folder, good, 24, tmp_path / "cache").pixels(), first)


def test_changed_content_is_decoded_anew(folder: Path, tmp_path: Path) -> None:
    before = load_pixels(folder, ["00.png"], 24, tmp_path / "cache")
    noise(40, 50).save(folder / "00.png")
    after = load_pixels(folder, ["00.png"], 24, tmp_path / "cache")
    assert before.sha256 != after.sha256
    np.testing.assert_array_equal(after.pixels()[0], decode_image(folder / "00.png", 24))


def test_a_file_replaced_between_its_checksum_and_its_pixels_is_set_aside(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(root: Path, path: str) -> bytes:
        content = (root / path).read_bytes()
        noise(40, 50).save(root / path)
        return content

    monkeypatch.setattr(images, "read_inside", replaced)
    loaded = load_pixels(folder, ["00.png"], 24, tmp_path / "cache")
    assert loaded.quarantine == [("00.png", "changed while it was read")] and len(loaded.cache) == 0


def test_no_images_at_all(tmp_path: Path) -> None:
    assert load_pixels(tmp_path, [], 8, tmp_path / "cache").pixels().shape == (0, 8, 8, 3)


def test_a_named_pipe_is_set_aside_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert load_pixels(tmp_path, ["pipe.png"], 8, tmp_path / "cache").quarantine == [("pipe.png", "unreadable")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_unreadable(folder: Path, tmp_path: Path) -> None:
    (folder / "00.png").chmod(0)
    assert load_pixels(folder, ["00.png"], 8, tmp_path / "cache").quarantine == [("00.png", "unreadable")]


def test_bad_rate() -> None:
    bad = [(f"{number}.jpg", "truncated") for number in range(5)]
    check_bad_rate([], 0, 0.0)
    check_bad_rate(bad, 100, 0.05)
    with pytest.raises(UserError, match=r"5 of 99 images .* 5\.0% allowed: 0\.jpg \(truncated\); 1\.jpg.* \.\.\.;"):
        check_bad_rate(bad, 99, 0.05)
    with pytest.raises(UserError, match="5 of 5 images"):
        check_bad_rate(bad, 5, 1.0)


def test_quarantine_file(tmp_path: Path) -> None:
    write_quarantine([("a, b.jpg", "truncated")], tmp_path / "quarantine.csv")
    assert (tmp_path / "quarantine.csv").read_text() == '"path","reason"\n"a, b.jpg","truncated"\n'
    write_quarantine([], tmp_path / "quarantine.csv")
    assert (tmp_path / "quarantine.csv").read_text() == '"path","reason"\n'
