// Asks the API, and tells people what it answers. Every page's script begins here.

export const collection = document.body.dataset.collection || "";
export const base = `/api/v1/collections/${encodeURIComponent(collection)}`;
const scopes = (document.body.dataset.scopes || "").split(" ");

let visitor = localStorage.getItem("visitor");
if (!visitor) {
  visitor = [...crypto.getRandomValues(new Uint8Array(12))].map((b) => b.toString(16).padStart(2, "0")).join("");
  localStorage.setItem("visitor", visitor);
}

export const may = (scope) => scopes.includes(scope);

for (const element of document.querySelectorAll("[data-scope]")) {
  if (!may(element.dataset.scope)) element.remove();
}

export class Refused extends Error {
  constructor(problem) {
    super([problem.detail, problem.remedy].filter(Boolean).join(" "));
    this.problem = problem;
  }
}

/** The JSON at a path below the collection; raises `Refused` with what the server says. */
export async function ask(path, { method = "GET", body, signal, query, keepalive } = {}) {
  const address = new URL((path.startsWith("/api") ? "" : base) + path, location.origin);
  for (const [name, value] of Object.entries(query || {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") address.searchParams.append(name, one);
    }
  }
  const options = { method, signal, keepalive, headers: { Accept: "application/json", "X-Sextant-Visitor": visitor } };
  if (body instanceof FormData) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ detail: "The server does not answer.", remedy: "Is it still running?" });
  }
  const isJson = (answer.headers.get("Content-Type") || "").includes("json");
  const content = isJson ? await answer.json() : null;
  if (!answer.ok) throw new Refused(content || { detail: `The server answered ${answer.status}.` });
  return content;
}

/** A short message at the foot of the page. */
export function notice(text, kind = "") {
  const line = document.createElement("p");
  line.textContent = text;
  line.className = kind;
  const place = document.getElementById("notices");
  place.append(line);
  setTimeout(() => line.remove(), kind === "error" ? 9000 : 4000);
}

/** Runs something, and shows a refusal instead of losing it. */
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message, "error");
    return undefined;
  }
}

/** An element: make("a", { href }, "text", child …). Text is always text, never markup. */
export function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "rect", "line", "text", "g", "circle", "polyline", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A confidence with two places, cut, never rounded up into the next band. */
export const cut = (p) => (p === null || p === undefined ? "–" : (Math.floor(p * 100 + 1e-9) / 100).toFixed(2));

export const thousands = (n) => n.toLocaleString("en");
export const amount = (n, what) => `${thousands(n)} ${what}${n === 1 ? "" : "s"}`;

export const bandOf = (p, edges = { accepted: 0.8, tentative: 0.5 }) =>
  p === null || p === undefined ? "unknown" : p >= edges.accepted ? "accepted" : p >= edges.tentative ? "tentative" : "rejected";

const STATES = {
  prior: "prior: nobody has labelled anything for this",
  uncalibrated: "uncalibrated: trust the order, not the size",
  calibrated: "calibrated on labels",
  stale: "stale: the prompts or the encoder have changed",
  rule: "by rule, from other attributes",
};

/** A badge: the band as a shape, the confidence as a number, what it is worth as its edge. */
export function badge(p, state, band = bandOf(p)) {
  const said = `confidence ${cut(p)}, ${band}${state ? `; ${STATES[state] || state}` : ""}`;
  return make("span", { class: `badge ${band} state-${state || "none"}`, title: said },
    make("span", { class: "dot", "aria-hidden": "true" }),
    make("span", { "aria-hidden": "true" }, cut(p)),
    make("span", { class: "hidden" }, said));
}

export const thumbOf = (id, size = "small") => `${base}/images/${id}/thumb?size=${size}`;
export const pageOf = (id) => `/c/${encodeURIComponent(collection)}/images/${id}`;

export function later(work, milliseconds) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), milliseconds);
  };
}

document.addEventListener("click", (event) => {
  const close = event.target.closest("[data-close]");
  if (close) close.closest("dialog").close();
  else if (event.target instanceof HTMLDialogElement && event.target.open) event.target.close();
});

export const typing = (event) => event.target.matches("input:not([type=range]):not([type=checkbox]), textarea, select");
