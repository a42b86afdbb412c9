"""Routings on a terminal."""

from collections.abc import Iterator


def of_promise(row: dict) -> Iterator[str]:
    """What is promised, on what; or what is missing."""
    yield f"{row['routing']}: {row['verifier'] or row['score']}, {row['method']}; {row['design']}"
    labels = f"{row['n_calibration_masks']:,} labelled masks of {row['n_calibration_images']:,} images"
    if row["accept_from"] is None:
        yield f"Cannot promise that yet: at most {_percent(row['max_bad'])} bad with {_percent(row['confidence'])}, on {labels}."
        yield _missing(row)
    elif row["max_bad"] is None:
        yield f"Fixed thresholds, no promise; judged by {labels}."
        yield f"accept from {row['accept_from']:.4g}: {_share(row, 'bad_share', 'bad_share_bound', 'bad')}"
    else:
        yield (
            f"Promised with {_percent(row['confidence'])}, on {labels}: at most {_percent(row['max_bad'])} of the accepted "
            "masks are bad."
        )
        yield f"accept from {row['accept_from']:.4g}: {_share(row, 'bad_share', 'bad_share_bound', 'bad')}"
    if row["reject_below"] is not None:
        yield f"reject below {row['reject_below']:.4g}: {_share(row, 'good_lost_share', 'good_lost_bound', 'good')}"
    else:
        yield "nothing is rejected"


def of_savings(row: dict) -> str:
    """Reviews saved, and hours where verdicts tell how long one takes."""
    text = f"{row['n_saved']:,} of {row['n_masks']:,} reviews saved, {row['n_review']:,} left"
    if row["seconds_per_mask"] is None:
        return f"{text}; no verdicts yet that would tell how long one takes"
    text += f"; {row['hours_saved']:.2f} h saved"
    if row["hours_saved_low"] is not None:
        text += f" [{row['hours_saved_low']:.2f}, {row['hours_saved_high']:.2f}]"
    return f"{text} at {row['seconds_per_mask']:.1f} s a mask"


def _missing(row: dict) -> str:
    if row["more_reviews"] is None:
        return (
            "No number of reviews would do: even the masks with the best scores are bad as often as that, or nearly. Take a "
            "better score, or allow more."
        )
    if not row["n_calibration_masks"]:
        return f"There are no labels: at least {row['more_reviews']:,} reviews, and every one of them good, are needed. Draw them with `curation sample draw`."
    text = f"About {_about(row['more_reviews'])} more reviews, drawn as these, are needed; on other images fewer will do. "
    if row["design"].startswith("for images"):
        text += "For these very masks, --population frame asks for fewer. "
    return text + "No mask is accepted until then."


def _about(number: int) -> str:
    """Two digits, as many as a forecast has."""
    return f"{float(f'{number:.2g}'):,.0f}"


def _share(row: dict, share: str, bound: str, what: str) -> str:
    if row[share] is None:
        return f"no labelled mask is there, share of {what} ones unknown"
    return f"{_percent(row[share])} {what} among labelled ones, at most {_percent(row[bound])}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
