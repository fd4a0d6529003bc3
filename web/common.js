// What the parts of the page share: the server, words, elements.

export const $ = (id) => document.getElementById(id);
const ASK_AGAIN_MS = 2000;

// ---- Talking to the server ----------------------------------------------------------------------

class Problem extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

export function sentence(body, status) {
  return body && body.detail ? body.detail : `The server answered ${status}.`;
}

export async function api(path, options) {
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
let fillPage = null;

export function onReturn(callback) {
  fillPage = callback;
}

function askAgain() {
  again ||= setTimeout(() => {
    again = 0;
    fillPage();
  }, ASK_AGAIN_MS);
}

export function search(query) {
  return api("/v1/search", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(query),
  });
}

export const videoPath = (id) => `/v1/videos/${encodeURIComponent(id)}`;
export const thumbnail = (id, t) => `${videoPath(id)}/thumbnail?size=480${t === undefined ? "" : `&t=${t}`}`;

// ---- Words --------------------------------------------------------------------------------------

export function time(seconds) {
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

export const span = (part) => `${moment(part.start_s, part.end_s)} – ${moment(part.end_s)}`;

export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; bytes >= 1000 && i < units.length - 1; i++) bytes /= 1000;
  return `${i && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[i]}`;
}

export const percent = (share) => `${Math.floor(share * 100)} %`;
// FFmpeg's names, where people know the thing by another.
export const CONTAINERS = { mov: "MP4", matroska: "MKV or WebM", avi: "AVI", mpegts: "TS" };
export const CODECS = { h264: "H.264", hevc: "HEVC", vp8: "VP8", vp9: "VP9", av1: "AV1", mpeg4: "MPEG-4" };
export const BADGES = { copy: "Copy", similar: "Similar" };

// A sentence for a person, as text and elements; `name` is the file name of the video it is about, set
// apart so that letters of another direction in it do not turn the rest around.
export function verdictParts(duplicate, name) {
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

export const DELETED = "a video that was deleted";

export async function nameOf(id) {
  if (!id) return "";
  try {
    return (await api(videoPath(id))).filename;
  } catch (problem) {
    if (problem.status === 404) return DELETED;
    throw problem;
  }
}

// ---- Elements -----------------------------------------------------------------------------------

export function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function button(text, onclick, className = "") {
  return el("button", { type: "button", textContent: text, onclick, className });
}

export function named(element, text) {
  element.setAttribute("aria-label", text);
  return element;
}

export function announce(text) {
  $("announce").textContent = text;
}

export function picture(id, name, t, length, onclick) {
  const image = el("img", { src: thumbnail(id, t), alt: "", loading: "lazy", decoding: "async" });
  image.onerror = () => image.remove();
  const opener = named(button("", onclick, "picture"), `Open ${name}`);
  opener.append(image);
  if (length !== null) opener.append(el("span", { className: "length", textContent: length }));
  return opener;
}
