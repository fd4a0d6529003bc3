"""Imports on the page: how far they are, the rows that were refused; and videos that are vectors alone."""

import io
import json

import numpy as np
from playwright.sync_api import expect

LONG_MS = 180_000
DIM = 64


def unit(n):
    made = np.random.default_rng(n).standard_normal((n, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def send(server, vectors, rows=None, name="v.npy", wait="true"):
    out = io.BytesIO()
    np.save(out, vectors)
    files = {"file": (name, out.getvalue())} | ({"rows": ("rows.jsonl", rows)} if rows else {})
    return server.http.post(f"{server.url}/v1/import", files=files, data={"model": "tiny", "wait": wait})


def test_import_is_shown_with_its_refused_rows_and_can_be_cancelled(page, server, shot):
    expect(page.locator("#imports")).to_be_hidden()
    wrong = unit(30)
    wrong[10:] = np.nan
    assert send(server, unit(20), name="good.npy").status_code == 200
    assert send(server, wrong, name="wrong.npy").status_code == 422
    send(server, unit(400_000), name="large.npy", wait="false")  # ten seconds: the page asks every other one
    page.reload()
    page.locator("#imports > summary").click()
    large, bad, good = (page.locator("#imports-list > li").nth(i) for i in range(3))
    expect(bad).to_contain_text("20 of 30 rows cannot be imported, and nothing was stored.")
    bad.get_by_text("Refused rows").click()
    expect(bad.locator("details li").first).to_contain_text("Row 11: number 0 of the vector is not finite")
    expect(large).to_contain_text("Storing", timeout=LONG_MS)
    shot("imports")
    page.get_by_label("Cancel the import of large.npy").click()
    expect(large).to_contain_text("Cancelled", timeout=LONG_MS)
    expect(good).to_contain_text("20 videos stored, 20 vectors")
    expect(bad.locator("details[open]")).to_be_visible()


def test_video_without_a_file_shows_what_is_known_and_no_player(page, server, film, shot):
    rows = "".join(json.dumps(row) + "\n" for row in (
        {"video_id": "a", "filename": "known.mp4", "start_s": 0, "end_s": 2, "duration_s": 4},
        {"video_id": "a", "filename": "known.mp4", "start_s": 2, "end_s": 4, "duration_s": 4}, {"filename": "bare.mp4"}))
    assert send(server, unit(3), rows.encode()).status_code == 200
    server.upload(film(1))
    page.reload()
    card = page.locator("#videos > li", has_text="known.mp4")
    expect(card.locator(".picture")).to_have_text("Vectors only0:04")
    expect(card.locator("img")).to_have_count(0)
    expect(page.locator("#videos > li", has_text="bare.mp4")).not_to_contain_text("null")
    card.locator(".picture").click()
    expect(page.locator("#player-note")).to_have_text("It was imported as vectors: there is no file to play.")
    expect(page.locator("#player")).to_be_hidden()
    expect(page.locator("#download")).to_be_hidden()
    expect(page.locator("#facts dt")).to_have_text(["Length", "Stored", "Id"])
    expect(page.locator("#clips > li")).to_have_count(2)
    expect(page.locator("#clips").get_by_label("Play")).to_have_count(0)
    expect(page.locator("#viewer")).not_to_contain_text("null")
    shot("vectors_only")
    page.locator("#clips").get_by_label("Find similar").first.click()
    expect(page.locator("#hits > li")).to_have_count(3)
    shot("vectors_only_hits")
    page.locator("#results-close").click()
    page.locator("#videos > li", has_text="film 1").locator(".picture").click()
    expect(page.locator("#player")).to_be_visible()
    expect(page.locator("#facts dt").first).to_have_text("Format")
