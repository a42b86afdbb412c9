"""Masks as pictures: a piece of the image with the mask and its gold drawn over it, as in the report."""

from dataclasses import dataclass

import streamlit as st

from apps.review import reports
from curation import conditions
from curation.lake import Lake
from curation.report.page import examples
from curation.report.page.words import plain

PICTURES_A_PAGE = 15
#: Shown width of a picture, in px: three beside each other on a screen of 1280 px, five on one of 1920.
PICTURE_WIDTH = 338
LEGEND = "Magenta, filled: the mask. Yellow, outline: the gold mask that it agrees with most."
VIEW = "shown_masks"


@dataclass(frozen=True)
class Group:
    """Masks that a condition over `conditions.create_view` chooses, in the order of `order` (SQL)."""

    where: str
    order: str = "mask_id"


def show(group: Group, words: str, key: str) -> list[int]:
    """A page of the group's pictures, `words` about it, and controls to turn it; returns the ids on the page."""
    n_masks = reports.ask(count, group)
    if not n_masks:
        st.info("No mask of this group is current: those that there were have been corrected.")
        return []
    n_pages = -(-n_masks // PICTURES_A_PAGE)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.caption(f"{words}. {LEGEND}", width="content")
        page = _page(n_pages, key)
    rows = reports.ask(members, group, page)
    with st.container(horizontal=True, gap="small"):
        for row in rows:
            _picture(row)
    return [row["mask_id"] for row in rows]


def count(lake: Lake, group: Group) -> int:
    """Masks of the group that nothing has superseded."""
    conditions.create_view(lake.con, VIEW, [group.where])
    return lake.con.execute(f"SELECT count(*) FROM {VIEW} WHERE ({group.where})").fetchone()[0]


def members(lake: Lake, group: Group, page: int) -> list[dict]:
    """The masks of a page (from 0), with what is told below a picture."""
    sql = f"""
        SELECT
            mask_id, run_id, gold_run_id, image_id, file_name, area_px, predicted_iou, gold_iou, error_kind
        FROM {VIEW}
        WHERE ({group.where})
        ORDER BY {group.order}, mask_id
        LIMIT {PICTURES_A_PAGE} OFFSET {int(page) * PICTURES_A_PAGE}
    """
    conditions.create_view(lake.con, VIEW, [sql])
    return lake.query(sql).to_pylist()


def picture(lake: Lake, run_id: int, mask_id: int, gold_run_id: int | None) -> tuple[bytes | None, str]:
    """The picture of a mask as JPEG, or why there is none."""
    row = {"run_id": run_id, "mask_id": mask_id, "gold_run_id": gold_run_id}
    return examples.drawing(examples.stored(lake, row))


def told(row: dict) -> str:
    """What is known of a mask, in words that stand below its picture."""
    known = (
        ("IoU with gold", row["gold_iou"]),
        ("predicted", row["predicted_iou"]),
    )
    words = [f"{name} {plain(value)}" for name, value in known if value is not None]
    return " · ".join([*words, f"{plain(row['area_px'])} px"])


def _page(n_pages: int, key: str) -> int:
    """The page that is turned to, from 0."""
    if n_pages == 1:
        return 0
    number = st.number_input(
        f"Page of {n_pages:,}", 1, n_pages, key=f"{key}_page", width=160, help="Arrow keys turn the page."
    )
    return number - 1


def _picture(row: dict) -> None:
    jpeg, problem = reports.ask(picture, row["run_id"], row["mask_id"], row["gold_run_id"])
    name = row["file_name"] or f"image {row['image_id']}"
    with st.container(width=PICTURE_WIDTH, gap="xxsmall"):
        if jpeg is None:
            st.warning(f"mask {row['mask_id']}: no picture")
            st.text(problem)
        else:
            alt = f"Mask {row['mask_id']} on {name}: {told(row)}"
            st.image(jpeg, width=PICTURE_WIDTH, alt=alt)
        st.text(name)
        st.caption(told(row))
