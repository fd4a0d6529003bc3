"""What a person does with the page: drop, read the verdict, look at neighbours, search, delete."""

import re
import time

import make as samples
import pytest
from playwright.sync_api import expect

DROP = """([names, contents]) => {
    const data = new DataTransfer();
    names.forEach((name, i) => {
        const bytes = Uint8Array.from(atob(contents[i]), (c) => c.charCodeAt(0));
        data.items.add(new File([bytes], name));
    });
    for (const type of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def drop(page, *paths):
    """As if the files were dropped beside the box."""
    import base64

    page.evaluate(DROP, [[p.name for p in paths], [base64.b64encode(p.read_bytes()).decode() for p in paths]])


def choose(page, *paths):
    page.locator("#files").set_input_files([str(path) for path in paths])


def wait_until(page, expression, seconds=180):
    """wait_for_function would evaluate text inside the page, which its policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.05)


def upload_row(page, name):
    return page.locator("#uploads > li", has=page.locator(".line .name", has_text=name))


def nearly(text):
    """The same text, in which each time may differ by 0.3 s and each share by 3 %."""
    def near(number):
        value = float(number[0])
        step = 1 if "." not in number[0] else 0.1
        values = [value + i * step for i in range(-3, 4)]
        return "(?:" + "|".join(re.escape(f"{v:.1f}" if step == 0.1 else f"{v:.0f}") for v in values) + ")"
    return re.compile("^" + re.sub(r"\d+(?:\\?\.\d)?", lambda m: near([m[0].replace("\\", "")]), re.escape(text)) + "$")


def test_empty_library_says_what_to_do(page, shot):
    expect(page.locator("#library-note")).to_have_text("No videos yet. Drop some above.")
    expect(page.locator("#status")).to_have_text("0 videos · tiny on cpu")
    shot("empty")


def test_dropped_files_are_stored_and_shown_with_thumbnails(page, film, server, shot):
    paths = [film(seed) for seed in (1, 2, 3)]
    drop(page, *paths)
    for path in paths:
        expect(upload_row(page, path.name)).to_contain_text("New: nothing like it was stored before.")
    expect(page.locator("#videos .card")).to_have_count(3)
    expect(page.locator("#status")).to_contain_text("3 videos")
    wait_until(page, "[...document.querySelectorAll('#videos img')].filter(i => i.naturalWidth > 100).length == 3")
    assert server.get("/v1/stats").json()["videos"] == 3
    shot("uploaded")


def test_upload_shows_its_nearest_videos(page, film, server):
    server.upload(film(1))
    server.upload(film(2))
    choose(page, film(3))
    expect(upload_row(page, "film 3.webm").locator(".card")).to_have_count(2)
    expect(upload_row(page, "film 3.webm").locator(".card").first).to_contain_text("Score")


def test_copy_is_told_with_the_name_of_its_original(page, film, server, shot):
    server.upload(film(1))
    choose(page, film(1, name="again.webm", bitrate="60k"))
    expect(upload_row(page, "again.webm")).to_contain_text("Copy of film 1.webm")
    expect(upload_row(page, "again.webm")).to_contain_text("of the overlapping frames match")
    expect(upload_row(page, "again.webm").locator("bdi")).to_have_text("film 1.webm")
    expect(upload_row(page, "again.webm").locator(".pair figcaption")).to_have_text(["again.webm", "film 1.webm"])
    wait_until(page, "[...document.querySelectorAll('.pair img')].filter(i => i.naturalWidth > 100).length == 2")
    shot("copy")


def test_same_file_is_told_and_not_stored_twice(page, film, server):
    server.upload(film(1))
    choose(page, film(1))
    expect(upload_row(page, "film 1.webm")).to_contain_text("The same file is already stored as film 1.webm.")
    expect(page.locator("#videos .card")).to_have_count(1)


def test_refused_copy_names_the_reason_and_the_original(page, film, server):
    server.upload(film(1))
    page.get_by_label("Do not store copies").check()
    choose(page, film(1, name="again.webm", bitrate="60k"))
    row = upload_row(page, "again.webm")
    expect(row.locator(".error")).to_contain_text("The same video is stored already as")
    row.locator(".pair").get_by_role("button", name="Open film 1.webm").click()
    expect(page.locator("#viewer-title")).to_have_text("film 1.webm")
    assert server.get("/v1/stats").json()["videos"] == 1


def test_file_that_is_no_video_shows_the_server_sentence(page, tmp_path, shot):
    bad = tmp_path / "notes.mp4"
    bad.write_text("not a film " * 100)
    choose(page, bad)
    expect(upload_row(page, "notes.mp4").locator(".error")).to_contain_text("not a video file")
    shot("refused")
    upload_row(page, "notes.mp4").get_by_role("button", name="Dismiss").click()
    expect(page.locator("#uploads > li")).to_have_count(0)
    page.faults.clear()


def test_file_names_are_text_and_never_markup(page, film, server):
    evil = "<img src=x onerror=document.title='owned'>.webm"
    server.upload(film(1), filename=evil)
    server.upload(film(2), metadata='{"<b>x</b>": "<script>1</script>"}')
    page.reload()
    card = page.locator("#videos .card", has_text="onerror")
    expect(card.locator(".name")).to_have_text(evil)
    card.get_by_role("button", name="Find similar").click()
    page.locator("#videos .card").first.locator(".picture").click()
    expect(page.locator("#facts")).to_contain_text("<script>1</script>")
    assert page.title() != "owned"
    assert page.locator("img[src=x]").count() == 0


def test_similar_videos_of_a_stored_one_are_listed_nearest_first(page, film, server, shot):
    for seed in (1, 2, 3, 4):
        server.upload(film(seed))
    page.reload()
    page.locator("#videos .card", has_text="film 2.webm").get_by_role("button", name="Find similar").click()
    expect(page.locator("#results-title")).to_have_text("Similar to film 2.webm")
    expect(page.locator("#hits .card")).to_have_count(3)
    scores = [float(text.removeprefix("Score "))
              for text in page.locator("#hits .quiet", has_text="Score").all_text_contents()]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    shot("similar")
    page.locator("#results-close").click()
    expect(page.locator("#results")).to_be_hidden()


def test_key_frames_are_told_of_hits_and_of_a_video(page, film, server):
    server.upload(film(1), frames="keyframes")
    server.upload(film(2))
    server.upload(film(3))
    page.reload()
    page.locator("#videos .card", has_text="film 2.webm").get_by_role("button", name="Find similar").click()
    expect(page.locator("#hits .card")).to_have_count(2)
    expect(page.locator("#hits .card", has_text="Key frames").locator(".name")).to_have_text(["film 1.webm"])
    for name, told in (("film 1.webm", 1), ("film 2.webm", 0)):
        page.locator("#videos .card", has_text=name).locator(".picture").click()
        facts = page.locator("#viewer #facts")
        expect(facts).to_contain_text("320 × 180")
        expect(facts.get_by_text("Made of key frames, not of exact frames")).to_have_count(told)
        page.keyboard.press("Escape")


def test_model_without_text_shows_no_box_for_it(page):
    expect(page.locator("#status")).to_have_text("0 videos · tiny on cpu")
    expect(page.locator("#ask")).to_be_hidden()


@pytest.mark.model("tiny-text")
def test_text_finds_videos_and_says_how_good_it_is(page, film, server, shot):
    for seed in (1, 2, 3):
        server.upload(film(seed))
    expect(page.locator("#ask-quality")).to_have_text("7 words")
    page.get_by_label("What to look for").fill("left <b>red</b>")
    page.keyboard.press("Enter")
    expect(page.locator("#results-title")).to_have_text("“left <b>red</b>”")
    expect(page.locator("#hits .card")).to_have_count(3)
    names = [hit["filename"] for hit in server.get("/v1/search", params={"q": "left <b>red</b>"}).json()["items"]]
    expect(page.locator("#hits .card .name")).to_have_text(names)
    shot("text")
    page.locator("#ask-text").fill("   ")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#results-title")).to_have_text("“left <b>red</b>”")


@pytest.mark.model("tiny-text")
def test_text_that_is_refused_shows_the_server_sentence(page, server):
    page.locator("#ask-text").fill("\u200b")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#results-note")).to_have_text("The text has no words.")
    page.faults.clear()


def test_video_opens_plays_and_its_clips_can_be_searched(page, film, server, shot):
    server.upload(film(1), clip="fixed:2", metadata='{"camera": 3}')
    server.upload(film(2))
    page.reload()
    page.locator("#videos .card", has_text="film 1.webm").locator(".picture").click()
    viewer = page.locator("#viewer")
    expect(viewer).to_be_visible()
    expect(viewer.locator("#facts")).to_contain_text("320 × 180")
    expect(viewer.locator("#facts")).to_contain_text('{"camera":3}')
    expect(viewer.locator("#clips li")).to_have_count(2)
    wait_until(page, "document.getElementById('player').videoWidth === 320")
    viewer.get_by_role("button", name="Play 2.0 s").click()
    wait_until(page, "document.getElementById('player').currentTime > 2")
    shot("viewer", full_page=False)
    viewer.get_by_role("button", name="Find similar to the clip 2.0 s").click()
    expect(viewer).to_be_hidden()
    expect(page.locator("#results-title")).to_contain_text("film 1.webm, 2.0 s")
    expect(page.locator("#hits .card .name")).to_have_text(["film 1.webm", "film 2.webm"])


@pytest.mark.model("tiny", "--evidence", "full")
def test_second_look_is_told_while_it_is_to_come_and_when_it_has_ended(page, film, server):
    server.upload(film(1))
    second = server.upload(film(2), evidence="wait").json()["id"]
    state = {"evidence": "pending"}

    def change(route):
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | state)
    page.route(f"**/v1/videos/{second}", change)
    page.reload()
    for state["evidence"], sentence in (("pending", "still to be compared"), ("failed", "could not be compared")):
        page.locator("#videos .card", has_text="film 2.webm").locator(".picture").click()
        expect(page.locator("#viewer-verdict")).to_contain_text(sentence)
        page.locator("#viewer-close").click()
    page.unroute(f"**/v1/videos/{second}")
    page.locator("#videos .card", has_text="film 2.webm").locator(".picture").click()
    expect(page.locator("#viewer-verdict")).not_to_contain_text("compared")
    page.get_by_text("Videos whose pictures were compared with these").click()
    expect(page.locator("#looks li")).to_contain_text(["film 1.webm: "])


def test_delete_asks_first_and_then_removes_everywhere(page, film, server, shot):
    server.upload(film(1))
    server.upload(film(2))
    page.reload()
    card = page.locator("#videos .card", has_text="film 1.webm")
    card.get_by_role("button", name="Delete").click()
    expect(page.locator("#confirm-text")).to_contain_text("film 1.webm")
    shot("confirm", full_page=False)
    page.get_by_role("button", name="Keep").click()
    assert server.get("/v1/stats").json()["videos"] == 2
    card.get_by_role("button", name="Delete").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#videos .card")).to_have_count(1)
    expect(page.locator("#status")).to_contain_text("1 video")
    assert page.evaluate("document.activeElement.id") == "library-title"
    assert server.get("/v1/stats").json()["videos"] == 1


def test_filters_narrow_the_library(page, film, server):
    for seed in (1, 2, 3):
        server.upload(film(seed))
    server.upload(film(1, name="again.webm", bitrate="60k"))
    page.reload()
    expect(page.locator("#videos .card")).to_have_count(4)
    page.locator("#filter-name").fill("FILM 2")
    expect(page.locator("#videos .card")).to_have_count(1)
    page.locator("#filter-name").fill("nothing like it")
    expect(page.locator("#library-note")).to_have_text("No videos match the filter.")
    page.locator("#filter-name").fill("")
    page.locator("#filter-verdict").select_option("copy")
    expect(page.locator("#videos .card .name")).to_have_text(["again.webm"])


def test_filter_in_json_narrows_library_and_searches(page, film, server, shot):
    for seed, camera in ((1, "front"), (2, "rear"), (3, "front")):
        server.upload(film(seed), metadata=f'{{"camera": "{camera}"}}')
    page.reload()
    expect(page.locator("#videos .card")).to_have_count(3)
    page.locator("#filters summary").click()
    page.locator("#filters-examples button").first.click()
    expect(page.locator("#filters-json")).to_have_value('{"metadata.camera":"front"}')
    expect(page.locator("#videos .card .name")).to_have_text(["film 3.webm", "film 1.webm"])
    shot("filters")
    page.locator("#videos .card", has_text="film 1.webm").get_by_role("button", name="Find similar").click()
    expect(page.locator("#hits .name")).to_have_text(["film 3.webm"])
    page.locator("#filters-clear").click()
    expect(page.locator("#videos .card")).to_have_count(3)


def test_filter_that_cannot_be_read_says_why(page, film, server):
    server.upload(film(1))
    page.reload()
    page.locator("#filters summary").click()
    page.locator("#filters-json").fill("camera = front")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#filters-note")).to_contain_text("This is not JSON.")
    page.locator("#filters-json").fill('{"camera": "front"}')
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#filters-note")).to_contain_text("metadata.NAME")
    page.locator("#filters-json").fill('{"metadata.camera": "front"}')
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#filters-note")).to_be_empty()
    expect(page.locator("#library-note")).to_have_text("No videos match the filter.")
    page.faults.clear()  # Chromium logs the 422


def test_keyboard_alone_reaches_and_closes_a_video(page, film, server):
    server.upload(film(1))
    page.reload()
    expect(page.locator("#videos .card")).to_have_count(1)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "picture":
            break
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Open film 1.webm"
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()


@pytest.mark.parametrize("width, scheme", [(360, "light"), (360, "dark"), (1100, "dark")])
def test_page_fits_its_width_in_both_colour_schemes(page, film, server, shot, width, scheme):
    server.upload(film(1, name="a rather long name without any space_" + "x" * 80 + ".webm"))
    server.upload(film(2))
    page.set_viewport_size({"width": width, "height": 780})
    page.emulate_media(color_scheme=scheme)
    page.reload()
    page.locator("#videos .card").first.get_by_role("button", name="Find similar").click()
    expect(page.locator("#hits .card")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shot(f"{scheme}-{width}")
    page.locator("#videos .card").first.locator(".picture").click()
    expect(page.locator("#viewer")).to_be_visible()
    assert page.evaluate("document.getElementById('viewer').scrollWidth <= innerWidth")
    shot(f"viewer-{scheme}-{width}", full_page=False)


def test_every_control_has_a_name_and_every_image_a_text(page, film, server):
    server.upload(film(1))
    page.reload()
    page.locator("#videos .card .picture").click()
    nameless = page.evaluate("""[...document.querySelectorAll('button, input, select, a, progress')].filter((e) =>
        !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)""")
    assert nameless == []
    assert page.evaluate("[...document.images].every((i) => i.hasAttribute('alt'))")


def test_server_that_is_gone_is_told(page, film, server, tmp_path):
    server.upload(film(1))
    page.reload()
    expect(page.locator("#videos .card")).to_have_count(1)
    server.stop()
    page.locator("#videos .card").get_by_role("button", name="Find similar").click()
    expect(page.locator("#results-note")).to_have_text("The server is not answering.")
    choose(page, film(2))
    expect(upload_row(page, "film 2.webm").locator(".error")).to_contain_text("Upload failed: the server stopped answering.")
    page.faults.clear()


@pytest.mark.model("tiny", "--store-hosts", "http://127.0.0.1:1")
def test_status_says_how_far_each_outside_store_is(page, server):
    """Port 1 has no store: what is there to send stays to be sent."""
    answer = server.post("/v1/stores", json={"name": "prod", "url": "qdrant+http://127.0.0.1:1/clips"})
    assert answer.status_code == 201
    server.upload(samples.small(1))
    page.reload()
    expect(page.locator("#status")).to_have_text("1 video · tiny on cpu · prod: 1 video to send")



@pytest.mark.parametrize("gone, text", [(False, "The server is not ready yet."),
                                        (True, "The server is not answering. Trying again…")])
def test_page_fills_itself_once_its_server_is_there(page, film, server, gone, text):
    server.upload(film(1))
    starting = {"status": 503, "json": {"detail": text}}
    page.route("**/v1/**", lambda route: route.abort() if gone else route.fulfill(**starting))
    page.reload()
    expect(page.locator("#status")).to_have_text(text)
    page.unroute("**/v1/**")
    expect(page.locator("#status")).to_have_text("1 video · tiny on cpu")
    expect(page.locator("#videos .card")).to_have_count(1)
    page.faults.clear()


def test_page_asks_nobody_but_its_server(page, film, server):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    server.upload(film(1))
    page.reload()
    page.locator("#videos .card .picture").click()
    wait_until(page, "document.getElementById('player').videoWidth === 320")
    assert asked and all(url.startswith((server.url, "blob:", "data:")) for url in asked)
    refused = page.evaluate("""() => new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI));
        fetch("http://localhost:9/");
    })""")
    assert refused.startswith("http://localhost:9")
    page.faults.clear()  # Chromium logs what the policy forbids


def test_many_videos_come_in_pages_which_an_upload_leaves_as_they_are(page, film, server, tmp_path):
    import make as samples

    for seed in range(50):
        path = tmp_path / f"c{seed}.mp4"
        samples.encode(path, "libx264", n=4, size=(64, 48), rate=4, seed=500 + seed)
        server.upload(path)
    page.reload()
    expect(page.locator("#videos .card")).to_have_count(48)
    page.locator("#more").click()
    expect(page.locator("#videos .card")).to_have_count(50)
    page.locator("#videos .card").last.get_by_role("button", name="Find similar").focus()
    drop(page, film(1))
    expect(page.locator("#videos .card")).to_have_count(51)
    expect(page.locator("#videos .card .name").first).to_have_text("film 1.webm")
    expect(page.locator("#more")).to_be_hidden()
    assert page.evaluate("document.activeElement.closest('.card').querySelector('.name').textContent") == "c0.mp4"


class Held:
    """The next request to an address waits until let go: a slow answer."""

    def __init__(self, page, address):
        self.routes = []
        page.route(address, lambda route: self.routes.append(route), times=1)

    def wait(self, page):
        deadline = time.monotonic() + 15
        while not self.routes:
            assert time.monotonic() < deadline
            page.wait_for_timeout(20)

    def let_go(self, page):
        """Returns once the page has had the answer."""
        for route in self.routes:
            with page.expect_response(route.request.url):
                route.continue_()
        page.wait_for_timeout(200)


def test_late_answer_of_an_older_search_is_dropped(page, film, server):
    for seed in (1, 2, 3):
        server.upload(film(seed))
    page.reload()
    held = Held(page, "**/v1/search")
    page.locator("#videos .card", has_text="film 1.webm").get_by_role("button", name="Find similar").click()
    held.wait(page)
    page.locator("#videos .card", has_text="film 2.webm").get_by_role("button", name="Find similar").click()
    expect(page.locator("#hits .card")).to_have_count(2)
    newer = page.locator("#hits .card .name").all_text_contents()
    held.let_go(page)
    expect(page.locator("#results-title")).to_have_text("Similar to film 2.webm")
    assert page.locator("#hits .card .name").all_text_contents() == newer


def test_late_answer_about_a_video_does_not_mix_with_the_one_open(page, film, server):
    slow = server.upload(film(1), metadata='{"which": "slow"}').json()["id"]
    server.upload(film(2), metadata='{"which": "quick"}')
    page.reload()
    held = Held(page, f"**/v1/videos/{slow}")
    page.locator("#videos .card", has_text="film 1.webm").locator(".picture").click()
    held.wait(page)
    expect(page.locator("#viewer-verdict")).to_have_text("Loading…")
    page.keyboard.press("Escape")
    page.locator("#videos .card", has_text="film 2.webm").locator(".picture").click()
    expect(page.locator("#facts")).to_contain_text("quick")
    held.let_go(page)
    expect(page.locator("#viewer-title")).to_have_text("film 2.webm")
    expect(page.locator("#facts")).to_contain_text("quick")


def test_answer_about_a_video_closed_meanwhile_opens_nothing(page, film, server):
    slow = server.upload(film(1)).json()["id"]
    page.reload()
    held = Held(page, f"**/v1/videos/{slow}")
    page.locator("#videos .picture").click()
    held.wait(page)
    page.keyboard.press("Escape")
    held.let_go(page)
    expect(page.locator("#viewer")).to_be_hidden()
    assert not page.evaluate("document.getElementById('player').hasAttribute('src')")


@pytest.mark.model("slow", "--clip", "fixed:0.2")
def test_work_on_a_video_is_shown_and_cancel_ends_it_on_the_server(page, film, server, shot):
    choose(page, film(1, name="longest.webm", n=600))
    row = upload_row(page, "longest.webm")
    expect(row).to_contain_text("Decoding frames: ")
    assert 0 <= row.get_by_role("progressbar").evaluate("bar => bar.value") < 1
    shot("working")
    row.get_by_role("button", name="Cancel longest.webm").click()
    expect(row).to_have_count(0)
    job, = server.get("/v1/jobs").json()["items"]
    assert job["state"] == "cancelled"
    expect(page.locator("#videos .card")).to_have_count(0)


@pytest.mark.model("slow", "--clip", "fixed:0.2")
def test_verdict_comes_though_the_server_was_gone_meanwhile(page, film, server):
    choose(page, film(1, name="longer.webm", n=200))
    row = upload_row(page, "longer.webm")
    expect(row).to_contain_text("Decoding frames")
    row.get_by_role("button", name="Cancel longer.webm").focus()
    page.route("**/v1/**", lambda route: route.abort())
    expect(row).to_contain_text("The server is not answering. Trying again…")
    page.unroute("**/v1/**")
    expect(row).to_contain_text("New: nothing like it was stored before.")
    expect(row.get_by_role("button", name="Dismiss longer.webm")).to_be_focused()
    page.faults.clear()


def test_same_file_twice_at_once_is_stored_once_and_both_are_told(page, film, server, tmp_path):
    twin = tmp_path / "twin.webm"
    twin.write_bytes(film(1).read_bytes())
    drop(page, film(1), twin)
    expect(page.locator("#uploads-count")).to_have_text("2 of 2 files finished")
    expect(page.locator("#uploads > li", has_text="New: nothing like it")).to_have_count(1)
    expect(page.locator("#uploads > li", has_text="The same file is already stored")).to_have_count(1)
    expect(page.locator("#videos .card")).to_have_count(1)
    page.get_by_role("button", name="Clear finished").click()
    expect(page.locator("#uploads > li")).to_have_count(0)
    expect(page.locator("#uploads-bar")).to_be_hidden()


def test_upload_that_broke_can_be_tried_again(page, film, server):
    page.route("**/v1/videos", lambda route: route.abort(), times=1)
    choose(page, film(1))
    row = upload_row(page, "film 1.webm")
    expect(row.locator(".error")).to_contain_text("Upload failed: the server stopped answering.")
    row.get_by_role("button", name="Try again film 1.webm").click()
    expect(row).to_contain_text("New: nothing like it was stored before.")
    page.faults.clear()


def test_file_that_cannot_be_read_is_told_apart_from_a_server_that_is_gone(page, film, server, tmp_path):
    path = tmp_path / "moved.webm"
    path.write_bytes(film(1).read_bytes())
    page.evaluate("document.getElementById('files').onchange = null")  # hold the file back
    choose(page, path)
    path.unlink()
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.items.add(document.getElementById("files").files[0]);
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    expect(upload_row(page, "moved.webm").locator(".error")).to_contain_text("the file cannot be read")
    page.faults.clear()


def test_dropped_folder_is_refused_before_anything_is_sent(page, film, server):
    page.evaluate("""() => {
        const isDirectory = (item) => item.getAsFile().name === "bikes";
        DataTransferItem.prototype.webkitGetAsEntry = function () { return {isDirectory: isDirectory(this)}; };
        const data = new DataTransfer();
        data.items.add(new File([], "bikes"));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    expect(upload_row(page, "bikes").locator(".error")).to_have_text(
        "bikes/ is a folder. Drop the files in it instead.")
    expect(upload_row(page, "bikes").get_by_role("button", name="Try again")).to_have_count(0)
    assert server.get("/v1/jobs").json()["items"] == []


def test_player_says_that_the_server_is_gone_and_not_that_the_format_is_wrong(page, film, server):
    server.upload(film(1))
    page.reload()
    expect(page.locator("#videos .picture")).to_have_count(1)
    page.route("**/v1/**", lambda route: route.abort())
    page.locator("#videos .picture").click()
    expect(page.locator("#player-note")).to_have_text("The server is not answering. Trying again…")
    page.unroute("**/v1/**")
    wait_until(page, "document.getElementById('player').videoWidth === 320")
    expect(page.locator("#player-note")).to_have_text("")
    page.faults.clear()


def test_deletion_that_fails_says_so_where_it_was_asked_for(page, film, server):
    server.upload(film(1))
    page.reload()
    page.route("**/v1/videos/*", lambda route: route.abort(), times=1)
    page.get_by_role("button", name="Delete film 1.webm").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#confirm-note")).to_have_text("The server is not answering.")
    page.locator("#confirm-yes").click()
    expect(page.locator("#confirm")).to_be_hidden()
    expect(page.locator("#videos .card")).to_have_count(0)
    page.faults.clear()


def test_closed_results_give_the_focus_back(page, film, server):
    server.upload(film(1))
    page.reload()
    page.get_by_role("button", name="Find similar to film 1.webm").click()
    expect(page.locator("#results-note")).to_have_text("No other videos are stored yet.")
    page.locator("#results-close").click()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Find similar to film 1.webm"


def test_original_of_a_copy_opens_from_it(page, film, server):
    server.upload(film(1))
    server.upload(film(1, name="again.webm", bitrate="60k"))
    page.reload()
    page.get_by_role("button", name="Open again.webm").click()
    page.get_by_role("button", name="Open the original").click()
    expect(page.locator("#viewer-title")).to_have_text("film 1.webm")
    expect(page.locator("#viewer-verdict")).to_contain_text("nothing like it was stored.")
    expect(page.locator("#viewer-original")).to_be_hidden()


@pytest.mark.parametrize("name, stored, new, text", [
    ("part_of", [("zoom", 0, 10)], [("zoom", 3, 5)], "All of this video is in stored.webm, at 3.0 s – 8.0 s."),
    ("contains", [("zoom", 4, 4)], [("zoom", 0, 12)],
     "This video contains all of stored.webm, at 4.0 s – 8.0 s. The other 66 % of it is not in that video."),
    ("shared_segment", [("zoom", 0, 6), ("cells", 0, 6)], [("zoom", 0, 6), ("cells", 20, 12)],
     "6.0 s of this video (33 %) are also in stored.webm (50 % of that one). The rest of both is different."),
])
def test_relation_is_told_with_its_place_and_opens_the_other_video(page, cut, server, shot, name, stored, new, text):
    server.upload(cut("stored.webm", *stored))
    choose(page, cut(f"{name}.webm", *new))
    row = upload_row(page, f"{name}.webm")
    expect(row.locator(".verdict")).to_have_text(nearly(text))
    expect(row.locator(".pair figcaption")).to_have_text([f"{name}.webm", "stored.webm"])
    shot(name)
    page.locator("#videos").get_by_role("button", name=f"Open {name}.webm").click()
    expect(page.locator("#viewer-verdict")).to_have_text(nearly(text))
    shot(f"{name}-viewer", full_page=False)
    page.get_by_role("button", name="Open the other video").click()
    expect(page.locator("#viewer-title")).to_have_text("stored.webm")


def test_copies_added_later_are_listed_with_their_place(page, cut, server, shot):
    server.upload(cut("original.webm", ("zoom", 0, 10)))
    page.reload()
    page.get_by_role("button", name="Open original.webm").click()
    expect(page.locator("#facts")).to_contain_text("160 × 90")
    expect(page.locator("#viewer-later")).to_be_hidden()
    page.keyboard.press("Escape")
    server.upload(cut("again.webm", ("zoom", 0, 10), crf=40))
    page.get_by_role("button", name="Open original.webm").click()
    expect(page.locator("#later-title")).to_have_text("A copy was added later")
    page.keyboard.press("Escape")
    server.upload(cut("part.webm", ("zoom", 2, 6)))
    page.get_by_role("button", name="Open original.webm").click()
    expect(page.locator("#later-title")).to_have_text("2 copies or parts of it were added later")
    expect(page.locator("#later bdi")).to_have_text(["part.webm", "again.webm"])
    expect(page.locator("#later .quiet")).to_have_text([nearly("Part of this video, at 2.0 s – 8.0 s"), "The same video"])
    page.locator("#later").scroll_into_view_if_needed()
    shot("later", full_page=False)
    page.get_by_role("button", name="Open part.webm").last.click()
    expect(page.locator("#viewer-title")).to_have_text("part.webm")
    expect(page.locator("#viewer-later")).to_be_hidden()


def test_many_copies_added_later_come_in_pages(page, film, server):
    server.upload(film(1))
    for bitrate in range(40, 52):
        server.upload(film(1, name=f"again {bitrate}.webm", bitrate=f"{bitrate}k"))
    page.reload()
    page.get_by_role("button", name="Open film 1.webm").click()
    expect(page.locator("#later-title")).to_have_text("12 copies or parts of it were added later")
    expect(page.locator("#later li")).to_have_count(10)
    page.locator("#later-more").click()
    expect(page.locator("#later li")).to_have_count(12)
    expect(page.locator("#later-more")).to_be_hidden()


def test_clip_plays_from_its_start_to_its_end(page, film, server):
    server.upload(film(1), clip="fixed:1")
    page.reload()
    page.locator("#videos .picture").click()
    page.get_by_role("button", name="Play 2.0 s – 3.0 s").click()
    wait_until(page, "document.getElementById('player').currentTime > 2")
    wait_until(page, "document.getElementById('player').paused && !document.getElementById('player').seeking")
    assert 2.9 < page.evaluate("document.getElementById('player').currentTime") < 3


def test_file_that_the_browser_cannot_play_is_played_clip_by_clip(page, server):
    from make import sample

    server.upload(sample("mpeg4_b.avi"))
    page.reload()
    page.locator("#videos .picture").click()
    expect(page.locator("#player-note")).to_have_text(
        "Your browser cannot play this format. Press Play beside a clip to see it converted.")
    page.get_by_role("button", name="Play 0.0 s").click()
    wait_until(page, "document.getElementById('player').currentTime > 0.5")


@pytest.mark.model("tiny-text")
def test_clusters_are_found_drawn_and_narrow_the_library(page, film, server, shot):
    for seed in range(60, 66):
        assert server.upload(film(seed)).status_code == 201
    page.reload()
    page.click("#clusters summary")
    page.fill("#clusters-k", "2")
    page.click("#clusters-find")
    cards = page.locator("#clusters-list li")
    cards.nth(1).wait_for()
    assert cards.count() == 2 and "k = 2 was asked for" in page.inner_text("#clusters-facts")
    painted = "() => { const c = document.querySelector('#clusters-points');" \
              " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((byte) => byte > 0); }"
    page.wait_for_function(painted)
    shot("clusters")
    sizes = [int(text.split()[0]) for text in cards.locator(".body .quiet:nth-child(2)").all_inner_texts()]
    assert sum(sizes) == 6
    cards.nth(0).get_by_role("button", name="Show videos").click()
    page.wait_for_function("(n) => document.querySelectorAll('#videos > li').length === n", arg=sizes[0])
    page.click("#clusters-delete")
    page.wait_for_selector("#clusters-one", state="hidden")
    assert server.get("/v1/clusters").json()["items"] == []
