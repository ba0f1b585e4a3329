from benchmarks.unseen import table


def test_the_table_has_each_kind_and_the_mean_over_kinds() -> None:
    difference = {"estimate": 0.031, "low": -0.01, "high": 0.072, "p": 0.1}
    metrics = ("auroc", "recall_at_5pct_fpr")
    kind = {
        "kind": "crack",
        "n_genuine": 90,
        "n_counterfeit": 10,
        "n_alone": 4,
        "arms": {
            "real": dict.fromkeys(metrics, (0.8, 0.7, 0.9)),
            "synthetic": dict.fromkeys(metrics, (0.831, 0.7, 0.9)),
        },
        "differences": {"auroc": difference, "recall_at_5pct_fpr": difference},
    }
    average = {metric: difference | {"estimate": -0.005} for metric in metrics}
    rows = table("labels", {"product": "synthetic", "seeds": 3, "kinds": [kind], "average": average}).splitlines()
    assert "| crack | 10 of 100 | 4 | AUROC | 80.0 | 83.1 | +3.1 pp [-1.0, +7.2] |" in rows
    assert "| **mean over kinds** | | | recall at 5 % FPR | | | **-0.5 pp [-1.0, +7.2]** |" in rows
    assert rows[0] == "labels, 16 training counterfeits of other kinds, 3 seeds:"
