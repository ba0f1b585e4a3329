"""What corruption does to detectors whose thresholds were chosen on clean photographs: a table for docs/benchmarks.md.

python -m counterfeit.fit --out runs/labels
python -m counterfeit.evaluate --run runs/labels --robustness
python benchmarks/robustness.py runs/labels
"""

import argparse
import json
from pathlib import Path
from typing import Any

MEASURES = {"auroc": "AUROC", "recall": "recall", "fpr": "FPR"}


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of the corruptions, one row for each of them and each arm, in per cent with intervals.

    Args:
        rows: the ``corruptions`` of ``robustness.json``.
    """
    lines = [f"| corruption | arm | {' | '.join(MEASURES.values())} |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['name']} | {row['arm']} | {' | '.join(level(row[name]) for name in MEASURES)} |")
    first = rows[0]
    counts = f"{first['n_genuine']} genuine and {first['n_counterfeit']} counterfeit test images a seed"
    return "\n".join([*lines, "", f"{first['n_seeds']} seeds, {counts}."])


def level(value: list[float | None]) -> str:
    """An estimate and the ends of its interval in per cent."""
    estimate, low, high = ("-" if end is None else f"{100 * end:.1f}" for end in value)
    return f"{estimate} [{low}, {high}]"


def main() -> None:
    """Print the table of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder with robustness.json")
    measured = parser.parse_args().run / "robustness.json"
    if not measured.is_file():
        raise SystemExit(
            f"no {measured}: run python -m counterfeit.evaluate --run {measured.parent} --robustness first"
        )
    print(table(json.loads(measured.read_text())["corruptions"]))


if __name__ == "__main__":
    main()
