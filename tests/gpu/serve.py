"""The program on a CUDA device, from outside: which model and batch it takes, its vectors against those
of the CPU, shots, searches, backfill, vidx embed, and what it does when memory runs out.

    tests/gpu/packages.py build/models-gpu cosmos-embed1-224p cosmos-embed1-336p …
    pytest tests/gpu/serve.py

Every package of build/models and of build/models-gpu ($VIDX_GPU_MODELS) is compared. Needs a program built
against a torch with CUDA ($VIDX_BIN, else build/release/vidx) and its GPU; skipped elsewhere.
"""
import base64
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/harness"))
import server as harness  # noqa: E402
from server import BINARY, Server  # noqa: E402

DEFAULT = "efficientnet-lite0"
CLIPS = ("bikes.mp4", "bigbuckbunny.mp4")  # a large model takes many seconds a clip on a CPU
FLOORS = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999, "fp8": 0.999}  # of the cosine, to float32 on the CPU
harness.START_SECONDS = max(harness.START_SECONDS, 300)  # gigabytes are digested and loaded


def gpu():
    """The name of the first GPU; None without one, or without the program."""
    if not shutil.which("nvidia-smi") or not BINARY.exists():
        return None
    run = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
                         capture_output=True, text=True, check=False)
    return run.stdout.splitlines()[0] if run.returncode == 0 and run.stdout else None


def n_gpus():
    if not shutil.which("nvidia-smi"):
        return 0
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout.count("GPU ")


pytestmark = pytest.mark.skipif(not gpu(), reason="no NVIDIA GPU, or no build/release/vidx")


def real(name):
    path = ROOT / "build/samples/real" / name
    if not path.exists():
        import make

        make.real(name)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with all packages, as links: tests change the manifests in copies of it."""
    folder = tmp_path_factory.mktemp("models")
    large = Path(os.environ.get("VIDX_GPU_MODELS", ROOT / "build/models-gpu"))
    for source in (ROOT / "build/models", large):
        for manifest in source.glob("*/manifest.json"):
            link(manifest.parent, folder, lambda facts: facts)
    return folder


def link(package, folder, change):
    """folder/NAME: the package's files as links, its manifest changed."""
    target = folder / package.name
    target.mkdir(parents=True)
    for file in package.iterdir():
        (target / file.name).symlink_to(file.resolve())
    facts = change(json.loads((package / "manifest.json").read_text()))
    (target / "manifest.json").unlink()
    (target / "manifest.json").write_text(json.dumps(facts))


def names(models):
    """The video models, the default last, as --model wants them."""
    found = sorted(path.parent.name for path in models.glob("*/manifest.json")
                   if "video" in json.loads(path.read_text()))
    return [name for name in found if name != DEFAULT] + [DEFAULT]


def listed(server):
    return {item["name"]: item for item in server.get("/v1/models").json()["items"]}


def upload(server, path, **params):
    answer = server.upload(path, **params)
    assert answer.status_code == 201, answer.text
    return answer.json()


def vectors(server, video, model):
    answer = server.get(f"/v1/videos/{video['id']}/vectors", params={"model": model})
    assert answer.status_code == 200, answer.text
    return np.array([item["vector"] for item in answer.json()["items"]])


def least_cosine(a, b):
    return float((a * b).sum(1).min())


def in_float32(facts):
    return facts | {"video": [way for way in facts["video"] if way["dtype"] == "fp32"]}


@pytest.fixture(scope="module")
def reference(models, tmp_path_factory):
    """{model: float32 vectors of CLIPS by the CPU}"""
    root = tmp_path_factory.mktemp("cpu")
    for name in names(models):
        link(models / name, root / "models", in_float32)
    with Server(root / "data", root / "models", ",".join(names(models)), ["--device", "cpu"]) as cpu:
        videos = [upload(cpu, real(name), clip="whole") for name in CLIPS]
        large = [item for item in listed(cpu).values() if item["name"] != DEFAULT]
        assert all("slow for this model" in item["device_note"] for item in large), large
        assert ("slow for this model" in cpu.log.read_text()) == bool(large)
        return {name: np.concatenate([vectors(cpu, video, name) for video in videos])
                for name in names(models)}


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    """All models on the one GPU."""
    data = tmp_path_factory.mktemp("gpu") / "data"
    with Server(data, models, ",".join(names(models))) as server:
        for item in listed(server).values():
            print({key: item[key] for key in ("name", "device", "dtype", "weights_bytes", "run_bytes",
                                              "batch", "max_batch")})
        yield server


@pytest.fixture(scope="module")
def videos(server):
    return [upload(server, real(name), clip="whole") for name in CLIPS]


# ---- what runs where ------------------------------------------------------------------------------

def test_auto_takes_the_best_package_that_the_gpu_carries(models, tmp_path):
    order = ["cosmos-embed1-336p", "cosmos-embed1-448p", "cosmos-embed1-224p", "internvideo2-1b", DEFAULT]
    best = next(name for name in order if (models / name).exists())
    with Server(tmp_path / "data", models, "auto") as server:
        (name, item), = listed(server).items()
        assert (name, item["device"]) == (best, "cuda:0")
        assert best == DEFAULT or item["chosen"] == "the best one present that the GPU carries"


def test_models_share_the_gpu_and_tell_what_they_take(server, models):
    items = listed(server)
    assert list(items) == names(models)
    for item in items.values():
        assert item["device"] == "cuda:0" and item["device_note"] is None
        assert item["kernels_note"] is None
        for pool in (item["slots"], item["graphs"]):
            assert 0 <= pool["count"] <= pool["max"] and pool["max"] > 0
        assert item["run_bytes"] > 0 and 1 <= item["batch"] <= item["max_batch"]


def test_gpu_that_decodes_has_the_kernels(server):
    gpu = server.get("/v1/models").json()["gpu"]
    assert gpu["name"] and gpu["kernels_note"] is None, gpu
    assert gpu["decoders"]["count"] <= gpu["decoders"]["max"]
    for pool in (gpu["decoders"], gpu["pictures"]):
        assert 0 <= pool["bytes"] <= pool["max_bytes"]


def test_model_that_needs_more_memory_is_refused_with_both_figures(models, tmp_path):
    def starve(facts):
        return facts | {"video": [way | ({"memory_bytes": 1 << 42} if way["device"] == "cuda" else {})
                                  for way in facts["video"]]}

    link(models / DEFAULT, tmp_path / "models", starve)
    command = [BINARY, "serve", "--data", tmp_path / "data", "--models", tmp_path / "models",
               "--listen", "127.0.0.1:0", "--model", DEFAULT]
    run = subprocess.run([*command, "--device", "cuda:0"], capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "GiB of memory free of" in run.stderr, run.stderr
    assert "4096.0 are needed" in run.stderr, run.stderr
    with Server(tmp_path / "data", tmp_path / "models", DEFAULT) as server:
        assert listed(server)[DEFAULT]["device"] == "cpu"


# ---- the same as the CPU's ------------------------------------------------------------------------

def test_vectors_are_those_of_the_cpu(server, videos, models, reference):
    for name, item in listed(server).items():
        found = np.concatenate([vectors(server, video, name) for video in videos])
        cosine = least_cosine(found, reference[name])
        print(f"{name} {item['dtype']}: {cosine:.7f}")
        assert cosine >= FLOORS[item["dtype"]], name


def test_float32_vectors_are_those_of_the_cpu(models, reference, tmp_path):
    for name in names(models):
        link(models / name, tmp_path / "models", in_float32)
    with Server(tmp_path / "data", tmp_path / "models", ",".join(names(models))) as server:
        stored = [upload(server, real(name), clip="whole") for name in CLIPS]
        for name, item in listed(server).items():
            found = np.concatenate([vectors(server, video, name) for video in stored])
            cosine = least_cosine(found, reference[name])
            print(f"{name} {item['dtype']}: {cosine:.7f}")
            assert item["dtype"] == "fp32" and cosine >= FLOORS["fp32"], name


def test_shots_are_those_of_the_cpu(server, tmp_path):
    film = real("film.mp4")
    found = upload(server, film, clip="shots")["clips"]
    assert "model=transnetv2 device=cuda:0" in server.log.read_text()
    with Server(tmp_path / "data", ROOT / "build/models", DEFAULT, ["--device", "cpu"]) as cpu:
        wanted = upload(cpu, film, clip="shots")["clips"]
    assert [(clip["start_s"], clip["end_s"]) for clip in found] == \
        [(clip["start_s"], clip["end_s"]) for clip in wanted] and len(found) > 10


@pytest.mark.skipif(n_gpus() < 2, reason="fewer than two NVIDIA GPUs")
def test_several_gpus_share_the_work_and_give_the_vectors_of_one(models, server, videos, tmp_path):
    n = 8 * n_gpus()
    files = [changed(tmp_path, CLIPS[i % len(CLIPS)], i) for i in range(n)]
    with Server(tmp_path / "data", models, DEFAULT, ["--device", "all"]) as several:
        with ThreadPoolExecutor(n) as pool:
            stored = list(pool.map(lambda file: upload(several, file, clip="whole"), files))
        devices = listed(several)[DEFAULT]["devices"]
        assert len(devices) == n_gpus() and all(each["state"] == "ready" for each in devices), devices
        assert all(each["clips"] > 1 for each in devices), devices  # one each is the check at the start
        for i, video in enumerate(stored):
            wanted = vectors(server, videos[i % len(CLIPS)], DEFAULT)
            assert least_cosine(vectors(several, video, DEFAULT), wanted) > 0.99999


# ---- searches and embeddings ----------------------------------------------------------------------

def test_file_and_text_are_searched(server, videos):
    for name, item in listed(server).items():
        with real(CLIPS[0]).open("rb") as file:
            answer = server.post("/v1/search", files={"file": file}, data={"k": "2", "model": name})
        hit = answer.json()["items"][0]
        assert hit["video_id"] == videos[0]["id"] and hit["score"] > 0.999, (name, answer.text)
        if item["text"]:
            answer = server.post("/v1/search", json={"text": "a man on a bicycle", "model": name})
            assert answer.status_code == 200 and len(answer.json()["items"]) >= 2, answer.text


def test_embeddings_are_the_stored_vectors_and_texts_do_not_depend_on_company(server, videos):
    data = "data:video/mp4;base64," + base64.b64encode(real(CLIPS[0]).read_bytes()).decode()
    texts = ["a dog", "two people talk in a kitchen", "drone footage of a ship " * 20]
    for name, item in listed(server).items():
        def embed(input, request_type):
            answer = server.post("/v1/embeddings", json={"input": input, "model": name,
                                                         "request_type": request_type})
            assert answer.status_code == 200, answer.text
            return np.array([row["embedding"] for row in answer.json()["data"]])

        assert least_cosine(embed(data, "query"), vectors(server, videos[0], name)) > 0.9999, name
        if item["text"]:
            alone = np.concatenate([embed(text, "query") for text in texts])
            assert least_cosine(embed(texts, "bulk_text"), alone) > 0.99999, name


def test_backfill_runs_on_the_gpu(models, tmp_path):
    first, late = DEFAULT, names(models)[0]
    if first == late:
        pytest.skip("one model alone")
    with Server(tmp_path / "data", models, first) as server:
        stored = [upload(server, real(name), clip="whole") for name in CLIPS]
    with Server(tmp_path / "data", models, f"{first},{late}") as server:
        assert listed(server)[late]["missing"] == len(CLIPS)
        job = server.post(f"/v1/models/{late}/backfill").json()
        assert server.wait_for_job(job["id"], 120)["state"] == "done"
        assert listed(server)[late]["missing"] == 0
        assert listed(server)[late]["device"] == "cuda:0"
        found = [vectors(server, video, late) for video in stored]
        fresh = [vectors(server, upload(server, changed(tmp_path, name), clip="whole"), late)
                 for name in CLIPS]
        assert least_cosine(np.concatenate(found), np.concatenate(fresh)) > 0.9999


def changed(folder, name, number=0):
    """The clip with other bytes: a box at its end that players skip."""
    path = folder / f"{number}-{name}"
    path.write_bytes(real(name).read_bytes() + (12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big"))
    return path


# ---- without a server -----------------------------------------------------------------------------

def test_embed_runs_on_the_gpu_and_writes_clips(models, server, videos, tmp_path):
    (tmp_path / "in").mkdir()
    for name in CLIPS:
        shutil.copy(real(name), tmp_path / "in" / name)
    name = names(models)[0]
    run = subprocess.run([BINARY, "embed", "--input", tmp_path / "in", "--output", tmp_path / "out",
                          "--models", models, "--model", name, "--clip", "whole", "--write-clips"],
                         capture_output=True, text=True, check=False)
    print(run.stdout + run.stderr)
    assert run.returncode == 0 and "cuda:0" in run.stdout + run.stderr
    rows = np.load(tmp_path / "out/embeddings.npy")
    files = [json.loads(line)["file"] for line in (tmp_path / "out/clips.jsonl").open()]
    wanted = np.concatenate([vectors(server, videos[CLIPS.index(file)], name) for file in files])
    assert least_cosine(rows, wanted) > 0.9999
    assert len(list((tmp_path / "out/clips").glob("*.mp4"))) == len(CLIPS)


def test_nvenc_cuts_clips_where_the_driver_has_it(server, videos, models, tmp_path):
    with Server(tmp_path / "data", models, DEFAULT, ["--encoder", "h264_nvenc"]) as nvenc:
        video = upload(nvenc, real("film.mp4"), clip="fixed:7")
        answer = nvenc.get(f"/v1/videos/{video['id']}/clips/1/content")
        if answer.status_code == 501 or "encoder h264_nvenc is not available" in answer.text:
            pytest.skip(answer.text)
        assert answer.status_code == 200 and answer.content[4:8] == b"ftyp", answer.text


# ---- when memory runs out -------------------------------------------------------------------------

HOG = """
import sys, time, torch
held, leave = [], int(sys.argv[1])
while torch.cuda.mem_get_info()[0] > leave + (64 << 20):
    held.append(torch.empty(min(1 << 30, torch.cuda.mem_get_info()[0] - leave - (32 << 20)),
                            dtype=torch.uint8, device="cuda"))
print(torch.cuda.mem_get_info()[0], flush=True)
time.sleep(600)
"""


@pytest.fixture
def hog():
    """hog(leave) takes the GPU's memory but for that many bytes, until the test ends."""
    started = []

    def start(leave):
        started.append(subprocess.Popen([os.environ.get("PYTHON", sys.executable), "-c", HOG, str(leave)],
                                        stdout=subprocess.PIPE, text=True))
        return int(started[0].stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_batch_without_room_is_halved_and_every_clip_gets_its_vector(models, hog, tmp_path):
    """The largest batch is what fitted at start; then another process takes the memory."""
    name = names(models)[0]
    link(models / name, tmp_path / "models", lambda facts: facts | {
        "video": [way | {"max_batch": 64} for way in facts["video"] if way["device"] == "cuda"]})
    with Server(tmp_path / "data", tmp_path / "models", name, ["--clip", "fixed:2"]) as server:
        before = listed(server)[name]
        wanted = vectors(server, upload(server, real("film.mp4")), name)
        assert listed(server)[name]["out_of_memory"] == 0
    with Server(tmp_path / "late", tmp_path / "models", name, ["--clip", "fixed:2"]) as server:
        left = hog(2 * before["run_bytes"])
        copies = [changed(tmp_path, "film.mp4", i) for i in range(16)]
        with ThreadPoolExecutor(len(copies)) as pool:
            stored = list(pool.map(lambda path: server_upload(server, path), copies))
        after = listed(server)[name]
        print(f"{left / 2**20:.0f} MiB left: batch {before['batch']} became {after['batch']} "
              f"after {after['out_of_memory']} failures")
        assert after["out_of_memory"] > 0 and after["batch"] < before["batch"]
        for video in stored:
            assert least_cosine(vectors(server, video, name), wanted) > 0.999


def server_upload(server, path):
    """From a thread of its own: a session of requests is one thread's."""
    import requests

    with path.open("rb") as file:
        answer = requests.post(f"{server.url}/v1/videos", params={"filename": path.name}, data=file,
                               timeout=300)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_decoders_without_room_are_done_without(models, hog, tmp_path):
    """No memory is left when the first video comes: the CPU decodes, and says so."""
    with Server(tmp_path / "data", models, DEFAULT) as server:
        wanted = vectors(server, upload(server, real(CLIPS[0]), clip="whole"), DEFAULT)
    with Server(tmp_path / "late", models, DEFAULT) as server:
        hog(listed(server)[DEFAULT]["run_bytes"] + (64 << 20))
        for name in CLIPS:
            video = upload(server, real(name), clip="whole")
            assert video["decode"]["path"] in ("cpu", "nvdec", "mixed")
        found = vectors(server, upload(server, changed(tmp_path, CLIPS[0]), clip="whole"), DEFAULT)
        assert least_cosine(found, wanted) > 0.999


# ---- what breaks off ------------------------------------------------------------------------------

def damaged(folder, name, at):
    """The clip with 2000 bytes of pictures changed, at that share of the file."""
    data = bytearray(real(name).read_bytes())
    start = int(at * len(data))
    for i in range(start, start + 2000):
        data[i] ^= 0x5A
    path = folder / f"damaged-{at}-{name}"
    path.write_bytes(data)
    return path


def test_damaged_videos_are_answered_as_the_cpu_answers_them(models, tmp_path):
    import requests

    answers = []
    files = [damaged(tmp_path, name, at) for name in CLIPS for at in (0.2, 0.5, 0.7)]
    for device in ("cuda:0", "cpu"):
        with Server(tmp_path / device[:3], models, DEFAULT, ["--device", device]) as server:
            answers.append([])
            for file in files:
                with file.open("rb") as body:
                    answer = requests.post(f"{server.url}/v1/videos", params={"filename": file.name, "clip": "whole"},
                                           data=body, timeout=300)
                answers[-1].append((answer.status_code, answer.json().get("detail")))
                if answer.ok:
                    answers[-1][-1] += (answer.json()["decode"]["frames_total"],)
            assert server.get("/v1/health/ready").status_code == 200
    assert answers[0] == answers[1]


def test_job_is_cancelled_while_the_gpu_decodes(server, tmp_path):
    jobs = []
    for i in range(8):
        with changed(tmp_path, "film.mp4", 100 + i).open("rb") as file:
            answer = server.post("/v1/videos", params={"filename": "film.mp4", "wait": "false", "clip": "fixed:2"},
                                 data=file)
        assert answer.status_code == 202, answer.text
        jobs.append(answer.json()["id"])
    for job in jobs[::2]:
        assert server.delete(f"/v1/jobs/{job}").status_code in (200, 202, 204, 409)
    states = [server.wait_for_job(job, 300)["state"] for job in jobs]
    assert set(states[1::2]) == {"done"} and set(states[::2]) <= {"done", "cancelled"}, states


def test_server_stops_under_load_and_keeps_what_it_acknowledged(models, tmp_path):
    import requests

    kept, refused = [], []
    with Server(tmp_path / "data", models, DEFAULT) as server:
        def send(number):
            path = changed(tmp_path, CLIPS[number % 2], 200 + number)
            try:
                with path.open("rb") as file:
                    answer = requests.post(f"{server.url}/v1/videos", params={"filename": path.name}, data=file,
                                           timeout=120)
                (kept if answer.status_code == 201 else refused).append(answer.json())
            except requests.RequestException as error:
                refused.append(error)

        with ThreadPoolExecutor(32) as pool:
            sent = [pool.submit(send, number) for number in range(256)]
            while len(kept) < 24:
                assert not all(one.done() for one in sent), refused[:3]
            assert server.stop() == 0
    assert refused, "all were answered before it stopped"
    with Server(tmp_path / "data", models, DEFAULT) as server:
        for video in kept:
            assert server.get(f"/v1/videos/{video['id']}").status_code == 200
