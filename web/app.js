// The page of vidx: drop files, read the verdicts, search, look for neighbours, delete.
// Everything that came from files or people is put in as text, never as markup.

import {
  $, announce, api, BADGES, button, CODECS, CONTAINERS, DELETED, el, named, nameOf, onReturn,
  picture, search, size, span, thumbnail, time, verdictParts, videoPath,
} from "./common.js";
import { wireUploads } from "./uploads.js";

const PAGE = 48;

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

// ---- Wiring -------------------------------------------------------------------------------------

function wire() {
  let typing;
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

onReturn(refresh);
wireUploads({ refresh, hitCard, openViewer });
wire();
refresh();
