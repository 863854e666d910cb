// One column: edges to drag with live counts, labels by keyboard, calibration, and what another curve would make of it.

import { ask, badge, later, make, may, notice, pageOf, thousands, thumbOf, trying, typing } from "./api.js";
import { Bands, logits, reliability } from "./charts.js";

const at = (id) => document.getElementById(id);
const root = at("column");
const code = root.dataset.code;
const path = `/columns/${code}`;
let held = await ask(path);
let edges = { ...held.thresholds };

const bands = new Bands(at("bands"), held.at_least, edges, (moved) => { edges = { ...moved }; changed(); });

function changed() {
  const counts = bands.counts();
  for (const name of ["accepted", "tentative", "rejected"]) at(`n-${name}`).textContent = thousands(counts[name]);
  for (const name of ["accepted", "tentative"]) if (document.activeElement !== at(`edge-${name}`)) at(`edge-${name}`).value = edges[name];
  const moved = edges.accepted !== held.thresholds.accepted || edges.tentative !== held.thresholds.tentative;
  at("edges-reset").hidden = !moved;
  if (at("edges-save")) at("edges-save").hidden = !moved;
  showExamples();
}

for (const name of ["accepted", "tentative"]) {
  at(`edge-${name}`).addEventListener("change", (event) => bands.move(name, Number(event.target.value)));
}
at("edges-reset").addEventListener("click", () => { Object.assign(bands.edges, held.thresholds); edges = { ...held.thresholds }; bands.draw(); changed(); });
at("edges-save")?.addEventListener("click", () => trying(async () => {
  held.thresholds = await ask(`${path}/thresholds`, { method: "PUT", body: edges });
  notice("The band edges are in the vocabulary.");
  changed();
}));

const TITLES = { surest: "Surest", just_accepted: "Just accepted", just_not_accepted: "Just not accepted", just_tentative: "Just tentative", just_rejected: "Just rejected", surely_not: "Surest that not" };
const showExamples = later(() => trying(async () => {
  const found = await ask(`${path}/examples`, { query: { ...edges, limit: 7 } });
  at("examples").replaceChildren(...Object.entries(TITLES).filter(([name]) => found[name].length).map(([name, title]) =>
    make("section", {}, make("h3", {}, title), make("div", { class: "strip" }, ...found[name].map((item) => make("figure", {},
      make("a", { href: pageOf(item.id) }, make("img", { src: thumbOf(item.id), alt: item.name, loading: "lazy" })),
      make("figcaption", {}, badge(item.confidences[code], held.state, item.confidences[code] >= edges.accepted ? "accepted" : item.confidences[code] >= edges.tentative ? "tentative" : "rejected"))))))));
}), 120);

// labels

let queue = [], place = 0, said = [];
const show = () => {
  const done = place >= queue.length;
  at("teach-stage").hidden = done;
  at("teach-begin").hidden = !done;
  at("teach-progress").max = queue.length;
  at("teach-progress").value = place;
  if (done) { finish(); return; }
  at("teach-picture").src = thumbOf(queue[place].id, "large");
  at("teach-picture").alt = queue[place].name;
  if (queue[place + 1]) new Image().src = thumbOf(queue[place + 1].id, "large");
};

async function answer(value) {
  const asked = queue[place];
  if (!asked) return;
  place += 1;
  said.push({ asked, value });
  show();
  if (value === null) return;
  const kept = await trying(() => ask(`${path}/labels/${asked.id}`, { method: "PUT", body: { value } }));
  if (!kept) { place = queue.indexOf(asked); show(); return; }
  held.labels[value ? "yes" : "no"] += 1;
  at("labels-said").textContent = `${held.labels.yes} yes and ${held.labels.no} no so far`;
  at("calibrate").disabled = false;
}

async function back() {
  const last = said.pop();
  if (!last) return;
  place = queue.indexOf(last.asked);
  if (last.value !== null) {
    held.labels[last.value ? "yes" : "no"] -= 1;
    await trying(() => ask(`${path}/labels/${last.asked.id}`, { method: "PUT", body: { value: null } }));
  }
  show();
}

function finish() {
  const n = said.filter((one) => one.value !== null).length;
  if (n) at("teach-said").textContent = `${n} answered. Calibrate to put them to use.`;
  at("teach-begin").textContent = "Label 25 more";
  at("calibrate")?.focus();
}

at("teach-begin")?.addEventListener("click", () => trying(async () => {
  queue = await ask(`${path}/queue`, { method: "POST", body: { size: 25 } });
  place = 0;
  said = [];
  at("teach-said").textContent = queue.length ? "" : "Every picture is labelled.";
  show();
  at("say-yes").focus();
  at("teach-stage").scrollIntoView({ block: "nearest" });
}));
at("say-yes")?.addEventListener("click", () => answer(true));
at("say-no")?.addEventListener("click", () => answer(false));
at("say-skip")?.addEventListener("click", () => answer(null));
at("say-back")?.addEventListener("click", back);

document.addEventListener("keydown", (event) => {
  if (!at("teach-stage") || at("teach-stage").hidden || typing(event) || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const act = { y: () => answer(true), n: () => answer(false), " ": () => answer(null), Backspace: back }[event.key];
  if (act) { event.preventDefault(); act(); }
});

at("calibrate")?.addEventListener("click", () => trying(async () => {
  at("calibrate").disabled = true;
  at("teach-said").textContent = "Calibrating …";
  try {
    const { report, state, trust } = await ask(`${path}/calibrate`, { method: "POST", body: {} });
    at("teach-said").textContent = report ? `${report.applied ? "The fit is in use" : "The fit is not used"}: ${report.reason}.` : "There was nothing to fit.";
    at("trust").textContent = trust;
    at("trust").className = `state state-${state}`;
    await renew();
  } finally { at("calibrate").disabled = false; }
}));

async function renew() {
  held = await ask(path);
  bands.set(held.at_least);
  Object.assign(bands.edges, held.thresholds);
  edges = { ...held.thresholds };
  bands.draw();
  changed();
  if (held.histogram) logits(at("logits"), held.histogram, held.curve);
  await showReliability();
}

async function showReliability() {
  if (!at("reliability") || !(held.labels.yes + held.labels.no)) return;
  const found = await ask(`${path}/reliability`);
  if (found?.curve?.length) reliability(at("reliability"), found);
}

// what if

if (held.histogram && held.inspection?.n) {
  logits(at("logits"), held.histogram, held.curve);
  const { min, max, std } = held.inspection;
  const own = held.calibration?.kind === "fixed" ? held.calibration.params : null;
  const slider = (name, low, high, value) => {
    const field = at(name);
    Object.assign(field, { min: low, max: high, step: (high - low) / 200 || 0.01 });
    field.value = value;
    at(`${name}-said`).textContent = Number(field.value).toFixed(2);
    field.addEventListener("input", () => { at(`${name}-said`).textContent = Number(field.value).toFixed(2); tryOut(); });
  };
  slider("center", min, max, own?.center ?? held.inspection.accepted_from ?? held.inspection.mean + std);
  slider("scale", std / 20, std * 2, own?.scale ?? std / 2);
  const settings = () => ({ center: Number(at("center").value), scale: Number(at("scale").value) });
  const tryOut = later(() => trying(async () => {
    const found = await ask(path, { query: settings() });
    bands.set(found.at_least);
    logits(at("logits"), found.histogram, found.curve);
    changed();
    at("whatif-reset").hidden = false;
    if (at("whatif-save")) at("whatif-save").hidden = false;
    const n = bands.counts();
    at("whatif-said").textContent = `What if: ${thousands(n.accepted)} accepted, ${thousands(n.tentative)} tentative. The order of pictures stays as it is.`;
  }), 60);
  const calm = () => { at("whatif-reset").hidden = true; if (at("whatif-save")) at("whatif-save").hidden = true; at("whatif-said").textContent = ""; };
  at("whatif-reset").addEventListener("click", () => { calm(); renew(); });
  at("whatif-save")?.addEventListener("click", () => trying(async () => { await ask(`${path}/settings`, { method: "PUT", body: settings() }); location.reload(); }));
  at("undo")?.addEventListener("click", () => trying(async () => { await ask(`${path}/settings`, { method: "DELETE" }); location.reload(); }));
}

changed();
showReliability();
if (!may("label")) at("teach")?.querySelector(".soft")?.append(" This key may not label.");
document.documentElement.dataset.settled = "1";
