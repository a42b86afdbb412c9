"""From a request to a model that `generate` takes."""

from collections.abc import Callable

from curation.lake import Lake
from curation.training.request import OnMoment, Request, Trained


def train(
    lake: Lake,
    request: Request,
    on_moment: OnMoment | None = None,
    on_note: Callable[[str], None] = print,
) -> Trained:
    """Fine-tune the mask decoder and IoU head of `request.model`, and add the model to the workspace.

    A training that was stopped goes on from its last checkpoint; one that is finished is given again as it is.
    Raises InputError where there is nothing to learn from, or the model is not known.
    """
    raise NotImplementedError
