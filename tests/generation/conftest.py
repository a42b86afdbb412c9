"""A small random SAM, a picture, and thresholds that let about a third of its candidates through."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='the torch backend: pip install "curation[sam]"')

from networks import picture, small_sam  # noqa: E402

from curation.generation.generator import generate_image  # noqa: E402
from curation.generation.presets import GenerationSettings  # noqa: E402
from curation.generation.segmenters.sam import SamSegmenter  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small only lose time over several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sam(one_thread):
    return small_sam()


@pytest.fixture
def segmenter(sam):
    return SamSegmenter(sam, "cpu")


@pytest.fixture(scope="session")
def pixels():
    return picture(120, 150)


@pytest.fixture(scope="session")
def realistic(sam, pixels) -> GenerationSettings:
    """Half of the candidates pass the predicted IoU, two thirds of these the stability."""
    everything = GenerationSettings(
        points_per_side=8, predicted_iou_threshold=0, stability_threshold=0, stability_offset=0.5
    )
    ledger = generate_image(SamSegmenter(sam, "cpu"), pixels, everything).ledger
    predicted_iou = np.quantile(ledger.predicted_iou, 0.5)
    stability = np.nanquantile(ledger.stability_score[ledger.predicted_iou > predicted_iou], 1 / 3)
    return GenerationSettings(
        points_per_side=8,
        predicted_iou_threshold=float(predicted_iou),
        stability_threshold=float(stability),
        stability_offset=0.5,
    )
