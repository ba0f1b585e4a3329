"""The three answers at the top of the page: the difference first, and numbers that add up."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from counterfeit.evaluation.compare import compare
from counterfeit.evaluation.comparison import Comparison, points
from counterfeit.report.headline import decision, headline
from tests.report.conftest import predictions


@pytest.mark.parametrize("effect", [-1.8, -0.4, 0.0, 0.4, 1.8])
def test_the_difference_comes_first_and_adds_up(effect):
    said = headline(compare(pa.concat_tables(predictions(effect)), resamples=50))["by_how_much"]
    first, product, without = (int(n) for n in re.findall(r"(\d+) (?:more|fewer|with|without)\b", said))
    assert first == abs(product - without)
    assert said.startswith(f"{first} {'more' if product > without else 'fewer'} of 100 counterfeits caught: ")


@pytest.mark.parametrize(("low", "alone"), [(-0.01, True), (0.01, False)])
def test_a_verdict_that_rests_on_other_metrics_says_so_beside_the_picture(low, alone):
    comparison = replace(compare(pa.concat_tables(predictions(1.8)), resamples=50), verdict="HELPS")
    pair = comparison.pair()

    def judged(by: str) -> Comparison:
        differences = {name: replace(d, p_holm=0.01 if name == by else 0.2) for name, d in pair.differences.items()}
        differences["recall_at_5pct_fpr"] = replace(differences["recall_at_5pct_fpr"], low=low)
        return replace(comparison, pairs=(replace(pair, differences=differences),))

    said = headline(judged("auroc"))["how_sure"]
    assert ("By this measure alone chance could explain it." in said) == alone
    assert f"The verdict rests on AUROC ({points(pair.differences['auroc'])}), adjusted" in said
    assert "rests on recall at 5 % FPR, adjusted" in headline(judged("recall_at_5pct_fpr"))["how_sure"]


def test_a_control_is_never_said_to_be_synthetic():
    tables = [table for table in predictions(3.0) if table["arm"][0].as_py() in ("real", "synthetic")]
    renamed = [
        table.set_column(
            table.column_names.index("arm"),
            "arm",
            pa.array(["one-class" if arm == "synthetic" else arm for arm in table["arm"].to_pylist()]),
        )
        for table in tables
    ]
    comparison = compare(pa.concat_tables(renamed), product="one-class", resamples=50)
    assert not any("dose 0" in note for note in comparison.notes)
    said = headline(comparison)
    assert said["heading"] == "one-class beside real: a control" and "by one-class" in said["by_how_much"]
    assert "arm real" in decision(comparison)[0]


def test_no_difference_is_said_without_a_number():
    tables = [table for table in predictions(0.0) if table["arm"][0].as_py() != "transplant"]
    real = {table["seed"][0].as_py(): table for table in tables if table["arm"][0].as_py() == "real"}
    for number, table in enumerate(tables):
        same = pa.array(np.asarray(real[table["seed"][0].as_py()]["score"]))
        tables[number] = table.set_column(table.column_names.index("score"), "score", same)
    said = headline(compare(pa.concat_tables(tables), resamples=50))["by_how_much"]
    assert said.startswith("As many counterfeits caught: ")
