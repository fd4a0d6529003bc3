"""Folders in place on the page: how far they are, what is wrong with them, and what deleting does there."""

import shutil

import pytest
from playwright.sync_api import expect
from server import Server

LONG_MS = 180_000


@pytest.fixture
def folder(tmp_path, film):
    path = tmp_path / "nas"
    path.mkdir()
    for i in (1, 2):
        shutil.copyfile(film(i), path / f"film {i}.webm")
    (path / "broken.mp4").write_text("no video")
    return path


@pytest.fixture
def server(tmp_path, tiny_model, folder):
    with Server(tmp_path / "data", tiny_model, flags=["--folder", str(folder), "--folder-quiet", "0.2"]) as server:
        yield server


def test_folder_is_shown_and_followed(page, server, folder, film, shot):
    expect(page.locator("#videos > li")).to_have_count(2, timeout=LONG_MS)
    page.locator("#folders > summary").click()
    item = page.locator("#folders-list > li")
    expect(item.locator("h3")).to_have_text("nas")
    expect(item).to_contain_text("2 videos indexed", timeout=LONG_MS)
    item.get_by_text("1 could not be read").click()
    expect(item.locator("details li")).to_contain_text("broken.mp4: ")
    shot("folders")
    page.locator("#videos .picture").first.click()
    expect(page.locator("#facts")).to_contain_text("nas/film")
    page.locator("#viewer-close").click()
    shutil.copyfile(film(3), folder / "film 3.webm")
    expect(page.locator("#videos > li")).to_have_count(3, timeout=LONG_MS)


def test_deleting_says_that_the_file_stays(page, server, folder):
    expect(page.locator("#videos > li")).to_have_count(2, timeout=LONG_MS)
    page.get_by_label("Delete film 1.webm").click()
    expect(page.locator("#confirm-text")).to_contain_text("stays where it is, and is not indexed again")
    page.locator("#confirm-yes").click()
    expect(page.locator("#videos > li")).to_have_count(1)
    assert (folder / "film 1.webm").exists()
    page.reload()
    page.locator("#folders > summary").click()
    page.locator("#folders-list").get_by_text("1 deleted from the index, still there").click()
    expect(page.locator("#folders-list details[open] li")).to_have_text("film 1.webm")
