// Groups of similar clips: finds them, draws their points, and lists each with its size, name and representatives.

import { $, announce, api, button, dateAndTime, el, named, picture } from "./common.js";

const PAGE = 5000; // points in one reply
const MOST_POINTS = 20000; // that are drawn
const SHOWN = 60; // clusters in the list at first
const WAIT_MS = 700;
const RADIUS = 2.5;

let openViewer = null;
let filterBy = null;
let shown = 0; // number of the newest choice; answers to older ones are dropped

// As many colours as wanted, neighbours far apart: steps of the golden angle.
const colour = (number) => (number === null ? "#8886" : `hsl(${(number * 137.508) % 360} 65% 50%)`);
const clips = (n) => (n === 1 ? "1 clip" : `${n} clips`);
const titleOf = (cluster) => cluster.name || `Cluster ${cluster.number}`;

function note(text) {
  $("clusters-note").textContent = text;
}

// ---- Points -------------------------------------------------------------------------------------

function draw(points, chosen) {
  const canvas = $("clusters-points");
  const context = canvas.getContext("2d");
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * scale, height * scale];
  context.scale(scale, scale);
  const range = (at) => {
    const values = points.map((item) => item.point[at]);
    const [low, high] = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
    return high > low ? [low, high] : [low - 1, high + 1];
  };
  const [x, y] = [range(0), range(1)];
  for (const item of points) {
    const isQuiet = chosen !== null && item.cluster !== chosen;
    context.fillStyle = isQuiet ? "#8883" : colour(item.cluster);
    const left = 8 + ((item.point[0] - x[0]) / (x[1] - x[0])) * (width - 16);
    const top = height - 8 - ((item.point[1] - y[0]) / (y[1] - y[0])) * (height - 16);
    context.beginPath();
    context.arc(left, top, RADIUS, 0, 7);
    context.fill();
    [item.left, item.top] = [left, top];
  }
}

function nearest(points, event) {
  let best = null;
  let least = 100; // 10 px
  for (const item of points) {
    const distance = (item.left - event.offsetX) ** 2 + (item.top - event.offsetY) ** 2;
    if (distance < least) [best, least] = [item, distance];
  }
  return best;
}

async function readPoints(id, number) {
  const points = [];
  let cursor = "";
  while (cursor !== null && points.length < MOST_POINTS && number === shown) {
    const page = await api(`/v1/clusters/${id}/members?limit=${PAGE}&cursor=${cursor}`);
    points.push(...page.items);
    cursor = page.next;
  }
  return { points, isPart: cursor !== null };
}

// ---- One clustering -----------------------------------------------------------------------------

function clusterCard(cluster, highlight) {
  const title = titleOf(cluster);
  const pictures = cluster.representatives.map((clip) =>
    picture(clip.video_id, clip.filename, clip.start_s, null, () => openViewer(clip.video_id, clip.filename, clip.start_s)));
  const dot = el("span", { className: "dot" });
  dot.style.background = colour(cluster.number);
  const outliers = cluster.outliers ? ` · ${cluster.outliers} far from the others` : "";
  const others = cluster.names.slice(1).map((each) => each.concept).join(", ");
  const card = el("li", { className: "card cluster" },
    el("div", { className: "pictures" }, ...pictures),
    el("div", { className: "body" },
      el("span", { className: "name" }, dot, title),
      el("span", { className: "quiet", textContent: `${clips(cluster.clips)}${outliers}` }),
      others ? el("span", { className: "quiet", textContent: `also near: ${others}` }) : null),
    el("div", { className: "row" },
      named(button("Show videos", () => filterBy({ cluster: cluster.id })), `Show videos of ${title}`)));
  card.onmouseenter = () => highlight(cluster.number);
  card.onmouseleave = () => highlight(null);
  return card;
}

function factsOf(clustering) {
  const parts = [`${clustering.why}.`];
  if (clustering.clips_in_none) parts.push(`${clips(clustering.clips_in_none)} in no cluster.`);
  if (clustering.clips_outside) parts.push(`${clips(clustering.clips_outside)} are not part of this clustering: they came later, or its filter left them out.`);
  if (clustering.drift) {
    parts.push(`Agreement with the clustering before: ${Math.round(clustering.drift.agreement * 100)} %.`);
  }
  return parts.join(" ");
}

async function showOne(id) {
  const number = ++shown;
  try {
    const [clustering, { points, isPart }] = await Promise.all([api(`/v1/clusters/${id}`), readPoints(id, number)]);
    if (number !== shown) return;
    $("clusters-one").hidden = false;
    $("clusters-facts").textContent = factsOf(clustering);
    const shares = clustering.variance_shown.map((share) => `${Math.round(share * 100)} %`).join(" and ");
    $("clusters-axes").textContent =
      `Each point is a clip; the two axes show ${shares} of how the clips differ.` +
      (isPart ? ` Only the first ${points.length} clips are drawn.` : "");
    const highlight = (chosen) => draw(points, chosen);
    highlight(null);
    $("clusters-points").onclick = (event) => {
      const item = nearest(points, event);
      if (item) openViewer(item.video_id, item.filename, item.start_s);
    };
    const cards = clustering.clusters.map((cluster) => clusterCard(cluster, highlight));
    $("clusters-list").replaceChildren(...cards.slice(0, SHOWN));
    $("clusters-more").hidden = cards.length <= SHOWN;
    $("clusters-more").onclick = () => {
      $("clusters-list").append(...cards.slice(SHOWN));
      $("clusters-more").hidden = true;
    };
    $("clusters-delete").onclick = () => remove(id);
  } catch (problem) {
    if (number === shown) note(problem.message);
  }
}

async function remove(id) {
  try {
    await api(`/v1/clusters/${id}`, { method: "DELETE" });
    announce("The clustering was deleted.");
    await listAll();
  } catch (problem) {
    note(problem.message);
  }
}

// ---- All, and new ones --------------------------------------------------------------------------

async function listAll() {
  const page = await api("/v1/clusters?limit=100");
  const options = page.items.map((item) =>
    el("option", { value: item.id, textContent: `${item.name || dateAndTime(item.created_at)}: ${item.n_clusters} clusters of ${clips(item.clips)}` }));
  $("clusters-choice").replaceChildren(...options);
  $("clusters-choice-row").hidden = !options.length;
  if (options.length) return showOne($("clusters-choice").value);
  shown++;
  $("clusters-one").hidden = true;
  return null;
}

async function wait(job) {
  for (;;) {
    const state = await api(`/v1/jobs/${job.id}`);
    if (state.state === "done") return state.report;
    if (state.problem) throw new Error(state.problem.detail);
    const share = state.total ? ` ${Math.floor((100 * state.done) / state.total)} %` : "";
    note(`Finding clusters…${share}`);
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}

async function find() {
  const k = $("clusters-k").value.trim();
  const body = { method: $("clusters-method").value };
  if (k && body.method === "kmeans") body.k = Number(k);
  if (k && body.method === "density") body.min_cluster_size = Number(k);
  $("clusters-find").disabled = true;
  try {
    const job = await api("/v1/clusters", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    await wait(job);
    note("");
    announce("The clusters were found.");
    await listAll();
  } catch (problem) {
    note(problem.message);
  } finally {
    $("clusters-find").disabled = false;
  }
}

// use.filterBy shows the videos that pass a filter.
export function wireClusters(use) {
  ({ openViewer, filterBy } = use);
  const label = () => {
    const isDensity = $("clusters-method").value === "density";
    $("clusters-k").placeholder = isDensity ? "Smallest size" : "How many";
    $("clusters-k").min = isDensity ? 2 : 1;
  };
  label();
  $("clusters-method").onchange = label;
  $("clusters-form").onsubmit = (event) => {
    event.preventDefault();
    find();
  };
  $("clusters-choice").onchange = () => showOne($("clusters-choice").value);
  $("clusters").ontoggle = () => {
    if ($("clusters").open) listAll().catch((problem) => note(problem.message));
  };
}
