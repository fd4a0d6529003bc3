"""The README's curl lines do what they say when they are pasted."""

import re
import shutil
import subprocess

import make as samples

ROOT = samples.ROOT


def curl_block():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    block = next(b for b in blocks if b.startswith("S="))
    first, rest = block.split("\n", 1)
    assert first == "S=http://127.0.0.1:8000"
    return rest


def test_curl_lines_pasted_answer_what_their_comments_say(start, tmp_path):
    server = start(model="tiny-text")
    for name, sample in {"clip.mp4": "h264_closed.mp4", "copy.mkv": "hevc_closed.mkv",
                         "long.mp4": "h264_long_gop.mp4", "unknown.mp4": "h264_vfr.mp4"}.items():
        shutil.copy(samples.sample(sample), tmp_path / name)
    # Each curl also reports its status, on stderr, and nothing else of the lines is changed.
    script = (f"S={server.url}\n"
              "curl() { command curl -s -w '%{stderr}%{http_code}\\n' \"$@\"; }\n" + curl_block())
    done = subprocess.run(["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    statuses = [int(line) for line in done.stderr.split()]
    assert statuses == [201, 200, 409, 202, 200, 200, 200, 200, 200, 200, 200, 204], done.stdout
