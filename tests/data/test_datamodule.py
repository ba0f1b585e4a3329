"""The data module: what it refuses, limits, sets aside, groups and keeps."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from counterfeit.backbone import Embedder
from counterfeit.data import images
from counterfeit.data.datamodule import ProductData
from counterfeit.data.transforms import recapture
from counterfeit.errors import UserError

GENUINE, COUNTERFEITS = 20, 12


def smooth(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "product"
    rows = ["path,label,group"]
    for i in range(GENUINE + COUNTERFEITS):
        name = "counterfeit" if i < COUNTERFEITS else "genuine"
        (folder / name).mkdir(parents=True, exist_ok=True)
        smooth(i).save(folder / name / f"{i}.png")
        rows.append(f"{name}/{i}.png,{name},item{i}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def ready(root: Path, **options: object) -> ProductData:
    data = ProductData(root=str(root), size=64, cache=str(root.parent / "cache"), **options)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("size", [0, 32, 100, 65])
def test_sizes_the_backbone_cannot_take_are_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"size {size} is not a multiple of 32"):
        ProductData(size=size)


def test_an_image_has_at_least_one_view() -> None:
    with pytest.raises(UserError, match="at least one view"):
        ProductData(views=0)


def test_the_drawn_labels_alone_have_a_handful_by_default() -> None:
    assert ProductData().counterfeits == 16
    assert ProductData(counterfeits=5).counterfeits == 5
    assert ProductData(root="photos").counterfeits is None


def test_a_manifest_alone_names_photographs_beside_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "manifest.csv").rename(root / "mine.csv")
    monkeypatch.setenv("HOME", str(root.parent))
    data = ProductData(manifest="~/product/mine.csv", size=64, cache=str(root.parent / "cache"))
    data.prepare_data()
    data.setup()
    assert data.title == "product" and len(data.photos) == GENUINE + COUNTERFEITS
    assert data.counterfeits is None
    assert not list((root.parent / "cache").glob("labels*"))


def test_fewer_counterfeits_touch_training_alone(root: Path) -> None:
    whole, few = ready(root).split(seed=1), ready(root, counterfeits=2).split(seed=1)
    label = ready(root).photos.label
    assert ((few == "train") & (label == 1)).sum() == 2 < ((whole == "train") & (label == 1)).sum()
    changed = few != whole
    assert set(few[changed]) == {"unused"}
    assert (whole[changed] == "train").all() and (label[changed] == 1).all()


def test_another_seed_splits_otherwise_and_the_same_one_alike(root: Path) -> None:
    data = ready(root)
    assert (data.split(3) == data.split(3)).all()
    assert (data.split(3) != data.split(4)).any()


def test_a_broken_image_is_set_aside_by_name(root: Path) -> None:
    (root / "genuine" / "15.png").write_bytes(b"no image")
    data = ready(root)
    assert data.quarantine == [("genuine/15.png", "not an image")]
    assert len(data.photos) == GENUINE + COUNTERFEITS - 1
    assert "genuine/15.png" not in data.photos.path
    with pytest.raises(UserError, match="1 of 32 images are unusable"):
        ready(root, max_bad_rate=0.01)


def test_a_file_whose_name_is_not_utf8_is_set_aside(root: Path) -> None:
    (root / "manifest.csv").unlink()
    photograph = root / "genuine" / "15.png"
    photograph.rename(os.fsdecode(os.fsencode(photograph.parent) + b"/caf\xe9.png"))
    data = ready(root)
    assert data.quarantine == [(r"genuine/caf\udce9.png", "file name is not UTF-8")]
    assert len(data.photos) == GENUINE + COUNTERFEITS - 1


def test_labels_and_pixels_stay_with_their_paths(root: Path) -> None:
    data = ready(root)
    assert [path.startswith("counterfeit/") for path in data.photos.path] == (data.photos.label == 1).tolist()
    row = np.flatnonzero(data.photos.path == "genuine/25.png")
    assert (data.pixels(row)[0] == np.asarray(smooth(25))).all()


def test_what_was_decoded_once_is_not_decoded_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ready(root)
    monkeypatch.setattr(images, "decode_image", lambda *_: pytest.fail("decoded a second time"))
    again = ready(root)
    rows = np.arange(len(before.photos))
    assert (again.pixels(rows) == before.pixels(rows)).all()


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return Embedder("tf_efficientnet_lite0", 64, tmp_path_factory.mktemp("embeddings"))


def test_groups_of_the_manifest_are_kept_without_looking(root: Path) -> None:
    data = ready(root)
    before = data.photos.group.tolist()
    data.group(None)  # type: ignore[arg-type]  # no embedder is needed
    assert data.photos.group.tolist() == before and len(set(before)) == len(before)


def test_without_a_manifest_near_duplicates_share_a_group(root: Path, embedder: Embedder) -> None:
    (root / "manifest.csv").unlink()
    smooth(25).save(root / "genuine" / "copy.jpg", quality=80)
    data = ready(root)
    data.group(embedder)
    group = dict(zip(data.photos.path.tolist(), data.photos.group.tolist(), strict=True))
    assert group["genuine/copy.jpg"] == group["genuine/25.png"]
    assert len(set(group.values())) > (GENUINE + COUNTERFEITS) // 2
    assert "" not in group.values()


def test_a_copy_without_a_group_joins_that_of_the_photograph_it_copies(root: Path, embedder: Embedder) -> None:
    for i in (3, 25):
        name = "genuine" if i == 25 else "counterfeit"
        smooth(i).save(root / name / f"copy of {i}.jpg", quality=80)
        with (root / "manifest.csv").open("a") as manifest:
            manifest.write(f"{name}/copy of {i}.jpg,{name},\n")
    smooth(99).save(root / "genuine" / "new.png")
    with (root / "manifest.csv").open("a") as manifest:
        manifest.write("genuine/new.png,genuine,\n")
    data = ready(root)
    data.group(embedder)
    group = dict(zip(data.photos.path.tolist(), data.photos.group.tolist(), strict=True))
    assert group["genuine/copy of 25.jpg"] == group["genuine/25.png"] == "item25"
    assert group["counterfeit/copy of 3.jpg"] == group["counterfeit/3.png"] == "item3"
    assert group["genuine/new.png"].startswith("near")
    assert len(set(group.values())) == GENUINE + COUNTERFEITS + 1


def test_views_differ_from_the_image_and_are_the_same_each_time(root: Path, embedder: Embedder) -> None:
    data = ready(root, preset="strong")
    rows = np.arange(4)
    plain, view = (data.embed(embedder, rows, view=v).pooled for v in (0, 1))
    assert np.abs(plain - view).max(axis=1).min() > 1e-3
    other = Embedder("tf_efficientnet_lite0", 64, root.parent / "elsewhere")  # knows nothing yet
    assert np.allclose(view, data.embed(other, rows, view=1).pooled, atol=1e-5)


def test_copies_show_each_photograph_under_its_condition(root: Path, embedder: Embedder) -> None:
    data = ready(root)
    rows, names = np.array([3, 3, 5]), ["paler 0-0", "turned 5-9", "paler 0-0"]
    copies = data.embed_recaptured(embedder, rows, names)
    grey = np.stack([recapture(image, "paler 0-0") for image in data.pixels(rows[[0, 2]])])
    np.testing.assert_allclose(copies.pooled[[0, 2]], embedder(grey).pooled, atol=1e-4)
    alone = data.embed_recaptured(embedder, rows[1:2], names[1:2])
    np.testing.assert_array_equal(copies.pooled[1], alone.pooled[0])
    assert np.abs(copies.pooled[1] - data.embed(embedder, rows[1:2], view=0).pooled[0]).max() > 0.01


def test_the_cache_grows_by_what_the_documentation_says(root: Path) -> None:
    cache = root.parent / "cache"
    data = ProductData(root=str(root), size=128, cache=str(cache))
    data.setup()
    embedder = Embedder("tf_efficientnet_lite0", 128, cache)
    for view in (0, 1):
        data.embed(embedder, np.arange(2), view)
    size = {path.name.split("-")[0]: path.stat().st_size for path in cache.glob("*.bin")}
    assert round(size["pixels"] / (GENUINE + COUNTERFEITS) / 1000) == 49
    assert round((size["pooled"] + size["patches"]) / 4 / 1000) == 97
