"""The log: whole after any work, and never whole after tampering."""

import sqlite3

import pytest

from counterfeit.review.audit import head
from counterfeit.review.decisions import Choice, decide, skip, undo
from counterfeit.review.verify import faults


@pytest.fixture
def worked(opened):
    desk = opened([0.9, 0.8, 0.2, 0.1])
    decide(desk.db, "anna", 1, 0, Choice("counterfeit", "print", "halo around the letters"))
    skip(desk.db, "anna", 2)
    decide(desk.db, "ben", 3, 0, Choice("genuine"))
    undo(desk.db, "ben")
    decide(desk.db, "ben", 3, 2, Choice("unsure"))
    assert not faults(desk.db.reading())
    return desk


def tampered(desk, *statements):
    """Work on the file past the triggers, as someone with a database tool would."""
    with sqlite3.connect(desk.db.path) as raw:
        raw.execute("DROP TRIGGER event_is_never_changed")
        raw.execute("DROP TRIGGER event_is_never_removed")
        for statement in statements:
            assert raw.execute(statement).rowcount > 0
    return faults(desk.db.reading())


@pytest.mark.parametrize("statement", ["UPDATE event SET reviewer = 'ben'", "DELETE FROM event WHERE id = 2"])
def test_the_log_refuses_changes(worked, statement):
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        worked.db.reading().execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET reviewer = 'carl' WHERE kind = 'decision' AND item = 1",
        "UPDATE event SET at = '2020-01-01' WHERE id = 3",
        "UPDATE event SET detail = replace(detail, 'counterfeit', 'genuine') WHERE item = 1",
        "DELETE FROM event WHERE id = 3",
        "UPDATE decision SET verdict = 'genuine' WHERE item = 1",
        "DELETE FROM decision WHERE item = 1",
        "UPDATE decision SET undone = 1 WHERE item = 1",
        "UPDATE item SET verdict = 'genuine' WHERE id = 1",
        "UPDATE item SET state = 'done' WHERE id = 2",
    ],
)
def test_every_change_past_the_program_is_found(worked, statement):
    assert tampered(worked, statement)


def test_a_log_whose_end_was_cut_off_is_found_by_a_hash_noted_before(worked):
    _, noted = head(worked.db.reading())
    assert not faults(worked.db.reading(), noted)
    undo(worked.db, "ben")
    assert not faults(worked.db.reading(), noted)
    db = worked.db.reading()
    cut = db.execute("SELECT id FROM event WHERE hash = ?", (noted,)).fetchone()[0]
    with sqlite3.connect(worked.db.path) as raw:
        raw.execute("DROP TRIGGER event_is_never_removed")
        raw.execute("DELETE FROM event WHERE id >= ?", (cut,))
    assert any("cut off" in fault for fault in faults(db, noted))
