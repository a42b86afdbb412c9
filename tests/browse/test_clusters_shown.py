"""Failure clusters, scores and routes in FiftyOne: fields of each mask, and a saved view a cluster."""

from datetime import datetime, timezone

import pytest
import shown
from fiftyone_reading import detections_by_id

from curation.browse.selection import Choice
from curation.browse.sync import sync
from curation.lake import Lake
from curation.schemas import TABLES
from tests.failures.found_clusters import keep, row

pytestmark = pytest.mark.usefixtures("mongo")
NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


def load(name: str):
    import fiftyone as fo

    dataset = fo.load_dataset(name)
    dataset.reload()
    return dataset


def mask_ids(lake: Lake) -> list[int]:
    return lake.query("SELECT mask_id FROM masks ORDER BY mask_id")["mask_id"].to_pylist()


def cluster_views(name: str) -> list[str]:
    return sorted(view for view in load(name).list_saved_views() if "cluster" in view)


def seen(name: str, view: str) -> set[int]:
    """Masks that a saved view shows."""
    return {int(i) for i in load(name).load_saved_view(view).values("masks.detections.mask_id", unwind=True)}


def route(lake: Lake, mask_id: int, score: float, where: str) -> None:
    """A verifier's score of a mask, and where a routing by it sends it."""
    of = lake.query("SELECT run_id, mask_id, image_id FROM masks WHERE mask_id = ?", [mask_id]).to_pylist()[0]
    verifier = {
        **dict.fromkeys(("n_masks", "n_images"), 9),
        **dict.fromkeys(("n_bad", "snapshot_id", "seed"), 0),
        **dict.fromkeys(("settings", "versions"), "{}"),
        "verifier": "first",
        "method": "gradient_boosting",
        "columns": ["predicted_iou"],
        "fitted_at": NOW,
    }
    routing = {
        **dict.fromkeys(("n_calibration_masks", "n_calibration_images", "snapshot_id"), 0),
        "routing": "first",
        "verifier": "first",
        "score": "verifier",
        "method": "preset",
        "settings": "{}",
        "routed_at": NOW,
    }
    rows = {
        "verifiers": verifier,
        "verifier_scores": {**of, "verifier": "first", "score": score, "is_held_out": True},
        "routings": routing,
        "routes": {**of, "routing": "first", "route": where, "score": score},
    }
    lake.append({name: TABLES[name].table([one]) for name, one in rows.items()}, "a score and a route")


def test_a_mask_shows_its_cluster_its_score_its_route_and_whether_it_is_bad(workspace, name):
    lake, run_id = workspace
    first, second, third, *_ = mask_ids(lake)
    keep(lake, [row(), row(words="thin")], [[first, second], [second]], [None, None])
    route(lake, second, 0.25, "reject")
    shown.add_gold_ious(lake, run_id, {second: 0.5})
    lake.commit(
        lambda con: con.execute("UPDATE gold_matches SET error_kind = 'spill'"), "what is wrong with it"
    )
    sync(lake, Choice(), name)
    found = detections_by_id(load(name))
    assert (found[first].cluster, found[first].clusters) == (1, [1])
    of_second = found[second]
    assert (of_second.cluster, of_second.clusters) == (1, [1, 2])
    assert (of_second.verifier_score, of_second.route) == (0.25, "reject")
    assert (of_second.is_bad, of_second.label_source) == (True, "gold")
    nothing = found[third]
    assert not any((nothing.cluster, nothing.verifier_score, nothing.route, nothing.is_bad))
    declared = load(name).get_field_schema(flat=True)
    for field in ("cluster", "clusters", "verifier_score", "route", "is_bad"):
        assert f"masks.detections.{field}" in declared
    assert sync(lake, Choice(where="route = 'reject' AND is_bad"), name).n_chosen == 1


def test_each_cluster_of_the_newest_search_has_a_view_that_follows_it(workspace, name):
    lake, _ = workspace
    ids = mask_ids(lake)
    keep(lake, [row(), row(words="thin")], [ids[:3], ids[2:4]], [None, None])
    sync(lake, Choice(), name)
    assert cluster_views(name) == ["cluster 1: small", "cluster 2: thin"]
    assert seen(name, "cluster 1: small") == set(ids[:3])
    assert seen(name, "cluster 2: thin") == set(ids[2:4])
    load(name).save_view("my cluster", load(name).limit(1))

    keep(lake, [row(words="small, dark", bad_share=0.75), row(words="new")], [ids[1:2], ids[5:]], [1, None])
    sync(lake, Choice(), name)
    assert cluster_views(name) == ["cluster 1: small, dark", "cluster 3: new", "my cluster"]
    assert seen(name, "cluster 1: small, dark") == set(ids[1:2])
    info = load(name).get_saved_view_info("cluster 1: small, dark")
    assert "75 % of its masks are bad" in info["description"]
    assert all(detection.cluster != 2 for detection in detections_by_id(load(name)).values())


def test_a_view_tells_the_newest_figures_and_that_of_a_person_stays(workspace, name):
    lake, _ = workspace
    ids = mask_ids(lake)
    sync(lake, Choice(), name)
    load(name).save_view("cluster 2: thin", load(name).limit(1), description="mine")
    for share in (0.5, 0.6):
        keep(lake, [row(bad_share=share), row(words="thin")], [ids[:2], ids[2:]], [1, 2])
        sync(lake, Choice(), name)
        about = load(name).get_saved_view_info("cluster 1: small")["description"]
        assert f"{100 * share:.0f} % of its masks" in about
    assert load(name).get_saved_view_info("cluster 2: thin")["description"] == "mine"
    keep(lake, [row()], [ids[:2]], [1])
    sync(lake, Choice(), name)
    assert cluster_views(name) == ["cluster 1: small", "cluster 2: thin"]


def test_a_cluster_without_a_mask_in_the_dataset_has_no_view_and_long_words_fit(workspace, name):
    lake, _ = workspace
    ids = mask_ids(lake)
    words = ", ".join(["low stability"] * 20)
    keep(lake, [row(words=words), row(words="elsewhere")], [ids[:2], [ids[-1] + 1]], [None, None])
    sync(lake, Choice(), name)
    (view,) = cluster_views(name)
    assert view.startswith("cluster 1: low stability")
    assert seen(name, view) == set(ids[:2])
