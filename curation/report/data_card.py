"""The data card of a release: what the dataset is, how it came about, how good it is and what it must not be used for."""

from collections.abc import Iterator, Sequence

from curation import queries
from curation.engine.releases import MASKS, Draft
from curation.lake import Lake
from curation.report.page.words import counted, number, percent, plain, seconds, share, stage
from curation.sampling import samples

FILE_NAME = "data_card.md"
#: What the exported records are, in words, by format.
FORMAT_WORDS = {
    "sa1b": "SA-1B records: one JSON file an image, masks as COCO RLE",
    "coco": "COCO instances: one JSON file a run, masks as COCO RLE",
}
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


def write_card(lake: Lake, draft: Draft) -> None:
    """Write the card into the draft's folder. `lake` is open at the version that is released."""
    (draft.folder / FILE_NAME).write_text(card(lake, draft))


def card(lake: Lake, draft: Draft) -> str:
    """The card as Markdown. What nobody measured is said to be unknown; an empty lake gives a card that says so."""
    run_ids = [run.run_id for run in draft.exported]
    parts = (
        _head(draft),
        _what(lake, draft, run_ids),
        _made(lake, draft.tag, run_ids),
        _judged(lake, run_ids),
        _figures(lake, run_ids),
        _checks(draft),
        _failures(lake, run_ids),
        _limits(lake, draft, run_ids),
        _proof(draft),
    )
    return "\n".join(line for part in parts for line in part)


def _head(draft: Draft) -> Iterator[str]:
    request = draft.request
    yield f"# {request.name}"
    yield ""
    yield (
        f"{counted(draft.n_masks, 'mask')} of {counted(draft.n_images, 'image')}, frozen as version {draft.version} of "
        f"the lake (tag `{draft.tag}`)."
    )
    yield ""
    if request.note:
        yield f"{_plain_text(request.note)}"
        yield ""
    yield "**Licence:** _the owner fills this in before the dataset is handed on: of the masks, and of the pictures._"
    yield ""


def _what(lake: Lake, draft: Draft, run_ids: list[int]) -> Iterator[str]:
    drawn = _one(
        lake,
        """
        SELECT count(*) AS n, count(supersedes) AS n_corrected, count(DISTINCT rater) AS n_raters
        FROM drawn_masks INNER JOIN runs USING (run_id)
        WHERE list_contains($run_ids, runs.parent_run_id)
        """,
        run_ids,
    )
    yield "## What it is"
    yield ""
    yield f"- {FORMAT_WORDS[draft.request.format]}; below `{MASKS}/`, a folder a run."
    yield f"- {counted(draft.n_images, 'image')}, each with the masks of the newest run that read it."
    yield f"- {counted(draft.n_masks, 'mask')}."
    if drawn["n"]:
        yield (
            f"- People drew {counted(drawn['n'], 'mask')} ({drawn['n_corrected']:,} of them corrections) in the app, "
            f"{counted(drawn['n_raters'], 'person').replace('persons', 'people')} in all; a correction stands in the place "
            "of the mask that it corrects, and has no scores."
        )
    yield "- The pictures themselves are not in it: records name them by `file_name`."
    yield ""


def _made(lake: Lake, tag: str, run_ids: list[int]) -> Iterator[str]:
    yield "## How the masks were made"
    yield ""
    rows = _report(lake, "stage_summary", run_ids)
    if not rows:
        yield "No finished run holds masks."
        yield ""
        return
    table = [
        [
            row["run_id"],
            row["kind"],
            stage(row["stage"], row["cycle"]),
            row["model"] or "–",
            row["preset"] or "–",
            plain(row["n_images"]),
            plain(row["n_masks"]),
            number(row["masks_per_image"], row["masks_per_image_low"], row["masks_per_image_high"]),
        ]
        for row in rows
    ]
    heads = (
        "run",
        "kind",
        "stage",
        "model",
        "preset",
        "images read",
        "masks made",
        "masks an image (95 % interval)",
    )
    yield from _table(heads, table)
    yield f"Design: {rows[0]['design']}."
    yield ""
    yield from _weights(lake, run_ids)
    yield (
        f"Every setting and package version: `curation query run_provenance --at {tag}`. The lake keeps each "
        "candidate that became no mask, with the reason, where the run was a generation."
    )
    yield ""


def _weights(lake: Lake, run_ids: list[int]) -> Iterator[str]:
    rows = _rows(
        lake,
        """
        SELECT
            runs.model,
            runs.weights_sha256,
            any_value(trained) AS trained
        FROM runs
        LEFT JOIN trained_models AS trained USING (model)
        WHERE list_contains($run_ids, runs.run_id) AND runs.model IS NOT NULL
        GROUP BY ALL
        ORDER BY ALL
        """,
        run_ids,
    )
    for row in rows:
        yield f"- `{row['model']}`: weights SHA-256 `{row['weights_sha256']}`."
        trained = row["trained"]
        if trained and trained["base_model"]:
            yield (
                f"  Trained on this lake's masks ({', '.join(trained['masks_from'])}) from `{trained['base_model']}`: "
                f"{counted(trained['n_train_masks'], 'mask')} of {counted(trained['n_train_images'], 'image')}, in "
                f"{seconds(trained['took_s'])}. Figures on images that it was trained on flatter it."
            )
    if rows:
        yield ""


def _judged(lake: Lake, run_ids: list[int]) -> Iterator[str]:
    yield "## How they were judged"
    yield ""
    yield from _gold(lake, run_ids)
    yield from _samples(lake)
    yield from _raters(lake)
    yield from _routings(lake)


def _gold(lake: Lake, run_ids: list[int]) -> Iterator[str]:
    rows = _rows(
        lake,
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
        """,
        run_ids,
    )
    if not rows:
        yield "**Gold:** none was matched with these masks."
        yield ""
        return
    how = {True: "corrected from predictions", False: "drawn from scratch", None: "nobody said how"}
    table = [
        [
            row["run_id"],
            _plain_text(row["annotator"] or "–"),
            how[row["is_anchored"]],
            plain(row["n_images"]),
            plain(row["n_masks"]),
        ]
        for row in rows
    ]
    yield "**Gold**, trusted masks:"
    yield ""
    yield from _table(
        ("gold run", "annotator", "how it was drawn", "images in common", "gold masks on them"), table
    )


def _samples(lake: Lake) -> Iterator[str]:
    rows = samples.summaries(lake).to_pylist()
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
    yield from _table(("sample", "design", "masks drawn", "images", "masks judged"), table)


def _raters(lake: Lake) -> Iterator[str]:
    rows = _report(lake, "rater_quality")
    if not rows:
        return
    table = [
        [
            _plain_text(row["rater"]),
            row["figure"].replace("_", " "),
            share(row["estimate"], row["low"], row["high"]),
            plain(row["n_verdicts"]),
            plain(row["n_images"]),
        ]
        for row in rows
    ]
    yield "**Raters:**"
    yield ""
    yield from _table(("rater", "figure", "share (95 % interval)", "verdicts", "images"), table)
    yield f"Design: {rows[0]['design']}."
    yield ""


def _routings(lake: Lake) -> Iterator[str]:
    rows = _rows(lake, "FROM routings ORDER BY routed_at")
    for row in rows[-1:]:
        promise = (
            f"at most {percent(row['max_bad'])} bad among the accepted, with a confidence of {percent(row['confidence'])}"
            if row["max_bad"] is not None
            else "a preset, which promises nothing"
        )
        yield f"**Routing** `{row['routing']}` ({row['method']}, over {row['score']}): {promise}."
        yield ""


def _figures(lake: Lake, run_ids: list[int]) -> Iterator[str]:
    yield "## Figures"
    yield ""
    table = [*_agreement(lake, run_ids), *_calibration(lake, run_ids), *_coverage(lake, run_ids)]
    table += _estimated(lake)
    if not table:
        yield "How good the masks are is unknown: there is neither gold nor a judged sample."
        yield ""
        return
    yield from _table(("of", "figure", "estimate (95 % interval)", "behind it", "design"), table)


def _agreement(lake: Lake, run_ids: list[int]) -> Iterator[Sequence[object]]:
    for row in _report(lake, "gold_agreement", run_ids):
        about = AGREEMENT.get((row["figure"], row["iou_threshold"]))
        if about and row["estimate"] is not None:
            told = number if row["figure"] in MEANS else share
            said = told(row["estimate"], row["low"], row["high"])
            unit = "gold mask" if row["figure"] == "recall" else "mask"
            yield _of(row), about, said, _behind(row, unit), row["design"]


def _calibration(lake: Lake, run_ids: list[int]) -> Iterator[Sequence[object]]:
    found: dict[tuple, Rows] = {}
    for row in _report(lake, "calibration", run_ids):
        found.setdefault((row["run_id"], row["gold_run_id"]), []).append(row)
    for rows in found.values():
        row = rows[0]
        said = number(row["ece"], row["ece_low"], row["ece_high"])
        behind = counted(sum(bin_["n_masks"] for bin_ in rows), "mask")
        about = "calibration error: mean gap between predicted IoU and IoU with gold"
        yield _of(row), about, said, behind, row["design"]


def _coverage(lake: Lake, run_ids: list[int]) -> Iterator[Sequence[object]]:
    for row in _report(lake, "coverage", run_ids):
        if row["figure"] == "mean_covered_share":
            said = share(row["estimate"], row["low"], row["high"])
            yield (
                f"run {row['run_id']}",
                "share of an image under masks",
                said,
                counted(row["n_images"], "image"),
                row["design"],
            )


def _estimated(lake: Lake) -> Iterator[Sequence[object]]:
    for row in _report(lake, "quality_estimate"):
        if row["figure"] in ESTIMATED and row["estimate"] is not None:
            said = share(row["estimate"], row["low"], row["high"])
            yield f"sample {row['sample']}", ESTIMATED[row["figure"]], said, _behind(row), row["design"]


def _checks(draft: Draft) -> Iterator[str]:
    yield "## Checks"
    yield ""
    if draft.verdicts is None:
        yield "None were asked for: nobody has said how good these masks must be."
        yield ""
        return
    if draft.has_passed is False:
        yield "**It was released although not all checks were passed** (`--even-if-failing`)."
        yield ""
    for verdict in draft.verdicts:
        interval = "" if verdict.low is None else f", {verdict.low:.3g} to {verdict.high:.3g}"
        measured = "" if verdict.estimate is None else f": {verdict.estimate:.3g}{interval}"
        reason = f" ({verdict.reason})" if verdict.reason else ""
        yield f"- {verdict.verdict}: {verdict.check}, {verdict.subject}{measured}{reason}"
    yield ""
    yield "Each was judged by the bound of its 95 % interval; `checks.toml`, `checks.json` and `checks.xml` hold all of it."
    yield ""


def _failures(lake: Lake, run_ids: list[int]) -> Iterator[str]:
    yield "## Known failures"
    yield ""
    clusters = _clusters(lake)
    if clusters:
        yield "Groups of masks that fail more often than the rest, found on half of the images and tested on the others:"
        yield ""
        table = [
            [
                row["cluster"],
                _plain_text(row["words"]),
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
        yield from _table(heads, table)
    errors = [
        row
        for row in _report(lake, "error_kinds", run_ids)
        if row["error_kind"] != "none" and row["n_kind_masks"]
    ]
    if errors:
        yield "What is wrong against gold:"
        yield ""
        table = [
            [
                _of(row),
                row["error_kind"],
                share(row["share"], row["share_low"], row["share_high"]),
                _behind(row, "gold mask" if row["error_kind"] == "miss" else "mask"),
            ]
            for row in errors
        ]
        yield from _table(("of", "kind", "share (95 % interval)", "behind it"), table)
    if not clusters and not errors:
        yield "None are known; nobody has searched, or there was nothing to compare with."
        yield ""


def _clusters(lake: Lake) -> Rows:
    """Clusters of the newest search that found each, with their status, the most bad masks first."""
    return _rows(
        lake,
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


def _limits(lake: Lake, draft: Draft, run_ids: list[int]) -> Iterator[str]:
    counts = _one(
        lake,
        """
        SELECT
            (
                SELECT count(DISTINCT image_id) FROM images
                WHERE
                    list_contains($run_ids, run_id)
                    AND image_id NOT IN (
                        SELECT image_id FROM gold_matches WHERE list_contains($run_ids, run_id)
                    )
            ) AS n_without_gold,
            (
                SELECT count(DISTINCT mask_id) FROM settled_verdicts
                SEMI JOIN current_masks USING (run_id, mask_id)
                WHERE list_contains($run_ids, run_id) AND NOT is_accepted
            ) AS n_turned_down,
            (SELECT count(*) FROM problems WHERE list_contains($run_ids, run_id)) AS n_problems,
            (SELECT count(*) FROM runs WHERE finished_at IS NULL AND kind <> 'gold') AS n_unfinished,
            (SELECT count(*) FROM gold_matches WHERE list_contains($run_ids, run_id)) AS n_matches
        """,
        run_ids,
    )
    yield "## Limits"
    yield ""
    yield "- Masks have no classes unless a label is given; they say what belongs together, not what it is."
    if counts["n_matches"] and counts["n_without_gold"]:
        yield (
            f"- {counted(counts['n_without_gold'], 'image')} of {draft.n_images:,} have no gold. Figures against gold speak "
            "for them only as far as the images with gold were drawn at random."
        )
    if counts["n_turned_down"]:
        yield (
            f"- {counted(counts['n_turned_down'], 'mask')} that people turned down and nobody has redrawn are in it; verdicts "
            "are in the lake (`settled_verdicts`)."
        )
    if counts["n_problems"]:
        yield f"- {counted(counts['n_problems'], 'input')} could not be used and are not in it (`curation query problems`)."
    if counts["n_unfinished"]:
        yield f"- {counted(counts['n_unfinished'], 'run')} were not finished at this version and are left out."
    if len(draft.exported) > 1:
        yield "- Its runs differ in model or settings; `report.html` shows the newest of them."
    yield "- A 95 % interval misses the truth in about one of twenty cases, and this card holds many."
    yield ""


def _proof(draft: Draft) -> Iterator[str]:
    yield "## That nothing has changed"
    yield ""
    yield (
        "`manifest.json` holds the SHA-256 of every file here and of the content of every table of the lake at this version; "
        "the lake holds that of the manifest."
    )
    yield ""
    yield "```"
    yield f"curation verify-release {draft.request.name} --folder ."
    yield "```"
    yield ""


# -------------------------------------------------------------------------------------------- writing


def _report(lake: Lake, name: str, run_ids: list[int] | None = None) -> Rows:
    rows = queries.get(name).run(lake).to_pylist()
    return rows if run_ids is None else [row for row in rows if row["run_id"] in run_ids]


def _rows(lake: Lake, sql: str, run_ids: list[int] | None = None) -> Rows:
    return lake.query(sql, None if run_ids is None else {"run_ids": run_ids}).to_pylist()


def _one(lake: Lake, sql: str, run_ids: list[int]) -> dict:
    return _rows(lake, sql, run_ids)[0]


def _of(row: dict) -> str:
    return f"run {row['run_id']}, gold run {row['gold_run_id']}"


def _behind(row: dict, unit: str = "mask") -> str:
    return f"{counted(row['n_masks'], unit)} of {counted(row['n_images'], 'image')}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(str(value).replace('|', chr(92) + '|') for value in row)} |"
    yield ""


def _plain_text(text: str) -> str:
    """What people typed, on one line and without meaning to Markdown or HTML."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]<>#" else c for c in " ".join(text.split()))
    return escaped.replace("&", "&amp;")
