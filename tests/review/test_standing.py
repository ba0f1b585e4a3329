import math

import pytest

from counterfeit.review.decisions import Choice, decide, undo
from counterfeit.review.standing import agreements, expected_beyond, progress, reviewers

SAID = {"c": Choice("counterfeit", "print"), "g": Choice("genuine"), "u": Choice("unsure")}


def both_decide(desk, anna, ben):
    for number, (first, second) in enumerate(zip(anna, ben, strict=True), start=1):
        decide(desk.db, "anna", number, 0, SAID[first])
        decide(desk.db, "ben", number, 1, SAID[second])


def test_kappa_is_that_of_a_table_worked_by_hand(opened):
    # 10 items: 4 cc, 3 gg, 2 cg, 1 gc. Observed 0.7; by chance 0.6 * 0.5 + 0.4 * 0.5 = 0.5; kappa 0.2 / 0.5.
    desk = opened([0.5] * 10, double=1.0)
    both_decide(desk, "ccccgggccg", "ccccgggggc")
    (pair,) = agreements(desk.db.reading())
    assert (pair.first, pair.second, pair.n, pair.agreed) == ("anna", "ben", 10, 7)
    assert pair.kappa == pytest.approx(0.4)


def test_kappa_is_not_defined_where_both_always_say_the_same(opened):
    desk = opened([0.5] * 3, double=1.0)
    both_decide(desk, "ggg", "ggg")
    assert math.isnan(agreements(desk.db.reading())[0].kappa)


def test_items_that_needed_a_second_opinion_do_not_count_as_agreement_at_random(opened):
    desk = opened([0.5] * 3, double=0.0)
    both_decide(desk, "uuu", "gcg")
    assert agreements(desk.db.reading()) == []


def test_progress_counts_today_and_what_it_will_not_reach(opened):
    desk = opened([0.9, 0.8, 0.5, 0.4, None], capacity=2)
    decide(desk.db, "anna", 1, 0, Choice("unsure"))
    seen = progress(desk.db.reading())
    assert (seen.total, seen.open, seen.second, seen.today, seen.capacity) == (4, 3, 1, 1, 2)
    waiting = desk.db.reading().execute("SELECT score FROM item WHERE state = 'open' ORDER BY priority DESC").fetchall()
    assert seen.left == 1
    assert expected_beyond(desk.db.reading(), seen.left) == pytest.approx(sum(row["score"] for row in waiting[1:]))
    assert expected_beyond(desk.db.reading(), 10) == 0


def test_gold_items_show_who_is_right(opened):
    desk = opened([0.9, 0.8, 0.5])
    with desk.db.writing() as writing:
        writing.execute("UPDATE item SET origin = 'gold', truth = 1 WHERE id IN (1, 2)")
    decide(desk.db, "anna", 1, 0, SAID["c"])
    decide(desk.db, "anna", 2, 0, SAID["g"])
    decide(desk.db, "anna", 3, 0, SAID["c"])
    (anna,) = reviewers(desk.db.reading())
    assert (anna.decisions, anna.gold, anna.right) == (3, 2, 1)


def test_a_decision_that_was_undone_still_counts_where_its_answer_was_seen(opened):
    desk = opened([0.5] * 2, double=1.0)
    with desk.db.writing() as writing:
        writing.execute("UPDATE item SET origin = 'gold', truth = 1 WHERE id = 1")
    decide(desk.db, "anna", 1, 0, SAID["g"])
    undo(desk.db, "anna")
    decide(desk.db, "anna", 1, 2, SAID["c"])
    (anna,) = reviewers(desk.db.reading())
    assert (anna.decisions, anna.today, anna.gold, anna.right) == (1, 1, 1, 0)

    decide(desk.db, "ben", 1, 3, SAID["u"])
    undo(desk.db, "ben")
    decide(desk.db, "ben", 1, 5, SAID["c"])
    (pair,) = agreements(desk.db.reading())
    assert (pair.n, pair.agreed) == (1, 0)
