"""Labels, notes and names are shown as text: nothing in the app makes HTML or code of words that came from elsewhere."""

import ast
import re
from pathlib import Path

import pytest

APPS = Path(__file__).parents[2] / "apps"
#: What makes HTML or code of a string, in Python and in the browser.
OF_PYTHON = re.compile(r"unsafe_allow|components\.v1|\beval\(|\bexec\(")
OF_BROWSER = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|DOMParser|createContextualFragment"
    r"|\beval\(|new Function|javascript:|dangerouslySet"
)


@pytest.mark.parametrize(("ending", "forbidden"), [(".py", OF_PYTHON), (".js", OF_BROWSER)])
def test_no_words_become_html_or_code(ending, forbidden):
    paths = sorted(APPS.rglob(f"*{ending}"))
    assert len(paths) > 10
    found = [
        f"{path.name}: {line}"
        for path in paths
        for line in path.read_text().splitlines()
        if forbidden.search(line)
    ]
    assert found == []


def test_html_is_written_by_us_alone():
    """`st.html` is given a constant of its module, never a string that is put together."""
    for path in sorted(APPS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            is_html = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "html"
            )
            if is_html and ast.unparse(node.func) == "st.html":
                assert [ast.unparse(argument) for argument in node.args] == ["STYLE"], path
