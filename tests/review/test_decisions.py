"""Handing out and deciding: nobody waits for another, one of two wins, everything can be taken back once."""

import threading

import pytest

from counterfeit.review.decisions import Choice, Conflict, decide, last_action, next_item, skip, standing, undo
from counterfeit.review.fill import Policy, open_review
from counterfeit.review.verify import faults

FAKE = Choice("counterfeit", "print")
REAL = Choice("genuine")


def row(desk, number):
    return desk.db.reading().execute("SELECT * FROM item WHERE id = ?", (number,)).fetchone()


def test_the_most_urgent_comes_first_and_two_reviewers_get_different_items(opened):
    desk = opened([0.1, 0.8, 0.5])
    first, second = next_item(desk.db, "anna"), next_item(desk.db, "ben")
    assert row(desk, first)["score"] == 0.8
    assert row(desk, second)["score"] == 0.5
    assert next_item(desk.db, "anna") == first


def test_a_decision_is_final_and_the_next_item_follows(opened):
    desk = opened([0.8, 0.5])
    item = next_item(desk.db, "anna")
    decide(desk.db, "anna", item, 0, FAKE)
    assert (row(desk, item)["state"], row(desk, item)["verdict"]) == ("done", "counterfeit")
    assert next_item(desk.db, "anna") != item


def test_of_two_who_decide_at_once_one_wins_and_the_other_is_told(opened):
    desk = opened([0.8])
    barrier, outcomes = threading.Barrier(8), []

    def act(reviewer):
        barrier.wait()
        try:
            decide(desk.db, reviewer, 1, 0, REAL if reviewer < "r4" else FAKE)
            outcomes.append((reviewer, None))
        except Conflict as conflict:
            outcomes.append((reviewer, str(conflict)))

    threads = [threading.Thread(target=act, args=(f"r{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [reviewer for reviewer, told in outcomes if told is None]
    assert len(outcomes) == 8
    assert len(winners) == 1
    assert all(f"R{winners[0][1:]} decided this item" in told for _, told in outcomes if told)
    assert len(standing(desk.db.reading(), 1)) == 1
    assert not faults(desk.db.reading())


def test_the_first_reviewer_is_not_asked_for_the_second_opinion(opened):
    desk = opened([0.9])
    decide(desk.db, "anna", 1, 0, REAL)
    assert row(desk, 1)["state"] == "second"
    assert next_item(desk.db, "anna") is None
    with pytest.raises(Conflict, match="already"):
        decide(desk.db, "anna", 1, 1, REAL)
    assert next_item(desk.db, "ben") == 1


def test_two_who_disagree_need_a_third_decision(opened):
    desk = opened([0.9])
    decide(desk.db, "anna", 1, 0, REAL)
    decide(desk.db, "ben", 1, 1, FAKE)
    assert row(desk, 1)["state"] == "disputed"
    decide(desk.db, "anna", 1, 2, FAKE)
    assert (row(desk, 1)["state"], row(desk, 1)["verdict"]) == ("done", "counterfeit")


def test_a_disputed_item_does_not_return_to_who_disputed_it(opened):
    desk = opened([0.9, 0.1])
    decide(desk.db, "anna", 1, 0, REAL)
    decide(desk.db, "ben", 1, 1, FAKE)
    assert next_item(desk.db, "ben") == 2
    assert next_item(desk.db, "anna") == 1


def test_a_disputed_item_goes_to_a_third_reviewer_where_there_is_one(opened):
    desk = opened([0.9, 0.1], reviewers=["anna", "ben", "carl"])
    decide(desk.db, "anna", 1, 0, REAL)
    decide(desk.db, "ben", 1, 1, FAKE)
    assert next_item(desk.db, "anna") == 2
    assert next_item(desk.db, "ben") is None
    assert next_item(desk.db, "carl") == 1


def test_who_is_left_alone_settles_their_own_dispute(opened):
    desk = opened([0.9])
    decide(desk.db, "anna", 1, 0, REAL)
    decide(desk.db, "ben", 1, 1, FAKE)
    assert next_item(desk.db, "ben") is None
    open_review(desk.scored, Policy(["ben"]))
    assert next_item(desk.db, "ben") == 1


def test_undo_takes_back_the_last_decision_and_only_ones_own(opened):
    desk = opened([0.8, 0.7])
    first = next_item(desk.db, "anna")
    decide(desk.db, "anna", first, 0, FAKE)
    with pytest.raises(Conflict, match="nothing of yours"):
        undo(desk.db, "ben")
    assert undo(desk.db, "anna") == first
    assert row(desk, first)["state"] == "open"
    with pytest.raises(Conflict, match="nothing of yours"):
        undo(desk.db, "anna")
    assert not faults(desk.db.reading())


def test_a_decision_that_a_second_opinion_rests_on_stays(opened):
    desk = opened([0.9])
    decide(desk.db, "anna", 1, 0, REAL)
    decide(desk.db, "ben", 1, 1, REAL)
    assert not last_action(desk.db.reading(), "anna").undoable
    with pytest.raises(Conflict, match="since"):
        undo(desk.db, "anna", 1)
    assert last_action(desk.db.reading(), "ben").undoable
    undo(desk.db, "ben")
    assert last_action(desk.db.reading(), "anna").undoable


def test_skipped_items_come_back_last_in_their_order_and_a_skip_can_be_undone(opened):
    desk = opened([0.8, 0.7, 0.1])
    first = next_item(desk.db, "anna")
    skip(desk.db, "anna", first)
    second = next_item(desk.db, "anna")
    skip(desk.db, "anna", second)
    assert last_action(desk.db.reading(), "anna").verdict == "skipped"
    third = next_item(desk.db, "anna")
    decide(desk.db, "anna", third, 0, REAL)
    assert next_item(desk.db, "anna") == first
    undo(desk.db, "anna")
    assert undo(desk.db, "anna") == second
    assert next_item(desk.db, "ben") == first


def test_a_held_item_is_free_again_after_a_while(opened, monkeypatch):
    desk = opened([0.8])
    assert next_item(desk.db, "anna") == 1
    assert next_item(desk.db, "ben") is None
    monkeypatch.setattr("counterfeit.review.decisions.time.time", lambda: 4e9)
    assert next_item(desk.db, "ben") == 1
