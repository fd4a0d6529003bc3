// The page of vidx: drop files, read the verdicts, search, look for neighbours, delete.
// Everything that came from files or people is put in as text, never as markup.

const $ = (id) => document.getElementById(id);
const PAGE = 48;
const PARALLEL_UPLOADS = 2;
const ASK_AGAIN_MS = 2000;

// ---- Talking to the server ----------------------------------------------------------------------

class Problem extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

function sentence(body, status) {
  return body && body.detail ? body.detail : `The server answered ${status}.`;
}

async function api(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem("The server cannot be reached.");
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(sentence(body, response.status), response.status);
  return body;
}

function search(query) {
  return api("/v1/search", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(query),
  });
}

const videoPath = (id) => `/v1/videos/${encodeURIComponent(id)}`;
const thumbnail = (id, t) => `${videoPath(id)}/thumbnail?size=480${t === undefined ? "" : `&t=${t}`}`;

// ---- Words --------------------------------------------------------------------------------------

function time(seconds) {
  const s = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  return `${hours ? `${hours}:${two(Math.floor(s / 60) % 60)}` : Math.floor(s / 60)}:${two(s % 60)}`;
}

const preciseTime = (seconds) => `${seconds.toFixed(1)} s`;
const span = (part) => `${preciseTime(part.start_s)} – ${preciseTime(part.end_s)}`;

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; bytes >= 1000 && i < units.length - 1; i++) bytes /= 1000;
  return `${i && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[i]}`;
}

const percent = (share) => `${Math.floor(share * 100)} %`;
// FFmpeg's names, where people know the thing by another.
const CONTAINERS = { mov: "MP4", matroska: "MKV or WebM", avi: "AVI", mpegts: "TS" };
const CODECS = { h264: "H.264", hevc: "HEVC", vp8: "VP8", vp9: "VP9", av1: "AV1", mpeg4: "MPEG-4" };
const BADGES = { new: "New", exact: "Same file", copy: "Copy", similar: "Similar" };

// One sentence for a person; `name` is the file name of the video it is about.
function verdictSentence(duplicate, name) {
  const shift = duplicate.offset_s ? `, shifted by ${preciseTime(Math.abs(duplicate.offset_s))}` : "";
  const mirrored = duplicate.mirrored ? ", mirrored" : "";
  switch (duplicate.verdict) {
    case "exact":
      return "This very file is stored already. Nothing was added.";
    case "copy":
      return `Copy of ${name}: ${percent(duplicate.share)} of the frames agree${shift}${mirrored}.`;
    case "similar":
      return `Looks like ${name} (score ${duplicate.score.toFixed(3)}).`;
    default:
      return "New: no copy of it is stored.";
  }
}

async function nameOf(id) {
  if (!id) return "";
  try {
    return (await api(videoPath(id))).filename;
  } catch {
    return "a video that was deleted";
  }
}

// ---- Elements -----------------------------------------------------------------------------------

function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function button(text, onclick, className = "") {
  return el("button", { type: "button", textContent: text, onclick, className });
}

function announce(text) {
  $("announce").textContent = text;
}

function picture(id, name, t, length, onclick) {
  const image = el("img", { src: thumbnail(id, t), alt: "", loading: "lazy", decoding: "async" });
  image.onerror = () => image.remove();
  const opener = button("", onclick, "picture");
  opener.setAttribute("aria-label", `Open ${name}`);
  opener.append(image);
  if (length !== null) opener.append(el("span", { className: "length", textContent: length }));
  return opener;
}

// ---- Library ------------------------------------------------------------------------------------

let nextPage = null;
let listing = 0; // number of the newest filter: answers to older ones are dropped

function videoCard(video) {
  const verdict = video.duplicate.verdict;
  const card = el("li", { className: "card" });
  card.dataset.id = video.id;
  card.append(
    picture(video.id, video.filename, undefined, time(video.media.duration_s), () => openViewer(video.id, video.filename)),
    el("div", { className: "body" },
      el("span", { className: "name", textContent: video.filename, title: video.filename }),
      el("span", { className: "quiet",
        textContent: `${video.media.width} × ${video.media.height} · ${size(video.bytes)}` }),
      el("span", { className: `badge ${verdict}`, textContent: BADGES[verdict] })),
    el("div", { className: "row" },
      button("Find similar", () => showSimilar({ video_id: video.id }, video.filename)),
      button("Delete", () => askDelete(video.id, video.filename), "danger")));
  return card;
}

function showLibraryNote(text) {
  $("library-note").textContent = text;
  $("library-note").hidden = !text;
}

// What is shown already stays, with the focus in it, unless a filter or a gap says otherwise.
function place(page, what) {
  const grid = $("videos");
  const shown = new Set([...grid.children].map((card) => card.dataset.id));
  const cards = page.items.filter((video) => !shown.has(video.id)).map(videoCard);
  if (what === "newer" && cards.length < page.items.length) return grid.prepend(...cards);
  if (what === "more") grid.append(...cards);
  else grid.replaceChildren(...page.items.map(videoCard));
  nextPage = page.next;
  $("more").hidden = !nextPage;
}

// what: "anew" for a new filter, "more" for the page behind those shown, "newer" for what came since.
async function list(what) {
  if (what === "anew") listing++;
  const number = listing;
  const query = new URLSearchParams({ limit: PAGE });
  const name = $("filter-name").value.trim();
  const verdict = $("filter-verdict").value;
  if (name) query.set("filename", name);
  if (verdict) query.set("verdict", verdict);
  if (what === "more") query.set("cursor", nextPage);
  try {
    const page = await api(`/v1/videos?${query}`);
    if (number !== listing) return;
    place(page, what);
    const nothing = name || verdict ? "No video fits the filter." : "No videos yet. Drop some above.";
    showLibraryNote($("videos").children.length ? "" : nothing);
  } catch (problem) {
    if (number === listing) showLibraryNote(problem.message);
  }
}

async function refreshStatus() {
  try {
    const [stats, models] = await Promise.all([api("/v1/stats"), api("/v1/models")]);
    const model = models.items[0];
    offerText(models.items.find((each) => each.text));
    const count = stats.videos === 1 ? "1 video" : `${stats.videos} videos`;
    $("status").textContent = `${count} · ${model.name} on ${model.device}`;
  } catch (problem) {
    $("status").textContent = problem.message;
    if (problem.status === 503) setTimeout(refresh, ASK_AGAIN_MS); // it is starting
  }
}

function refresh() {
  refreshStatus();
  return list("newer");
}

// ---- Search -------------------------------------------------------------------------------------

function hitCard(hit) {
  const middle = (hit.start_s + hit.end_s) / 2;
  const card = el("li", { className: "card" });
  card.dataset.id = hit.video_id;
  card.append(
    picture(hit.video_id, hit.filename, middle.toFixed(2), null,
      () => openViewer(hit.video_id, hit.filename, hit.start_s)),
    el("div", { className: "body" },
      el("span", { className: "name", textContent: hit.filename, title: hit.filename }),
      el("span", { className: "quiet", textContent: `Score ${hit.score.toFixed(3)}` }),
      el("span", { className: "quiet", textContent: span(hit) })));
  return card;
}

const showSimilar = (query, title) => show(query, `Similar to ${title}`);

let asking = 0; // number of the newest search

async function show(query, title) {
  const number = ++asking;
  $("viewer").close();
  $("results").hidden = false;
  $("results-title").textContent = title;
  $("results-note").textContent = "Searching…";
  $("hits").replaceChildren();
  $("results-title").focus();
  try {
    const found = await search({ ...query, k: 24 });
    if (number !== asking) return;
    $("hits").replaceChildren(...found.items.map(hitCard));
    $("results-note").textContent = found.items.length ? "Nearest first." : "Nothing else is stored yet.";
  } catch (problem) {
    if (number === asking) $("results-note").textContent = problem.message;
  }
}

// Text is offered when a model takes it, with what its makers say of how well it does.
let textModel = null;

function offerText(model) {
  textModel = model ? model.name : null;
  $("ask").hidden = !model;
  $("ask-quality").textContent = model && model.text.quality ? `Text search is ${model.text.quality}.` : "";
}

function askText() {
  const text = $("ask-text").value.trim();
  if (text) show({ text, model: textModel }, `“${text}”`);
}

// ---- One video ----------------------------------------------------------------------------------

function fact(name, value) {
  return [el("dt", { textContent: name }), el("dd", { textContent: value })];
}

function clipRow(video, clip) {
  const player = $("player");
  const play = button("Play", () => {
    player.currentTime = clip.start_s;
    player.play();
  });
  play.setAttribute("aria-label", `Play from ${preciseTime(clip.start_s)}`);
  const find = button("Find similar", () =>
    showSimilar({ clip_id: clip.id }, `${video.filename}, ${span(clip)}`));
  find.setAttribute("aria-label", `Find similar to the clip ${span(clip)}`);
  return el("li", {}, el("span", { className: "span", textContent: span(clip) }), play, find);
}

let opening = 0; // number of the newest opening: answers to older ones are dropped

function showFacts(video) {
  const { media, decode } = video;
  $("facts").replaceChildren(
    ...fact("Format", `${CONTAINERS[media.container] || media.container}, ${CODECS[media.codec] || media.codec}`),
    ...fact("Picture", `${media.width} × ${media.height}, ${Number(media.fps.toFixed(2))} frames/s`),
    ...fact("Length", `${media.duration_s.toFixed(1)} s, ${size(video.bytes)}`),
    ...fact("Stored", new Date(video.created_at).toLocaleString()),
    ...fact("Decoded", `${decode.frames_decoded} of ${decode.frames_total} frames (${decode.path})`),
    ...fact("Id", video.id),
    ...(Object.keys(video.metadata).length ? fact("Metadata", JSON.stringify(video.metadata)) : []));
}

function showViewerNote(text, className) {
  $("viewer-verdict").textContent = text;
  $("viewer-verdict").className = className;
}

async function openViewer(id, name, start = 0) {
  const number = ++opening;
  $("viewer-title").textContent = name;
  $("player").src = `${videoPath(id)}/content#t=${start}`;
  $("player").poster = thumbnail(id, start || undefined);
  $("download").href = `${videoPath(id)}/content`;
  $("download").download = name;
  $("viewer-delete").onclick = () => askDelete(id, name);
  $("facts").replaceChildren();
  $("clips").replaceChildren();
  showViewerNote("Loading…", "quiet");
  if (!$("viewer").open) $("viewer").showModal();
  try {
    const video = await api(videoPath(id));
    const original = await nameOf(video.duplicate.of);
    if (number !== opening) return;
    showFacts(video);
    $("clips").replaceChildren(...video.clips.map((clip) => clipRow(video, clip)));
    showViewerNote(verdictSentence(video.duplicate, original), `verdict ${video.duplicate.verdict}`);
  } catch (problem) {
    if (number === opening) showViewerNote(problem.message, "error");
  }
}

function askDelete(id, name) {
  $("confirm-text").textContent = `${name}, its vectors and its file will be gone.`;
  $("confirm-yes").onclick = () => {
    $("confirm").close();
    remove(id, name);
  };
  $("confirm").showModal();
  $("confirm-no").focus();
}

async function remove(id, name) {
  try {
    await api(videoPath(id), { method: "DELETE" });
  } catch (problem) {
    announce(problem.message);
    showLibraryNote(problem.message);
    return;
  }
  $("viewer").close();
  for (const card of document.querySelectorAll(`.card[data-id="${CSS.escape(id)}"]`)) card.remove();
  announce(`${name} was deleted.`);
  $("library-title").focus(); // what had the focus is gone
  refresh();
}

// ---- Uploads ------------------------------------------------------------------------------------

const waiting = [];
let running = 0;

function uploadRow(file) {
  const row = {
    item: el("li"),
    bar: el("progress", { max: 1, value: 0 }),
    note: el("p", { className: "quiet", textContent: "Waiting…" }),
    stop: button("Cancel", () => {}),
  };
  row.bar.setAttribute("aria-label", `Progress of ${file.name}`);
  row.stop.setAttribute("aria-label", `Cancel ${file.name}`);
  row.item.append(
    el("div", { className: "line" }, el("span", { className: "name", textContent: file.name }), row.stop),
    row.bar, row.note);
  return row;
}

function endRow(row, text, isError) {
  row.bar.remove();
  row.stop.textContent = "Dismiss";
  row.stop.onclick = () => row.item.remove();
  row.stop.setAttribute("aria-label", "Dismiss this message");
  row.note.textContent = text;
  row.note.className = isError ? "error" : "";
  announce(text);
}

// A picture of a stored video with its name under it.
function figure(id, name) {
  return el("figure", {}, picture(id, name, undefined, null, () => openViewer(id, name)),
    el("figcaption", { className: "name", textContent: name, title: name }));
}

async function showVerdict(row, video) {
  const { verdict, of } = video.duplicate;
  const original = await nameOf(of);
  endRow(row, verdictSentence(video.duplicate, original), false);
  row.note.classList.add("verdict", verdict);
  if (verdict === "copy" || verdict === "similar")
    row.item.append(el("div", { className: "pair" },
      figure(video.id, video.filename), figure(of, original)));
  try {
    const found = await search({ video_id: video.id, k: 6 });
    if (!found.items.length) return;
    row.item.append(el("p", { className: "quiet", textContent: "Nearest videos:" }),
      el("ul", { className: "grid" }, ...found.items.map(hitCard)));
  } catch (problem) {
    row.item.append(el("p", { className: "error", textContent: problem.message }));
  }
}

function showRefused(row, status, body) {
  const original = body && body.video;
  endRow(row, sentence(body, status) + (original ? ` It is ${original.filename}.` : ""), true);
  if (original)
    row.item.append(el("div", { className: "pair" }, figure(original.id, original.filename)));
}

// XMLHttpRequest, because fetch cannot tell how much of an upload has been sent.
function send(file, row) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("on_duplicate", $("reject").checked ? "reject" : "flag");
    form.append("file", file, file.name);
    request.upload.onprogress = (event) => {
      row.bar.value = event.total ? event.loaded / event.total : 0;
      row.note.textContent = `${size(event.loaded)} of ${size(event.total)} sent`;
    };
    request.upload.onload = () => {
      row.bar.removeAttribute("value");
      row.note.textContent = "Looking at its pictures…";
    };
    request.onload = async () => {
      if (request.status === 200 || request.status === 201) await showVerdict(row, request.response);
      else showRefused(row, request.status, request.response);
      resolve();
    };
    request.onerror = () => resolve(endRow(row, "The connection to the server broke.", true));
    request.onabort = () => resolve(row.item.remove());
    request.responseType = "json";
    row.stop.onclick = () => request.abort();
    request.open("POST", "/v1/videos");
    request.send(form);
  });
}

async function pump() {
  while (running < PARALLEL_UPLOADS && waiting.length) {
    const { file, row } = waiting.shift();
    running++;
    send(file, row).then(() => {
      running--;
      refresh();
      pump();
    });
  }
}

function add(files) {
  for (const file of files) {
    const row = uploadRow(file);
    const entry = { file, row };
    row.stop.onclick = () => {
      waiting.splice(waiting.indexOf(entry), 1);
      row.item.remove();
    };
    waiting.push(entry);
    $("uploads").prepend(row.item);
  }
  pump();
}

// ---- Wiring -------------------------------------------------------------------------------------

function wireDrop() {
  const drop = $("drop");
  const carriesFiles = (event) => event.dataTransfer && event.dataTransfer.types.includes("Files");
  // On the whole page: a file dropped beside the box must not replace the page.
  window.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    drop.classList.add("over");
  });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  window.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    add(event.dataTransfer.files);
  });
  $("files").onchange = () => {
    add($("files").files);
    $("files").value = "";
  };
}

function wire() {
  let typing;
  wireDrop();
  $("more").onclick = () => list("more");
  $("ask").onsubmit = (event) => {
    event.preventDefault();
    askText();
  };
  $("filter").onsubmit = (event) => {
    event.preventDefault();
    list("anew");
  };
  $("filter-name").oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => list("anew"), 250);
  };
  $("filter-verdict").onchange = () => list("anew");
  $("results-close").onclick = () => {
    $("results").hidden = true;
  };
  $("viewer-close").onclick = () => $("viewer").close();
  $("viewer").onclose = () => {
    opening++;
    $("player").pause();
    $("player").removeAttribute("src");
    $("player").load();
  };
  $("confirm-no").onclick = () => $("confirm").close();
}

wire();
refresh();
