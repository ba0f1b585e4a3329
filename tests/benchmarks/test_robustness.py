from benchmarks.robustness import table


def test_each_corruption_and_arm_has_a_row_in_per_cent_with_its_interval() -> None:
    row = {"name": "none", "arm": "real", "n_seeds": 3, "n_genuine": 315, "n_counterfeit": 105}
    levels = {"auroc": [0.93, 0.91, 0.95], "recall": [0.6412, 0.37, 0.913], "fpr": [None, None, None]}
    lines = table([row | levels, row | levels | {"arm": "synthetic"}]).splitlines()
    assert lines[2] == "| none | real | 93.0 [91.0, 95.0] | 64.1 [37.0, 91.3] | - [-, -] |"
    assert lines[3].startswith("| none | synthetic |")
    assert lines[-1] == "3 seeds, 315 genuine and 105 counterfeit test images a seed."
