"""Decisions as new training data: what ``fit`` reads, and what a spreadsheet does not execute."""

import csv

import pyarrow.parquet as pq
import pytest

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
    with pytest.raises(UserError, match="not an empty folder"):
        write_photographs(decided(desk.db.reading()), desk.photographs, run, known, out)


def test_a_photograph_that_changed_meanwhile_is_left_out(opened, tmp_path):
    desk = opened([0.8, 0.5], reviewers=["anna"])
    settle(desk, [FAKE, REAL])
    (desk.scored.root / "shop/item-0000.png").write_bytes(b"another")
    done = write_photographs(decided(desk.db.reading()), desk.photographs, None, None, tmp_path / "more")
    assert (done.genuine, done.counterfeit, done.left_out) == (1, 0, 1)
