"""The one exception for a user's mistake: the verbs print it as one line and exit with 2."""


class UserError(Exception):
    """What was wrong, where, and what to do, in one plain line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
