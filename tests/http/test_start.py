"""vidx serve before it serves: what it says while it starts, and why it does not."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import assert_problem
from server import BINARY, Server, wait_until


def serve(*flags, env=None, **paths):
    """The exit code and what a serve that cannot start writes."""
    done = subprocess.run([BINARY, "serve", *flags], capture_output=True, text=True, timeout=180,
                          env={**os.environ, **(env or {})}, **paths)
    return done.returncode, done.stderr


@pytest.fixture
def held(tmp_path, tiny_model):
    """A server whose start is held up by its model's file, a pipe, and what lets it go on."""
    models = tmp_path / "models"
    shutil.copytree(tiny_model / "tiny", models / "tiny")
    file, kept = models / "tiny" / "video.pt", models / "kept"
    file.rename(kept)
    os.mkfifo(file)
    server = Server(tmp_path / "data", models)
    with server.log.open("wb") as log:
        server.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--data", server.data, "--models", models, "--model", "tiny"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    found = wait_until(lambda: re.search(r" starting .*url=\S+:(\d+)", server.tail()), "no start")
    server.url = f"http://127.0.0.1:{found.group(1)}"

    def opened():  # None before the server has opened it
        with contextlib.suppress(OSError):
            return os.open(file, os.O_WRONLY | os.O_NONBLOCK)

    pipe = wait_until(opened, "the model's file is not read")
    os.set_blocking(pipe, True)

    def let_go():
        content = kept.read_bytes()
        kept.replace(file)  # what is opened from now on
        with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb", buffering=0) as out:
            out.write(content)

    yield server, let_go
    server.kill()


def test_server_that_starts_is_live_and_not_ready(held, clip):
    server, let_go = held
    assert server.get("/v1/health/live").json() == {"status": "live"}
    assert_problem(server.get("/v1/health/ready"), 503, "not-ready")
    for answer in [server.get("/v1/videos"), server.get("/v1/metrics"), server.upload(clip(1)),
                   server.delete("/v1/videos/v1"), server.post("/v1/search", json={"text": "x"})]:
        assert_problem(answer, 503, "not-ready")
        assert int(answer.headers["Retry-After"]) > 0
    assert server.get("/").status_code == 200
    let_go()
    wait_until(lambda: server.get("/v1/health/ready").status_code == 200, "never ready")
    assert server.upload(clip(1)).status_code == 201
    assert server.stop() == 0


def test_signal_during_the_start_drains_it(held):
    server, let_go = held
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: " stopping signal=15" in server.tail(), "the signal was not noticed")
    let_go()
    assert server.process.wait(20) == 0
    assert "start=unfinished" not in server.tail() and " listening " not in server.tail()


def test_signal_during_a_start_that_hangs_ends_it(held):
    server, _ = held
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


def test_second_signal_during_the_start_ends_it_at_once(held):
    server, _ = held
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: " stopping signal=15" in server.tail(), "the signal was not noticed")
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(2) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE])
def test_signal_that_asks_for_nothing_is_ignored(server, number):
    server.process.send_signal(number)
    time.sleep(0.2)
    assert server.get("/v1/health/ready").status_code == 200


@pytest.mark.parametrize("flags, words", [
    (["--model", "none"], "The model none is not in "),
    (["--model", "cuts"], "cuts/manifest.json: kind is of a package that gives no vectors; name another model"),
    (["--model", "internvideo2-1b"], "Get it with: ./dev model internvideo2-1b --download"),
    (["--model", "auto"], "get one with: ./dev model efficientnet-lite0"),
    (["--model", "tiny", "--device", "gpu"], "device 'gpu' is not auto, cpu or cuda:N"),
    (["--data", "/proc/x"], "/proc/x"),
])
def test_what_keeps_it_from_starting_is_said_in_a_sentence(tmp_path, tiny_model, flags, words):
    models = shutil.copytree(tiny_model / "tiny", tmp_path / "models" / "tiny").parent
    (models / "cuts").mkdir()
    (models / "cuts" / "manifest.json").write_text('{"format": 1, "kind": "shots"}')
    code, text = serve("--listen", "127.0.0.1:0", "--data", tmp_path / "data", "--models", models, *flags)
    assert code == 1
    assert words in text.splitlines()[-1]


def test_second_server_on_a_port_says_what_to_do(server):
    code, text = serve("--listen", server.url.removeprefix("http://"))
    assert code == 1
    assert "another program uses this port; stop it, or choose another port with --listen" in text


@pytest.mark.parametrize("flags, words", [
    (["--nonsense"], "there is no option --nonsense"),
    (["--listen"], "--listen needs a value: --listen HOST:PORT"),
    (["--fetch-http=1"], "--fetch-http takes no value"),
    (["stray"], "'stray' is not an option"),
    (["--queue", "many"], "--queue must be a whole number from 0, not 'many'"),
    (["--clip", "parts"], "--clip: 'parts' is not a clip rule. Use auto, whole, fixed:10"),
    (["--log-level", "loud"], "--log-level must be debug, info, warn or error"),
    (["--config", "/nowhere.json"], "/nowhere.json: No such file or directory"),
])
def test_wrong_usage_names_the_option_and_exits_with_2(flags, words):
    code, text = serve(*flags)
    assert code == 2
    assert words in text
    assert len(text.splitlines()) == 1


def test_configuration_file_and_environment_set_what_flags_set(tmp_path, tiny_model):
    config = tmp_path / "vidx.json"
    config.write_text('{"listen": "127.0.0.1:0", "max-json": "1k", "queue": 7}')
    code, text = serve("--config", config, env={"VIDX_QUEUE": "none"})
    assert (code, text) == (2, "vidx serve: VIDX_QUEUE must be a whole number from 0, not 'none'\n")
    server = Server(tmp_path / "data", tiny_model, flags=["--config", config], env={"VIDX_CONFIG": "/unread"})
    with server:
        body = {"text": "x" * 2000}
        assert_problem(server.post("/v1/search", json=body), 413, "body-too-large", "1024 bytes")


def test_catalog_is_readable_by_its_owner_alone(tmp_path, tiny_model):
    """Names and metadata may be private. Files of older versions are closed at the next start."""
    server = Server(tmp_path / "data", tiny_model)
    for _ in range(2):
        server.start()
        assert server.get("/v1/videos").status_code == 200
        files = sorted(server.data.glob("catalog.db*"))
        assert {file.name for file in files} >= {"catalog.db", "catalog.db-wal", "catalog.db-shm", "catalog.db.lock"}
        assert [file.name for file in files if file.stat().st_mode & 0o077] == []
        server.kill()  # its log stays
        for file in server.data.glob("catalog.db*"):
            file.chmod(0o644)
