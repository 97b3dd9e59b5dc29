"""What every part of the store raises."""


class RunError(ValueError):
    """A file that is no run of this suite, or cannot be a baseline; the message names it and the place in it."""
