// Uses the client that openapi-typescript and openapi-fetch make of openapi.yaml: each kind of request once,
// with no cast but for FormData. tsc checks the types, then Node.js runs this against a server:
//   node client.ts URL CLIP COPY

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";
import { check, files, url } from "./node.ts";

type Video = components["schemas"]["Video"];

const client = createClient<paths>({ baseUrl: url });

function form(fields: Record<string, string | Blob>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  return data;
}

async function upload(name: string, fields: Record<string, string> = {}) {
  return client.POST("/v1/videos", {
    body: { file: "" },
    bodySerializer: () => form({ ...fields, filename: name, file: new Blob([files[name]!]) }),
  });
}

async function stores(): Promise<Video> {
  const { data, response } = await upload("clip.mp4", { metadata: '{"camera": 3}' });
  check(response.status === 201 && data !== undefined && "clips" in data, "an upload is stored");
  check(data.duplicate.verdict === "new" && data.media.codec === "h264", "its verdict is new");
  const again = await client.PUT("/v1/videos/{id}", {
    params: { path: { id: "clip.mp4" } },
    headers: { "Content-Type": "application/octet-stream" },
    body: "",
    bodySerializer: () => files["clip.mp4"]!,
  });
  check(again.response.status === 200, "the same file again is the same video");
  return data;
}

async function refuses(video: Video) {
  const { error, response } = await upload("copy.mkv", { on_duplicate: "reject" });
  check(response.status === 409 && error !== undefined && "video" in error, "a copy is refused");
  check(error.video?.id === video.id && error.duplicate?.of === video.id, "the answer has the original");
  const unknown = await client.GET("/v1/videos/{id}", { params: { path: { id: "v0" } } });
  check(unknown.error?.type === "/problems/not-found", "an unknown id is a problem with a type");
}

async function waitsForAJob(): Promise<void> {
  const { data, response } = await upload("copy.mkv", { wait: "false" });
  check(response.status === 202 && data !== undefined && "state" in data, "an upload can be a job");
  for (;;) {
    const { data: job } = await client.GET("/v1/jobs/{id}", { params: { path: { id: data.id } } });
    check(job !== undefined && job.state !== "failed", "the job can be watched");
    if (job.state !== "done") continue;
    check(job.report !== null && "duplicate" in job.report, "a job reports its verdict");
    check(job.report.duplicate.verdict === "copy", "the verdict is copy");
    return;
  }
}

async function reads(video: Video): Promise<void> {
  const path = { id: video.id };
  const list = await client.GET("/v1/videos", { params: { query: { limit: 1, verdict: "new" } } });
  check(list.data?.items[0]?.id === video.id && list.data.next === null, "lists have pages");
  const changed = await client.PATCH("/v1/videos/{id}", {
    params: { path }, body: { metadata: { camera: null, place: "door" } } });
  check(JSON.stringify(changed.data?.metadata) === '{"place":"door"}', "metadata can be changed");
  const picture = await client.GET("/v1/videos/{id}/thumbnail", {
    params: { path, query: { size: 64 } }, parseAs: "blob" });
  check(picture.data !== undefined && picture.data instanceof Blob && picture.data.type === "image/jpeg",
    "a thumbnail is a picture");
  const clip = await client.GET("/v1/videos/{id}/clips/{n}/content", {
    params: { path: { ...path, n: 0 } }, parseAs: "arrayBuffer" });
  check(clip.data !== undefined && clip.data instanceof ArrayBuffer && clip.data.byteLength > 1000,
    "a clip is a file");
  const part = await client.GET("/v1/videos/{id}/content", {
    params: { path, header: { Range: "bytes=0-9" } }, parseAs: "arrayBuffer" });
  check(part.response.status === 206, "a file has ranges");
}

async function searches(video: Video): Promise<void> {
  const vectors = await client.GET("/v1/videos/{id}/vectors", { params: { path: { id: video.id } } });
  const vector = vectors.data?.items[0]?.vector;
  check(vector !== undefined, "a clip has a vector");
  const found = await client.POST("/v1/search", { body: { vector, k: 1, group_by: "clip" } });
  check(found.data !== undefined && "items" in found.data, "a vector finds clips");
  check(found.data.items[0]?.video_id === video.id && found.data.items[0].score > 0.99, "the nearest first");
  const several = await client.POST("/v1/search", {
    body: { queries: [{ text: "red left" }, { video_id: video.id, k: 3 }], min_score: -1 } });
  check(several.data !== undefined && "results" in several.data && several.data.results.length === 2,
    "several queries have several results");
  const text = await client.GET("/v1/search", { params: { query: { q: "red left" } } });
  check(text.data?.items.length === 2, "a text finds videos");
  const file = await client.POST("/v1/search", {
    body: { file: "", k: 10, min_score: -1, group_by: "video" },
    bodySerializer: () => form({ file: new Blob([files["copy.mkv"]!]), k: "1" }),
  });
  check(file.data !== undefined && "items" in file.data && file.data.items.length === 1, "a file finds videos");
  const embedded = await client.POST("/v1/embeddings", { body: { input: ["red", "blue"] } });
  check(embedded.data?.data.length === 2, "texts become vectors");
}

async function manages(video: Video): Promise<void> {
  const models = await client.GET("/v1/models");
  check(models.data?.items[0]?.default === true, "models are listed");
  const ready = await client.GET("/v1/health/ready");
  check(ready.data?.status === "ready", "the server is ready");
  const gone = await client.DELETE("/v1/videos/{id}", { params: { path: { id: video.id } } });
  check(gone.response.status === 204, "a video can be deleted");
}

const video = await stores();
await refuses(video);
await waitsForAJob();
await reads(video);
await searches(video);
await manages(video);
