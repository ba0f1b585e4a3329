"""Unseen kinds: what synthesis does for a kind of counterfeit that no detector has learned from."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from counterfeit.evaluation.bootstrap import Resampled, resampled_mean
from counterfeit.evaluation.metrics import Metric
from counterfeit.evaluation.paired import paired_metrics, triple
from counterfeit.evaluation.worth import DRAWN


def unseen_kinds(tables: Mapping[str, pa.Table], product: str, dose: float, resamples: int) -> dict[str, Any]:
    """The content of ``holdout.json``, documented in docs/run-folder.md.

    Args:
        tables: predictions of ``real`` and the product for each kind held out: that kind and genuine images.
        product: the arm with synthetic images.
        dose: of it.
        resamples: replicates of the bootstrap over groups and seeds, the same groups for every kind.
    """
    arms = (("real", 0.0), (product, dose))
    paired = paired_metrics(list(tables.values()), arms, resamples)
    kinds = [
        {
            "kind": kind,
            "n_genuine": paired.genuine[number],
            "n_counterfeit": paired.counterfeit[number],
            "arms": {
                name: {metric: paired.level(number, arm, metric) for metric in DRAWN}
                for arm, (name, _) in enumerate(arms)
            },
            "differences": {metric: _difference(paired.difference(number, metric)) for metric in DRAWN},
        }
        for number, kind in enumerate(tables)
    ]
    average: dict[Metric, dict[str, float | None]] = {}
    for metric in DRAWN:
        actual, replicates = paired.differences(metric)
        average[metric] = _difference(resampled_mean(actual.mean(axis=1), replicates.mean(axis=2)))
    return {
        "product": product,
        "dose": dose,
        "seeds": len(paired.seeds),
        "resamples": resamples,
        "kinds": kinds,
        "average": average,
    }


def _difference(found: Resampled) -> dict[str, float | None]:
    values = triple(found)
    if values is None:
        return dict.fromkeys(("estimate", "low", "high", "p"))
    return {"estimate": values[0], "low": values[1], "high": values[2], "p": found.p}
