import pytest

from counterfeit.review.outcome import outcome, sampled_for_second

C, G, U = "counterfeit", "genuine", "unsure"


@pytest.mark.parametrize(
    ("verdicts", "band", "expected"),
    [
        ([], "unclear", ("open", None)),
        ([C], "likely counterfeit", ("done", C)),
        ([C], "unclear", ("done", C)),
        ([C], "likely genuine", ("second", None)),
        ([G], "likely counterfeit", ("second", None)),
        ([U], "unclear", ("second", None)),
        ([G, G], "likely counterfeit", ("done", G)),
        ([G, C], "likely counterfeit", ("disputed", None)),
        ([U, C], "unclear", ("done", C)),
        ([U, U], "unclear", ("done", U)),
        ([G, C, C], "likely counterfeit", ("done", C)),
    ],
)
def test_a_second_reviewer_is_asked_on_disagreement(verdicts, band, expected):
    assert outcome(verdicts, band, second=True, sampled=False) == expected


def test_alone_every_decision_stands():
    assert outcome([G], "likely counterfeit", second=False, sampled=True) == ("done", G)


def test_the_random_share_is_seen_twice_though_all_agree():
    assert outcome([C], "likely counterfeit", second=True, sampled=True) == ("second", None)


def test_the_random_share_has_its_size_and_never_changes():
    names = [f"{i:064x}" for i in range(4000)]
    drawn = [sampled_for_second(name, 0.1) for name in names]
    assert 320 < sum(drawn) < 480
    assert drawn == [sampled_for_second(name, 0.1) for name in names]
    assert not any(sampled_for_second(name, 0.0) for name in names)
    assert all(sampled_for_second(name, 1.0) for name in names)
