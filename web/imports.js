// Imports of vectors: how far each is, what was refused, and a button that ends it.

import { $, announce, api, button, el, named, percent, time } from "./common.js";

const BUSY_MS = 2000; // between looks while one runs
const IDLE_MS = 30000;
const LISTED = 5;
const LOOKED_AT = 100; // of the newest jobs of any kind; one that runs is found wherever it is

let timer = 0;
let running = 0; // how many were, the last time
let onStored = null;

const rows = (n) => (n === 1 ? "1 row" : `${n} rows`);
const videos = (n) => (n === 1 ? "1 video" : `${n} videos`);
const jobPath = (job) => `/v1/jobs/${encodeURIComponent(job.id)}`;

function stateText(job) {
  const { report } = job;
  if (job.state === "done") {
    const parts = [`${videos(report.stored)} stored, ${report.vectors} vectors`];
    if (report.existing) parts.push(`${report.existing} were stored before`);
    if (report.unlike) parts.push(`${report.unlike} of these have other clips and got no vectors`);
    return parts.join(" · ");
  }
  if (job.state === "failed")
    return report ? `${report.refused} of ${rows(report.rows)} cannot be imported, and nothing was stored.` : job.problem.detail;
  if (job.state === "cancelled") return "Cancelled. What was stored stays.";
  if (job.state === "parked") return `Waiting for somebody: ${job.last_error}`;
  if (job.last_error) return `Will be tried again: ${job.last_error}`;
  if (!job.total) return "Waiting";
  const left = job.eta_s === null ? "" : `, about ${time(job.eta_s)} left`;
  return `${job.phase === "PROBE" ? "Checking" : "Storing"}: ${job.done} of ${rows(job.total)} (${percent(job.done / job.total)})${left}`;
}

// The refused rows, read when somebody looks.
function refusals(job) {
  const items = el("ul");
  const box = el("details", {}, el("summary", { textContent: "Refused rows" }), items);
  box.ontoggle = async () => {
    if (!box.open || items.childElementCount) return;
    try {
      const { report } = await api(jobPath(job));
      const more = report.refused - report.refusals.length;
      items.replaceChildren(...report.refusals.map(({ row, reason }) => el("li", { textContent: `Row ${row}: ${reason}` })),
        ...(more ? [el("li", { textContent: `and ${more} more` })] : []));
    } catch (problem) {
      items.replaceChildren(el("li", { textContent: problem.message }));
    }
  };
  return box;
}

async function cancel(job) {
  try {
    await api(jobPath(job), { method: "DELETE" });
    announce(`The import of ${job.filename} was cancelled.`);
  } catch (problem) {
    announce(problem.message);
  }
  showImports();
}

function importItem(job) {
  const bar = named(el("progress", { max: job.total || 1, value: job.done }), `Progress of ${job.filename}`);
  bar.hidden = job.finished_at !== null || !job.total;
  const item = el("li", { className: "group" },
    el("h3", {}, el("bdi", { textContent: job.filename })),
    el("p", { className: job.state === "failed" ? "error" : "", textContent: stateText(job) }), bar,
    el("p", { className: "quiet", textContent: `Vectors of ${job.model}` }),
    job.report && job.report.refused ? refusals(job) : null,
    job.finished_at === null
      ? el("p", { className: "actions" }, named(button("Cancel", () => cancel(job)), `Cancel the import of ${job.filename}`)) : null);
  item.dataset.id = job.id;
  return item;
}

// A list that somebody has opened stays as it is.
function place(items) {
  const list = $("imports-list");
  const open = new Map([...list.children].filter((item) => item.querySelector("details[open]")).map((item) => [item.dataset.id, item]));
  list.replaceChildren(...items.map((item) => open.get(item.dataset.id) || item));
}

export async function showImports() {
  clearTimeout(timer);
  let jobs;
  try {
    const pages = await Promise.all([api("/v1/jobs?state=running&limit=500"), api(`/v1/jobs?limit=${LOOKED_AT}`)]);
    const imports = pages.flatMap((page) => page.items).filter((job) => job.kind === "import");
    jobs = imports.filter((job, i) => imports.findIndex((other) => other.id === job.id) === i).slice(0, LISTED);
  } catch {
    return; // the page is filled again when the server is back
  }
  $("imports").hidden = !jobs.length;
  place(jobs.map(importItem));
  const now = jobs.filter((job) => job.finished_at === null).length;
  if (now !== running) onStored();
  running = now;
  timer = setTimeout(showImports, now ? BUSY_MS : IDLE_MS);
}

// callback: the library has other videos now.
export function wireImports(callback) {
  onStored = callback;
}
