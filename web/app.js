// The page of vidx: drop files, read the verdicts, search, look for neighbours, delete.
// Everything that came from files or people is put in as text, never as markup.

const $ = (id) => document.getElementById(id);
const PAGE = 48;
const PARALLEL_UPLOADS = 3;
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
    askAgain();
    throw new Problem("The server cannot be reached.");
  }
  if (response.status === 503) askAgain();
  if (response.status === 204) return null;
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(sentence(body, response.status), response.status);
  return body;
}

// A server that is gone, starts or is busy comes back: the page then fills itself.
let again = 0;

function askAgain() {
  again ||= setTimeout(() => {
    again = 0;
    refresh();
  }, ASK_AGAIN_MS);
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

// To a tenth, as 2.0 s or 1:02:03.4, by the longer of the two.
function moment(seconds, longest = seconds) {
  const tenths = Math.round(seconds * 10);
  return longest < 60 ? preciseTime(seconds) : `${time(Math.floor(tenths / 10))}.${tenths % 10}`;
}

const span = (part) => `${moment(part.start_s, part.end_s)} – ${moment(part.end_s)}`;

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
const BADGES = { copy: "Copy", similar: "Similar" };

// A sentence for a person, as text and elements; `name` is the file name of the video it is about, set
// apart so that letters of another direction in it do not turn the rest around.
function verdictParts(duplicate, name) {
  const shift = duplicate.offset_s ? `, shifted by ${preciseTime(Math.abs(duplicate.offset_s))}` : "";
  const mirrored = duplicate.mirrored ? ", mirrored" : "";
  const apart = el("bdi", { textContent: name });
  switch (duplicate.verdict) {
    case "exact":
      return ["This very file is stored already", ...(name ? [" as ", apart] : []), ". Nothing was added."];
    case "copy":
      return ["Copy of ", apart, `: ${percent(duplicate.share)} of the frames agree${shift}${mirrored}.`];
    case "similar":
      return ["Looks like ", apart, ` (score ${duplicate.score.toFixed(3)}).`];
    default:
      return ["New: no copy of it is stored."];
  }
}

const DELETED = "a video that was deleted";

async function nameOf(id) {
  if (!id) return "";
  try {
    return (await api(videoPath(id))).filename;
  } catch (problem) {
    if (problem.status === 404) return DELETED;
    throw problem;
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

function named(element, text) {
  element.setAttribute("aria-label", text);
  return element;
}

function announce(text) {
  $("announce").textContent = text;
}

function picture(id, name, t, length, onclick) {
  const image = el("img", { src: thumbnail(id, t), alt: "", loading: "lazy", decoding: "async" });
  image.onerror = () => image.remove();
  const opener = named(button("", onclick, "picture"), `Open ${name}`);
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
    picture(video.id, video.filename, undefined, time(video.media.duration_s),
      () => openViewer(video.id, video.filename)),
    el("div", { className: "body" },
      el("span", { className: "name", textContent: video.filename, title: video.filename }),
      el("span", { className: "quiet",
        textContent: `${video.media.width} × ${video.media.height} · ${size(video.bytes)}` }),
      verdict === "new" ? null : el("span", { className: `badge ${verdict}`, textContent: BADGES[verdict] })),
    el("div", { className: "row" },
      named(button("Find similar", () => showSimilar({ video_id: video.id }, video.filename)),
        `Find similar to ${video.filename}`),
      named(button("Delete", () => askDelete(video.id, video.filename), "danger"), `Delete ${video.filename}`)));
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
let asker = null; // what had the focus before the results took it

async function show(query, title) {
  const number = ++asking;
  $("viewer").close(); // gives the focus back to what opened it
  if (!$("results").contains(document.activeElement)) asker = document.activeElement;
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

// What plays until where: of the file itself, or, where the browser cannot play that, of one clip as MP4.
let playing = null;
let isPlayable = true;

function play(video, clip) {
  const player = $("player");
  if (isPlayable) {
    playing = { ...clip, last_s: Math.max(clip.start_s, clip.end_s - 0.5 / video.media.fps) };
    player.currentTime = clip.start_s;
  } else {
    player.src = `${videoPath(video.id)}/clips/${clip.index}/content`;
  }
  player.play().catch(() => {}); // its error event tells
  player.scrollIntoView({ block: "nearest" });
}

// Stops on the last picture of the clip, unless someone went elsewhere meanwhile.
function stopAtEnd() {
  const player = $("player");
  if (!playing || player.seeking || player.currentTime < playing.end_s) return;
  if (!player.paused && player.currentTime < playing.end_s + 1) {
    player.pause();
    player.currentTime = playing.last_s;
  }
  playing = null;
}

function clipRow(video, clip) {
  const where = span(clip);
  return el("li", {}, el("span", { className: "span", textContent: where }),
    named(button("Play", () => play(video, clip)), `Play ${where}`),
    named(button("Find similar", () => showSimilar({ clip_id: clip.id }, `${video.filename}, ${where}`)),
      `Find similar to the clip ${where}`));
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

function showViewerNote(parts, className) {
  $("viewer-verdict").replaceChildren(...parts);
  $("viewer-verdict").className = className;
}

async function openViewer(id, name, start = 0) {
  const number = ++opening;
  $("viewer-title").textContent = name;
  playing = null;
  isPlayable = true;
  $("player-note").textContent = "";
  $("player").src = `${videoPath(id)}/content#t=${start}`;
  $("player").poster = thumbnail(id, start || undefined);
  $("download").href = `${videoPath(id)}/content`;
  $("download").download = name;
  $("viewer-delete").onclick = () => askDelete(id, name);
  $("facts").replaceChildren();
  $("clips").replaceChildren();
  $("viewer-original").hidden = true;
  showViewerNote(["Loading…"], "quiet");
  if (!$("viewer").open) $("viewer").showModal();
  try {
    const video = await api(videoPath(id));
    const { of } = video.duplicate;
    const original = await nameOf(of);
    if (number !== opening) return;
    showFacts(video);
    $("viewer-original").hidden = !of || original === DELETED;
    $("viewer-original").onclick = () => openViewer(of, original);
    $("clips").replaceChildren(...video.clips.map((clip) => clipRow(video, clip)));
    showViewerNote(verdictParts(video.duplicate, original), `verdict ${video.duplicate.verdict}`);
  } catch (problem) {
    if (number === opening) showViewerNote([problem.message], "error");
  }
}

function askDelete(id, name) {
  $("confirm-text").replaceChildren(el("bdi", { textContent: name }), ", its vectors and its file will be gone.");
  $("confirm-note").textContent = "";
  $("confirm-yes").onclick = () => remove(id, name);
  $("confirm").showModal();
  $("confirm-no").focus();
}

async function remove(id, name) {
  $("confirm-note").textContent = "Deleting…";
  try {
    await api(videoPath(id), { method: "DELETE" });
  } catch (problem) {
    if (problem.status !== 404) { // else it is gone already
      $("confirm-note").textContent = problem.message;
      return;
    }
  }
  $("confirm").close();
  $("viewer").close();
  for (const card of document.querySelectorAll(`.card[data-id="${CSS.escape(id)}"]`)) card.remove();
  announce(`${name} was deleted.`);
  $("library-title").focus(); // what had the focus is gone
  refresh();
}

// ---- Uploads ------------------------------------------------------------------------------------
// A file is sent, then becomes a job of the server, which the page asks how far it is.

const waiting = [];
let running = 0;
let sending = 0;

const PHASES = {
  RECEIVE: "Waiting for its turn", PROBE: "Looking at the file", CLIP: "Finding its shots",
  FRAMES: "Reading its pictures", PREPARE: "Reading its pictures", EMBED: "Computing its vectors",
  COMMIT: "Storing it",
};

function uploadRow(file, isAlone) {
  const row = {
    file,
    isAlone,
    item: el("li"),
    bar: el("progress", { max: 1, value: 0 }),
    note: el("p", { className: "quiet", textContent: "Waiting…" }),
    buttons: el("span", { className: "buttons" }),
  };
  row.bar.setAttribute("aria-label", `Progress of ${file.name}`);
  row.item.append(
    el("div", { className: "line" }, el("span", { className: "name", textContent: file.name }), row.buttons),
    row.bar, row.note);
  return row;
}

function rowButtons(row, actions) {
  const hadFocus = row.buttons.contains(document.activeElement);
  row.buttons.replaceChildren(...Object.entries(actions).map(([text, act]) =>
    named(button(text, act), `${text} ${row.file.name}`)));
  if (hadFocus) row.buttons.lastChild.focus();
}

function removeRow(row) {
  const hadFocus = row.item.contains(document.activeElement);
  row.item.remove();
  if (hadFocus) $("files").focus();
  countRows();
}

function countRows() {
  const rows = [...$("uploads").children];
  const ended = rows.filter((item) => item.dataset.ended).length;
  $("uploads-bar").hidden = rows.length < 2;
  $("uploads-count").textContent = `${ended} of ${rows.length} files done`;
  $("uploads-clear").hidden = !ended;
}

function showProgress(row, text, share, left_s) {
  if (share === null) row.bar.removeAttribute("value");
  else row.bar.value = share;
  row.note.textContent = left_s > 1 ? `${text}, ${time(left_s)} left` : text;
}

// parts: text and elements.
function endRow(row, parts, className, actions = {}) {
  row.bar.remove();
  row.item.dataset.ended = "yes";
  row.note.replaceChildren(...parts);
  row.note.className = className;
  rowButtons(row, { ...actions, Dismiss: () => removeRow(row) });
  announce(`${row.file.name}: ${row.note.textContent}`);
  countRows();
}

// With a way to send the file again where that may help.
function failRow(row, text, mayHelp) {
  const again = () => {
    removeRow(row);
    add([row.file]);
  };
  endRow(row, [text], "error", mayHelp ? { "Try again": again } : {});
}

// A picture of a stored video with its name under it.
function figure(id, name) {
  return el("figure", {}, picture(id, name, undefined, null, () => openViewer(id, name)),
    el("figcaption", { className: "name", textContent: name, title: name }));
}

async function showNearest(row, id) {
  try {
    const found = await search({ video_id: id, k: 6 });
    if (!found.items.length) return;
    row.item.append(el("details", { open: row.isAlone }, el("summary", { textContent: "Nearest videos" }),
      el("ul", { className: "grid" }, ...found.items.map(hitCard))));
  } catch (problem) {
    row.item.append(el("p", { className: "error", textContent: problem.message }));
  }
}

// job: done, or failed, where the file itself or its being a copy is the reason.
async function showEnd(row, job) {
  const { duplicate } = job.report || {};
  const original = duplicate ? await nameOf(duplicate.of) : "";
  if (job.problem) {
    failRow(row, job.problem.detail, job.problem.status >= 500);
    if (duplicate) row.item.append(el("div", { className: "pair" }, figure(duplicate.of, original)));
    return;
  }
  endRow(row, verdictParts(duplicate, original), `verdict ${duplicate.verdict}`);
  if (duplicate.verdict === "copy" || duplicate.verdict === "similar")
    row.item.append(el("div", { className: "pair" },
      figure(job.video_id, row.file.name), figure(duplicate.of, original)));
  await showNearest(row, job.video_id);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Until the job has ended; a server that restarts goes on with it.
async function follow(row, id) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  rowButtons(row, { Cancel: () => api(path, { method: "DELETE" }).catch((problem) => announce(problem.message)) });
  for (let ms = 50; ; ms = Math.min(1.5 * ms, 1000)) {
    try {
      const job = await api(path);
      if (job.state === "cancelled") return removeRow(row);
      if (job.state === "done" || job.state === "failed") return await showEnd(row, job);
      const share = job.total ? job.done / job.total : null;
      showProgress(row, PHASES[job.phase] + (share === null ? "…" : `: ${percent(share)}`), share, job.eta_s);
    } catch (problem) {
      if (problem.status && problem.status < 500) return failRow(row, problem.message, true);
      showProgress(row, `${problem.message} Asking again…`, null);
    }
    await pause(ms);
  }
}

// Gives the job, or null where the row says why there is none. XMLHttpRequest, because fetch cannot
// tell how much of an upload has been sent.
function send(row) {
  const { file } = row;
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    const began = performance.now();
    const fail = (text, mayHelp) => resolve(failRow(row, text, mayHelp) || null);
    form.append("wait", "false");
    form.append("on_duplicate", $("reject").checked ? "reject" : "flag");
    form.append("file", file, file.name);
    request.upload.onprogress = ({ loaded, total }) => {
      const seconds = (performance.now() - began) / 1000;
      showProgress(row, `${size(loaded)} of ${size(total)} sent`, total ? loaded / total : 0,
        seconds * (total - loaded) / loaded);
    };
    request.upload.onload = () => showProgress(row, "Sent; waiting for the server…", null);
    request.onload = () => {
      if (request.status === 202) resolve(request.response);
      else fail(sentence(request.response, request.status), request.status >= 500);
    };
    request.onerror = () => // the browser tells no more
      fail("The connection to the server broke, or this is no file that can be read (a folder?).", true);
    request.onabort = () => resolve(removeRow(row) || null);
    request.responseType = "json";
    rowButtons(row, { Cancel: () => request.abort() });
    request.open("POST", "/v1/videos");
    request.send(form);
  });
}

async function upload(row) {
  sending++;
  const job = await send(row);
  sending--;
  if (job) await follow(row, job.id);
  refresh();
}

function pump() {
  while (running < PARALLEL_UPLOADS && waiting.length) {
    running++;
    upload(waiting.shift()).finally(() => {
      running--;
      pump();
    });
  }
}

function add(files) {
  for (const file of files) {
    const row = uploadRow(file, files.length === 1);
    rowButtons(row, {
      Cancel: () => {
        waiting.splice(waiting.indexOf(row), 1);
        removeRow(row);
      },
    });
    waiting.push(row);
    $("uploads").prepend(row.item);
  }
  countRows();
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
  // What is sent becomes a job, which goes on without the page; what is not would be lost.
  window.addEventListener("beforeunload", (event) => {
    if (sending || waiting.length) event.preventDefault();
  });
  $("uploads-clear").onclick = () => {
    for (const item of $("uploads").querySelectorAll("[data-ended]")) item.remove();
    countRows();
    $("files").focus();
  };
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
    (asker && asker.isConnected && asker !== document.body ? asker : $("library-title")).focus();
  };
  $("viewer-close").onclick = () => $("viewer").close();
  $("viewer").onclose = () => {
    opening++;
    $("player").pause();
    $("player").removeAttribute("src");
    $("player").load();
  };
  $("player").ontimeupdate = stopAtEnd;
  $("player").onerror = () => {
    if (!$("player").hasAttribute("src")) return;
    $("player-note").textContent = isPlayable
      ? "This browser cannot play the file itself. Play, below, shows a clip of it as MP4."
      : "This browser cannot play the clip. Download the file to see it.";
    isPlayable = false;
  };
  $("confirm-no").onclick = () => $("confirm").close();
}

wire();
refresh();
