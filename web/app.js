// The web page of vidx: upload files, read their verdicts, search, find similar videos, delete.
// Everything that comes from files or people is inserted as text, never as markup.

import {
  $, announce, api, BADGES, button, CODECS, CONTAINERS, dateAndTime, el, evidenceSentence, framesText, named, onReturn,
  otherOf, picture, placeInOriginal, search, size, span, thumbnail, time, TRYING_AGAIN, verdictParts, videoPath,
} from "./common.js";
import { wireDuplicates } from "./duplicates.js";
import { wireClusters } from "./clusters.js";
import { deletionText, placesText, showFolders, wireFolders } from "./folders.js";
import { showImports, wireImports } from "./imports.js";
import { wireUploads } from "./uploads.js";

const PAGE = 48;
const LATER_PAGE = 10;
const PLAYER_RETRY_MS = 2000;

// ---- Library ------------------------------------------------------------------------------------

let nextPage = null;
let listing = 0; // number of the newest filter; answers to older ones are dropped

function videoCard(video) {
  const verdict = video.duplicate.verdict;
  const card = el("li", { className: "card" });
  card.dataset.id = video.id;
  card.append(
    picture(video.id, video.filename, undefined, video.media.duration_s === null ? null : time(video.media.duration_s),
      () => openViewer(video.id, video.filename, 0, video.has_file), video.has_file),
    el("div", { className: "body" },
      el("span", { className: "name", textContent: video.filename, title: video.filename }),
      video.has_file ? el("span", { className: "quiet",
        textContent: `${video.media.width} × ${video.media.height} · ${size(video.bytes)}` }) : null,
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

// Cards that are shown stay, and keep the focus, unless the filter changed or the new page has a gap to them.
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

// ---- Filters ------------------------------------------------------------------------------------

let filter = null; // the filter in use: an object, or null

const EXAMPLES = [
  [{ "metadata.camera": "front" }, "camera in the metadata is front"],
  [{ "metadata.tags": { $contains: "best" } }, "the list tags in the metadata has best"],
  [{ "metadata.camera": { $exists: false } }, "no camera in the metadata"],
  [{ filename: { $contains: "tour" } }, "the name contains tour, in any case"],
  [{ "media.duration_s": { $gte: 60 }, "media.height": { $gte: 1080 } }, "a minute or longer, and 1080 lines or more"],
  [{ created_at: { $gte: "2026-01-01", $lt: "2026-02-01" } }, "stored in January 2026"],
  [{ $or: [{ "duplicate.verdict": { $in: ["copy", "part_of"] } }, { bytes: { $gt: 1e9 } }] },
    "copies and parts, or larger than 1 GB"],
];

function showFilterNote(text) {
  $("filters-note").textContent = text;
}

function applyFilter() {
  const text = $("filters-json").value.trim();
  showFilterNote("");
  try {
    filter = text ? JSON.parse(text) : null;
  } catch {
    showFilterNote('This is not JSON. A filter looks like {"metadata.camera": "front"}.');
    return;
  }
  list("anew");
}

function useFilter(text) {
  $("filters-json").value = text;
  applyFilter();
}

function showExamples() {
  for (const [example, meaning] of EXAMPLES) {
    const text = JSON.stringify(example);
    $("filters-examples").append(
      el("dt", {}, button(text, () => useFilter(text), "code")), el("dd", { textContent: meaning }));
  }
}

// what: "anew" after the filter changed, "more" for the next page, "newer" for videos added since.
async function list(what) {
  if (what === "anew") listing++;
  const number = listing;
  const query = new URLSearchParams({ limit: PAGE });
  const name = $("filter-name").value.trim();
  const verdict = $("filter-verdict").value;
  if (name) query.set("filename", name);
  if (verdict) query.set("verdict", verdict);
  if (filter !== null) query.set("filter", JSON.stringify(filter));
  if (what === "more") query.set("cursor", nextPage);
  try {
    const page = await api(`/v1/videos?${query}`);
    if (number !== listing) return;
    place(page, what);
    const nothing = name || verdict || filter !== null ? "No videos match the filter." : "No videos yet. Drop some above.";
    showLibraryNote($("videos").children.length ? "" : nothing);
  } catch (problem) {
    if (number !== listing) return;
    if (filter !== null && (problem.status === 422 || problem.status === 400)) showFilterNote(problem.message);
    else showLibraryNote(problem.message);
  }
}

async function refreshStatus() {
  try {
    const [stats, models] = await Promise.all([api("/v1/stats"), api("/v1/models")]);
    const model = models.items[0];
    offerText(models.items.find((each) => each.text));
    const videos = (n) => (n === 1 ? "1 video" : `${n} videos`);
    const stores = Object.entries(stats.stores || {}).map(([name, store]) =>
      store.equal ? `${name} is up to date` : `${name}: ${videos(store.waiting_videos)} to send`);
    $("status").textContent = [videos(stats.videos), `${model.name} on ${model.device}`, ...stores].join(" · ");
  } catch (problem) {
    $("status").textContent = problem.status ? problem.message : `${problem.message} ${TRYING_AGAIN}`;
  }
}

function refreshLibrary() {
  refreshStatus();
  return list("newer");
}

function refresh() {
  showFolders();
  showImports();
  return refreshLibrary();
}

// ---- Search -------------------------------------------------------------------------------------

function hitCard(hit) {
  const middle = (hit.start_s + hit.end_s) / 2;
  const card = el("li", { className: "card" });
  card.dataset.id = hit.video_id;
  card.append(
    picture(hit.video_id, hit.filename, middle.toFixed(2), null,
      () => openViewer(hit.video_id, hit.filename, hit.start_s, hit.has_file), hit.has_file),
    el("div", { className: "body" },
      el("span", { className: "name", textContent: hit.filename, title: hit.filename }),
      el("span", { className: "quiet", textContent: `Score ${hit.score.toFixed(3)}` }),
      el("span", { className: "quiet", textContent: span(hit) }),
      ...(framesText(hit) ? [el("span", { className: "quiet", textContent: framesText(hit) })] : [])));
  return card;
}

const showSimilar = (query, title) => show(query, `Similar to ${title}`);

let asking = 0; // number of the newest search; answers to older ones are dropped
let asker = null; // the element that had the focus before the results took it

async function show(query, title) {
  const number = ++asking;
  $("viewer").close(); // returns the focus to the element that opened it
  if (!$("results").contains(document.activeElement)) asker = document.activeElement;
  $("results").hidden = false;
  $("results-title").textContent = title;
  $("results-note").textContent = "Searching…";
  $("hits").replaceChildren();
  $("results-title").focus();
  try {
    const found = await search({ ...query, ...(filter === null ? {} : { filter }), k: 24 });
    if (number !== asking) return;
    $("hits").replaceChildren(...found.items.map(hitCard));
    const nothing = filter === null ? "No other videos are stored yet." : "No other videos match the filter.";
    $("results-note").textContent = found.items.length ? "Nearest first." : nothing;
  } catch (problem) {
    if (number === asking) $("results-note").textContent = problem.message;
  }
}

// The search box is shown if a model has a text tower, with what its package says about its quality.
let textModel = null;

function offerText(model) {
  textModel = model ? model.name : null;
  $("ask").hidden = !model;
  $("ask-quality").textContent = (model && model.text.quality) || "";
}

function askText() {
  const text = $("ask-text").value.trim();
  if (text) show({ text, model: textModel }, `“${text}”`);
}

// ---- One video ----------------------------------------------------------------------------------

function fact(name, value) {
  return [el("dt", { textContent: name }), el("dd", { textContent: value })];
}

// The clip being played. If the browser cannot play the file, the server converts the clip to MP4.
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
  player.play().catch(() => {}); // the error event reports failures
  player.scrollIntoView({ block: "nearest" });
}

// Stops on the clip's last frame, unless the user has seeked elsewhere.
function stopAtEnd() {
  const player = $("player");
  if (!playing || player.seeking || player.currentTime < playing.end_s) return;
  if (!player.paused && player.currentTime < playing.end_s + 1) {
    player.pause();
    player.currentTime = playing.last_s;
  }
  playing = null;
}

// The player does not say why it failed: ask the server whether it is there.
async function explainPlayerError() {
  const player = $("player");
  const source = player.getAttribute("src");
  if (!source) return;
  try {
    await api("/v1/health/live");
  } catch (problem) {
    if (player.getAttribute("src") !== source) return;
    $("player-note").textContent = `${problem.message} ${TRYING_AGAIN}`;
    setTimeout(() => player.getAttribute("src") === source && player.load(), PLAYER_RETRY_MS);
    return;
  }
  if (player.getAttribute("src") !== source) return;
  $("player-note").textContent = isPlayable
    ? "Your browser cannot play this format. Press Play beside a clip to see it converted."
    : "Your browser cannot play the converted clip either. Download the file to watch it.";
  isPlayable = false;
}

function clipRow(video, clip) {
  const where = span(clip);
  return el("li", {}, el("span", { className: "span", textContent: where }),
    video.has_file ? named(button("Play", () => play(video, clip)), `Play ${where}`) : null,
    named(button("Find similar", () => showSimilar({ clip_id: clip.id }, `${video.filename}, ${where}`)),
      `Find similar to the clip ${where}`));
}

let opening = 0; // number of the newest opening; answers to older ones are dropped

function showFacts(video) {
  const { media, decode } = video;
  const length = [media.duration_s === null ? "" : `${media.duration_s.toFixed(1)} s`, video.has_file ? size(video.bytes) : ""];
  $("facts").replaceChildren(
    ...(video.has_file ? fact("Format", `${CONTAINERS[media.container] || media.container}, ${CODECS[media.codec] || media.codec}`) : []),
    ...(video.has_file ? fact("Picture", `${media.width} × ${media.height}, ${Number(media.fps.toFixed(2))} frames/s`) : []),
    ...(length.some(Boolean) ? fact("Length", length.filter(Boolean).join(", ")) : []),
    ...fact("Stored", dateAndTime(video.created_at)),
    ...(video.has_file ? fact("Decoded", `${decode.frames_decoded} of ${decode.frames_total} frames (${decode.path})`) : []),
    ...(framesText(video) ? fact("Vectors", `Made of ${framesText(video).toLowerCase()}, not of exact frames`) : []),
    ...(video.places.length ? fact("Folder", placesText(video)) : []),
    ...fact("Id", video.id),
    ...(Object.keys(video.metadata).length ? fact("Metadata", JSON.stringify(video.metadata)) : []));
}

// The copies and parts of the video that were stored after it.
async function listLater(video, cursor, number) {
  const query = new URLSearchParams({ limit: LATER_PAGE, count: true });
  if (cursor) query.set("cursor", cursor);
  const page = await api(`${videoPath(video.id)}/copies?${query}`);
  if (number !== opening) return;
  const row = (copy) => el("li", {},
    el("span", { className: "later" }, el("bdi", { className: "name", textContent: copy.filename, title: copy.filename }),
      el("span", { className: "quiet", textContent: placeInOriginal(copy, video.media.duration_s) })),
    named(button("Open", () => openViewer(copy.id, copy.filename)), `Open ${copy.filename}`));
  const isPart = page.items.some((copy) => copy.duplicate.verdict === "part_of");
  const one = isPart ? "A part of it" : "A copy";
  $("later-title").textContent =
    page.total === 1 ? `${one} was added later` : `${page.total} copies or parts of it were added later`;
  $("later").append(...page.items.map(row));
  $("viewer-later").hidden = !page.total;
  $("later-more").hidden = !page.next;
  $("later-more").onclick = () =>
    listLater(video, page.next, number).catch((problem) => showViewerNote([problem.message], "error"));
}

// The stored videos whose pictures were compared, each with what that said; their names when somebody looks.
async function listLooks(video, number) {
  const { looks } = await api(`${videoPath(video.id)}/evidence`);
  if (number !== opening) return;
  $("viewer-looks").hidden = !looks.length;
  $("viewer-looks").ontoggle = async () => {
    if (!$("viewer-looks").open || $("looks").children.length) return;
    const rows = await Promise.all(looks.map(async (look) => el("li", {},
      el("bdi", { className: "name", textContent: (await otherOf({ of: look.video_id })).filename }), ": ", look.reason)));
    if (number === opening) $("looks").replaceChildren(...rows);
  };
}

function showViewerNote(parts, className) {
  $("viewer-verdict").replaceChildren(...parts);
  $("viewer-verdict").className = className;
}

// The player, unless the video is vectors alone.
function showPlayer(id, start, hasFile) {
  const player = $("player");
  player.hidden = $("download").hidden = !hasFile;
  $("player-note").textContent = hasFile ? "" : "It was imported as vectors: there is no file to play.";
  if (hasFile) {
    player.src = `${videoPath(id)}/content#t=${start}`;
    player.poster = thumbnail(id, start || undefined);
  } else {
    player.removeAttribute("src");
    player.removeAttribute("poster");
  }
}

async function openViewer(id, name, start = 0, hasFile = true) {
  const number = ++opening;
  $("viewer-title").textContent = name;
  playing = null;
  isPlayable = true;
  showPlayer(id, start, hasFile);
  $("download").href = `${videoPath(id)}/content`;
  $("download").download = name;
  $("viewer-delete").onclick = () => askDelete(id, name);
  $("facts").replaceChildren();
  $("clips").replaceChildren();
  $("later").replaceChildren();
  $("viewer-later").hidden = true;
  $("looks").replaceChildren();
  $("viewer-looks").hidden = true;
  $("viewer-looks").open = false;
  $("viewer-original").hidden = true;
  showViewerNote(["Loading…"], "quiet");
  if (!$("viewer").open) $("viewer").showModal();
  try {
    const video = await api(videoPath(id));
    if (hasFile && !video.has_file && number === opening) showPlayer(id, start, false);
    const { of, verdict } = video.duplicate;
    const original = await otherOf(video.duplicate);
    if (number !== opening) return;
    showFacts(video);
    $("viewer-original").hidden = !of || original.isDeleted;
    $("viewer-original").textContent = verdict === "copy" ? "Open the original" : "Open the other video";
    $("viewer-original").onclick = () => openViewer(of, original.filename);
    $("clips").replaceChildren(...video.clips.map((clip) => clipRow(video, clip)));
    showViewerNote([...verdictParts(video.duplicate, original, video.media.duration_s, video.created_at),
      evidenceSentence(video)], `verdict ${verdict}`);
    await listLooks(video, number);
    await listLater(video, null, number);
  } catch (problem) {
    if (number === opening) showViewerNote([problem.message], "error");
  }
}

function askDelete(id, name) {
  $("confirm-text").replaceChildren(
    "This deletes ", el("bdi", { textContent: name }), ", its file and its vectors. You cannot undo it.");
  deletionText(id).then((text) => text && $("confirm-text").replaceChildren(
    "This deletes ", el("bdi", { textContent: name }), ` from the index. ${text}`)).catch(() => {});
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
    if (problem.status !== 404) { // 404: it is already deleted
      $("confirm-note").textContent = problem.message;
      return;
    }
  }
  $("confirm").close();
  $("viewer").close();
  for (const card of document.querySelectorAll(`.card[data-id="${CSS.escape(id)}"]`)) card.remove();
  announce(`${name} was deleted.`);
  $("library-title").focus(); // the element that had the focus is removed
  refresh();
}

// ---- Wiring -------------------------------------------------------------------------------------

function wire() {
  let typing;
  $("more").onclick = () => list("more");
  $("ask").onsubmit = (event) => {
    event.preventDefault();
    askText();
  };
  $("filters-form").onsubmit = (event) => {
    event.preventDefault();
    applyFilter();
  };
  $("filters-clear").onclick = () => useFilter("");
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
  $("player").onerror = explainPlayerError;
  $("player").onloadedmetadata = () => {
    if (isPlayable) $("player-note").textContent = "";
  };
  $("confirm-no").onclick = () => $("confirm").close();
}

onReturn(refresh);
wireUploads({ refresh, hitCard, openViewer });
wireDuplicates(openViewer);
wireFolders(refreshLibrary);
wireImports(refreshLibrary);
wireClusters({
  openViewer,
  filterBy: (chosen) => {
    $("filters").open = true;
    useFilter(JSON.stringify(chosen));
    $("library-title").focus();
  },
});
showExamples();
wire();
refresh();
