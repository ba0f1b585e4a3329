import sqlite3

import pytest

from counterfeit.errors import UserError
from counterfeit.review.decisions import Choice, decide, next_item
from counterfeit.review.desk import set_up
from counterfeit.review.fill import Policy, open_review, room_on
from counterfeit.review.scored import read_scored
from counterfeit.review.verify import faults
from tests.review.conftest import enter, write_scores
from tests.review.made_run import make_run


def test_the_same_photograph_listed_twice_is_one_item(tmp_path):
    folder = write_scores(tmp_path, [0.8, 0.3])
    scored = read_scored(folder)
    scored.rows.append({**scored.rows[0], "path": "other-shop/again.png"})
    db = open_review(scored, Policy(["anna"])).reading()
    assert db.execute("SELECT COUNT(*) FROM item").fetchone()[0] == 2
    paths = db.execute(
        "SELECT path FROM listing WHERE item = (SELECT id FROM item WHERE name = 'shop/item-0000.png') ORDER BY path"
    )
    assert [row["path"] for row in paths] == ["other-shop/again.png", "shop/item-0000.png"]


def test_files_that_could_not_be_scored_are_kept_for_people_to_see(opened):
    desk = opened([0.8, None])
    assert [tuple(r) for r in desk.db.reading().execute("SELECT * FROM unreadable")] == [
        ("shop/item-0001.png", "truncated")
    ]


def test_rows_without_a_path_are_kept_by_their_number(tmp_path):
    run = make_run(tmp_path / "made")
    scored = read_scored(write_scores(tmp_path / "s", [0.8, None, 0.2, 0.5], run=run))
    scored.rows[1] |= {"path": None, "sha256": None, "error": "no path"}
    desk = set_up(scored, Policy(["anna"], gold=0.5))
    db = desk.db.reading()
    assert [tuple(row) for row in db.execute("SELECT * FROM unreadable")] == [("row 2 of the table", "no path")]
    assert db.execute("SELECT COUNT(*) FROM item WHERE origin = 'gold'").fetchone()[0] == 2
    assert "row 2 of the table" in enter(desk, "anna").get("/queue?show=unreadable").text


def test_decisions_stand_once_their_reviewer_is_alone(tmp_path):
    scored = read_scored(write_scores(tmp_path, [0.9, 0.8]))
    db = open_review(scored, Policy(["anna", "ben"], double=0))
    decide(db, "anna", 1, 0, Choice("genuine"))
    decide(db, "ben", 2, 0, Choice("genuine"))

    def states():
        return [row["state"] for row in db.reading().execute("SELECT state FROM item ORDER BY id")]

    assert states() == ["second", "second"]
    open_review(scored, Policy(["anna"]))
    assert states() == ["done", "second"]  # of Ben's she is the second reviewer
    assert next_item(db, "anna") == 2
    assert not faults(db.reading())


def test_a_review_goes_on_where_it_was(tmp_path):
    folder = write_scores(tmp_path, [0.8, 0.3])
    decide(set_up(read_scored(folder), Policy(["anna"])).db, "anna", 1, 0, Choice("genuine"))
    db = set_up(read_scored(folder), Policy(["anna"])).db.reading()
    assert db.execute("SELECT COUNT(*) FROM item WHERE state = 'done'").fetchone()[0] == 1
    assert db.execute("SELECT COUNT(*) FROM event WHERE kind = 'opened'").fetchone()[0] == 2


def test_other_scores_under_a_begun_review_are_refused(tmp_path):
    folder = write_scores(tmp_path / "a", [0.8, 0.3])
    open_review(read_scored(folder), Policy(["anna"]))
    (write_scores(tmp_path / "b", [0.2, 0.3]) / "scores.parquet").replace(folder / "scores.parquet")
    with pytest.raises(UserError, match="not the one this review began with"):
        open_review(read_scored(folder), Policy(["anna"]))


def test_nothing_scored_is_nothing_to_review(tmp_path):
    folder = write_scores(tmp_path, [None, None])
    with pytest.raises(UserError, match="nothing to review"):
        open_review(read_scored(folder), Policy(["anna"]))
    assert not (folder / "review.sqlite").exists()


@pytest.mark.parametrize(
    "policy",
    [
        Policy([]),
        Policy(["anna", "anna"]),
        Policy([" "]),
        Policy(["a\nb"]),
        Policy(["x" * 41]),
        Policy(["a"], capacity=0),
        Policy(["a"], capacity=10**23),
        Policy(["a"], gold=1.5),
        Policy(["a"], double=-0.1),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(policy):
    with pytest.raises(UserError):
        policy.check()


def test_a_full_disk_is_told_and_a_defect_of_ours_is_not_called_one(tmp_path):
    db = sqlite3.connect(tmp_path / "small.sqlite")
    db.execute("CREATE TABLE item (note TEXT)")
    db.execute("PRAGMA max_page_count = 3")
    with pytest.raises(UserError, match=r"small\.sqlite: database or disk is full"), room_on(tmp_path / "small.sqlite"):
        db.execute("INSERT INTO item VALUES (?)", ["x" * 100_000])
    with pytest.raises(sqlite3.OperationalError, match="no such column"), room_on(tmp_path / "small.sqlite"):
        db.execute("SELECT absent FROM item")
