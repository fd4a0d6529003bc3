"""POST /v1/embeddings: OpenAI's shape and client, NVIDIA's inputs and request types.

The oracles: PyTorch with the package's modules for texts and pictures, the stored vectors of the same
file for videos.
"""

import base64
import io
import json
import struct

import make as samples
import numpy as np
import openai
import pytest
import torch
from PIL import Image
from server import Server
from test_search_text import vector_of  # noqa: F401  (a fixture)

VIDEO = "data:video/mp4;base64,"
FRAMES = "data:video_frames/jpg;base64,"


@pytest.fixture(scope="module")
def server(start):
    return start(model="tiny-text")


def base64_of(data):
    return base64.b64encode(data).decode()


def embed(server, input, **more):
    answer = server.post("/v1/embeddings", json={"input": input, "model": "tiny-text"} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def vectors_of(answer):
    assert answer["object"] == "list"
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    assert {item["object"] for item in answer["data"]} == {"embedding"}
    vectors = np.array([item["embedding"] for item in answer["data"]], np.float32)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    return vectors


def assert_error(answer, status, code, *words, param="input"):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert (error["code"], error["param"]) == (code, param), error
    for word in words:
        assert word.lower() in error["message"].lower(), error


def pictures(seed, n=8, size=(160, 120), quality=90):
    """n JPEG files of smooth pictures in motion; whole chroma, as decoders scale it up differently."""
    y, x = np.mgrid[0:size[1], 0:size[0]]
    for i in range(n):
        rgb = [127 + 120 * np.sin((x * (seed + c) + y * (3 - c) + 25 * i) / 40 + seed) for c in range(3)]
        buffer = io.BytesIO()
        Image.fromarray(np.stack(rgb, 2).astype(np.uint8)).save(buffer, "JPEG", quality=quality, subsampling=0)
        yield buffer.getvalue()


# ---- Texts ---------------------------------------------------------------------------------------


def test_texts_become_what_pytorch_makes_of_them(server, vector_of):  # noqa: F811
    answer = embed(server, ["left", "red top", "what is this"], request_type="bulk_text")
    assert answer["model"] == "tiny-text"
    wanted = [vector_of("left"), vector_of("red", "top"), vector_of("what", "is", "this")]
    assert np.allclose(vectors_of(answer), wanted, atol=1e-6)
    assert answer["usage"] == {"num_videos": 0, "prompt_tokens": 12, "total_tokens": 12}


@pytest.mark.parametrize("input, request_type", [("left", "query"), (["left"], "query"), ("left", "bulk_text"),
                                                 ("left", None), (["left"], None), (["left"] * 64, None),
                                                 (["left"] * 64, "bulk_text")])
def test_every_way_to_ask_for_a_text_gives_its_vector(server, vector_of, input, request_type):  # noqa: F811
    vectors = vectors_of(embed(server, input, **({"request_type": request_type} if request_type else {})))
    assert len(vectors) == (1 if isinstance(input, str) else len(input))
    assert np.allclose(vectors, vector_of("left"), atol=1e-6)


def test_base64_holds_the_same_numbers(server):
    floats = vectors_of(embed(server, ["left", "red"]))
    answer = embed(server, ["left", "red"], encoding_format="base64")
    for vector, item in zip(floats, answer["data"], strict=True):
        data = base64.b64decode(item["embedding"], validate=True)
        assert np.allclose(struct.unpack("<64f", data), vector, atol=1e-6)


def test_text_that_begins_like_a_scheme_is_a_text(server):
    vectors_of(embed(server, ["data: left", "data:red,left", "https://example.org/left"]))


def test_openai_client_embeds_texts(server, vector_of):  # noqa: F811
    """As people use it: base64 without being asked to, no request_type."""
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    answer = client.embeddings.create(model="tiny-text", input=["left", "blue bottom"])
    assert np.allclose([item.embedding for item in answer.data],
                       [vector_of("left"), vector_of("blue", "bottom")], atol=1e-6)
    assert answer.usage.prompt_tokens == 7 and answer.model == "tiny-text"
    one = client.embeddings.create(model="tiny-text", input="left", encoding_format="float",
                                   extra_body={"request_type": "query"})
    assert np.allclose(one.data[0].embedding, vector_of("left"), atol=1e-6)
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        client.embeddings.create(model="other", input="left")
    assert refusal.value.param == "model" and "other" in refusal.value.message
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="tiny-text", input="")


# ---- Videos and pictures -------------------------------------------------------------------------


def test_video_gets_the_vector_that_it_is_stored_with(server, clip):
    path = clip(60, seconds=4)
    answer = embed(server, VIDEO + base64_of(path.read_bytes()), request_type="query")
    assert answer["usage"] == {"num_videos": 1, "prompt_tokens": 0, "total_tokens": 0}
    video = server.upload(path).json()
    stored = server.get(f"/v1/videos/{video['id']}/vectors").json()["items"][0]["vector"]
    server.delete(f"/v1/videos/{video['id']}")
    assert np.allclose(vectors_of(answer)[0], stored, atol=1e-6)


def test_nothing_of_an_embedded_video_is_kept(server, clip):
    before = server.get("/v1/stats").json()["videos"]
    embed(server, "data:video/webm;base64," + base64_of(clip(61).read_bytes()))
    assert_error(server.post("/v1/embeddings", json={"input": VIDEO + base64_of(b"x" * 5000)}), 400, "bad-input")
    assert server.get("/v1/stats").json()["videos"] == before
    assert list((server.data / "incoming").iterdir()) == []


def reference(tiny_model, jpegs):
    manifest = json.loads((tiny_model / "tiny-text" / "manifest.json").read_text())
    size = (manifest["picture"]["width"], manifest["picture"]["height"])
    chosen = [jpegs[k * 7 // 3] for k in range(4)]  # 4 of 8 frames, spread
    rgb = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize(size, Image.BILINEAR))
                    for data in chosen]).astype(np.float32)
    clip = torch.from_numpy((rgb / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).unsqueeze(0)
    return torch.jit.load(tiny_model / "tiny-text" / "video.pt")(clip)[0].numpy()


@pytest.mark.parametrize("size", [(160, 120), (1024, 768)])  # JPEG's colours do not depend on the height
def test_eight_pictures_become_what_pillow_and_pytorch_make_of_them(server, tiny_model, size):
    jpegs = list(pictures(1, size=size))
    answer = embed(server, FRAMES + ",".join(map(base64_of, jpegs)), request_type="query")
    assert answer["usage"]["num_videos"] == 1
    assert float(vectors_of(answer)[0] @ reference(tiny_model, jpegs)) > 0.9999


def test_64_picture_inputs_keep_their_order(server, tiny_model):
    sets = [list(pictures(seed)) for seed in range(8)]
    inputs = [FRAMES + ",".join(map(base64_of, sets[i % 8])) for i in range(64)]
    vectors = vectors_of(embed(server, inputs, request_type="bulk_video"))
    wanted = np.stack([reference(tiny_model, jpegs) for jpegs in sets])
    assert (vectors @ wanted.T).argmax(1).tolist() == [i % 8 for i in range(64)]
    assert (vectors * wanted[np.arange(64) % 8]).sum(1).min() > 0.9999


def test_grey_and_progressive_pictures_are_read(server):
    gradient = Image.linear_gradient("L")
    jpegs = []
    for i in range(8):
        buffer = io.BytesIO()
        gradient.rotate(90 * i).save(buffer, "JPEG", progressive=i % 2 == 1)
        jpegs.append(buffer.getvalue())
    vectors_of(embed(server, FRAMES + ",".join(map(base64_of, jpegs))))


def test_larger_body_than_other_routes_take_is_read(server, clip):
    data = samples.sample("h264_closed.mp4").read_bytes()
    padded = data + struct.pack(">I4s", 8 + (6 << 20), b"free") + bytes(6 << 20)  # a box of nothing
    embed(server, VIDEO + base64_of(padded), request_type="query")


# ---- The model's name ----------------------------------------------------------------------------


def test_model_goes_by_its_own_name_and_by_nvidias(tmp_path, tiny_model):
    import shutil

    models = tmp_path / "models"
    for name in ("cosmos-embed1-224p", "cosmos-embed1-336p"):
        shutil.copytree(tiny_model / "tiny-text", models / name)
        path = models / name / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"name": name}))
    with Server(tmp_path / "data", models, model="cosmos-embed1-336p,cosmos-embed1-224p") as server:
        for name in ("nvidia/cosmos-embed1", "cosmos-embed1", "cosmos-embed1-224p", "nvidia/cosmos-embed1-336p"):
            assert embed(server, "left", model=name)["model"] == name
        answer = server.post("/v1/embeddings", json={"input": "left"})
        assert answer.json()["model"] == "cosmos-embed1-336p"
        answer = server.post("/v1/embeddings", json={"input": "left", "model": "nvidia/other"})
        assert_error(answer, 422, "bad-embedding-request", "cosmos-embed1-224p", param="model")


def test_model_without_text_says_so(start, clip):
    server = start()
    answer = server.post("/v1/embeddings", json={"input": "left"})
    assert_error(answer, 422, "bad-embedding-request", "tiny takes no text")
    vectors_of(embed(server, VIDEO + base64_of(clip(62).read_bytes()), model="tiny"))


# ---- What is wrong -------------------------------------------------------------------------------

JPEGS = [base64_of(data) for data in pictures(3)]


def test_other_dimensions_than_the_models_are_refused(server):
    answer = server.post("/v1/embeddings", json={"input": "left", "dimensions": 32})
    assert_error(answer, 400, "bad-request", "fixed dimensions", "64", param="dimensions")
    assert server.post("/v1/embeddings", json={"input": "left", "dimensions": 64}).status_code == 200


@pytest.mark.parametrize("body, status, param, word", [
    ({}, 422, "input", "missing"),
    ({"input": None}, 422, "input", "string"),
    ({"input": 5}, 422, "input", "string"),
    ({"input": []}, 422, "input", "1 to 64"),
    ({"input": ["left", 5]}, 422, "input", "item 1"),
    ({"input": ["left"] * 65}, 422, "input", "1 to 64"),
    ({"input": ["left"] * 2, "request_type": "query"}, 422, "input", "a query is one"),
    ({"input": "left", "request_type": "bulk"}, 422, "request_type", "bulk_text"),
    ({"input": "left", "request_type": 1}, 422, "request_type", "string"),
    ({"input": "left", "encoding_format": "int8"}, 422, "encoding_format", "base64"),
    ({"input": "left", "model": "other"}, 422, "model", "other"),
    ({"input": "left", "model": 3}, 422, "model", "string"),
    ({"input": [15339, 1917]}, 400, "input", "token numbers"), ({"input": [[15339], [1917]]}, 400, "input", "token numbers"),
    ({"input": ["left", [1]]}, 400, "input", "token numbers"),
    ({"input": "left", "size": 32}, 422, None, "size"),
    ({"input": "left", "request_type": "bulk_video"}, 422, "request_type", "no texts"),
    ({"input": [VIDEO + "AAAA"], "request_type": "bulk_text"}, 422, "request_type", "only texts"),
    ({"input": [VIDEO + "AAAA"], "request_type": "bulk_video"}, 422, "request_type", "presigned_url"),
    ({"input": ["left", FRAMES + ",".join(JPEGS)]}, 422, "request_type", "bulk_video"),
    ({"input": VIDEO}, 422, "input", "empty"),
    ({"input": "data:video/mp4,AAAA"}, 422, "input", ";base64,"),
    ({"input": "data:video/mp4;url,AAAA"}, 422, "input", ";base64,"),
    ({"input": "data:image/png;base64,AAAA"}, 422, "input", "data:video/mp4"),
    ({"input": FRAMES + ",".join(JPEGS[:7])}, 422, "input", "exactly 8"),
    ({"input": FRAMES + ",".join([*JPEGS, JPEGS[0]])}, 422, "input", "exactly 8"),
    ({"input": FRAMES + ",".join([*JPEGS[:7], ""])}, 422, "input", "empty"),
    ({"input": ""}, 400, "input", "no words"),
    ({"input": ["left", "\t"]}, 400, "input", "input[1]"),
    ({"input": VIDEO + "AAA"}, 400, "input", "base64"),
    ({"input": VIDEO + "A=AA"}, 400, "input", "base64"),
    ({"input": VIDEO + "AAAA\nAAAA"}, 400, "input", "base64"),
    ({"input": VIDEO + "AAAA" * 40_000 + "AA*A"}, 400, "input", "character 131072"),
    ({"input": VIDEO + base64_of(b"text " * 500)}, 400, "input", "not a video"),
    ({"input": FRAMES + ",".join(["AAA=", *JPEGS[1:]])}, 400, "input", "frame 0"),
    ({"input": FRAMES + ",".join([base64_of(b"\x89PNG\r\n" + b"0" * 99), *JPEGS[1:]])}, 400, "input", "JPEG"),
    ({"input": FRAMES + ",".join([*JPEGS[:7], JPEGS[7][:400]])}, 400, "input", "frame 7"),
])
def test_wrong_request_gets_openais_error(server, body, status, param, word):
    answer = server.post("/v1/embeddings", json=body)
    code = answer.json()["error"]["code"] if status == 422 else "bad-input"
    assert_error(answer, status, code, word, param=param)
    assert list((server.data / "incoming").iterdir()) == []


def jpeg_of_size(width, height):
    """A whole small JPEG whose header says another size."""
    data = next(pictures(1, size=(16, 16)))
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4:]


def test_picture_over_the_limit_is_refused_before_it_is_decoded(server):
    bomb = base64_of(jpeg_of_size(65000, 65000))
    assert_error(server.post("/v1/embeddings", json={"input": FRAMES + ",".join([bomb] * 8)}), 400, "bad-input",
                 "65000", "4096")
    lying = base64_of(jpeg_of_size(4000, 4000))
    answer = server.post("/v1/embeddings", json={"input": FRAMES + ",".join([lying] * 8)})
    assert answer.status_code in (200, 400)  # grey where nothing is, or damage


@pytest.mark.parametrize("body, status, code", [
    (b"{", 400, "bad-json"), (b'{"input": "a\xff"}', 400, "bad-json"), (b"[]", 400, "bad-json"),
    (b'{"input":"a","input":"b"}', 400, "bad-json"),
])
def test_broken_json_gets_openais_error(server, body, status, code):
    answer = server.post("/v1/embeddings", data=body, headers={"Content-Type": "application/json"})
    assert_error(answer, status, code, param=None)


def test_other_content_type_gets_openais_error(server):
    answer = server.post("/v1/embeddings", data=b"left", headers={"Content-Type": "text/plain"})
    assert_error(answer, 415, "bad-content-type", "application/json", param=None)


def test_body_over_its_limit_is_refused(start):
    server = start("--max-embeddings-json", "2m", model="tiny-text")
    answer = server.post("/v1/embeddings", data=b" " * (2 << 20) + b"{}", headers={"Content-Type": "application/json"})
    assert_error(answer, 413, "body-too-large", "2097152", param=None)
    answer = server.post("/v1/embeddings", data=(b" " * 65536 for _ in range(40)),
                         headers={"Content-Type": "application/json"})
    assert_error(answer, 413, "body-too-large", param=None)
    vectors_of(embed(server, "left"))


def test_large_bodies_share_one_allowance(start):
    """Three half-sent bodies hold what two may have; the next is told to come back, and is served
    once they are gone."""
    from conftest import raw_connection

    server = start("--max-embeddings-json", "4m", model="tiny-text")
    held = []
    for _ in range(3):
        connection = raw_connection(server)
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           b"Content-Length: 4194304\r\n\r\n" + b" " * (3 << 20))
        held.append(connection)
    text = json.dumps({"input": VIDEO + "AAAA" * 900_000})
    statuses = set()
    for _ in range(50):
        answer = server.post("/v1/embeddings", data=text, headers={"Content-Type": "application/json"})
        statuses.add(answer.status_code)
        if answer.status_code == 503:
            assert_error(answer, 503, "busy", "large bodies", param=None)
            assert answer.headers["Retry-After"]
            break
    assert 503 in statuses
    vectors_of(embed(server, "left"))  # small ones pass
    for connection in held:
        connection.close()
    for _ in range(100):
        answer = server.post("/v1/embeddings", data=text, headers={"Content-Type": "application/json"})
        if answer.status_code == 400:
            break
    assert_error(answer, 400, "bad-input")
