"""The card of a verifier for people: tables of words, the same on a terminal, in Markdown and in HTML, there with charts."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from curation import __version__
from curation.errors import MissingExtraError
from curation.settings import VERIFIER
from curation.verifier.card import ALONE, OF_VERIFIER, SAM3_ACCURACY, SEEDS_CORRELATION, Card

NAMES = {
    OF_VERIFIER: "verifier",
    "predicted_iou": "predicted IoU alone",
    "stability_score": "stability alone",
    "person": "one person",
    "gain": "verifier minus person",
}
FIGURES = {
    "roc_auc": "ROC AUC",
    "average_precision_good": "average precision, good",
    "average_precision_bad": "average precision, bad",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "ece_by_chance": "ECE that chance alone would show",
    "accuracy": f"accuracy at {VERIFIER.good_from:g}",
    "good_share": "share of good masks",
    "mean_score": "mean score",
}
SLICES = {
    "size": "size",
    "border": "border",
    "crowdedness": "crowdedness of the image",
    "score": "predicted IoU",
    "stage": "stage",
    "label": "who judged",
    "cycle": "cycle",
    "image": "images",
    "verdict": "verdicts",
}
AGEING = ("cycle", "image", "verdict")
CORRELATIONS = {
    "spearman_gold_iou": "Spearman with IoU with gold",
    "pearson_gold_iou": "Pearson with IoU with gold",
    "spearman_rating": "Spearman with people's rating",
    "pearson_rating": "Pearson with people's rating",
}
#: Thresholds that the table of the curves shows.
THRESHOLDS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
#: Points of a drawn curve: more than a screen shows.
MOST_POINTS = 400
NONE = "–"

_CSS = """
:root{color-scheme:light dark;--ink:#1a2029;--soft:#5a6472;--line:#e2e5ea;--paper:#fff}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e8ebef;--soft:#a3acb8;--line:#313943;--paper:#12161b}
.charts{background:#fff;border-radius:8px}}
body{margin:0 auto;max-width:60rem;padding:1.5rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.7rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.4rem 0}.soft,caption{color:var(--soft);font-size:.85rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal}thead th{color:var(--soft);font-weight:normal;font-size:.85rem}
caption{caption-side:bottom;text-align:left;padding:.4rem 0}.charts{display:flex;flex-wrap:wrap;gap:1rem;padding:.5rem}
figure{margin:0;flex:1 1 260px}figcaption{font-size:.85rem;color:#5a6472}
"""


@dataclass(frozen=True)
class Table:
    """Rows of words under `titles`; the first column names the row, the others hold numbers. `note` says how to read it."""

    title: str
    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def title(card: Card) -> str:
    return f"Verifier {card.facts['verifier']}"


def facts(card: Card) -> list[str]:
    """What the verifier is, a line a fact."""
    row = card.facts
    settings = json.loads(row["settings"])
    sources = ", ".join(f"{n:,} by {source}" for source, n in settings.get("n_of_source", {}).items())
    overall = _rows(card, figure="roc_auc", of=OF_VERIFIER, slice_by=None)[0]
    return [
        f"{row['method']}, fitted {row['fitted_at']:%Y-%m-%d %H:%M} UTC on version {row['snapshot_id']} of the lake, seed {row['seed']}",
        f"learned from {row['n_masks']:,} masks ({sources or 'labels'}; {row['n_bad']:,} bad) of {row['n_images']:,} images, "
        f"{len(row['columns'])} columns, calibration {settings.get('calibration', 'unknown')}",
        f"this card: {overall['n_masks']:,} masks ({overall['n_bad']:,} bad) of {overall['n_images']:,} images, none of "
        "which taught the model that scored it",
        f"{overall['design']}; 95 % intervals in brackets",
    ]


def tables(card: Card) -> Iterator[Table]:
    """All tables of the card; those of which nothing is known are left out."""
    for table in (
        _overall(card),
        _alone(card),
        _correlations(card),
        _people(card),
        _parts(card, "By slice", [by for by in SLICES if by not in AGEING]),
        _parts(card, "From round to round", AGEING),
        _thresholds(card),
        _calibration(card),
    ):
        if table.rows:
            yield table


def markdown(card: Card) -> str:
    """The card as Markdown."""
    lines = [f"# {title(card)}", "", *(f"- {fact}" for fact in facts(card)), ""]
    for table in tables(card):
        lines += [
            f"## {table.title}",
            "",
            _line(table.titles),
            _line(["---", *["---:"] * (len(table.titles) - 1)]),
        ]
        lines += [*(_line(row) for row in table.rows), "", *([table.note, ""] if table.note else [])]
    return "\n".join(lines + [f"> {note}\n" for note in card.notes])


def page(card: Card) -> str:
    """The card as one HTML file without scripts; charts are left out, and that is said, where Altair is not installed."""
    parts = [f"<h1>{html.escape(title(card))}</h1>"]
    parts += [f"<p>{html.escape(fact)}</p>" for fact in facts(card)]
    parts += [f"<p><strong>{html.escape(note)}</strong></p>" for note in card.notes]
    parts.append(_charts(card))
    parts += [_html_table(table) for table in tables(card)]
    parts.append(f'<p class="soft">Written by curation {html.escape(__version__)}.</p>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title(card))}</title><style>{_CSS}</style></head>\n<body>{''.join(parts)}</body></html>\n"
    )


def told(row: Mapping | None) -> str:
    """An estimate with its interval, such as 0.812 [0.764, 0.851]."""
    if row is None or row["estimate"] is None:
        return NONE
    if row["low"] is None:
        return f"{row['estimate']:.3f}"
    return f"{row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _overall(card: Card) -> Table:
    found = {row["figure"]: row for row in _rows(card, of=OF_VERIFIER, slice_by=None)}
    rows = [(FIGURES[name], told(found[name])) for name in FIGURES if name in found]
    note = (
        "Positive is a good mask; average precision of bad ones finds them by low scores. Brier score and ECE: 0 is best; "
        "the lower bound of ECE takes off what chance would show."
    )
    return Table("How well it tells good from bad", ("figure", "verifier"), rows, note)


def _alone(card: Card) -> Table:
    rows = []
    for name in ALONE:
        of = {row["figure"]: row for row in _rows(card, of=name, slice_by=None)}
        if "roc_auc" not in of:
            continue
        shown = ("roc_auc", "roc_auc_gain", "average_precision_bad", "average_precision_bad_gain")
        counts = f"{of['roc_auc']['n_masks']:,} / {of['roc_auc']['n_images']:,}"
        rows.append((NAMES[name], *(told(of[figure]) for figure in shown), counts))
    titles = (
        "score",
        "ROC AUC",
        "verifier better by",
        "average precision, bad",
        "verifier better by",
        "masks / images",
    )
    return Table(
        "Against single scores", titles, rows, "Differences are paired: both scores on the same drawn images."
    )


def _correlations(card: Card) -> Table:
    rows = []
    for figure, name in CORRELATIONS.items():
        of = {row["of"]: row for row in _rows(card, figure=figure)}
        if of:
            row = of.get(OF_VERIFIER) or of["predicted_iou"]
            counts = f"{row['n_masks']:,} / {row['n_images']:,}"
            rows.append((name, told(of.get(OF_VERIFIER)), told(of.get("predicted_iou")), counts))
    seeds = ", ".join(f"{value:.2f} ({name})" for name, value in SEEDS_CORRELATION.items())
    note = f"The seeds report correlations of a verifier with people of {seeds}, without intervals."
    return Table(
        "Correlation with quality", ("with", "verifier", "predicted IoU alone", "masks / images"), rows, note
    )


def _people(card: Card) -> Table:
    rows, designs = [], []
    for row in _rows(card, figure="accuracy_settled"):
        rows.append(
            ("verifier against what people settled", told(row), f"{row['n_masks']:,} / {row['n_images']:,}")
        )
    for row in _rows(card, figure="accuracy_held_out"):
        rows.append((NAMES[row["of"]], told(row), f"{row['n_masks']:,} / {row['n_images']:,}"))
        designs = [f"The last three: {row['design']}."]
    sam3 = f"SAM 3 on masks: a person {SAM3_ACCURACY['person']:.1%}, its verifier {SAM3_ACCURACY['verifier']:.1%}, no intervals."
    return Table(
        "Beside people", ("accuracy of", "share right", "masks / images"), rows, " ".join([*designs, sam3])
    )


def _parts(card: Card, title: str, slicings: Sequence[str]) -> Table:
    shown = ("roc_auc", "ece", "accuracy", "good_share", "mean_score")
    rows = []
    for by in slicings:
        of_slice: dict[str, dict] = {}
        for row in _rows(card, slice_by=by):
            of_slice.setdefault(row["slice"], {})[row["figure"]] = row
        for name, found in of_slice.items():
            counts = (f"{found['roc_auc']['n_masks']:,}", f"{found['roc_auc']['n_images']:,}")
            rows.append((f"{SLICES[by]}: {name}", *counts, *(told(found[figure]) for figure in shown)))
    titles = ("part", "masks", "images", "ROC AUC", "ECE", "accuracy", "share good", "mean score")
    return Table(title, titles, rows)


def _thresholds(card: Card) -> Table:
    """Points of the curves that are nearest from above to round thresholds."""
    of = card.curves.filter(pc.equal(card.curves["of"], OF_VERIFIER)).to_pylist()
    rows = []
    for threshold in THRESHOLDS:
        point = [p for p in of if p["threshold"] >= threshold][-1]
        shares = ("good_accepted", "bad_accepted", "precision", "bad_precision")
        rows.append((f"{threshold:g}", *(_share(point[name]) for name in shares)))
    titles = (
        "score from",
        "of the good, accepted",
        "of the bad, accepted",
        "good among accepted",
        "bad among the others",
    )
    note = "Points of the ROC and precision-recall curves, without intervals: `curation route` promises."
    return Table("What a threshold would do", titles, rows, note)


def _calibration(card: Card) -> Table:
    rows = [
        (f"{row['mean_score']:.2f}", f"{row['good_share']:.2f}", f"{row['n_masks']:,}")
        for row in card.bins.to_pylist()
    ]
    return Table("Calibration", ("mean score of the bin", "share good", "masks"), rows)


def _share(value: float) -> str:
    return NONE if value is None or value != value else f"{100 * value:.1f} %"


def _rows(card: Card, **wanted: object) -> list[dict]:
    return [row for row in card.rows.to_pylist() if all(row[name] == value for name, value in wanted.items())]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.titles)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    note = f"<caption>{html.escape(table.note)}</caption>" if table.note else ""
    return (
        f'<h2>{html.escape(table.title)}</h2><div class="scroll"><table>{note}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _charts(card: Card) -> str:
    """ROC, precision-recall and calibration side by side."""
    from curation.report import charts

    try:
        drawn = {
            "ROC": _curve_chart(
                card, "bad_accepted", "good_accepted", "share of bad accepted", "share of good accepted"
            ),
            "Precision and recall": _curve_chart(
                card, "good_accepted", "precision", "share of good accepted", "share good among accepted"
            ),
            "Calibration": _calibration_chart(card),
        }
        figures = [
            f"<figure>{charts.inline_svg(chart, name.split()[0].lower())}<figcaption>{name}</figcaption></figure>"
            for name, chart in drawn.items()
        ]
    except MissingExtraError as error:
        return f'<p class="soft">No charts: {html.escape(str(error))}</p>'
    return f'<div class="charts">{"".join(figures)}</div>'


def _curve_chart(card: Card, x: str, y: str, x_title: str, y_title: str):
    from curation.report.charts import altair

    alt = altair()
    values = []
    for of in (OF_VERIFIER, *ALONE):
        points = card.curves.filter(pc.equal(card.curves["of"], of)).to_pylist()
        known = [p for p in points if p[x] == p[x] and p[y] == p[y]]
        step = max(1, len(known) // MOST_POINTS)
        chosen = [*known[::step], *known[-1:]]
        values += [{"score": NAMES[of], "place": k, "x": p[x], "y": p[y]} for k, p in enumerate(chosen)]
    scale = alt.Scale(domain=[0, 1])
    chart = alt.Chart(alt.Data(values=values)).mark_line(strokeWidth=2, interpolate="step-after")
    return chart.encode(
        alt.X("x:Q", title=x_title, scale=scale),
        alt.Y("y:Q", title=y_title, scale=scale),
        alt.Order("place:Q"),
        alt.Color(
            "score:N",
            sort=[NAMES[of] for of in (OF_VERIFIER, *ALONE)],
            legend=alt.Legend(title=None, orient="bottom", columns=1),
        ),
    ).properties(width=220, height=220)


def _calibration_chart(card: Card):
    from curation.report.charts import altair, colour

    alt = altair()
    scale = alt.Scale(domain=[0, 1])
    x = alt.X("mean_score:Q", title="mean score of the bin", scale=scale)
    y = alt.Y("good_share:Q", title="share good", scale=scale)
    ends = [{"mean_score": v, "good_share": v} for v in (0, 1)]
    diagonal = (
        alt.Chart(alt.Data(values=ends)).mark_line(strokeDash=[4, 4], color=colour("soft")).encode(x, y)
    )
    points = alt.Chart(alt.Data(values=card.bins.to_pylist())).mark_point(filled=True, opacity=1)
    points = points.encode(x, y, alt.Size("n_masks:Q", title="masks", legend=alt.Legend(orient="bottom")))
    return alt.layer(diagonal, points).properties(width=220, height=220)
