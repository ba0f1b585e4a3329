"""The command ``counterfeit``: lists the verbs, and runs one: ``counterfeit fit ...``."""

import gc
import importlib
import sys
from collections.abc import Sequence

# A verb is a module of that name, here, with a function main(args) that returns an exit code.
VERBS = {
    "fit": "train detectors with and without synthetic counterfeits, and compare them",
    "synthesize": "make more images with the generator of a run, or train a first GAN on handwritten digits",
    "evaluate": "compare the arms of a run again, write its report again, measure robustness",
    "predict": "score photographs with the detector of a run",
    "export": "write the detector as ONNX and safetensors, with a model card",
    "review": "open the moderators' page on scored photographs",
}


def main(args: Sequence[str] | None = None) -> int:
    """Run the verb that comes first in ``args`` on the others, and return its exit code; 2 for an unknown verb."""
    verb, *rest = [*(sys.argv[1:] if args is None else args)] or ["--help"]
    if verb in ("--help", "-h"):
        print(_usage())
        return 0
    if verb not in VERBS:
        print(f"counterfeit: there is no verb {verb!r}; choose from {', '.join(VERBS)}", file=sys.stderr)
        return 2
    # Imported late: the list of verbs must not wait for torch.
    module = importlib.import_module(f"counterfeit.{verb}")
    gc.freeze()  # what was imported is not searched for garbage, meanwhile or at the end
    code: int = module.main(rest)
    return code


def _usage() -> str:
    lines = [f"  {name:<12}{line}" for name, line in VERBS.items()]
    return "\n".join(["usage: counterfeit VERB ...", "", *lines, "", "counterfeit VERB --help explains a verb."])


if __name__ == "__main__":
    sys.exit(main())
