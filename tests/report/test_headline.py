"""The three answers at the top of the page: the difference first, and numbers that add up."""

import re

import numpy as np
import pyarrow as pa
import pytest

from counterfeit.evaluation.compare import compare
from counterfeit.report.headline import headline
from tests.report.conftest import predictions


@pytest.mark.parametrize("effect", [-1.8, -0.4, 0.0, 0.4, 1.8])
def test_the_difference_comes_first_and_adds_up(effect):
    said = headline(compare(pa.concat_tables(predictions(effect)), resamples=50))["by_how_much"]
    first, product, without = (int(n) for n in re.findall(r"(\d+) (?:more|fewer|with|without)\b", said))
    assert first == abs(product - without)
    assert said.startswith(f"{first} {'more' if product > without else 'fewer'} of 100 counterfeits caught: ")


def test_no_difference_is_said_without_a_number():
    tables = [table for table in predictions(0.0) if table["arm"][0].as_py() != "transplant"]
    real = {table["seed"][0].as_py(): table for table in tables if table["arm"][0].as_py() == "real"}
    for number, table in enumerate(tables):
        same = pa.array(np.asarray(real[table["seed"][0].as_py()]["score"]))
        tables[number] = table.set_column(table.column_names.index("score"), "score", same)
    said = headline(compare(pa.concat_tables(tables), resamples=50))["by_how_much"]
    assert said.startswith("As many counterfeits caught: ")
