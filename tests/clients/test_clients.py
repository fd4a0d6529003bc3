"""Programs written by people start with a client that a generator makes of the contract."""

import importlib
import io
import pkgutil
import time

import make as samples

ROOT = samples.ROOT


def test_contract_passes_the_linter(node):
    said = node("@redocly/cli/bin/cli.js", "lint", "--format=stylish", ROOT / "api/openapi.yaml", cwd=ROOT)
    assert "warning" not in said and "error" not in said, said


def test_typescript_client_compiles_and_runs(server, node, typescript, videos):
    node("typescript/bin/tsc", "--project", ".", cwd=typescript)
    said = node("client.ts", server.url, *videos, cwd=typescript)
    assert said.endswith("a video can be deleted\n"), said  # the last of its claims


def test_python_client_has_every_operation(python_client):
    names = {module.name.rsplit(".", 1)[1] for module in
             pkgutil.walk_packages(python_client.__path__, "vidx_client.") if importlib.import_module(module.name)}
    assert {"upload_video", "put_video", "list_videos", "get_video", "patch_video", "delete_video", "get_content",
            "get_clip_content", "get_thumbnail", "get_vectors", "search", "search_text", "create_embeddings",
            "list_jobs", "get_job", "cancel_job", "watch_job", "list_models", "backfill", "stats"} <= names


def test_python_client_stores_reads_and_deletes_a_video(server, python_client, videos):
    from vidx_client import models, types
    from vidx_client.api.jobs import get_job
    from vidx_client.api.videos import (delete_video, get_clip_content, get_thumbnail, get_video, list_videos,
                                        patch_video, put_video, upload_video)

    client = python_client.Client(base_url=server.url)
    clip, copy = (types.File(payload=io.BytesIO(path.read_bytes()), file_name=path.name) for path in videos)
    video = upload_video.sync(client=client, body=models.UploadForm(file=clip, metadata='{"camera": 3}'), wait=types.UNSET)
    assert isinstance(video, models.Video)
    assert video.duplicate.verdict == models.VerdictName.NEW and video.metadata["camera"] == 3

    refused = upload_video.sync(client=client, wait=types.UNSET, body=models.UploadForm(
        file=copy, on_duplicate=models.OnDuplicate.REJECT))
    assert isinstance(refused, models.DuplicateProblem) and refused.video.id == video.id

    copy.payload.seek(0)
    job = put_video.sync(id="copy.mkv", client=client, body=copy, wait=False)
    assert isinstance(job, models.JobAccepted)
    while (ended := get_job.sync(id=job.id, client=client)).state not in (models.JobState.DONE, models.JobState.FAILED):
        time.sleep(0.02)
    assert ended.report.duplicate.verdict == models.VerdictName.COPY and ended.report.duplicate.of == video.id

    assert [each.filename for each in list_videos.sync(client=client, limit=1).items] == ["copy.mkv"]
    changed = patch_video.sync(id=video.id, client=client, body=models.VideoPatch.from_dict({"metadata": {"camera": None}}))
    assert changed.metadata.additional_properties == {}
    assert get_thumbnail.sync(id=video.id, client=client).payload.read(2) == b"\xff\xd8"
    assert get_clip_content.sync(id=video.id, n=0, client=client).payload.read()[4:8] == b"ftyp"
    assert delete_video.sync_detailed(id=video.id, client=client).status_code == 204
    missing = get_video.sync(id=video.id, client=client)
    assert isinstance(missing, models.Problem) and missing.type_ == "/problems/not-found"


def test_python_client_searches_in_every_way(server, python_client, videos):
    from vidx_client import models, types
    from vidx_client.api.search import create_embeddings, search, search_text
    from vidx_client.api.videos import get_vectors

    video = server.upload(videos[0]).json()
    client = python_client.Client(base_url=server.url)
    vector = get_vectors.sync(id=video["id"], client=client).items[0].vector
    bodies = [models.SearchByText(text="red left"), models.SearchByVector(vector=vector, k=1),
              models.SearchForm(file=types.File(payload=io.BytesIO(videos[1].read_bytes()), file_name="copy.mkv"))]
    for body in bodies:
        hits = search.sync(client=client, body=body)
        assert isinstance(hits, models.Hits) and hits.items[0].video_id == video["id"], body
    assert search.sync(client=client, body=models.SearchByClip(clip_id=video["clips"][0]["id"])).items == []
    several = search.sync(client=client, body=models.SearchQueries(queries=[
        models.QueryByText(text="red"), models.QueryByVideo(video_id=video["id"])]))
    assert isinstance(several, models.HitsOfQueries) and len(several.results) == 2
    assert search_text.sync(client=client, q="red").items[0].video_id == video["id"]
    embedded = create_embeddings.sync(client=client, body=models.EmbeddingsRequest(input_=["red", "blue"]))
    assert [len(each.embedding) for each in embedded.data] == [len(vector)] * 2
