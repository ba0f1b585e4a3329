"""The command ``counterfeit``: lists the verbs, and runs one: ``counterfeit fit ...``."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence

VERBS = {
    "fit": "train detectors with and without synthetic counterfeits, and compare them",
    "synthesize": "write a bank of synthetic counterfeits with the generator of a run",
    "evaluate": "compute the metrics of a detector on labelled images",
    "predict": "score images: the probability that each shows a counterfeit",
    "export": "write the detector of a run as one file for other programs",
    "validate": "check a folder of images before a run",
    "review": "open the moderators' page on scored images",
}


def main(args: Sequence[str] | None = None) -> int:
    """Run the verb that comes first in ``args`` on the others, and return its exit code; 2 for an unknown verb."""
    verb, *rest = [*(sys.argv[1:] if args is None else args)] or ["--help"]
    verbs = {name: line for name, line in VERBS.items() if importlib.util.find_spec(f"counterfeit.{name}")}
    if verb in ("--help", "-h"):
        print(_usage(verbs))
        return 0
    if verb not in verbs:
        print(f"counterfeit: there is no verb {verb!r}; choose from {', '.join(verbs)}", file=sys.stderr)
        return 2
    # Imported late: the list of verbs must not wait for torch.
    code: int = importlib.import_module(f"counterfeit.{verb}").main(rest)
    return code


def _usage(verbs: dict[str, str]) -> str:
    lines = [f"  {name:<12}{line}" for name, line in verbs.items()]
    return "\n".join(["usage: counterfeit VERB ...", "", *lines, "", "counterfeit VERB --help explains a verb."])


if __name__ == "__main__":
    sys.exit(main())
