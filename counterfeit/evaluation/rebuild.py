"""Make ``comparison.json`` again from the predictions in a run folder, and nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml  # type: ignore[import-untyped]

from counterfeit.data.files import write_json
from counterfeit.errors import UserError, continuing
from counterfeit.evaluation.arms import BASELINE, product_of
from counterfeit.evaluation.compare import compare
from counterfeit.evaluation.comparison import Comparison
from counterfeit.evaluation.predictions import read_predictions


def rebuild_comparison(run: Path) -> Comparison:
    """Compare the arms of a finished run anew and write ``run/comparison.json`` by rename.

    What the run decided itself is kept from the old file, if there is one: baseline, product, dose, resamples, seed and
    the keys that others wrote. Without the old file, the configuration says product and resamples.

    Raises:
        UserError: the folder holds no run, an unfinished one, predictions that cannot be compared, or a file that
            cannot be read.
    """
    config = read_config(run)
    predictions = read_predictions(run)
    before = _read_comparison(run / "comparison.json")
    if missing := _missing(config, predictions):
        raise UserError(
            f"the run {run} is not complete: no predictions of {missing[0]}"
            f"{f' and {len(missing) - 1} more' if missing[1:] else ''}; continue it: {continuing(run)}"
        )
    arms = list(dict.fromkeys(predictions["arm"].to_pylist()))
    comparison = compare(
        predictions,
        baseline=before.get("baseline", BASELINE),
        product=before.get("product") or product_of(config.get("experiment", {}).get("arms") or arms),
        product_dose=before.get("product_dose"),
        resamples=before.get("resamples") or config.get("experiment", {}).get("resamples", 2000),
        seed=before.get("seed", 0),
    )
    foreign = {key: value for key, value in before.items() if key not in Comparison.__dataclass_fields__}
    write_json(run / "comparison.json", json.loads(comparison.to_json()) | foreign)
    return comparison


def read_config(run: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises:
        UserError: there is none, or none that can be read.
    """
    try:
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"--run {run} holds no run: there is no config.yaml in it; name the folder of a run") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{run / 'config.yaml'} cannot be read; restore it from the run's first start") from error
    if not isinstance(config, dict) or not isinstance(config.get("experiment", {}), dict):
        raise UserError(f"{run / 'config.yaml'} is damaged; restore it from the run's first start")
    return config


def _read_comparison(path: Path) -> dict[str, Any]:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON; delete it, and it is made again") from error
    resamples = before.get("resamples", 1) if isinstance(before, dict) else None
    if not isinstance(resamples, int) or resamples < 1:
        raise UserError(f"{path} is not what the stage compare wrote; delete it, and it is made again")
    return dict(before)


def _missing(config: Mapping[str, Any], predictions: pa.Table) -> list[str]:
    """Names of what the configuration asks for and nothing was predicted for."""
    columns = (predictions[name].to_pylist() for name in ("seed", "arm", "dose"))
    found = set(zip(*columns, strict=True))
    experiment = config.get("experiment", {})
    missing = []
    for seed in config.get("seeds", []):
        for arm in experiment.get("arms", []):
            has_dose = any(name == arm and dose > 0 for _, name, dose in found)
            doses = experiment.get("doses", []) if has_dose else [0.0]
            missing += [f"{arm} of seed {seed}" for dose in doses if (seed, arm, dose) not in found]
    return missing
