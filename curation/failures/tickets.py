"""What is done about a cluster: more of its masks to be judged, with known chances."""

import pyarrow as pa

from curation.failures import clusters
from curation.lake import Lake
from curation.sampling import samples
from curation.sampling.frame import Scope


def draw(
    lake: Lake, cluster: int, name: str, size: int, seed: int = 0, drawn_by: str | None = None
) -> pa.Table:
    """Draw a simple random sample of a cluster's masks, keep it, and return its rows of `samples`.

    Its frame is the masks of the newest search that found the cluster, as far as they are current: so a later search
    knows what its verdicts stand for. Raises InputError where there is no such cluster, the name is taken, or there are
    fewer masks than `size`.
    """
    row = clusters.one(lake, cluster)
    where = clusters.membership_sql(cluster, row["search_id"])
    run_ids = clusters.members(lake, cluster)["run_id"].unique().to_pylist()
    # A search of one run may have looked at masks that are not the newest of their images.
    scope = Scope(run_ids[0] if len(run_ids) == 1 else None, where)
    request = samples.Request(name, "srs", size, scope, seed, drawn_by=drawn_by)
    return samples.draw(lake, request)
