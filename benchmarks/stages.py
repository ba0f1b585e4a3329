"""Seconds of each stage of a run and its peak memory, as a Markdown table.

    python benchmarks/stages.py                              # the default run, nothing cached
    python benchmarks/stages.py --config configs/smoke.yaml

Run it on an idle machine. Other options are passed on to ``python -m counterfeit.fit``.
"""

import argparse
import resource
import sys
import tempfile
import time

from counterfeit.fit import command_line


def main() -> None:
    """Run the experiment in a temporary folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/default.yaml")
    parser.add_argument("--cache", help="folder of decoded images and embeddings; an empty one if none")
    args, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        places = ["--data.cache", args.cache or f"{folder}/cache", "--out", f"{folder}/run"]
        start = time.perf_counter()
        outcome = command_line(["--config", args.config, *places, *others]).run_experiment()
        print(table(outcome.seconds, time.perf_counter() - start, peak_megabytes()))


def peak_megabytes() -> float:
    """The largest memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)  # bytes there, kilobytes elsewhere


def table(stages: dict[str, float], seconds: float, megabytes: float) -> str:
    """The Markdown table. Photographs are drawn, decoded and grouped before the first stage begins."""
    before = {"before the stages": seconds - sum(stages.values())}
    rows = [f"| {name} | {spent:.1f} |" for name, spent in (before | stages | {"**all**": seconds}).items()]
    return "\n".join(["| stage | seconds |", "|---|---|", *rows, "", f"Peak memory: {megabytes:.0f} MB."])


if __name__ == "__main__":
    main()
