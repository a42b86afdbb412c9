"""Steps of long work, told to whoever listens."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

#: Told of a step in words and of its number of items (None: not counted); gives what to call for each one done.
OnStep = Callable[[str, int | None], AbstractContextManager[Callable[[], None]]]


def untold(words: str, n_items: int | None) -> AbstractContextManager[Callable[[], None]]:
    """The progress that nobody hears."""
    return nullcontext(lambda: None)
