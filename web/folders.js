// Folders that are indexed in place: how far each is, what could not be read, what was deleted there.

import { $, announce, api, button, dateAndTime, el, named, size, time, videoPath } from "./common.js";

const BUSY_MS = 2000; // between looks while something is read
const IDLE_MS = 30000;
const LISTED = 100; // files of a state

let folders = [];
let timer = 0;
let indexed = null; // how many files were, the last time
let onIndexed = null;

const videos = (n) => (n === 1 ? "1 video" : `${n} videos`);
const filesPath = (folder, query) => `/v1/folders/${encodeURIComponent(folder.name)}/files?${query}`;

function progressText(folder) {
  const { files, bytes, progress, walk } = folder;
  const parts = [`${videos(files.indexed)} indexed (${size(bytes.indexed)})`];
  if (files.waiting) parts.push(`${files.waiting} to read (${size(bytes.waiting)})`);
  if (progress.bytes_per_s) parts.push(`${size(progress.bytes_per_s)}/s`);
  if (progress.eta_s) parts.push(`about ${time(progress.eta_s)} left`);
  if (walk.running) parts.push(`walking: ${walk.files} found`);
  if (files.missing) parts.push(`${files.missing} missing`);
  return parts.join(" · ");
}

function fileLine(file) {
  const why = file.error || (file.missing_since && `missing since ${dateAndTime(file.missing_since)}`);
  return el("li", {}, el("bdi", { textContent: file.path }), why ? `: ${why}` : "");
}

// The files of one state, read when they are asked for.
function listOf(folder, state, title) {
  const items = el("ul");
  const box = el("details", {}, el("summary", { textContent: `${folder.files[state]} ${title}` }), items);
  box.dataset.state = state;
  box.ontoggle = async () => {
    if (!box.open || items.childElementCount) return;
    try {
      const page = await api(filesPath(folder, new URLSearchParams({ state, limit: LISTED })));
      items.replaceChildren(...page.items.map(fileLine), ...(page.next ? [el("li", { textContent: "…" })] : []));
    } catch (problem) {
      items.replaceChildren(el("li", { textContent: problem.message }));
    }
  };
  return box;
}

async function walk(folder) {
  try {
    await api(`/v1/folders/${encodeURIComponent(folder.name)}/walk`, { method: "POST" });
    announce(`${folder.name} is walked.`);
  } catch (problem) {
    announce(problem.message);
  }
  showFolders();
}

function folderItem(folder) {
  const { files, bytes } = folder;
  const all = bytes.indexed + bytes.waiting;
  const bar = named(el("progress", { max: all || 1, value: bytes.indexed }), `Progress of ${folder.name}`);
  bar.hidden = !files.waiting;
  const isUsed = folder.state !== "unused";
  const item = el("li", { className: "group" },
    el("h3", { textContent: folder.name }),
    el("p", { className: "quiet" }, el("bdi", { textContent: folder.path }), folder.trash ? " · deleted files go to its trash" : ""),
    folder.problem ? el("p", { className: "error", textContent: folder.problem }) : null,
    isUsed ? null : el("p", { className: "error", textContent: "It was not given at this start: its files cannot be read." }),
    el("p", { textContent: progressText(folder) }), bar,
    folder.watch.limited ? el("p", { className: "error",
      textContent: "The system has too few inotify watches: changes are found by a walk every 15 minutes." }) : null,
    files.failed ? listOf(folder, "failed", "could not be read") : null,
    files.missing ? listOf(folder, "missing", "missing") : null,
    files.forgotten ? listOf(folder, "forgotten", "deleted from the index, still there") : null,
    isUsed ? el("p", { className: "actions" }, named(button("Look for changes", () => walk(folder)), `Look for changes in ${folder.name}`)) : null);
  item.dataset.name = folder.name;
  return item;
}

// A list that somebody has opened stays as it is.
function place(items) {
  const list = $("folders-list");
  const open = new Map([...list.children].filter((item) => item.querySelector("details[open]")).map((item) => [item.dataset.name, item]));
  list.replaceChildren(...items.map((item) => open.get(item.dataset.name) || item));
}

export async function showFolders() {
  clearTimeout(timer);
  try {
    folders = (await api("/v1/folders")).items;
  } catch {
    return; // the page is filled again when the server is back
  }
  $("folders").hidden = !folders.length;
  place(folders.map(folderItem));
  const isBusy = folders.some((folder) => folder.files.waiting || folder.walk.running || folder.state === "starting");
  const now = folders.reduce((sum, folder) => sum + folder.files.indexed, 0);
  if (indexed !== null && now !== indexed) onIndexed();
  indexed = now;
  if (folders.length) timer = setTimeout(showFolders, isBusy ? BUSY_MS : IDLE_MS);
}

// callback: the library has other videos now.
export function wireFolders(callback) {
  onIndexed = callback;
}

export const placesText = (video) => video.places.map((place) => `${place.folder}/${place.path}`).join(", ");

// What deleting does to the files of a video in folders; null: it lies in none.
export async function deletionText(id) {
  if (!folders.length) return null;
  const { places } = await api(videoPath(id));
  if (!places.length) return null;
  const goes = places.some((place) => folders.some((folder) => folder.name === place.folder && folder.trash));
  return goes ? "Its file is moved to the trash of its folder." : "Its file stays where it is, and is not indexed again.";
}
