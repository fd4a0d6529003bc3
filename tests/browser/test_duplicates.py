"""Duplicates on the page: scan, look, see what would go, delete, undo."""

import json
import subprocess

import pytest
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two films, each large and small; the second's copy in a trash folder."""
    folder = tmp_path_factory.mktemp("films")
    made = []
    for name, source in (("harbour", "mandelbrot=s=640x360:r=25"), ("street", "testsrc2=s=640x360:r=25")):
        for size in ("640x360", "320x180"):
            path = folder / f"{name} {size}.mp4"
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", source, "-t", "5", "-vf", f"scale={size}",
                            "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", path], check=True)
            made.append(path)
    return made


@pytest.fixture
def opened(page, server, films):
    for film in films:
        video = server.upload(film).json()
        if film.name == "street 320x180.mp4":
            server.patch(f"/v1/videos/{video['id']}", json={"filename": f"Trash/{film.name}"})
    page.reload()
    page.locator("#duplicates > summary").click()
    expect(page.locator("#dup-sum")).to_have_text("No groups. Scan to look for duplicates.")
    page.locator("#dup-scan").click()
    expect(page.locator("#dup-scan-note")).to_have_text("Compared 4 new videos with 4.", timeout=60_000)
    expect(page.locator("#dup-groups > li")).to_have_count(2)
    return page


def videos(server):
    return sorted(v["filename"] for v in server.get("/v1/videos").json()["items"])


def test_groups_show_the_keeper_and_why(opened, server, shot):
    expect(opened.locator("#dup-scan-note")).to_have_text("Compared 4 new videos with 4.")
    group = opened.locator("#dup-groups > li", has_text="harbour 640x360.mp4").first
    expect(group).to_contain_text("it has the largest picture: 640 × 360, the next has 320 × 180")
    expect(group.locator(".stays")).to_contain_text("harbour 640x360.mp4")
    expect(group.locator(".goes")).to_contain_text("Copy")
    expect(opened.locator("#dup-groups > li", has_text="street")).to_contain_text("the others are in trash or hidden folders")
    shot("duplicates")


def test_delete_shows_what_would_go_and_can_be_undone(opened, server, films, shot):
    group = opened.locator("#dup-groups > li", has_text="harbour").first
    group.get_by_text("Delete the copies…").click()
    expect(group.locator(".plan")).to_contain_text("harbour 320x180.mp4")
    shot("duplicates-dry-run")
    group.get_by_text("Delete 1 video").click()
    expect(opened.locator("#dup-groups > li")).to_have_count(1)
    expect(opened.locator("#dup-done")).to_contain_text("will be deleted in 60 seconds")
    assert len(videos(server)) == 4
    opened.locator("#dup-done").get_by_text("Undo").click()
    expect(opened.locator("#dup-groups > li")).to_have_count(2)
    assert server.get("/v1/duplicate-decisions").json()["items"] == []


def test_question_about_a_group_stays_open_when_a_scan_ends(opened, server):
    group = opened.locator("#dup-groups > li", has_text="harbour").first
    group.get_by_text("Delete the copies…").click()
    expect(group.locator(".plan")).to_contain_text("harbour 320x180.mp4")
    with opened.expect_response(lambda response: "/v1/duplicates?" in response.url):
        opened.locator("#dup-scan").click()
        expect(opened.locator("#dup-scan-note")).to_have_text("Compared 0 new videos with 4.", timeout=60_000)
    group.get_by_text("Delete 1 video").click()
    expect(opened.locator("#dup-groups > li")).to_have_count(1)
    assert len(server.get("/v1/duplicate-decisions").json()["items"]) == 1


def test_not_duplicates_leaves_the_list_and_stays_away(opened, server):
    opened.locator("#dup-groups > li", has_text="harbour").first.get_by_text("Not duplicates").click()
    expect(opened.locator("#dup-groups > li")).to_have_count(1)
    opened.locator("#dup-scan").click()
    expect(opened.locator("#dup-scan-note")).to_have_text("Compared 0 new videos with 4.")
    expect(opened.locator("#dup-groups > li")).to_have_count(1)


def test_all_groups_can_be_decided_at_once(opened, server):
    opened.locator("#dup-all").click()
    expect(opened.locator("#dup-plan")).to_contain_text("In 2 groups")
    opened.get_by_text("Delete all of them").click()
    expect(opened.locator("#dup-done")).to_contain_text("2 videos")
    expect(opened.locator("#dup-groups > li")).to_have_count(0)
    decisions = server.get("/v1/duplicate-decisions").json()["items"]
    assert [d["action"] for d in decisions] == ["delete", "delete"] and all(d["pending"] == 1 for d in decisions), json.dumps(decisions)


def test_names_of_files_are_text_and_never_markup(opened, server):
    video = server.get("/v1/videos", params={"filename": "harbour 640"}).json()["items"][0]
    server.patch(f"/v1/videos/{video['id']}", json={"filename": '<img src=x onerror="document.title=1">.mp4'})
    opened.locator("#dup-keep").select_option("longest")
    expect(opened.locator("#dup-groups")).to_contain_text('<img src=x onerror="document.title=1">.mp4')
    assert opened.title() == "vidx – video index"
