"""Sections for the record: what could not be used, what made the masks, how the figures came about."""

import json
from dataclasses import asdict

from curation.generation.presets import PRESETS
from curation.report.page.blocks import Block, Source, Sources, Table, Words
from curation.report.page.facts import Facts
from curation.report.page.words import counted, plain

SOURCES = (
    Source(
        "Kirillov et al., Segment Anything (2023), section 5 and appendices B and E: 94 % and 97 %, relative size, concavity",
        "https://arxiv.org/abs/2304.02643",
    ),
    Source(
        "Cochran, Sampling Techniques (3rd edition, 1977), chapter 6: the ratio of two totals and its variance"
    ),
    Source("Korn and Graubard, Survey Methodology 24 (1998): the effective sample size of a share"),
    Source(
        "Satterthwaite, Biometrics Bulletin 2 (1946): how many degrees of freedom an uncertain variance leaves Student's t"
    ),
    Source("Wilson, Journal of the American Statistical Association 22 (1927): the score interval"),
    Source(
        "Guo et al., On Calibration of Modern Neural Networks (2017): reliability and expected calibration error",
        "https://arxiv.org/abs/1706.04599",
    ),
    Source(
        "Roelofs et al., Mitigating Bias in Calibration Error Estimation (2022): what chance alone adds to it",
        "https://arxiv.org/abs/2012.08668",
    ),
    Source(
        "Cheng et al., Boundary IoU (2021): agreement of outlines",
        "https://arxiv.org/abs/2103.16562",
    ),
    Source(
        "Lin et al., Microsoft COCO (2014): one-to-one matching by score", "https://arxiv.org/abs/1405.0312"
    ),
    Source("Kuhn, Naval Research Logistics Quarterly 2 (1955): the one-to-one matching of largest total IoU"),
    Source("Okabe and Ito, Color Universal Design (2008): the colours of the charts"),
)


def problems(facts: Facts) -> list[Block]:
    rows = facts.rows("problems")
    if not rows:
        return []
    table = [
        [row["work"], row["kind"], plain(row["n_problems"]), row["example_source"], row["example_reason"]]
        for row in rows
    ]
    n = sum(row["n_problems"] for row in rows)
    return [
        Words(f"{counted(n, 'input')} of this run could not be used. They are in no figure of this page."),
        Table("By kind", ("work", "kind", "inputs", "first of them", "why"), table, right=frozenset({2})),
    ]


def provenance(facts: Facts) -> list[Block]:
    """What made the run and its gold: a column a run; settings as they differ from the preset's."""
    run_ids = [run_id for run_id in (facts.subject.run_id, facts.subject.gold_run_id) if run_id is not None]
    of_run = {run_id: facts.rows("run_provenance", run_id=run_id) for run_id in run_ids}
    if not any(of_run.values()):
        return []
    titles = ("", *(f"run {run_id} ({_kind(rows)})" for run_id, rows in of_run.items()))
    return [
        Table("Runs", titles, _facts_of(of_run, "run")),
        *_settings(facts),
        Table("Versions", titles, _facts_of(of_run, "version"), is_folded=True),
    ]


def _kind(rows: list[dict]) -> str:
    return rows[0]["kind"] if rows else "?"


def _facts_of(of_run: dict[int, list[dict]], about: str) -> list[list[str]]:
    held = {
        run_id: {row["fact"]: row["fact_value"] for row in rows if row["about"] == about}
        for run_id, rows in of_run.items()
    }
    names = list(dict.fromkeys(name for facts in held.values() for name in facts))
    return [[_named(name), *(facts.get(name, "–") for facts in held.values())] for name in names]


def _named(name: str) -> str:
    return (
        {"n_images": "images planned", "is_anchored": "anchored"}.get(name, name)
        .replace("_", " ")
        .replace(" sha256", " SHA‑256")
    )


def _settings(facts: Facts) -> list[Block]:
    """What the run set otherwise than its preset; all settings of a run without one."""
    rows = facts.rows("run_provenance")
    preset = next((row["fact_value"] for row in rows if row["fact"] == "preset"), None)
    settings = {row["fact"]: row["fact_value"] for row in rows if row["about"] == "setting"}
    if preset not in PRESETS:
        table = [[name.replace("_", " "), value] for name, value in settings.items()]
        return [Table("Settings", ("setting", "value"), table)] if table else []
    standard = {name: json.dumps(value) for name, value in asdict(PRESETS[preset].settings).items()}
    table = [
        [name.replace("_", " "), settings[name], value]
        for name, value in standard.items()
        if name in settings and json.loads(settings[name]) != json.loads(value)
    ]
    if not table:
        return [Words(f"Every setting is as in the preset {preset} ({PRESETS[preset].source}).")]
    return [
        Table(
            f"Settings other than the preset {preset} ({PRESETS[preset].source})",
            ("setting", "this run", "preset"),
            table,
            right=frozenset({1, 2}),
        )
    ]


def methods(facts: Facts) -> list[Block]:
    return [
        Words(
            "Each mask of the run is compared with every gold mask of its image by IoU, intersection over union. "
            "Its best IoU is the highest of these. For precision and recall, masks and gold masks are paired one to "
            "one so that the sum of IoU is largest; a pair counts from the threshold on."
        ),
        Words(
            "Masks of one image resemble each other, so 1,000 masks of 10 images tell less than 1,000 masks of 1,000. "
            "Every share and mean over masks is therefore a ratio of two totals over images, with the variance that "
            "treats the image as the cluster. A mean has the interval of Student's t; a share has Wilson's score "
            "interval on its effective sample size, which stays within 0 and 100 % and is not empty at the ends. Where "
            "a few images hold all that goes wrong, the variance is uncertain itself, and the interval is wider for it. "
            "All intervals are two-sided, 95 %; one image alone gives none."
        ),
        Words(
            "An interval covers the choice of images only. It says nothing of images of another kind, of errors in "
            "the gold, or of gold that was corrected from the predictions that it judges."
        ),
        Words(
            "The expected calibration error is the mean over masks of the gap between predicted IoU and IoU with gold "
            "in bins of 0.05. Chance alone makes it larger than 0, the more the fewer masks a bin has; the lower bound "
            "of its interval takes that off."
        ),
        Sources(SOURCES),
    ]
