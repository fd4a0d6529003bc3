// Uploads. The page sends a file, then follows the job that processes it on the server.

import {
  $, announce, api, button, el, evidenceSentence, named, otherOf, percent, picture, search, sentence, size, time,
  TRYING_AGAIN, verdictParts, videoPath,
} from "./common.js";

const PARALLEL_UPLOADS = 3;

// Functions of the page that uploads call: {refresh, hitCard, openViewer}.
let page = null;

const waiting = [];
let running = 0;
let sending = 0;

const PHASES = {
  RECEIVE: "Waiting in the queue", PROBE: "Reading the file", CLIP: "Finding shots",
  FRAMES: "Decoding frames", PREPARE: "Decoding frames", EMBED: "Computing vectors", COMMIT: "Storing",
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
  $("uploads-count").textContent = `${ended} of ${rows.length} files finished`;
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

// canRetry: sending the file again may help.
function failRow(row, text, canRetry) {
  const again = () => {
    removeRow(row);
    add([row.file]);
  };
  endRow(row, [text], "error", canRetry ? { "Try again": again } : {});
}

// A thumbnail of a stored video with its name below.
function figure(id, name) {
  return el("figure", {}, picture(id, name, undefined, null, () => page.openViewer(id, name)),
    el("figcaption", { className: "name", textContent: name, title: name }));
}

async function showNearest(row, id) {
  try {
    const found = await search({ video_id: id, k: 6 });
    if (!found.items.length) return;
    row.item.append(el("details", { open: row.isAlone }, el("summary", { textContent: "Nearest videos" }),
      el("ul", { className: "grid" }, ...found.items.map(page.hitCard))));
  } catch (problem) {
    row.item.append(el("p", { className: "error", textContent: problem.message }));
  }
}

// Shows the result of a job that is done or has failed.
async function showEnd(row, job) {
  const { duplicate } = job.report || {};
  const original = duplicate && await otherOf(duplicate);
  if (job.problem) {
    failRow(row, job.problem.detail, job.problem.status >= 500);
    if (duplicate) row.item.append(el("div", { className: "pair" }, figure(duplicate.of, original.filename)));
    return;
  }
  const video = await api(videoPath(job.video_id));
  endRow(row, [...verdictParts(duplicate, original, video.media.duration_s), evidenceSentence(video)],
    `verdict ${duplicate.verdict}`);
  if (duplicate.of && duplicate.verdict !== "exact")
    row.item.append(el("div", { className: "pair" },
      figure(job.video_id, row.file.name), figure(duplicate.of, original.filename)));
  await showNearest(row, job.video_id);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Follows the job until it has ended. A server that restarts continues the job.
async function follow(row, id) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  rowButtons(row, { Cancel: () => api(path, { method: "DELETE" }).catch((problem) => announce(problem.message)) });
  for (let ms = 50; ; ms = Math.min(1.5 * ms, 1000)) {
    try {
      const job = await api(path);
      if (job.state === "cancelled") return removeRow(row);
      if (["done", "failed", "parked"].includes(job.state)) return await showEnd(row, job);
      const share = job.total ? job.done / job.total : null;
      if (job.next_try_at) showProgress(row, `The server failed: ${job.last_error}. ${TRYING_AGAIN}`, null);
      else showProgress(row, PHASES[job.phase] + (share === null ? "…" : `: ${percent(share)}`), share, job.eta_s);
    } catch (problem) {
      if (problem.status && problem.status < 500) return failRow(row, problem.message, true);
      showProgress(row, `${problem.message} ${TRYING_AGAIN}`, null);
    }
    await pause(ms);
  }
}

// Why sending failed. The browser does not say whether the connection broke or the file is unreadable.
async function sendFailure(file) {
  const reader = file.stream().getReader();
  try {
    await reader.read();
    reader.cancel();
    return "Upload failed: the server stopped answering.";
  } catch {
    return "Upload failed: the file cannot be read. Was it moved, changed or deleted?";
  }
}

// Returns the job, or null after showing in the row why there is none. Uses XMLHttpRequest because
// fetch does not report how much has been sent.
function send(row) {
  const { file } = row;
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    const began = performance.now();
    const fail = (text, canRetry) => resolve(failRow(row, text, canRetry) || null);
    form.append("wait", "false");
    form.append("on_duplicate", $("reject").checked ? "reject" : "flag");
    form.append("file", file, file.name);
    request.upload.onprogress = ({ loaded, total }) => {
      const seconds = (performance.now() - began) / 1000;
      showProgress(row, `${size(loaded)} of ${size(total)} sent`, total ? loaded / total : 0,
        seconds * (total - loaded) / loaded);
    };
    request.upload.onload = () => showProgress(row, "Sent. Waiting for the server…", null);
    request.onload = () => {
      if (request.status === 202) resolve(request.response);
      else fail(sentence(request.response, request.status), request.status >= 500);
    };
    request.onerror = async () => fail(await sendFailure(file), true);
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
  page.refresh();
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

// Browsers list a dropped folder as a file that cannot be read; only its entry says what it is.
function dropped(transfer) {
  const files = [];
  const folders = [];
  for (const item of transfer.items) {
    if (item.kind !== "file") continue;
    const file = item.getAsFile();
    if (item.webkitGetAsEntry()?.isDirectory) folders.push(file);
    else files.push(file);
  }
  return { files, folders };
}

function refuseFolder(folder) {
  const row = uploadRow(folder, false);
  $("uploads").prepend(row.item);
  failRow(row, `${folder.name}/ is a folder. Drop the files in it instead.`, false);
}

function wireDrop() {
  const drop = $("drop");
  const carriesFiles = (event) => event.dataTransfer && event.dataTransfer.types.includes("Files");
  // On the whole page: the browser would open a file that is dropped beside the box.
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
    const { files, folders } = dropped(event.dataTransfer);
    add(files);
    for (const folder of folders) refuseFolder(folder);
  });
  $("files").onchange = () => {
    add($("files").files);
    $("files").value = "";
  };
}

export function wireUploads(parts) {
  page = parts;
  wireDrop();
  // A file that is sent becomes a job and no longer needs the page; files that are not sent would be lost.
  window.addEventListener("beforeunload", (event) => {
    if (sending || waiting.length) event.preventDefault();
  });
  $("uploads-clear").onclick = () => {
    for (const item of $("uploads").querySelectorAll("[data-ended]")) item.remove();
    countRows();
    $("files").focus();
  };
}
