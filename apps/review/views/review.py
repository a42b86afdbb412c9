"""Is this mask good? One mask at a time, judged with the keyboard."""

import streamlit as st

from apps.review import access, data, routes
from curation.settings import REVIEW

#: The modules of the component are files of this server; Streamlit itself takes one script.
LOADER = """
export default async function (component) {
  const { mount } = await import(new URL(component.data.module, window.location.origin).href);
  return mount(component);
}
"""
#: The page is the component: what Streamlit leaves free around it is given to the picture.
STYLE = """
<style>
  .stMainBlockContainer { padding: 4rem 1.25rem 0; max-width: none; }
  .stMainBlockContainer > .stVerticalBlock { gap: 0; }
</style>
"""

_component = st.components.v2.component(
    "curation_review", css=(routes.COMPONENT / "review.css").read_text("utf-8"), js=LOADER
)


def show(person: access.Person) -> None:
    samples = [row for row in data.samples(person.rater) if not row["is_batch"]]
    if not samples:
        st.title("Nothing to judge yet")
        st.write("Draw a sample of masks, then judge it here:")
        st.code("curation sample draw NAME --design srs --size 200", language="bash")
        return
    st.html(STYLE)
    sample = _chosen([row["sample"] for row in samples])
    base = st.get_option("server.baseUrlPath").strip("/")
    base = f"/{base}/" if base else "/"
    _component(
        key="review",
        data={
            "module": f"{base}review/component/{routes.component_version()}/review.js",
            "base": base,
            "token": access.issue(person, data.secret()),
            "workspace": access.workspace_key(data.root()),
            "rater": person.rater,
            "may_adjudicate": person.role == "curator",
            "samples": [{name: row[name] for name in ("sample", "n_masks", "is_done")} for row in samples],
            "sample": sample,
            "reasons": list(REVIEW.reasons),
            "at_once": REVIEW.tasks_at_once,
            "lease_s": REVIEW.lease_s,
            "break_after_min": data.rules().break_after_min,
        },
        default={"sample": sample},
        on_sample_change=lambda: None,
    )
    if st.query_params.get("sample") != sample:
        st.query_params["sample"] = sample  # so that a reload, or a link to this page, shows it again


def _chosen(names: list[str]) -> str:
    """The sample that the component or the address names; else the first."""
    for named in (st.session_state.get("review", {}).get("sample"), st.query_params.get("sample")):
        if named in names:
            return named
    return names[0]
