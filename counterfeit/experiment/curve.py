"""The learning curve: ``real`` and the product with fewer and more training counterfeits."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from counterfeit.data.files import write_json
from counterfeit.errors import UserError
from counterfeit.evaluation.worth import learning_curve, worth_words
from counterfeit.experiment.repeat import Repeater
from counterfeit.experiment.seed import Seed
from counterfeit.synthesis.mixing import check_smote


def available_counts(seeds: Sequence[Seed], wanted: Sequence[int], arm: str) -> tuple[list[int], str | None]:
    """Those of the wanted numbers of training counterfeits that every seed has, ascending.

    Args:
        seeds: of the run.
        wanted: of ``experiment.learning_curve``.
        arm: the product.

    Returns:
        The numbers, and a line about those left out, if any.

    Raises:
        UserError: none is left, or one is too small for the product.
    """
    whole = [replace(seed, data=seed.data.with_counterfeits(None)) for seed in seeds]
    most = min(int((seed.label == 1).sum()) for seed in whole)
    counts = sorted({count for count in wanted if count <= most})
    if not counts:
        raise UserError(
            f"experiment.learning_curve {list(wanted)}: there are {most} training counterfeits; "
            "give smaller numbers, or null for no curve"
        )
    if arm == "smote":
        for seed in seeds:
            check_smote(replace(seed, data=seed.data.with_counterfeits(counts[0])).label)
    left = sorted({count for count in wanted if count > most})
    note = f"learning curve without {', '.join(map(str, left))}: there are {most} training counterfeits"
    return counts, note if left else None


def write_curve(repeat: Repeater, seeds: Sequence[Seed], counts: Sequence[int], resamples: int) -> Path:
    """Write ``learning_curve.json``; the cells lie in ``curve/<count>/``, or in the run where it has that count.

    Args:
        repeat: trains both arms.
        seeds: of the run.
        counts: of training counterfeits, ascending.
        resamples: replicates of the bootstrap.
    """
    data, run = seeds[0].data, repeat.cells.folder.path
    tables = {}
    for count in counts:
        same = count == data.counterfeits
        cells = repeat.cells if same else repeat.cells.elsewhere(run / "curve" / str(count))
        view = data if same else data.with_counterfeits(count)
        tables[count] = repeat.predictions(cells, seeds, view, f"{count} counterfeits")
    found = learning_curve(tables, repeat.arm, repeat.dose, resamples)
    write_json(run / "learning_curve.json", found)
    for entry in found["worth"]:
        repeat.tell(worth_words(entry))
    return run / "learning_curve.json"
