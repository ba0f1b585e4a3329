"""Decisions as new training data: what ``fit`` reads, and what a spreadsheet does not execute."""

import csv
import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.backbone.embedder import Embedder
from counterfeit.data.datamodule import ProductData
from counterfeit.data.manifest import read_manifest
from counterfeit.errors import UserError
from counterfeit.review.decisions import Choice, decide
from counterfeit.review.export import decided, harmless, write_manifest, write_photographs
from counterfeit.review.pictures import Pictures
from tests.review.made_run import make_run

FAKE, REAL = Choice("counterfeit", "lettering", "=HYPERLINK(1)"), Choice("genuine")


def settle(desk, choices):
    items = desk.db.reading().execute("SELECT id FROM item ORDER BY name").fetchall()
    for row, choice in zip(items, choices, strict=False):
        decide(desk.db, "anna", row["id"], 0, choice)


def test_decisions_are_a_manifest_that_fit_reads(opened):
    desk = opened([0.8, 0.5, 0.1, 0.4], reviewers=["anna"])
    settle(desk, [FAKE, REAL, Choice("unsure")])
    done = write_manifest(decided(desk.db.reading()), desk.scored.folder / "decisions.csv")
    assert (done.genuine, done.counterfeit, done.left_out) == (1, 1, 0)
    table = read_manifest(desk.scored.root, done.path)
    assert table.select(["path", "label", "kind", "source"]).to_pylist() == [
        {"path": "shop/item-0000.png", "label": 1, "kind": "lettering", "source": "real"},
        {"path": "shop/item-0001.png", "label": 0, "kind": "", "source": "real"},
    ]
    assert (desk.scored.root / table["path"][0].as_py()).is_file()


def test_a_spreadsheet_finds_no_formula(opened):
    names = ["=cmd().png", "+1.png", "-1.png", "@SUM(1).png", 'a,b".png']
    desk = opened([0.8, 0.7, 0.5, 0.4, 0.35], names, reviewers=["anna"])
    settle(desk, [FAKE, FAKE, REAL, REAL, REAL])
    path = desk.scored.folder / "decisions.csv"
    write_manifest(decided(desk.db.reading()), path)
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert sorted(read_manifest(desk.scored.root, path)["path"].to_pylist()) == sorted(names)


@pytest.mark.parametrize(
    ("text", "safe"), [("=1+1", "'=1+1"), ("\t=1", "'=1"), ("a\r\n=b", "a =b"), ("plain", "plain"), ("@a", "'@a")]
)
def test_texts_are_made_harmless(text, safe):
    assert harmless(text) == safe


def test_names_with_line_breaks_are_left_out_of_csv_and_kept_in_parquet(opened):
    desk = opened([0.8, 0.5], ["a\nb.png", "c.png"], reviewers=["anna"])
    settle(desk, [FAKE, REAL])
    rows = decided(desk.db.reading())
    assert write_manifest(rows, desk.scored.folder / "d.csv").left_out == 1
    assert pq.read_table(write_manifest(rows, desk.scored.folder / "d.parquet").path)["path"].to_pylist() == [
        "a\nb.png",
        "c.png",
    ]


def test_gold_and_undecided_items_are_not_exported(opened):
    desk = opened([0.8, 0.9, 0.5])
    settle(desk, [FAKE, REAL])  # the second contradicts the score and waits for a second opinion
    with desk.db.writing() as writing:
        writing.execute("UPDATE item SET origin = 'gold', truth = 1 WHERE name = 'shop/item-0000.png'")
    assert decided(desk.db.reading()) == []
    with pytest.raises(UserError, match="nothing to export"):
        write_manifest([], desk.scored.folder / "decisions.csv")


def test_every_copy_of_a_decided_photograph_is_exported(opened):
    desk = opened([0.8, 0.5], reviewers=["anna"])
    with desk.db.writing() as writing:
        writing.execute("INSERT INTO listing SELECT id, 'other/copy.png' FROM item WHERE name = 'shop/item-0000.png'")
    settle(desk, [FAKE])
    assert [row["path"] for row in decided(desk.db.reading())] == ["other/copy.png", "shop/item-0000.png"]


@pytest.mark.parametrize("content", ["item-0000.png", "item-0001.png"])
def test_a_path_that_was_scored_twice_is_one_row(opened, content):
    desk = opened([0.8, 0.5, 0.4], reviewers=["anna"])
    with desk.db.writing() as writing:  # the same content twice, or another one by the second time
        item = "SELECT id FROM item WHERE name = ?"
        writing.execute(f"INSERT INTO listing VALUES (({item}), 'shop/item-0000.png')", (f"shop/{content}",))
    settle(desk, [FAKE, REAL, FAKE])
    rows = decided(desk.db.reading())
    assert {row["reviewers"] for row in rows} == {"anna"}
    path = write_manifest(rows, desk.scored.folder / "decisions.csv").path
    paths = [f"shop/item-000{number}.png" for number in range(3)]
    assert read_manifest(desk.scored.root, path)["path"].to_pylist() == paths


def regroup(run, group):
    rows = pq.read_table(run / "manifest.parquet").to_pylist()
    rows = [row | {"group": group(number)} for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(rows), run / "manifest.parquet")


def test_groups_that_the_run_formed_are_formed_anew_and_given_ones_stay(opened, tmp_path):
    run, known = make_run(tmp_path / "made"), Pictures(tmp_path / "made" / "known")
    given = {0: "batch 7", 1: "near1", 2: "nearby"}
    regroup(run, lambda number: given.get(number, f"near{99998 + number}"))
    desk = opened([0.8, 0.5], reviewers=["anna"])
    settle(desk, [FAKE, REAL])
    write_photographs(decided(desk.db.reading()), desk.photographs, run, known, tmp_path / "more")
    groups = pq.read_table(tmp_path / "more" / "manifest.parquet")["group"].to_pylist()
    assert groups == [*given.values(), *[""] * 11]


@pytest.mark.parametrize("name", ["near{:05d}", "item {}"])
def test_a_decided_copy_of_a_known_photograph_shares_its_group(opened, tmp_path, name):
    run, root = make_run(tmp_path / "made"), tmp_path / "made" / "known"
    regroup(run, name.format)
    desk = opened([0.8, 0.5], reviewers=["anna"])
    buffer = io.BytesIO()
    Image.open(root / "genuine/7.png").save(buffer, "JPEG", quality=85)
    (desk.scored.root / "shop/item-0001.png").write_bytes(buffer.getvalue())
    with desk.db.writing() as writing:
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        writing.execute("UPDATE item SET sha256 = ? WHERE name = 'shop/item-0001.png'", (digest,))
    settle(desk, [FAKE, REAL])
    write_photographs(decided(desk.db.reading()), desk.photographs, run, Pictures(root), tmp_path / "more")
    data = ProductData(root=str(tmp_path / "more"), size=64, cache=str(tmp_path / "cache"))
    data.setup()
    data.group(Embedder("tf_efficientnet_lite0", 64, data.cache))
    groups = dict(zip(data.photos.path.tolist(), data.photos.group.tolist(), strict=True))
    (copy,) = (path for path in groups if path.startswith("decided/genuine"))
    assert [path for path in groups if groups[path] == groups[copy]] == [copy, "known/genuine/7.png"]
    assert (groups[copy] == "item 7") == name.startswith("item")


def test_a_folder_of_photographs_joins_the_run_and_the_decisions(opened, tmp_path):
    run = make_run(tmp_path / "made")
    desk = opened([0.8, 0.5, 0.1], reviewers=["anna"])
    settle(desk, [FAKE, REAL])
    out = tmp_path / "more"
    known = Pictures(tmp_path / "made" / "known")
    done = write_photographs(decided(desk.db.reading()), desk.photographs, run, known, out)
    assert (done.genuine, done.counterfeit) == (1, 1)
    data = ProductData(root=str(out), size=64, cache=str(tmp_path / "cache"))
    data.setup()
    assert len(data.photos) == 14
    assert int(data.photos.label.sum()) == 5
    assert not data.quarantine
    for taken, said in ((out, "not an empty folder"), (out / "manifest.parquet/below", "cannot write --photographs")):
        with pytest.raises(UserError, match=said):
            write_photographs(decided(desk.db.reading()), desk.photographs, run, known, taken)


def test_a_photograph_that_changed_meanwhile_is_left_out(opened, tmp_path):
    desk = opened([0.8, 0.5], reviewers=["anna"])
    settle(desk, [FAKE, REAL])
    (desk.scored.root / "shop/item-0000.png").write_bytes(b"another")
    run, known = make_run(tmp_path / "made"), Pictures(tmp_path / "made" / "known")
    done = write_photographs(decided(desk.db.reading()), desk.photographs, run, known, tmp_path / "more")
    assert (done.genuine, done.counterfeit, done.left_out) == (1, 0, 1)
