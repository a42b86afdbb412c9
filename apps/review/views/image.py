"""Is everything on this image masked? All masks of an image at once, and what the model missed."""

import streamlit as st

from apps.review import access, data, drawing_page
from curation.lake import Lake

_component = drawing_page.component("curation_image")


def show(person: access.Person) -> None:
    with data.lake() as lake:
        runs = runs_with_images(lake)
    if not runs:
        st.title("No images yet", anchor=False)
        st.write("Make masks with `curation generate`, or bring some with `curation import`.")
        return
    named = st.query_params.get("run", "")
    numbers = [run["run_id"] for run in runs]
    _component(
        key="image",
        data={
            **drawing_page.told(person, "image.js"),
            "runs": runs,
            "run_id": int(named) if named.isdecimal() and int(named) in numbers else numbers[0],
            "image": st.query_params.get("image"),
        },
    )


def runs_with_images(lake: Lake) -> list[dict[str, object]]:
    """Runs whose masks can be looked at image by image, the newest first: all but gold and corrections."""
    rows = lake.query("""
        SELECT run_id, kind, model, stage, cycle
        FROM runs
        WHERE kind NOT IN ('gold', 'correct') AND run_id IN (SELECT run_id FROM images)
        ORDER BY run_id DESC
    """).to_pylist()
    return [
        {
            "run_id": row["run_id"],
            "label": " · ".join(
                str(word)
                for word in (f"run {row['run_id']}", row["kind"], row["model"], row["stage"])
                if word
            ),
        }
        for row in rows
    ]
