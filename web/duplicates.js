// Duplicates: scan, look at the groups side by side, see what would go, delete, keep, undo.
// Everything that comes from files or people is inserted as text, never as markup.

import { $, announce, api, BADGES, button, el, named, percent, picture, size, time } from "./common.js";

const PAGE = 10;
const SHOWN_VIDEOS = 8; // of a group, before "Show all"
const UNDO_S = 60; // how long a deletion waits
const SCAN_POLL_MS = 700;

let next = null;
let listing = 0; // number of the newest list; answers to older ones are dropped
let openVideo = () => {};

// What the groups are asked by, and decided by.
function asked() {
  const folders = $("dup-folders").value.trim();
  const keep = $("dup-keep").value === "path" ? `path:${folders || "/"}` : $("dup-keep").value;
  const kind = $("dup-similar").checked ? "copy,part_of,contains,similar" : "copy,part_of,contains";
  return { keep, kind };
}

const post = (path, body) => api(path, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
});

function resolve(group, action, more = {}) {
  return post(`/v1/duplicates/${encodeURIComponent(group.id)}/resolve`,
    { action, ...asked(), revision: group.revision, ...more });
}

function note(text) {
  $("dup-note").textContent = text;
  announce(text);
}

// ---- Undo ---------------------------------------------------------------------------------------

// A line that says what was done, with a button that takes it back.
function showDone(text, decisions) {
  const line = el("li", {}, el("span", { textContent: text }));
  const undo = button("Undo", async () => {
    undo.disabled = true;
    try {
      for (const id of decisions) await api(`/v1/duplicate-decisions/${id}`, { method: "DELETE" });
      line.remove();
      note("Undone.");
    } catch (problem) {
      note(problem.message);
    }
    list("anew");
  });
  line.append(undo);
  $("dup-done").prepend(line);
  announce(text);
}

const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;

function toldDeletion(plan) {
  const n = plan.deleted.length;
  return `${count(n, "video", "videos")} (${size(plan.decision.bytes)}) will be deleted in ${UNDO_S} seconds.`;
}

// ---- One group ----------------------------------------------------------------------------------

function pairWith(group, a, b) {
  return group.pairs.find((pair) => (pair.a === a && pair.b === b) || (pair.a === b && pair.b === a));
}

// What a video is to the one that holds it.
function relationText(group, video) {
  const pair = video.of && pairWith(group, video.of, video.video_id);
  if (!pair) return null;
  const relation = pair.a === video.of ? pair.relation
    : { part_of: "contains", contains: "part_of" }[pair.relation] || pair.relation;
  const share = pair.share === null ? `score ${pair.score.toFixed(3)}` : `${percent(pair.share)} match`;
  return `${BADGES[relation]}, ${share}${pair.mirrored ? ", mirrored" : ""}`;
}

function videoFigure(group, video) {
  const isKeeper = video.video_id === group.keeper.video_id;
  const label = video.action === "delete" ? "Would be deleted" : isKeeper ? "Keep" : "Keeps its own part";
  const relation = relationText(group, video);
  return el("li", { className: `card ${video.action === "delete" ? "goes" : "stays"}` },
    picture(video.video_id, video.filename, undefined, video.duration_s === null ? null : time(video.duration_s),
      () => openVideo(video.video_id, video.filename)),
    el("div", { className: "body" },
      el("span", { className: "name", textContent: video.filename, title: video.filename }),
      el("span", { className: "quiet", textContent: `${video.width} × ${video.height} · ${size(video.bytes)}` }),
      relation && el("span", { className: "quiet", textContent: relation }),
      video.set_aside ? el("span", { className: "quiet", textContent: "in a trash or hidden folder" }) : null,
      el("span", { className: `badge ${video.action === "delete" ? "danger" : "new"}`, textContent: label })));
}

function groupTitle(group) {
  const n = group.videos.filter((video) => video.action === "delete").length;
  const goes = group.videos.length < group.videos_total ? "" : `, ${n} of them may go`;
  return `${group.videos_total} videos${goes} · ${size(group.removable_bytes)} to free`;
}

// The dry run of a group: what would go, and the button that does it.
async function askDelete(group, item, panel) {
  const plan = await resolve(group, "delete", { dry_run: true });
  const names = plan.deleted.slice(0, 100).map((video) => el("li", {}, el("bdi", { textContent: video.filename }),
    ` (${size(video.bytes)})`));
  if (plan.deleted.length > names.length) names.push(el("li", { textContent: `and ${plan.deleted.length - names.length} more` }));
  const yes = button(`Delete ${count(plan.deleted.length, "video", "videos")}`, () => act(item, async () => {
    const done = await resolve(group, "delete", { delay_s: UNDO_S });
    showDone(toldDeletion(done), [done.decision.id]);
  }), "danger");
  panel.replaceChildren(
    el("p", { textContent: `${size(plan.decision.bytes)} would be freed. These would go:` }), el("ul", {}, ...names),
    el("p", { className: "actions" }, button("Cancel", () => panel.replaceChildren()), yes));
  yes.focus();
}

// Does something about a group, which then leaves the list.
async function act(item, what) {
  for (const each of item.querySelectorAll("button")) each.disabled = true;
  try {
    await what();
    item.remove();
    note("");
  } catch (problem) {
    note(problem.message);
    list("anew");
  }
}

function groupItem(group) {
  const videos = el("ul", { className: "grid" },
    ...group.videos.slice(0, SHOWN_VIDEOS).map((video) => videoFigure(group, video)));
  const panel = el("div", { className: "plan" });
  const item = el("li", { className: "group" });
  item.told = JSON.stringify(group);
  const rest = group.videos.slice(SHOWN_VIDEOS);
  const hidden = group.videos_total - group.videos.length;
  const more = rest.length ? button(`Show ${rest.length} more`, () => {
    videos.append(...rest.map((video) => videoFigure(group, video)));
    more.remove();
  }) : null;
  const why = el("p", { className: "quiet" }, "Keeps ", el("bdi", { textContent: group.videos[0].filename }),
    `: ${group.keeper.why}.`);
  const about = (text) => `${text}: ${group.videos[0].filename} and its copies`;
  const remove = group.removable_bytes ? named(button("Delete the copies…", () =>
    askDelete(group, item, panel).catch((problem) => note(problem.message)), "danger"), about("Delete the copies")) : null;
  item.append(el("h3", { textContent: groupTitle(group) }), why, videos,
    ...[more, hidden > 0 ? el("p", { className: "quiet", textContent: `${hidden} more are not shown.` }) : null].filter(Boolean),
    el("p", { className: "actions" }, ...[remove,
      named(button("Keep all", () => act(item, async () => {
        const done = await resolve(group, "keep");
        showDone("All videos of the group stay.", [done.decision.id]);
      })), about("Keep all")),
      named(button("Not duplicates", () => act(item, async () => {
        const done = await resolve(group, "not_duplicates");
        showDone("Remembered: these are no duplicates.", [done.decision.id]);
      })), about("Not duplicates"))].filter(Boolean)),
    panel);
  return item;
}

// ---- The list -----------------------------------------------------------------------------------

// Shows these groups. One that is told as before stays as it is: a scan that ends must not
// close the question that somebody is reading.
function replaceGroups(groups) {
  const shown = new Map([...$("dup-groups").children].map((item) => [item.told, item]));
  const focused = document.activeElement;
  const usable = (item) => item && !item.querySelector("button:disabled");
  $("dup-groups").replaceChildren(...groups.map((group) => {
    const item = shown.get(JSON.stringify(group));
    return usable(item) ? item : groupItem(group);
  }));
  if (focused.isConnected) focused.focus(); // moving an element takes the focus from it
}

// what: "anew", or "more" for the next page.
async function list(what) {
  if (what === "anew") listing++;
  const number = listing;
  const query = new URLSearchParams({ limit: PAGE, ...asked() });
  if (what === "more") query.set("cursor", next);
  try {
    const page = await api(`/v1/duplicates?${query}`);
    if (number !== listing) return;
    if (what === "more") $("dup-groups").append(...page.items.map(groupItem));
    else replaceGroups(page.items);
    next = page.next;
    $("dup-more").hidden = !next;
    $("dup-all").hidden = !page.total_removable_bytes;
    $("dup-sum").textContent = page.total
      ? `${count(page.total, "group", "groups")}, ${size(page.total_removable_bytes)} to free` : "No groups. Scan to look for duplicates.";
  } catch (problem) {
    if (number === listing) note(problem.message);
  }
}

// Decides every open group as it is proposed; what cannot be decided is told and left.
async function deleteAll() {
  const decisions = [];
  let videos = 0;
  let bytes = 0;
  let cursor = null;
  let failed = 0;
  do { // decided groups leave the list, so what follows the cursor stays the same
    const query = new URLSearchParams({ limit: 100, ...asked(), ...(cursor ? { cursor } : {}) });
    const page = await api(`/v1/duplicates?${query}`);
    for (const group of page.items.filter((each) => each.removable_bytes)) {
      try {
        const done = await resolve(group, "delete", { delay_s: UNDO_S });
        decisions.push(done.decision.id);
        videos += done.deleted.length;
        bytes += done.decision.bytes;
      } catch (problem) {
        failed++;
      }
    }
    cursor = page.next;
    note(`${count(decisions.length, "group", "groups")} decided…`);
  } while (cursor);
  showDone(`${count(videos, "video", "videos")} (${size(bytes)}) will be deleted in ${UNDO_S} seconds.`, decisions);
  note(failed ? `${count(failed, "group", "groups")} changed meanwhile and was left.` : "");
  list("anew");
}

async function askDeleteAll() {
  const page = await api(`/v1/duplicates?${new URLSearchParams({ limit: 1, ...asked() })}`);
  const panel = $("dup-plan");
  const yes = button("Delete all of them", () => {
    panel.replaceChildren();
    deleteAll().catch((problem) => note(problem.message));
  }, "danger");
  panel.replaceChildren(
    el("p", { textContent: `In ${count(page.total, "group", "groups")}, everything marked “Would be deleted” would go: ` +
      `${size(page.total_removable_bytes)}. One video of each group stays, and all that no kept video holds.` }),
    el("p", {}, el("a", { href: `/v1/duplicates?${new URLSearchParams({ format: "csv", ...asked() })}`, download: "duplicates.csv",
      textContent: "See the whole list as CSV" })),
    el("p", { className: "actions" }, button("Cancel", () => panel.replaceChildren()), yes));
  yes.focus();
}

// ---- The scan -----------------------------------------------------------------------------------

function showScan(job) {
  const share = job.total ? job.done / job.total : 0;
  const left = job.eta_s === null ? "" : `, about ${time(job.eta_s)} left`;
  $("dup-progress").value = share;
  $("dup-scan-note").textContent = job.finished_at
    ? job.state === "done" ? `Compared ${count(job.report.videos, "new video", "new videos")} with ${job.report.among}.` : "The scan was stopped."
    : `Comparing… ${percent(share)}${left}`;
}

async function follow(id) {
  $("dup-scan").disabled = true;
  $("dup-progress").hidden = $("dup-stop").hidden = false;
  $("dup-stop").onclick = () => api(`/v1/jobs/${id}`, { method: "DELETE" }).catch((problem) => note(problem.message));
  try {
    let job, total = 0;
    do {
      job = await api(`/v1/jobs/${id}`);
      showScan(job);
      if (total && job.total !== total) list("anew"); // all are compared, and the deep look begins
      total = job.total;
      if (!job.finished_at) await new Promise((done) => setTimeout(done, SCAN_POLL_MS));
    } while (!job.finished_at);
  } catch (problem) {
    note(problem.message);
  }
  $("dup-scan").disabled = false;
  $("dup-progress").hidden = $("dup-stop").hidden = true;
  list("anew");
}

async function scan() {
  try {
    follow((await api(`/v1/duplicates/scan?evidence=${$("dup-deep").checked ? "deep" : "fast"}`, { method: "POST" })).id);
  } catch (problem) {
    note(problem.message);
  }
}

export function wireDuplicates(open) {
  openVideo = open;
  let filled = false;
  $("duplicates").addEventListener("toggle", () => {
    if (!$("duplicates").open || filled) return;
    filled = true;
    list("anew");
  });
  $("dup-scan").onclick = scan;
  $("dup-more").onclick = () => list("more");
  $("dup-all").onclick = () => askDeleteAll().catch((problem) => note(problem.message));
  for (const id of ["dup-keep", "dup-similar", "dup-folders"]) {
    $(id).addEventListener("change", () => {
      $("dup-folders-label").hidden = $("dup-keep").value !== "path";
      list("anew");
    });
  }
}
