"""With the run at hand: references, heat maps, gold items. Without it, a plain note."""

import io
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.review.decisions import Choice, decide, undo
from counterfeit.review.desk import set_up
from counterfeit.review.fill import Policy
from counterfeit.review.heat import MOST_OPAQUE, overlay
from counterfeit.review.scored import read_scored
from tests.review.conftest import enter, photograph, write_scores
from tests.review.made_run import FIRST, make_run

SCORES = [0.05 * i for i in range(20)]
POLICY = Policy(["anna", "ben"], gold=0.2, double=0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder, make_run(folder)


@pytest.fixture
def desk(made, tmp_path):
    return set_up(read_scored(write_scores(tmp_path, SCORES, run=made[1])), POLICY)


def rows(desk, where):
    return desk.db.reading().execute(f"SELECT * FROM item WHERE {where} ORDER BY id").fetchall()


def test_neighbours_are_of_both_classes_and_never_the_item_itself(desk):
    for item in rows(desk, "1"):
        genuine, counterfeit = desk.nearest(item)
        assert [len(genuine), len(counterfeit)] == [4, 4 if item["truth"] != 1 else 3]
        assert {desk.known[n.id].label for n in genuine} == {0}
        assert {desk.known[n.id].label for n in counterfeit} == {1}
        assert item["sha256"] not in {desk.known[n.id].sha256 for n in (*genuine, *counterfeit)}


def test_a_copy_of_a_reference_finds_it_first(made, tmp_path):
    folder = write_scores(tmp_path, [0.5], run=made[1])
    desk = set_up(read_scored(folder), Policy(["anna"], gold=0))
    image = Image.open(io.BytesIO(photograph(FIRST + 7, 64))).resize((96, 96))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    genuine, _ = desk.neighbours.nearest("new", buffer.getvalue)
    assert desk.known[genuine[0].id].path == "genuine/7.png"


def test_features_of_references_are_computed_once(made, tmp_path, monkeypatch):
    scored = read_scored(write_scores(tmp_path, SCORES, run=made[1]))
    first = set_up(scored, POLICY)
    monkeypatch.setattr("counterfeit.review.neighbours.Features.add", lambda *_: pytest.fail("computed again"))
    again = set_up(scored, POLICY)
    item = rows(first, "origin = 'gold'")[0]
    assert again.nearest(item) == first.nearest(item)


def test_a_confirmed_counterfeit_becomes_a_reference_until_it_is_undone(desk):
    item = rows(desk, "origin = 'scored' AND band = 'likely counterfeit'")[0]
    twin = desk.content(item)

    def kinds():
        _, counterfeit = desk.neighbours.nearest("another", lambda: twin)
        return [(n.kind, n.id) for n in counterfeit]

    assert ("photo", item["id"]) not in kinds()
    desk.nearest(item)
    decide(desk.db, "anna", item["id"], 0, Choice("counterfeit", "print"))
    desk.refresh(item["id"])
    assert kinds()[0] == ("photo", item["id"])
    undo(desk.db, "anna")
    desk.refresh(item["id"])
    assert ("photo", item["id"]) not in kinds()


def test_gold_items_look_like_the_others_and_their_truth_is_kept(desk, made):
    gold = rows(desk, "origin = 'gold'")
    (cell,) = made[1].glob("detector/*/*/*/predictions.parquet")
    said = {row["path"]: row["captured"] for row in pq.ParquetFile(cell).read().to_pylist()}
    assert [item["captured"] for item in gold] == [said[item["file"]] for item in gold]
    assert len(gold) == 4
    assert sum(item["truth"] for item in gold) == 2
    others = {item["name"] for item in rows(desk, "origin = 'scored'")}
    for item in gold:
        assert item["name"].startswith("shop/item-")
        assert item["name"].endswith(".png")
        assert item["name"] not in others
    page = enter(desk, "anna").get(f"/item/{gold[0]['id']}").text
    assert "gold" not in page.lower()
    assert gold[0]["file"] not in page


def test_a_heat_map_lies_over_the_photograph_and_is_transparent(desk):
    anna = enter(desk, "anna")
    answer = anna.get("/heat/1")
    assert answer.headers["content-type"] == "image/png"
    image = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert image.shape == (512, 512, 4)
    assert 0 < image[..., 3].max() <= MOST_OPAQUE


def test_a_heat_map_is_coloured_where_there_is_evidence_and_never_hides_the_photograph():
    evidence = np.zeros((8, 8), np.float32)
    evidence[1, 6] = 9.0  # far beyond genuine images
    evidence[6, 1] = 0.9  # as genuine images have it
    opacity = np.asarray(Image.open(io.BytesIO(overlay(evidence))))[..., 3]
    assert opacity[64:128, 384:448].mean() > 100
    assert opacity.max() <= MOST_OPAQUE
    assert opacity[256:].max() == 0


def test_where_the_photographs_of_the_run_are_gone_a_note_says_so(tmp_path):
    run = make_run(tmp_path)
    shutil.rmtree(tmp_path / "known")
    desk = set_up(read_scored(write_scores(tmp_path / "s", SCORES, run=run)), POLICY)
    assert "no longer there" in desk.note
    page = enter(desk, "anna").get("/item/1")
    assert page.status_code == 200
    assert "no longer there" in page.text
    assert enter(desk, "anna").get("/heat/1").status_code == 200


def test_where_the_run_is_gone_a_note_says_so(tmp_path):
    desk = set_up(read_scored(write_scores(tmp_path, SCORES)), POLICY)
    assert "--run" in desk.note
    assert "--run" in enter(desk, "anna").get("/item/1").text
