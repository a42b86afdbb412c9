"""What people said of a run's masks, as a retuning weighs it: each verdict by the masks that it stands for."""

import numpy as np

from curation.errors import InputError
from curation.generation.retune import Judged
from curation.ids import unpack_mask_id
from curation.lake import Lake
from curation.sampling import judged, response

# The newest sample of the run that was drawn by chance and has verdicts.
SAMPLE_SQL = """
    SELECT samples.sample
    FROM samples
    INNER JOIN settled_verdicts USING (sample, mask_id)
    WHERE samples.run_id = $run_id AND samples.design <> 'purposive'
    GROUP BY samples.sample
    ORDER BY max(samples.drawn_at) DESC, samples.sample
    LIMIT 1
"""


def newest_sample(lake: Lake, run_id: int) -> str | None:
    """The newest sample of a run that was drawn by chance and has verdicts; None where there is none."""
    found = lake.con.execute(SAMPLE_SQL, {"run_id": run_id}).fetchone()
    return found[0] if found else None


def verdicts(lake: Lake, run_id: int, sample: str) -> dict[int, Judged]:
    """Settled verdicts of a sample on masks of a run, by image, with the weights of `curation sample estimate`.

    Raises InputError where the sample is not there, was drawn on purpose, or has no settled verdict on this run.
    """
    of = judged.read(lake, sample)
    answers = response.answers(of.drawn, of.is_settled)
    is_ours = of.run_id[answers.place] == run_id
    place, weights = answers.place[is_ours], answers.weight[is_ours]
    if not len(place):
        raise InputError(
            f"sample {sample!r}: no mask of run {run_id} in it is judged, so its verdicts say nothing about other "
            "thresholds; judge it (`curation app`), or draw one of this run with `curation sample draw`"
        )
    image_ids = of.drawn.columns["image_id"][place]
    candidates = np.array([unpack_mask_id(mask_id)[2] for mask_id in of.mask_id[place].tolist()], np.int64)
    is_accepted = of.decision[place] == "accept"
    return {
        image_id: Judged(candidates[mine], weights[mine], is_accepted[mine])
        for image_id in np.unique(image_ids).tolist()
        for mine in [np.flatnonzero(image_ids == image_id)]
    }
