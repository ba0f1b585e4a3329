"""Images per second at which labels are drawn, captured and encoded, on one core, as a Markdown table.

    python benchmarks/labels.py
    python benchmarks/labels.py --size 256

The goal is 150 images/s at 128 px. Processor time is counted, so that a busy machine matters less.
"""

import argparse
import statistics
import time

from counterfeit.data.labels import draw_label
from counterfeit.data.labels.brands import BRANDS


def main() -> None:
    """Draw labels of both classes several times and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side in pixels")
    parser.add_argument("--images", type=int, default=400, help="of each class")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for index in range(4 * len(BRANDS)):
        draw_label(index, False, size=args.size)  # what is drawn once a process
    print(f"| {args.size} px, one core | images/s (median of {args.repeats}) | slowest | fastest |")
    print("|---|---|---|---|")
    for name, counterfeit in (("genuine", False), ("counterfeit", True)):
        speed = [images_per_second(counterfeit, args.size, args.images, seed) for seed in range(args.repeats)]
        print(f"| {name} | {statistics.median(speed):.0f} | {min(speed):.0f} | {max(speed):.0f} |")


def images_per_second(counterfeit: bool, size: int, images: int, seed: int) -> float:
    """Of one class; each seed draws other labels."""
    start = time.process_time()
    for index in range(images):
        draw_label(index, counterfeit, size=size, seed=seed)
    return images / (time.process_time() - start)


if __name__ == "__main__":
    main()
