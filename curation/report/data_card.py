"""The data card of a release: what the dataset is, how it came about, how good it is and what it must not be used for."""

from collections.abc import Iterator

from curation.engine.releases import MASKS, Draft
from curation.lake import Lake
from curation.report import markdown
from curation.report.data_card_evidence import Released, failures, figures, judged
from curation.report.page.words import counted, number, plain, seconds, stage

FILE_NAME = "data_card.md"
#: What the exported records are, in words, by format.
FORMAT_WORDS = {
    "sa1b": "SA-1B records: one JSON file an image, masks as COCO RLE",
    "coco": "COCO instances: one JSON file a run, masks as COCO RLE",
}


def write_card(lake: Lake, draft: Draft) -> None:
    """Write the card into the draft's folder. `lake` is open at the version that is released."""
    (draft.folder / FILE_NAME).write_text(card(lake, draft))


def card(lake: Lake, draft: Draft) -> str:
    """The card as Markdown. What nobody measured is said to be unknown; an empty lake gives a card that says so."""
    of = Released(lake, [run.run_id for run in draft.exported])
    parts = (
        _head(draft),
        _what(of, draft),
        _made(of, draft.tag),
        judged(of),
        figures(of),
        _checks(draft),
        failures(of),
        _limits(of, draft),
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
        yield f"{markdown.plain_text(request.note)}"
        yield ""
    yield "**Licence:** _the owner fills this in before the dataset is handed on: of the masks, and of the pictures._"
    yield ""


def _what(of: Released, draft: Draft) -> Iterator[str]:
    drawn = of.rows(
        """
        SELECT count(*) AS n, count(supersedes) AS n_corrected, count(DISTINCT rater) AS n_raters
        FROM current_drawn_masks INNER JOIN runs USING (run_id)
        WHERE list_contains($run_ids, runs.parent_run_id)
        """
    )[0]
    yield "## What it is"
    yield ""
    yield f"- {FORMAT_WORDS[draft.request.format]}; below `{MASKS}/`, a folder a run."
    yield f"- {counted(draft.n_images, 'image')}, each with the masks of the newest run that read it."
    yield f"- {counted(draft.n_masks, 'mask')}, none that people have rejected."
    if drawn["n"]:
        yield (
            f"- People drew {counted(drawn['n'], 'mask')} ({drawn['n_corrected']:,} of them corrections) in the app, "
            f"{counted(drawn['n_raters'], 'person').replace('persons', 'people')} in all; a correction stands in the place "
            "of the mask that it corrects, and has no scores."
        )
    yield "- The pictures themselves are not in it: records name them by `file_name`."
    yield ""


def _made(of: Released, tag: str) -> Iterator[str]:
    yield "## How the masks were made"
    yield ""
    rows = of.report("stage_summary")
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
    yield from markdown.table(heads, table)
    yield f"Design: {rows[0]['design']}."
    yield ""
    yield from _weights(of)
    yield (
        f"Every setting and package version: `curation query run_provenance --at {tag}`. The lake keeps each "
        "candidate that became no mask, with the reason, where the run was a generation."
    )
    yield ""


def _weights(of: Released) -> Iterator[str]:
    rows = of.rows(
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
        """
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


def _limits(of: Released, draft: Draft) -> Iterator[str]:
    counts = of.rows(
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
        """
    )[0]
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
