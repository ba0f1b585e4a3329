"""``python -m counterfeit.export``: the detector of a run as files for other programs."""

import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from counterfeit.data.files import write_json, write_text
from counterfeit.detector.card import GRAPH, WEIGHTS, read_card
from counterfeit.detector.engine import load_detector, onnx_engine
from counterfeit.detector.graph import detector_onnx
from counterfeit.detector.parity import TOLERANCE, Parity, awkward_images, parity
from counterfeit.errors import DONE, UserError, verb
from counterfeit.options import Parser
from counterfeit.output import check_free, draft
from counterfeit.report.model_card import model_card


def export(run: str, out: str) -> Parity:
    """Write ``detector.onnx``, ``detector.safetensors``, ``detector.json`` and a model card, ``README.md``.

    The same run gives the same files. The folder appears whole, and not at all if ONNX Runtime and torch disagree.

    Args:
        run: run folder with a finished detector.
        out: folder to write, which must not exist or be empty.

    Raises:
        UserError: the run or the folder cannot be used, or the engines disagree.
    """
    source, folder = Path(run), Path(out)
    check_free(folder)
    card = read_card(source)
    detector = load_detector(card)
    graph = detector_onnx(detector)
    found = parity(detector, onnx_engine(graph), card.threshold, awkward_images(card.size))
    if not found.holds:
        raise UserError(f"nothing was written: {found} At most {TOLERANCE:g} and 0 are allowed")
    content = json.loads((source / "detector.json").read_text(encoding="utf-8"))
    hub = detector.backbone.network.pretrained_cfg.get("hf_hub_id")  # type: ignore[union-attr,operator]
    readme = model_card(source, content, str(found), hub)
    with draft(folder) as drafted:
        (drafted / GRAPH).write_bytes(graph)
        shutil.copyfile(source / WEIGHTS, drafted / WEIGHTS)
        write_json(drafted / "detector.json", content | {"onnx_sha256": hashlib.sha256(graph).hexdigest()})
        write_text(drafted / "README.md", readme)
    return found


@verb
def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 the user's input or engines that disagree."""
    parser = Parser(
        prog="python -m counterfeit.export",
        description="Export the detector of a run for other programs, and check that ONNX Runtime agrees with torch.",
        exit_on_error=False,
    )
    parser.add_function_arguments(export, as_positional=False)
    options = parser.parse_args(args)
    found = export(**vars(options))
    print(found)
    print(f"export: {options.out} ({GRAPH}, {WEIGHTS}, detector.json, README.md)")
    print(f"next: python -m counterfeit.predict photos/ --run {shlex.quote(options.out)} --out scores --engine onnx")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
