"""What a data card tells of quality: who judged the masks, the figures, and the failures that are known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curation import queries
from curation.lake import Lake
from curation.report import markdown
from curation.report.page.words import counted, number, percent, plain, share
from curation.sampling import samples

#: Figures of `gold_agreement` on the card, by figure and threshold.
AGREEMENT = {
    ("mean_best_iou", None): "mean IoU of a mask with its best gold mask",
    ("mean_boundary_iou", None): "mean boundary IoU with it",
    ("best_iou_over", 0.75): "masks over 0.75 IoU with their best gold mask",
    ("best_iou_over", 0.9): "masks over 0.90 IoU with it",
    ("precision", 0.5): "precision: masks with a gold partner of 0.50 IoU",
    ("recall", 0.5): "recall: gold masks with a partner of 0.50 IoU",
}
ESTIMATED = {
    "accept": "masks that people would accept",
    "over_75": "masks over 0.75 IoU when corrected",
    "over_90": "masks over 0.90 IoU when corrected",
}
#: Means among the figures; all others are shares.
MEANS = ("mean_best_iou", "mean_boundary_iou")

Rows = list[dict]


@dataclass(frozen=True)
class Released:
    """A lake, open at the version that is released, and the runs whose masks are."""

    lake: Lake
    run_ids: list[int]

    def report(self, name: str, is_of_runs: bool = True) -> Rows:
        """Rows of a report; those of the released runs alone, unless it tells of no runs."""
        rows = queries.get(name).run(self.lake).to_pylist()
        return [row for row in rows if not is_of_runs or row["run_id"] in self.run_ids]

    def rows(self, sql: str) -> Rows:
        """Rows of a statement that may take $run_ids."""
        return self.lake.query(sql, {"run_ids": self.run_ids} if "$run_ids" in sql else None).to_pylist()


def judged(of: Released) -> Iterator[str]:
    yield "## How they were judged"
    yield ""
    yield from _gold(of)
    yield from _samples(of)
    yield from _raters(of)
    yield from _routings(of)


def _gold(of: Released) -> Iterator[str]:
    rows = of.rows(
        """
        SELECT
            gold_runs.run_id,
            gold_runs.annotator,
            gold_runs.is_anchored,
            count(DISTINCT matches.image_id) AS n_images,
            count(DISTINCT matches.gold_mask_id) AS n_masks
        FROM gold_matches AS matches
        INNER JOIN runs AS gold_runs ON gold_runs.run_id = matches.gold_run_id
        WHERE list_contains($run_ids, matches.run_id)
        GROUP BY ALL
        ORDER BY gold_runs.run_id
        """
    )
    if not rows:
        yield "**Gold:** none was matched with these masks."
        yield ""
        return
    how = {True: "corrected from predictions", False: "drawn from scratch", None: "nobody said how"}
    table = [
        [
            row["run_id"],
            markdown.plain_text(row["annotator"] or "–"),
            how[row["is_anchored"]],
            plain(row["n_images"]),
            plain(row["n_masks"]),
        ]
        for row in rows
    ]
    yield "**Gold**, trusted masks:"
    yield ""
    yield from markdown.table(
        ("gold run", "annotator", "how it was drawn", "images in common", "gold masks on them"), table
    )


def _samples(of: Released) -> Iterator[str]:
    rows = samples.summaries(of.lake).to_pylist()
    if not rows:
        yield "**Samples:** none was drawn for people to judge."
        yield ""
        return
    yield "**Samples** that people judged:"
    yield ""
    table = [
        [row["sample"], row["design"], plain(row["n_masks"]), plain(row["n_images"]), plain(row["n_judged"])]
        for row in rows
    ]
    yield from markdown.table(("sample", "design", "masks drawn", "images", "masks judged"), table)


def _raters(of: Released) -> Iterator[str]:
    rows = of.report("rater_quality", is_of_runs=False)
    if not rows:
        return
    table = [
        [
            markdown.plain_text(row["rater"]),
            row["figure"].replace("_", " "),
            share(row["estimate"], row["low"], row["high"]),
            plain(row["n_verdicts"]),
            plain(row["n_images"]),
        ]
        for row in rows
    ]
    yield "**Raters:**"
    yield ""
    yield from markdown.table(("rater", "figure", "share (95 % interval)", "verdicts", "images"), table)
    yield f"Design: {rows[0]['design']}."
    yield ""


def _routings(of: Released) -> Iterator[str]:
    rows = of.rows("FROM routings ORDER BY routed_at")
    for row in rows[-1:]:
        promise = (
            f"at most {percent(row['max_bad'])} bad among the accepted, with a confidence of {percent(row['confidence'])}"
            if row["max_bad"] is not None
            else "a preset, which promises nothing"
        )
        yield f"**Routing** `{row['routing']}` ({row['method']}, over {row['score']}): {promise}."
        yield ""


def figures(of: Released) -> Iterator[str]:
    yield "## Figures"
    yield ""
    table = [*_agreement(of), *_calibration(of), *_coverage(of)]
    table += _estimated(of)
    if not table:
        yield "How good the masks are is unknown: there is neither gold nor a judged sample."
        yield ""
        return
    yield from markdown.table(("of", "figure", "estimate (95 % interval)", "behind it", "design"), table)


def _agreement(of: Released) -> Iterator[Sequence[object]]:
    for row in of.report("gold_agreement"):
        about = AGREEMENT.get((row["figure"], row["iou_threshold"]))
        if about and row["estimate"] is not None:
            told = number if row["figure"] in MEANS else share
            said = told(row["estimate"], row["low"], row["high"])
            unit = "gold mask" if row["figure"] == "recall" else "mask"
            yield _named(row), about, said, _behind(row, unit), row["design"]


def _calibration(of: Released) -> Iterator[Sequence[object]]:
    found: dict[tuple, Rows] = {}
    for row in of.report("calibration"):
        found.setdefault((row["run_id"], row["gold_run_id"]), []).append(row)
    for rows in found.values():
        row = rows[0]
        said = number(row["ece"], row["ece_low"], row["ece_high"])
        behind = counted(sum(bin_["n_masks"] for bin_ in rows), "mask")
        about = "calibration error: mean gap between predicted IoU and IoU with gold"
        yield _named(row), about, said, behind, row["design"]


def _coverage(of: Released) -> Iterator[Sequence[object]]:
    for row in of.report("coverage"):
        if row["figure"] == "mean_covered_share":
            said = share(row["estimate"], row["low"], row["high"])
            yield (
                f"run {row['run_id']}",
                "share of an image under masks",
                said,
                counted(row["n_images"], "image"),
                row["design"],
            )


def _estimated(of: Released) -> Iterator[Sequence[object]]:
    for row in of.report("quality_estimate", is_of_runs=False):
        if row["figure"] in ESTIMATED and row["estimate"] is not None:
            said = share(row["estimate"], row["low"], row["high"])
            yield f"sample {row['sample']}", ESTIMATED[row["figure"]], said, _behind(row), row["design"]


def failures(of: Released) -> Iterator[str]:
    yield "## Known failures"
    yield ""
    clusters = _clusters(of)
    if clusters:
        yield "Groups of masks that fail more often than the rest, found on half of the images and tested on the others:"
        yield ""
        table = [
            [
                row["cluster"],
                markdown.plain_text(row["words"]),
                (row["status"] or "found").replace("_", " "),
                plain(row["n_masks"]),
                share(row["bad_share"], row["bad_share_low"], row["bad_share_high"]),
                f"{row['n_bad']:,.0f} ({row['n_bad_low']:,.0f}–{row['n_bad_high']:,.0f})",
                f"{row['q_value']:.2g}",
            ]
            for row in clusters
        ]
        heads = (
            "cluster",
            "what they share",
            "status",
            "masks",
            "bad (95 % interval)",
            "bad masks in all",
            "q",
        )
        yield from markdown.table(heads, table)
    errors = [row for row in of.report("error_kinds") if row["error_kind"] != "none" and row["n_kind_masks"]]
    if errors:
        yield "What is wrong against gold:"
        yield ""
        table = [
            [
                _named(row),
                row["error_kind"],
                share(row["share"], row["share_low"], row["share_high"]),
                _behind(row, "gold mask" if row["error_kind"] == "miss" else "mask"),
            ]
            for row in errors
        ]
        yield from markdown.table(("of", "kind", "share (95 % interval)", "behind it"), table)
    if not clusters and not errors:
        yield "None are known; nobody has searched, or there was nothing to compare with."
        yield ""


def _clusters(of: Released) -> Rows:
    """Clusters of the newest search that found each, with their status, the most bad masks first."""
    return of.rows(
        """
        SELECT clusters.*, events.status
        FROM clusters
        LEFT JOIN (
            SELECT cluster, arg_max(status, at_utc) AS status FROM cluster_events GROUP BY cluster
        ) AS events USING (cluster)
        WHERE coalesce(events.status, 'found') <> 'fixed'
        QUALIFY row_number() OVER (PARTITION BY clusters.cluster ORDER BY clusters.search_id DESC) = 1
        ORDER BY clusters.n_bad DESC, clusters.cluster
        """,
    )


def _named(row: dict) -> str:
    return f"run {row['run_id']}, gold run {row['gold_run_id']}"


def _behind(row: dict, unit: str = "mask") -> str:
    return f"{counted(row['n_masks'], unit)} of {counted(row['n_images'], 'image')}"
