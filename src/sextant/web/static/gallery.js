// The gallery: a search, its filters as a rule that can be read and edited, the pictures, and what was picked.

import { amount, ask, badge, base, collection, cut, later, make, may, notice, pageOf, thousands, thumbOf, trying, typing } from "./api.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { Picks } from "./picks.js";
import { why } from "./why.js";

const at = (id) => document.getElementById(id);
const [q, not, where, sort, fold, zoom, said] = ["q", "not", "where", "sort", "fold", "zoom", "said"].map(at);
const picks = new Picks(() => ({ q: q.value.trim(), where: where.value.trim() }), () => grid.tiles.forEach((_, place) => grid.paint(place)));
let found = null;
let asking = null;

const negatives = () => not.value.split(",").map((text) => text.trim()).filter(Boolean);
const question = () => ({ q: q.value.trim(), negative: negatives(), where: where.value.trim(), fold: fold.checked });
const shownCode = () => (sort.value.startsWith("-") && [...at("codes").options].some((o) => o.value === sort.value.slice(1)) ? sort.value.slice(1) : "");

async function part(offset, limit, signal) {
  const asked = question();
  if (asked.q) {
    let cursor = found && offset ? found.cursors.get(offset) : undefined;
    if (offset && !cursor) return { items: [], total: found.total };
    const answer = await ask("/search", { query: { ...asked, limit, cursor }, signal });
    if (!offset) found = { ...answer, cursors: new Map(), question: asked };
    if (answer.next) found.cursors.set(offset + answer.hits.length, answer.next);
    return { items: answer.hits, total: answer.next ? Math.max(answer.total, offset + answer.hits.length + 1) : offset + answer.hits.length };
  }
  const code = shownCode();
  const answer = await ask("/images", { query: { where: asked.where, sort: sort.value, show: code, limit, offset }, signal });
  if (!offset) found = { images: answer.total, code };
  return { items: answer.images, total: answer.total };
}

const grid = new Grid(at("grid"), {
  fetchPart: (offset, limit) => part(offset, limit),
  fill,
  onKey: (event, item, place) => {
    if (!item) return false;
    if (event.key === " " || event.key === "x") pick(item, place);
    else if (event.key === "w" && found?.query) why(item, found);
    else if ((event.key === "+" || event.key === "-") && found?.query) judge(item, event.key === "+", place);
    else return false;
    return true;
  },
});

function fill(tile, item, place) {
  const picked = picks.has(item.id);
  tile.classList.toggle("picked", picked);
  const link = make("a", { href: pageOf(item.id), class: "picture", "aria-label": `${item.name}${item.folded?.length ? ` +${item.folded.length}` : ""}${picked ? ", picked" : ""}` },
    make("img", { src: thumbOf(item.id), alt: "", loading: "lazy", decoding: "async", draggable: "false" }));
  link.addEventListener("click", (event) => follow(event, item, place));
  const picker = make("button", { type: "button", class: "pick", "aria-pressed": String(picked), title: picked ? "Put back" : "Pick", "aria-label": `${picked ? "Put back" : "Pick"} ${item.name}`, tabindex: "-1", onclick: () => pick(item, place) },
    make("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, make("path", { d: "M3.5 8.5 6.5 11.5 12.5 4.5" })));
  const foot = make("p", { class: "foot" }, make("span", { class: "name", title: item.path }, item.name));
  if (found?.query) {
    foot.append(badge(item.confidence, found.state, item.band));
    if (item.folded.length) link.append(make("span", { class: "folded", title: `stands for ${amount(item.folded.length, "near-duplicate")}` }, `+${item.folded.length}`));
    tile.append(link, picker, verdicts(item, place), foot);
  } else {
    if (found?.code) foot.append(badge(item.confidences[found.code], null));
    tile.append(link, picker, foot);
  }
}

function verdicts(item, place) {
  const one = (good) => make("button", { type: "button", tabindex: "-1", "aria-label": good ? `Good answer: ${item.name}` : `Bad answer: ${item.name}`, title: good ? "A good answer" : "A bad answer", "aria-pressed": String(item.verdict === good), onclick: () => judge(item, good, place) },
    make("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, make("path", { d: good ? "M8 3v10M3.5 8h9" : "M3.5 8h9" })));
  const reason = make("button", { type: "button", tabindex: "-1", class: "why", "aria-label": `Why is ${item.name} here?`, title: "Why is this here?", onclick: () => why(item, found) }, "why");
  return make("div", { class: "verdicts" }, reason, ...(may("label") ? [one(true), one(false)] : []));
}

const SEEN = 60;

/** The number under which the server knows that the hits around a place were shown; told once somebody looks for a while. */
async function impression(place = 0) {
  if (!found?.query || !may("label") || place >= 1000) return null;
  const { question } = found, shown = (found.shown ||= new Map()), start = place - (place % SEEN);
  if (!shown.has(0)) shown.set(0, told(question, 0));
  if (!shown.has(start)) shown.set(start, shown.get(0).then((first) => first && told(question, start, first)));
  return shown.get(start);
}

const told = (question, start, continues = null) => ask("/impressions", {
  method: "POST", keepalive: true,
  body: { asked: { ...question, where: question.where || null }, shown: SEEN, start, continues },
}).then((kept) => kept.impression).catch(() => null);

async function event_(kind, item, place) {
  const seen = await impression(place);
  if (seen) await ask("/feedback", { method: "POST", body: { kind, image: item.id, impression: seen }, keepalive: true }).catch(() => {});
}

/** Opens a picture once the click has been told, which a page that is left could not do any more; or soon anyway. */
function follow(event, item, place) {
  const told = event_("clicked", item, place);
  if (!found?.query || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  Promise.race([told, new Promise((enough) => setTimeout(enough, 400))]).then(() => location.assign(pageOf(item.id)));
}

async function judge(item, good, place) {
  await trying(async () => {
    const seen = await impression(place);
    await ask("/feedback", { method: "POST", body: { kind: good ? "up" : "down", image: item.id, impression: seen } });
    item.verdict = good;
    grid.paint(place);
    notice(good ? "Noted as a good answer." : "Noted as a bad answer.");
  });
}

function pick(item, place) {
  if (picks.toggle(item)) event_("picked", item, place);
}

const looked = later(() => impression(), 1500);

function tell(total) {
  at("nothing").hidden = true;
  if (!question().q) {
    said.textContent = total ? amount(total, "picture") : "";
    if (!total) nothing("No picture satisfies the rule.", []);
    return;
  }
  const { likely, state, hints } = found;
  said.replaceChildren(found.nothing ? "Nothing here. " : `${thousands(likely)}${found.more_likely ? " or more" : ""} ${likely === 1 ? "picture is" : "pictures are"} likely. `,
    make("span", { class: "soft" }, state === "prior" ? "Confidences are a prior: nobody has labelled this phrase." : state === "uncalibrated" ? "Uncalibrated: trust the order alone." : ""));
  if (found.nothing) nothing(`Nothing here is likely to show “${found.query}”.`, hints.filter((h) => !h.startsWith("nothing here")), total);
  else if (hints.length) said.append(make("span", { class: "hint" }, hints.join(" · ")));
}

function nothing(text, hints, total = 0) {
  const best = found?.hits?.[0]?.confidence;
  at("nothing").replaceChildren(
    make("h2", {}, text),
    ...(total ? [make("p", { class: "soft" }, `The best of all has confidence ${cut(best)}. What comes nearest is shown below.`)] : []),
    ...hints.map((hint) => make("p", {}, hint)));
  at("nothing").hidden = false;
}

async function run({ keep = false } = {}) {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const address = new URL(location.href);
  for (const [name, field] of [["q", q], ["where", where], ["sort", sort]]) {
    if (field.value.trim()) address.searchParams.set(name, field.value.trim());
    else address.searchParams.delete(name);
  }
  if (!keep) history.replaceState(null, "", address);
  document.title = `${q.value.trim() || "Gallery"} · ${collection}`;
  sort.hidden = Boolean(q.value.trim());
  at("clear-rule").hidden = !where.value.trim();
  try {
    const first = await part(0, 120, signal);
    at("rule-said").textContent = "";
    where.removeAttribute("aria-invalid");
    grid.reset(first.total, first.items);
    document.documentElement.dataset.settled = String(Date.now());
    tell(first.total);
    if (found.query) looked();
    filters.show(question());
  } catch (error) {
    if (error.name === "AbortError") return;
    const wrong = error.problem?.title === "The rule cannot be read";
    if (wrong) { at("rule-said").textContent = error.message; where.setAttribute("aria-invalid", "true"); }
    else notice(error.message, "error");
  }
}

const soon = later(run, 140);
const filters = new Filters(at("filters"), where, soon);

q.addEventListener("input", soon);
not.addEventListener("input", soon);
where.addEventListener("input", () => { filters.typed(); soon(); });
sort.addEventListener("change", () => run());
fold.addEventListener("change", () => run());
zoom.addEventListener("input", () => { grid.size = Number(zoom.value); grid.layOut(); localStorage.setItem("zoom", zoom.value); });
at("ask").addEventListener("submit", (event) => { event.preventDefault(); run(); });
at("clear-rule").addEventListener("click", () => { where.value = ""; filters.typed(); run(); where.focus(); });
at("open-filters").addEventListener("click", (event) => {
  const open = document.body.classList.toggle("filtering");
  event.currentTarget.setAttribute("aria-expanded", String(open));
  localStorage.setItem("filtering", open ? "1" : "");
  grid.layOut();
});

at("upload-open")?.addEventListener("click", () => at("upload").showModal());
at("upload-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const files = [...at("upload-files").files];
  let added = 0;
  for (const file of files) {
    at("upload-said").textContent = `Adding ${file.name} …`;
    const body = new FormData();
    body.append("file", file);
    body.append("tags", at("upload-tags").value);
    body.append("description", at("upload-description").value);
    const done = await trying(() => ask("/images", { method: "POST", body }));
    if (done) added += 1;
  }
  at("upload-said").textContent = `${amount(added, "picture")} of ${thousands(files.length)} added.`;
  if (added) { form.reset(); run(); }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (typing(event)) {
    if (event.key === "ArrowDown" && event.target === q) { event.preventDefault(); grid.focus(grid.active); }
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "/") { event.preventDefault(); q.focus(); q.select(); }
  else if (event.key === "?") at("keys").showModal();
});

zoom.value = localStorage.getItem("zoom") || (innerWidth < 640 ? "160" : "220");
grid.size = Number(zoom.value);
if (localStorage.getItem("filtering") && innerWidth >= 900) at("open-filters").click();
document.documentElement.dataset.base = base;
run({ keep: true });
