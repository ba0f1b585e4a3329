"""``python -m counterfeit.evaluate``: comparison and report of a run, made again from its folder; robustness."""

import sys
from collections.abc import Sequence
from pathlib import Path

from counterfeit.data.place import are_drawn
from counterfeit.errors import DONE, GATE_FAILED, verb
from counterfeit.evaluation.comparison import last_lines
from counterfeit.evaluation.rebuild import read_config, rebuild_comparison
from counterfeit.options import Parser
from counterfeit.report.html import write_report


def evaluate(run: str, robustness: bool = False, gate: bool = False) -> int:
    """Rebuild comparison.json and report.html from the predictions in a run folder; nothing is trained.

    Args:
        run: folder of a finished run.
        robustness: score the test images again under corruption and write robustness.json.
        gate: return 3 if the verdict is HURTS.

    Returns:
        The exit code, 0 or 3.

    Raises:
        UserError: the folder holds no run, or one whose detectors are not all there.
    """
    folder = Path(run)
    comparison = rebuild_comparison(folder)
    if robustness:
        # Imported late: the rest needs neither torch nor the photographs.
        from counterfeit.experiment.robustness import measure_robustness

        measure_robustness(folder, comparison)
    report = write_report(folder)
    own = not are_drawn(read_config(folder).get("data") or {})
    print("\n".join(last_lines(comparison, report, own)))
    return GATE_FAILED if gate and comparison.verdict == "HURTS" else DONE


@verb
def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 the user's input, 3 the gate."""
    parser = Parser(
        prog="python -m counterfeit.evaluate",
        description="Rebuild comparison.json and report.html from the predictions in a run folder; nothing is trained.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--run", type=str, required=True, help="folder of a finished run")
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also score the test images under JPEG compression, crops, screenshots and other corruption; needs the "
        "photographs, continues where it was interrupted",
    )
    parser.add_argument("--gate", action="store_true", help="exit with 3 if the verdict is HURTS")
    return evaluate(**parser.parse_args(args).as_dict())


if __name__ == "__main__":
    sys.exit(main())
