import numpy as np

from counterfeit.review.queue import choose_gold, priority


def test_probable_counterfeits_come_first_then_certain_ones_then_doubt_then_genuine():
    order = np.argsort(-priority(np.array([0.02, 0.3, 0.8, 0.55, 0.999])))
    assert order.tolist() == [2, 3, 4, 1, 0]


def test_priority_is_harm_plus_half_a_bit_of_doubt():
    assert np.allclose(priority(np.array([0.0, 0.5, 1.0])), [0.0, 1.0, 1.0], atol=1e-9)


def test_gold_is_spread_over_the_queue_and_scores_like_its_neighbours():
    scores = np.linspace(0, 1, 101)
    candidates = np.linspace(0, 1, 41)
    labels = np.arange(41) % 2
    chosen = choose_gold(scores, candidates, labels, 8)
    assert len(set(chosen)) == 8
    assert sorted(labels[chosen].tolist()) == [0] * 4 + [1] * 4
    assert np.ptp(candidates[chosen]) > 0.7


def test_gold_runs_out_without_an_error():
    assert choose_gold(np.array([0.5]), np.array([0.4]), np.array([1]), 3) == [0]
    assert choose_gold(np.array([]), np.array([0.4]), np.array([1]), 3) == []
