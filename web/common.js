// Functions that the scripts of the page share: requests to the server, texts, elements.

export const $ = (id) => document.getElementById(id);
const TRY_AGAIN_MS = 2000;
export const TRYING_AGAIN = "Trying again…";

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
    tryAgain();
    throw new Problem("The server is not answering.");
  }
  if (response.status === 503) tryAgain();
  if (response.status === 204) return null;
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(sentence(body, response.status), response.status);
  return body;
}

// While the server does not answer, or answers 503, the page is filled again every two seconds.
let again = 0;
let fillPage = null;

export function onReturn(callback) {
  fillPage = callback;
}

function tryAgain() {
  again ||= setTimeout(() => {
    again = 0;
    fillPage();
  }, TRY_AGAIN_MS);
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

// ---- Texts --------------------------------------------------------------------------------------

export function time(seconds) {
  const s = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  return `${hours ? `${hours}:${two(Math.floor(s / 60) % 60)}` : Math.floor(s / 60)}:${two(s % 60)}`;
}

const preciseTime = (seconds) => `${seconds.toFixed(1)} s`;

// A time to a tenth of a second: 2.0 s if the longest time shown is below a minute, else 1:02:03.4.
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
// FFmpeg's names of formats and codecs, and the names that people know.
export const CONTAINERS = { mov: "MP4", matroska: "MKV or WebM", avi: "AVI", mpegts: "TS" };
export const CODECS = { h264: "H.264", hevc: "HEVC", vp8: "VP8", vp9: "VP9", av1: "AV1", mpeg4: "MPEG-4" };
export const BADGES = {
  copy: "Copy", part_of: "Part", contains: "Contains", shared_segment: "Shared part", similar: "Similar",
};

// Where a part of that length lies: ", at 2.0 s – 8.0 s"; or only its start if it is in several pieces.
function place(start_s, length_s, of_s) {
  const at = Math.max(start_s, 0);
  if (at + length_s > of_s + 1) return `, from ${preciseTime(at)} on`;
  return `, at ${span({ start_s: at, end_s: Math.min(at + length_s, of_s) })}`;
}

// Where a stored copy or part of a video lies in that video, of of_s seconds.
export function placeInOriginal(copy, of_s) {
  const { verdict, offset_s, mirrored } = copy.duplicate;
  const what = verdict === "part_of" ? `Part of this video${place(offset_s, copy.media.duration_s, of_s)}` : "The same video";
  return what + (mirrored ? ", mirrored" : "");
}

function startSentence(offset_s) {
  if (!offset_s) return "";
  const at = preciseTime(Math.abs(offset_s));
  return offset_s > 0 ? ` It starts at ${at} of that video.` : ` That video starts at ${at} of this one.`;
}

// The verdict as sentences, in text and elements. `other` is the video `of`; its name has an element of its
// own, so that a right-to-left name does not change the order of the sentence. `length_s` is the length of
// the video that the verdict is about. `added` is when it was stored; without it the sentences are about an
// upload of just now.
export function verdictParts(duplicate, other, length_s, added = null) {
  const { verdict, offset_s, share_of_new, share_of_stored } = duplicate;
  const name = el("bdi", { textContent: other.filename });
  const mirrored = duplicate.mirrored ? " It is mirrored." : "";
  switch (verdict) {
    case "exact":
      return ["The same file is already stored", ...(other.filename ? [" as ", name] : []), ". Nothing was added."];
    case "copy":
      return ["Copy of ", name, `: ${percent(duplicate.share)} of the overlapping frames match.`,
        startSentence(offset_s), mirrored];
    case "part_of":
      return ["All of this video is in ", name, `${place(offset_s, length_s, other.length_s)}.`, mirrored];
    case "contains":
      return ["This video contains all of ", name, `${place(-offset_s, share_of_new * length_s, length_s)}.`,
        ` The other ${percent(1 - share_of_new)} of it is not in that video.`, mirrored];
    case "shared_segment":
      return [`${preciseTime(share_of_new * length_s)} of this video (${percent(share_of_new)}) are also in `, name,
        ` (${percent(share_of_stored)} of that one). The rest of both is different.`, mirrored];
    case "similar":
      return ["Looks similar to ", name, ` (score ${duplicate.score.toFixed(3)}), but is not a copy.`];
    default:
      return [added
        ? `When this was added (${dateAndTime(added)}), nothing like it was stored.`
        : "New: nothing like it was stored before."];
  }
}

// What the vectors of a video or clip are made of, if that is not the exact frames.
export function framesText(item) {
  return item.frames === "keyframes" ? "Key frames" : "";
}

// What is still to come, or never will, of a second look at the pictures of a stored video.
export function evidenceSentence(video) {
  if (video.evidence === "pending") return " Its pictures are still to be compared with those of the nearest videos: this may change.";
  return video.evidence === "failed" ? " Its pictures could not be compared with those of other videos." : "";
}

export function dateAndTime(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

// The name and the length of the video that a verdict names.
export async function otherOf(duplicate) {
  if (!duplicate.of) return { filename: "", length_s: 0 };
  try {
    const video = await api(videoPath(duplicate.of));
    return { filename: video.filename, length_s: video.media.duration_s };
  } catch (problem) {
    if (problem.status === 404) return { filename: "a deleted video", length_s: Infinity, isDeleted: true };
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

// hasFile false: of a video that was imported as vectors, which has no picture.
export function picture(id, name, t, length, onclick, hasFile = true) {
  const image = hasFile
    ? el("img", { src: thumbnail(id, t), alt: "", loading: "lazy", decoding: "async" })
    : el("span", { className: "no-file", textContent: "Vectors only" });
  image.onerror = () => image.remove();
  const opener = named(button("", onclick, "picture"), `Open ${name}`);
  opener.append(image);
  if (length !== null) opener.append(el("span", { className: "length", textContent: length }));
  return opener;
}
