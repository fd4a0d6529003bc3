"""The documents are as long as they should be, and what they name exists."""

import re
import subprocess

import pytest
from tree import REPO

DOCUMENTS = subprocess.run(["git", "ls-files", "*.md"], cwd=REPO, check=True, capture_output=True,
                           text=True).stdout.split()
MAX_LINES = {"README.md": 120, ".github/CONTRIBUTING.md": 120}


@pytest.mark.parametrize("path", MAX_LINES)
def test_document_is_short_enough_to_be_read(path):
    assert len((REPO / path).read_text().splitlines()) <= MAX_LINES[path]


def headings(text):
    """The anchors that GitHub gives the headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS)
def test_links_lead_to_files_and_headings(path):
    text = (REPO / path).read_text()
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        file = (REPO / path).parent / name if name else REPO / path
        assert file.exists(), target
        assert not anchor or anchor in headings(file.read_text()), target


@pytest.mark.parametrize("path", DOCUMENTS)
def test_files_that_a_document_names_exist(path):
    """A path in backquotes: from the root, from src/ or from the document's folder."""
    places = (REPO / path).parent, REPO, REPO / "src"
    names = r"`((?:src|api|web|models|tests|\.github|\.\.)/[\w./-]*\w/?|[a-z_]+/[\w/]+\.[ch])`"
    for name in re.findall(names, (REPO / path).read_text()):
        assert any((place / name).exists() for place in places), name


def test_map_of_the_code_names_every_folder_in_the_order_of_the_build():
    order = re.search(r"modules = \[(.*?)\]", (REPO / "src/meson.build").read_text(), re.S).group(1)
    table = (REPO / "src/README.md").read_text().split("## One upload")[0]
    assert re.findall(r"^\| `(\w+)/`", table, re.M) == re.findall(r"'(\w+)'", order)
