"""Images per second of ``counterfeit.predict``, end to end and per stage, against the bare backbone; and its memory.

    python benchmarks/predict.py runs/labels-1                                        # copies of drawn labels
    python benchmarks/predict.py runs/labels-1 --photographs ../shared/data/magnetic_tile

Every copy ends with a number of its own, which decoders pass over: it shows the same and counts as a new photograph.
The end to end rate is that of the command in a process of its own, from the export of the run; start-up is taken off
by the difference between the two lengths. All repeats alternate, the command's too. Run it on an idle machine; the
goal is a ratio of at least 0.8, and memory that does not grow.
"""

import argparse
import itertools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from counterfeit.backbone import Backbone, load_backbone
from counterfeit.backbone.embedder import onnx_pass
from counterfeit.backbone.onnx import onnx_bytes
from counterfeit.cache import ArrayCache
from counterfeit.data.labels import write_labels
from counterfeit.data.walk import SUFFIXES
from counterfeit.detector.card import BANDS
from counterfeit.detector.decoding import Batch, Decoder, decoded
from counterfeit.detector.engine import PASS, available_processors
from counterfeit.detector.scorer import BATCH, Scorer
from counterfeit.detector.shards import Shards
from counterfeit.detector.stream import SHARD
from counterfeit.export import export

Pass = Callable[[NDArray[np.uint8]], object]
Way = Callable[[int], float]
"""Takes the number of a repeat and returns images/s."""
WARM = BATCH  # images before the clock starts
BARE_PASS = 32  # images, as is usual
WHOLE = "**end to end**"
BARE = f"bare backbone, passes of {BARE_PASS} on all threads"


class Command(NamedTuple):
    """What one call of the command took.

    Attributes:
        seconds: on the clock.
        processor: seconds of all of its processes.
        megabytes: the largest sum of its processes' resident memory.
    """

    seconds: float
    processor: float
    megabytes: float


def main() -> None:
    """Make the copies, measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run folder")
    parser.add_argument("--photographs", help="folder of photographs to copy; 400 drawn labels if none")
    parser.add_argument("--rows", type=int, nargs=2, default=(1000, 20_000), help="lengths of the two listings")
    parser.add_argument("--images", type=int, default=1024, help="for each stage")
    parser.add_argument("--repeats", type=int, default=3, help="of each row, of which the median counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if args.photographs is None:
            write_labels(scratch / "drawn", genuine=300, counterfeit=100, seed=0)
        listings = copies(Path(args.photographs or scratch / "drawn"), scratch / "copies", args.rows)
        export(args.run, str(scratch / "export"))
        between, calls = args.rows[1] - args.rows[0], []

        def end_to_end(repeat: int) -> float:
            apart = scratch / f"end-to-end-{repeat}"
            apart.mkdir()
            few, many = (command(listing, scratch / "export", apart) for listing in listings)
            calls.append((few, many))
            return between / (many.seconds - few.seconds)

        ways = stages(Scorer.load(scratch / "export", "onnx"), listings[0], args.images, scratch)
        speed, bare_processor = measured({**ways, WHOLE: end_to_end}, args.repeats)
    processor = statistics.median((many.processor - few.processor) / between for few, many in calls)
    print(f"{available_processors()} processors, ONNX Runtime {onnxruntime.__version__}\n")
    print("| stage | images/s | ratio to the bare backbone, lowest to highest |\n|---|---|---|")
    for name, values in speed.items():
        ratios = sorted(value / bare for value, bare in zip(values, speed[BARE], strict=True))
        shown = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {name} | {statistics.median(values):.0f} | {shown} |")
    bare = 1e3 * bare_processor / (args.images + WARM)
    print(f"\nProcessor time an image: {bare:.2f} ms bare, {1e3 * processor:.2f} ms end to end, ratio", end=" ")
    print(f"{bare / (1e3 * processor):.2f}.")
    print("\n| photographs | seconds, start-up included | peak memory of all processes |\n|---|---|---|")
    for rows, took in zip(args.rows, zip(*calls, strict=True), strict=True):
        seconds, megabytes = statistics.median(x.seconds for x in took), max(x.megabytes for x in took)
        print(f"| {rows} | {seconds:.1f} | {megabytes:.0f} MB |")


def copies(photographs: Path, folder: Path, counts: tuple[int, int]) -> list[Path]:
    """Tables of as many copies each, in one folder, all of contents of their own."""
    files = sorted(p for p in photographs.rglob("*") if p.suffix.lower() in SUFFIXES and p.parent.name != "masks")
    folder.mkdir()
    tables = []
    for part, count in enumerate(counts):
        names = [f"{part}-{number:06d}{files[number % len(files)].suffix}" for number in range(count)]
        for name, file in zip(names, itertools.cycle(files)):
            (folder / name).write_bytes(file.read_bytes() + name.encode())
        tables.append(folder / f"{part}.csv")
        tables[-1].write_text("\n".join(["path", *names, ""]))
    return tables


def command(listing: Path, detector: Path, scratch: Path) -> Command:
    """``python -m counterfeit.predict`` in a process of its own, with an empty cache."""
    out, cache = scratch / f"scores-{listing.stem}", scratch / f"cache-{listing.stem}"
    words = ["predict", listing, "--run", detector, "--out", out, "--cache", cache, "--engine", "onnx"]
    words = [sys.executable, "-m", f"counterfeit.{words[0]}", *map(str, words[1:])]
    start, used, largest = time.perf_counter(), of_children(), 0.0
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        largest = max(largest, sum(map(resident, family(process.pid))))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(words)}")
    return Command(time.perf_counter() - start, of_children() - used, largest)


def of_children() -> float:
    """Processor seconds of the processes that have ended, and of those that they began."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def family(process: int) -> Iterator[int]:
    """A process and those that it began, on Linux."""
    yield process
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has gone
        return
    for child in children:
        yield from family(int(child))


def resident(process: int) -> float:
    """Memory in MB; what processes share is counted in each of them."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def stages(scorer: Scorer, listing: Path, count: int, scratch: Path) -> dict[str, Way]:
    """Each stage alone, on the same photographs."""
    paths = listing.read_text().split()[1 : count + 1]
    decoder = Decoder(listing.parent, scorer.card.size)
    pixels = np.stack([one.pixels for one in decoder.decoded(paths) if one.pixels is not None])
    backbone = load_backbone(str(scorer.card.hyperparameters["backbone"]))
    torch.set_num_threads(available_processors())
    return {
        BARE: timed(in_passes(bare_pass(backbone, scorer.card.size, available_processors()), BARE_PASS, 1), pixels),
        f"bare backbone, passes of {PASS} side by side": timed(
            in_passes(bare_pass(backbone, scorer.card.size, 1), PASS), pixels
        ),
        "decode": lambda repeat: decoding(decoder, paths, scratch / f"decoding-{repeat}"),
        "backbone": timed(in_passes(onnx_pass(backbone, scorer.card.size, 1), PASS), pixels),
        "backbone and heads": timed(scorer.kept, pixels),
        "write": lambda repeat: writing(paths, scratch / f"writing-{repeat}"),
    }


def measured(ways: dict[str, Way], repeats: int) -> tuple[dict[str, list[float]], float]:
    """Images/s of each way in each repeat, and the median of processor seconds that the bare backbone took.

    The repeats alternate: a machine that gets slower meets all ways.
    """
    speed: dict[str, list[float]] = {name: [] for name in ways}
    processor = []
    for repeat, (name, way) in itertools.product(range(repeats), ways.items()):
        used = time.process_time()
        speed[name].append(way(repeat))
        if name == BARE:
            processor.append(time.process_time() - used)
    return speed, statistics.median(processor)


class Bare(torch.nn.Module):
    """The network as timm has it, from pixels ``(N, S, S, 3)`` uint8 to its pooled last layer."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """See the class."""
        images = (pixels.permute(0, 3, 1, 2).float() / 255 - self.backbone.mean) / self.backbone.std
        features: torch.Tensor = self.backbone.network.forward_features(images)
        return features.mean((2, 3))


def bare_pass(backbone: Backbone, size: int, threads: int) -> Pass:
    """The bare network in ONNX Runtime, exported and run as anybody would."""
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    axes = {name: {0: "n"} for name in ("pixels", "pooled")}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait would look slower than they are on a machine that does something else, too.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = onnx_bytes(Bare(backbone), example, ["pixels"], ["pooled"], axes)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})


def in_passes(run: Pass, size: int, threads: int | None = None) -> Pass:
    """The same for any number of images, in passes, so many side by side; one for each processor unless told."""
    pool = ThreadPoolExecutor(threads or available_processors())
    return lambda pixels: list(pool.map(run, [pixels[start : start + size] for start in range(0, len(pixels), size)]))


def timed(work: Pass, pixels: NDArray[np.uint8]) -> Way:
    """The clock around some work; the first passes, which allocate, are not counted."""

    def way(repeat: int) -> float:
        work(pixels[:WARM])
        start = time.perf_counter()
        work(pixels)
        return len(pixels) / (time.perf_counter() - start)

    return way


def decoding(decoder: Decoder, paths: list[str], cache: Path) -> float:
    """Images/s of reading, hashing and decoding in processes; in the first half of the batches they may still begin."""
    batches = 4 * [Batch(0, False, [*paths[start : start + BATCH]]) for start in range(0, len(paths), BATCH)]
    results = decoded(decoder, batches * 2, ArrayCache(cache, "none", (), np.float64), available_processors())
    for _ in itertools.islice(results, len(batches)):
        pass
    start = time.perf_counter()
    count = sum(len(found) for _, found in itertools.islice(results, len(batches)))
    speed = count / (time.perf_counter() - start)
    results.close()  # type: ignore[attr-defined]  # a generator: its processes end here
    return speed


def writing(paths: list[str], folder: Path) -> float:
    """Images/s of keeping scores by content, writing parts and joining them."""
    known = ArrayCache(folder / "cache", "scores", (2,), np.float64)
    row = {"status": "ok", "error": None, "score": 0.5, "band": BANDS[1], "counterfeit": True, "captured": "JPEG"}
    start = time.perf_counter()
    shards = Shards(folder / "scores", {})
    for first in range(0, len(paths), BATCH):
        part = paths[first : first + BATCH]
        known.append([f"{path:>064}" for path in part], np.zeros((len(part), 2)))
    for number, first in enumerate(range(0, len(paths), SHARD)):
        part = paths[first : first + SHARD]
        shards.write(number, [{"path": path, "sha256": f"{path:>064}", **row} for path in part])
    shards.finish(-(-len(paths) // SHARD), {})
    return len(paths) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
