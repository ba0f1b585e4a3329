"""The moderators' page on scored images: a queue, a decision for each item, a log that can be verified."""

from collections.abc import Sequence

from counterfeit.errors import verb


@verb
def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 the log does not verify, 2 the user's input."""
    # Imported late, so that the pure parts need no web framework.
    from counterfeit.review.command import run

    return run(args)
