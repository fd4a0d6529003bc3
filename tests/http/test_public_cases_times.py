"""Times count from the first picture that is shown, whatever the container's clock says."""

import av
import make as samples
import pytest
import ramp

X264 = {"qp": "4", "g": "25", "bf": "2", "preset": "veryfast"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1:keyint=25:qp=4"}
FINE = {"bf": "2", "g": "25", "flags": "+qscale", "global_quality": "236"}

FILMS = {
    "matroska_that_starts_late": ("mkv", {"options": X264, "start_s": 3600}),
    "transport_stream_that_starts_late": ("ts", {"options": X264, "start_s": 3600}),
    "transport_stream_whose_clock_wraps": ("ts", {"options": X264, "start_s": 95442}),
    "webm_that_starts_late": ("webm", {"codec": "libvpx", "start_s": 300, "options": {
        "g": "25", "b": "2M", "deadline": "realtime", "cpu-used": "8"}}),
    "segment_of_a_live_stream": ("mp4", {"options": X264, "start_s": 1800, "container_options": {
        "movflags": "frag_keyframe+empty_moov+default_base_moof"}}),
    "avi_with_b_pictures": ("avi", {"codec": "mpeg4", "options": FINE}),
    "program_stream": ("mpg", {"codec": "mpeg2video", "options": FINE}),
    "raw_h264": ("h264", {"options": X264, "format": "h264"}),
    "raw_hevc": ("hevc", {"codec": "libx265", "options": X265, "format": "hevc"}),
    "fragmented_mp4": ("mp4", {"options": X264,
                               "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
}


def stored(server, path, **params):
    answer = server.upload(path, **params)
    assert answer.status_code == 201, answer.text
    return answer.json()


def number_at(server, video, seconds):
    answer = server.get(f"/v1/videos/{video['id']}/thumbnail", params={"t": seconds})
    assert answer.status_code == 200, answer.text
    return ramp.number_shown(answer.content)


@pytest.fixture(scope="module", params=FILMS)
def film(request, server, tmp_path_factory):
    suffix, recipe = FILMS[request.param]
    return stored(server, ramp.write(tmp_path_factory.mktemp("ramp") / f"film.{suffix}", **recipe))


@pytest.mark.parametrize("seconds, number", [(0, 0), (1, 25), (2, 50), (3.48, 87), (3.9, 97)])
def test_thumbnail_shows_the_picture_of_its_time(server, film, seconds, number):
    assert abs(number_at(server, film, seconds) - number) <= 1


def test_duration_is_that_of_the_pictures(film):
    assert film["media"]["duration_s"] == pytest.approx(4, abs=0.1)


def test_slow_fragmented_film_with_b_pictures_shows_the_picture_of_its_time(server, tmp_path):
    """The container's start is two pictures before the first that is shown: 0.4 s at 5 a second."""
    path = ramp.write(tmp_path / "slow.mp4", rate=5,
                      options=X264 | {"x264-params": "b-adapt=0:bframes=2"},
                      container_options={"movflags": "frag_keyframe+empty_moov"})
    video = stored(server, path)
    assert [number_at(server, video, t) for t in (0, 4, 10, 19)] == [0, 20, 50, 95]


def test_last_picture_that_is_held_counts_into_the_duration(server, tmp_path):
    """As a slide show or a screen recording ends: two seconds of film, the last picture for eight."""
    film = ramp.write(tmp_path / "film.mp4", n=50, options=X264 | {"bf": "0"})

    def hold_last(number, packet):
        if number == 49:
            packet.duration = int(8 / packet.time_base)
        return [packet]

    samples.remux(film, tmp_path / "held.mp4", hold_last)
    video = stored(server, tmp_path / "held.mp4")
    assert video["media"]["duration_s"] == pytest.approx(49 / 25 + 8, abs=0.05)
    assert abs(number_at(server, video, 9.5) - 49) <= 1


@pytest.mark.parametrize("second_start", [36_000, 90_000, 0], ids=["10-h", "25-h", "back"])
def test_clock_that_jumps_adds_nothing_to_the_duration(server, tmp_path, second_start):
    """A recording that went on after a pause of ten hours, or on a receiver whose clock was set."""
    parts = [ramp.write(tmp_path / f"{i}.ts", n=50, options=X264, start_s=start, first=50 * i)
             for i, start in enumerate((10, second_start))]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    video = stored(server, joined)
    assert video["media"]["duration_s"] == pytest.approx(4, abs=0.2)
    assert abs(number_at(server, video, 1) - 25) <= 1
    assert abs(number_at(server, video, 3) - 75) <= 2


def test_picture_far_away_is_no_length(server, tmp_path):
    """One time stamp that is wrong by an hour, in the middle of a film."""
    film = ramp.write(tmp_path / "film.mkv", options=X264 | {"bf": "0"})

    def one_far_away(number, packet):
        if number == 60:
            packet.pts += int(3600 / packet.time_base)
        return [packet]

    samples.remux(film, tmp_path / "far.ts", one_far_away)
    assert stored(server, tmp_path / "far.ts")["media"]["duration_s"] < 10


def test_last_picture_of_a_gif_is_shown_for_its_own_time(server, tmp_path):
    from PIL import Image

    pictures = [Image.fromarray(samples.picture(i, 64, 48, seed=930)) for i in range(4)]
    path = tmp_path / "slides.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[500, 500, 500, 3000])
    assert stored(server, path)["media"]["duration_s"] == pytest.approx(4.5, abs=0.05)


def test_clips_of_a_film_that_starts_late_lie_within_its_duration(server, tmp_path):
    path = ramp.write(tmp_path / "late.mkv", options=X264, start_s=7200, n=90)
    video = stored(server, path, clip="fixed:1,1,0.2")
    clips = video["clips"]
    assert clips[0]["start_s"] == 0
    assert clips[-1]["end_s"] == pytest.approx(3.6, abs=0.1)


def test_clip_of_matroska_with_b_pictures_can_be_copied(server, tmp_path):
    path = ramp.write(tmp_path / "b.mkv", options=X264, n=80)
    video = stored(server, path)
    answer = server.get(f"/v1/videos/{video['id']}/clips/0/content", params={"copy": "true"})
    assert answer.status_code == 200, answer.text
    (tmp_path / "clip.mp4").write_bytes(answer.content)
    with av.open(str(tmp_path / "clip.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 80
