// Figures as SVG: a histogram of confidences with edges to drag, logits with a curve, a reliability diagram.

import { make, thousands } from "./api.js";

const H = 190, LEFT = 8, RIGHT = 8, TOP = 14, BOTTOM = 24;
let W = 720;
/** Figures are as wide as their place, so that letters keep their size. */
const fit = (place) => { W = Math.max(320, Math.round(place.clientWidth) || 720); };
const x01 = (p) => LEFT + p * (W - LEFT - RIGHT);
const frame = (height, label) => make("svg", { viewBox: `0 0 ${W} ${height}`, role: "img", "aria-label": label });
const label = (x, y, text, more = {}) => make("text", { x, y, class: "tick", "text-anchor": "middle", ...more }, text);

/** Bars of square roots, so that the few sure ones are seen beside the many that are not. */
function bars(svg, counts, place, height) {
  const most = Math.max(1, ...counts);
  counts.forEach((n, k) => {
    if (!n) return;
    const [from, to] = place(k);
    const h = Math.max(1.5, (height - TOP - BOTTOM) * Math.sqrt(n / most));
    const bar = make("rect", { class: "bar-rect", x: from + 0.5, y: height - BOTTOM - h, width: Math.max(1, to - from - 1), height: h, "data-k": k });
    bar.append(make("title", {}, thousands(n)));
    svg.append(bar);
  });
}

/** Confidences from `atLeast` (counts from 0, 0.001 … 1), with two edges that can be dragged or moved by keys. */
export class Bands {
  constructor(place, atLeast, edges, moved) {
    fit(place);
    this.width = W;
    Object.assign(this, { atLeast, moved, edges: { ...edges } });
    this.svg = frame(H, "How many pictures have each confidence; the height goes by the square root of the number");
    this.svg.removeAttribute("role");
    this.svg.removeAttribute("aria-label");
    this.bars = make("g", { "aria-hidden": "true" });
    this.svg.append(this.bars, make("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM }));
    for (let k = 0; k <= 10; k += 2) this.svg.append(label(x01(k / 10), H - 6, (k / 10).toFixed(1), { "aria-hidden": "true" }));
    this.handles = { tentative: this.handle("tentative"), accepted: this.handle("accepted") };
    place.replaceChildren(this.svg);
    this.set(atLeast);
  }

  /** Counts of others: those of a what-if. */
  set(atLeast) {
    W = this.width;
    this.atLeast = atLeast;
    const counts = Array.from({ length: 50 }, (_, k) => atLeast[k * 20] - (k === 49 ? 0 : atLeast[(k + 1) * 20]));
    this.bars.replaceChildren();
    bars(this.bars, counts, (k) => [x01(k / 50), x01((k + 1) / 50)], H);
    this.draw();
  }

  handle(name) {
    const group = make("g", { class: `edge edge-${name}`, tabindex: 0, role: "slider", "aria-label": `${name} from`, "aria-valuemin": 0, "aria-valuemax": 1 },
      make("line", { y1: TOP - 4, y2: H - BOTTOM }), make("rect", { class: "grip", y: TOP - 10, x: -6, width: 12, height: 20, rx: 4 }), make("rect", { class: "reach", y: 0, x: -14, width: 28, height: H }));
    const at = (event) => { const box = this.svg.getBoundingClientRect(); return ((event.clientX - box.left) / box.width * this.width - LEFT) / (this.width - LEFT - RIGHT); };
    group.addEventListener("pointerdown", (event) => { group.setPointerCapture(event.pointerId); group.focus(); event.preventDefault(); });
    group.addEventListener("pointermove", (event) => group.hasPointerCapture(event.pointerId) && this.move(name, at(event)));
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 0.01, ArrowUp: 0.01, ArrowLeft: -0.01, ArrowDown: -0.01, PageUp: 0.1, PageDown: -0.1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.move(name, this.edges[name] + (event.shiftKey ? step / 10 : step));
    });
    this.svg.append(group);
    return group;
  }

  move(name, to) {
    const value = Math.round(Math.max(0.001, Math.min(1, to)) * 1000) / 1000;
    this.edges[name] = name === "accepted" ? Math.max(value, this.edges.tentative) : Math.min(value, this.edges.accepted);
    this.draw();
    this.moved(this.edges);
  }

  draw() {
    if (!this.handles) return;
    W = this.width;
    for (const [name, group] of Object.entries(this.handles)) {
      group.setAttribute("transform", `translate(${x01(this.edges[name])} 0)`);
      group.setAttribute("aria-valuenow", this.edges[name]);
    }
    for (const bar of this.bars.children) {
      const middle = (Number(bar.dataset.k) + 0.5) / 50;
      bar.setAttribute("class", `bar-rect ${middle >= this.edges.accepted ? "accepted" : middle >= this.edges.tentative ? "tentative" : "rejected"}`);
    }
  }

  /** How many pictures there are in each band, exactly to a thousandth. */
  counts() {
    const from = (p) => this.atLeast[Math.ceil(p * 1000 - 1e-9)] ?? 0;
    const accepted = from(this.edges.accepted), likely = from(this.edges.tentative);
    return { accepted, tentative: likely - accepted, rejected: this.atLeast[0] - likely };
  }
}

/** A histogram of logits with the curve over it. */
export function logits(place, { counts, edges }, curve) {
  fit(place);
  const svg = frame(H, "The logits, and the curve that turns them into confidences");
  const low = edges[0], high = edges[edges.length - 1], span = high - low || 1;
  const x = (z) => LEFT + (z - low) / span * (W - LEFT - RIGHT);
  const y = (p) => H - BOTTOM - p * (H - TOP - BOTTOM);
  bars(svg, counts, (k) => [x(edges[k]), x(edges[k + 1])], H);
  svg.append(make("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM }));
  for (let k = 0; k <= 4; k++) svg.append(label(x(low + span * k / 4), H - 6, (low + span * k / 4).toFixed(1), { "text-anchor": k === 0 ? "start" : k === 4 ? "end" : "middle" }));
  if (curve.length) svg.append(make("polyline", { class: "curve", points: curve.map(([z, p]) => `${x(z).toFixed(1)},${y(p).toFixed(1)}`).join(" ") }));
  place.replaceChildren(svg);
}

/** Confidence against how often it was right, with 95 % intervals. */
export function reliability(place, found) {
  const S = 300, M = 34;
  const at = (p) => M + p * (S - M - 8), up = (p) => S - M - p * (S - M - 8);
  const svg = make("svg", { viewBox: `0 0 ${S} ${S}`, role: "img", class: "square", "aria-label": `Reliability: ECE ${found.ece.toFixed(3)}` });
  svg.append(make("line", { class: "axis", x1: at(0), x2: at(1), y1: up(0), y2: up(0) }), make("line", { class: "axis", x1: at(0), x2: at(0), y1: up(0), y2: up(1) }), make("line", { class: "ideal", x1: at(0), x2: at(1), y1: up(0), y2: up(1) }));
  for (const p of [0, 0.5, 1]) svg.append(label(at(p), S - 16, p), label(M - 14, up(p) + 4, p));
  svg.append(label(at(0.5), S - 2, "confidence"));
  const most = Math.max(...found.curve.map((b) => b.n));
  for (const b of found.curve) {
    const tip = `${b.n} labels of confidence ${b.confidence.toFixed(2)}: ${(100 * b.rate).toFixed(0)} % were right`;
    const dot = make("circle", { class: "point", cx: at(b.confidence), cy: up(b.rate), r: 3 + 4 * Math.sqrt(b.n / most) });
    dot.append(make("title", {}, tip));
    svg.append(make("line", { class: "whisker", x1: at(b.confidence), x2: at(b.confidence), y1: up(b.rate_low), y2: up(b.rate_high) }), dot);
  }
  place.replaceChildren(svg, make("dl", { class: "facts" },
    make("dt", {}, "ECE"), make("dd", {}, `${found.ece.toFixed(3)} (${found.ece_low.toFixed(3)} to ${found.ece_high.toFixed(3)})`),
    make("dt", {}, "Brier"), make("dd", {}, found.brier.toFixed(3)), make("dt", {}, "average precision"), make("dd", {}, found.average_precision.toFixed(2)),
    make("dt", {}, "labels"), make("dd", {}, `${found.n}, of them ${found.positives} yes`)));
}

/** A small histogram of confidences that nobody can drag. */
export function small(place, atLeast) {
  fit(place);
  const svg = frame(110, "How many pictures have each confidence");
  const counts = Array.from({ length: 40 }, (_, k) => atLeast[k * 25] - (k === 39 ? 0 : atLeast[(k + 1) * 25]));
  bars(svg, counts, (k) => [x01(k / 40), x01((k + 1) / 40)], 110);
  svg.append(make("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: 110 - BOTTOM, y2: 110 - BOTTOM }));
  for (let k = 0; k <= 10; k += 5) svg.append(label(x01(k / 10), 104, (k / 10).toFixed(1)));
  place.replaceChildren(svg);
}
