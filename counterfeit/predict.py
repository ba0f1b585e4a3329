"""``python -m counterfeit.predict``: score photographs."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from counterfeit.data.listing import Listing, read_listing
from counterfeit.data.walk import SUFFIXES
from counterfeit.detector.card import BANDS, Card, read_card
from counterfeit.detector.engine import EngineName, available_processors, pack_engine
from counterfeit.detector.scorer import Scorer
from counterfeit.detector.stream import cache_folder, score_listing
from counterfeit.errors import DONE, UserError, naming, verb
from counterfeit.options import Parser
from counterfeit.scale import connected, score_listing_on


def predict(
    photographs: str,
    run: str,
    out: str,
    engine: EngineName = "auto",
    root: str | None = None,
    workers: int | None = None,
    device: str = "cpu",
    cache: str | None = None,
    ray: str | None = None,
) -> None:
    """Score photographs with the detector of a run and print where the scores are.

    Args:
        photographs: folder of photographs, one photograph, or a table (CSV, Parquet) with a column path.
        run: run folder, or an export.
        out: folder to write; the same command continues what was not finished.
        engine: onnx needs an export and no torch; auto takes the faster one that can be had.
        root: folder that the paths of a table are relative to; its own if none.
        workers: processes that decode; as many as there are processors if none, 0 decodes in this one. With --ray,
            processes that decode and score; as many as the cluster has processors, or four a GPU, if none.
        device: where to compute, cpu, cuda or cuda:<number>; ONNX Runtime only on the cpu.
        cache: folder of the scores of known photographs; $COUNTERFEIT_CACHE or ~/.cache/counterfeit if none.
        ray: score on a Ray cluster: its address, auto for one that runs here, or local to start one for this command.

    Raises:
        UserError: the input, the run or the folder cannot be used, or no photograph could be scored; nothing was
            overwritten.
    """
    if workers is not None and workers < 0:
        raise UserError(f"--workers {workers} is no number of processes; 0 decodes in this one")
    if workers == 0 and ray is not None:
        raise UserError("--workers 0: this process scores nothing itself with --ray; name one worker or more")
    listing = _of_photograph(Path(photographs)) or read_listing(Path(photographs), Path(root) if root else None)
    packed = pack_engine(read_card(Path(run)), engine, device)
    with naming(Path(out)):
        if ray is None:
            processes = available_processors() if workers is None else workers
            counts = score_listing(Scorer.unpack(packed), listing, Path(out), cache_folder(cache), processes)
        else:
            with connected(ray, workers or available_processors()):
                known = None if cache is None else str(Path(cache).expanduser().absolute())
                counts = score_listing_on(packed, listing, Path(out), known, workers)
    if not counts["ok"]:
        csv = Path(out) / "scores.csv"
        raise UserError(f"nothing was scored ({_reasons(counts)}): {csv} says why; mend that and choose another --out")
    _print_end(counts, listing.ignored, packed.card, Path(out))


@verb
def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 the user's input, 130 interrupted."""
    parser = Parser(
        prog="python -m counterfeit.predict",
        description="Score photographs: a row for each, from which review goes on.",
        exit_on_error=False,
    )
    parser.add_argument(
        "photographs", type=str, help="folder of photographs, one photograph, or a table with a column path"
    )
    parser.add_function_arguments(predict, as_positional=False, skip={"photographs"})
    predict(**vars(parser.parse_args(args)))
    return DONE


def _of_photograph(file: Path) -> Listing | None:
    """A listing of one photograph; ``None`` if the file is none by its name."""
    if file.suffix.lower() not in SUFFIXES or not file.is_file():
        return None
    return Listing(file.parent.resolve(), pa.array([file.name.encode("utf-8", "backslashreplace").decode()]))


def _reasons(counts: dict[str, Any]) -> str:
    return ", ".join(f"{reason} {number}" for reason, number in counts["errors"].items())


def _print_end(counts: dict[str, Any], ignored: int, card: Card, out: Path) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if ignored:
        console.print(f"{ignored} files left out that are no photographs by their names")
    if counts["error"]:
        console.print(f"{counts['error']} inputs without a score: {_reasons(counts)}")
    bands = ", ".join(f"{counts[band]} {band}" for band in BANDS)
    rule = card.operating_point["rule"]
    console.print(f"{counts['ok']} scored: {bands}; {counts['counterfeit']} at or above the operating point ({rule})")
    if otherwise := {kind: n for kind, n in counts["captured"].items() if kind != card.captures[0]}:
        kinds = ", ".join(f"{kind} {number}" for kind, number in otherwise.items())
        console.print(f"{sum(otherwise.values())} captured otherwise than in training, their scores corrected: {kinds}")
    console.print(f"scores: {out / 'scores.parquet'}, scores.csv, scores.json")
    console.print(f"next: python -m counterfeit.review {shlex.quote(str(out))}")


if __name__ == "__main__":
    sys.exit(main())
