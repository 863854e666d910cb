// The curation board: what is wanted, the best pictures for it with their scores, and what is kept of them.

import { amount, ask, badge, base, cut, make, may, notice, pageOf, thousands, trying, typing } from "./api.js";

const at = (id) => document.getElementById(id);
const script = document.querySelector("script[data-parts]");
const PARTS = JSON.parse(script.dataset.parts);
const STATES = JSON.parse(script.dataset.states);
const ticked = new Set();
let board = null;

const commas = (field) => field.value.split(",").map((part) => part.trim()).filter(Boolean);
const ticks = () => [...document.querySelectorAll("#cards .tick")];
const large = (address) => (address.endsWith("/thumb") ? `${address}?size=large` : address);

function picture(address, name, sizes) {
  if (!address) return make("span", { class: "no-picture" }, "no picture");
  return make("img", { src: address, srcset: sizes && `${address} 320w, ${large(address)} 1280w`, sizes, alt: name, loading: "lazy", decoding: "async" });
}

function bar(card) {
  let from = 0;
  const rects = card.parts.map((part) => {
    const rect = make("rect", { class: `part-${part.name}`, x: (100 * from).toFixed(2), width: (100 * part.points).toFixed(2), height: 9 });
    from += part.points;
    return rect;
  });
  return make("svg", { class: "score-bar", viewBox: "0 0 100 9", preserveAspectRatio: "none", "aria-hidden": "true" }, make("rect", { class: "part-rest", width: 100, height: 9 }), ...rects);
}

function parts(card) {
  const swatch = (name) => make("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, make("rect", { class: `part-${name}`, width: 10, height: 10, rx: 2 }));
  const rows = card.parts.map((part) => make("tr", {}, make("th", { scope: "row" }, swatch(part.name), PARTS[part.name] || part.name),
    make("td", {}, part.value.toFixed(2)), make("td", {}, `× ${part.weight.toFixed(2)}`), make("td", {}, `= ${part.points.toFixed(3)}`)));
  const sum = make("tr", {}, make("th", { scope: "row" }, "score"), make("td"), make("td"), make("td", {}, `= ${card.score.toFixed(3)}`));
  const margin = card.margin === null ? "" : `, margin ${card.margin >= 0 ? "+" : "−"}${Math.abs(card.margin).toFixed(3)} in cosine`;
  return make("details", {}, make("summary", {}, "how it scores"), make("table", { class: "parts" }, make("tbody", {}, ...rows, sum)),
    make("p", { class: "soft" }, `best phrase: ${card.matched}${margin}`));
}

function alike(card) {
  if (!card.alike.length) return null;
  return make("details", {}, make("summary", {}, amount(card.alike.length, "near-duplicate")),
    make("ul", { class: "alike-strip" }, ...card.alike.map((one) => make("li", {}, picture(one.thumb, one.name), one.name, make("br"), `cosine ${cut(one.cosine)}`))));
}

function source(card) {
  const where = card.page || card.url;
  const web = /^https?:\/\//.test(where) && make("a", { href: where, rel: "noreferrer noopener", title: where }, new URL(where).hostname);
  const said = card.licence ? `licence ${card.licence}` : card.url ? "licence not known" : "";
  return web || said ? make("p", { class: "soft" }, web || "", web && said ? " · " : "", said) : null;
}

function verdict(card) {
  const v = card.verdict;
  if (!v) return card.remark ? make("p", { class: "soft" }, `no verdict: ${card.remark}`) : null;
  return make("p", {}, `relevance ${v.relevance} of 10 · quality ${v.quality} of 10 · ${v.view} view · fills ${Math.round(100 * v.fill)} %${v.note ? ` — “${v.note}”` : ""}`);
}

function show(card, place) {
  const id = `tick-${card.rank}`;
  const tick = make("input", { type: "checkbox", id, class: "tick", "data-rank": card.rank, checked: ticked.has(card.rank), tabindex: place ? -1 : 0,
    "aria-label": `${card.rank}: ${card.name}, score ${card.score.toFixed(3)}, confidence ${cut(card.confidence)}${card.kept ? ", kept" : ""}` });
  tick.addEventListener("change", () => { if (tick.checked) ticked.add(card.rank); else ticked.delete(card.rank); tell(); });
  const size = card.width ? `${thousands(card.width)} × ${thousands(card.height)}` : "";
  const name = card.here ? make("a", { href: pageOf(card.image), tabindex: "-1" }, card.name) : card.name;
  return make("li", { "data-rank": card.rank },
    make("label", { class: "shot", for: id }, picture(card.thumb, card.name, "15rem")),
    make("div", { class: "score-line" }, tick, make("b", { class: "rank" }, String(card.rank)), bar(card), make("b", { title: "score" }, card.score.toFixed(3))),
    make("p", { class: "picture-name", title: card.path || card.url || card.name }, name),
    make("p", { class: "facts-line" }, make("span", {}, size, card.kept ? make("span", { class: "kept-mark" }, `${size ? " · " : ""}kept`) : ""), badge(card.confidence, board.state, card.band)),
    verdict(card), source(card), parts(card), alike(card));
}

function refused() {
  const place = at("refused");
  place.hidden = !board.refused;
  place.open = !board.cards.length && board.refused > 0;
  const why = Object.entries(board.rules).map(([rule, n]) => `${rule} ${thousands(n)}`).join(", ");
  place.querySelector("summary").textContent = `${thousands(board.refused)} refused: ${why}`;
  place.querySelector("ul").replaceChildren(...board.refusals.map((one) => make("li", {}, picture(one.thumb, one.name),
    make("div", {}, make("b", {}, one.name), ...one.reasons.map((reason) => make("span", {}, reason))))));
  const more = board.refused - board.refusals.length;
  place.querySelector("p").textContent = more > 0 ? `and ${thousands(more)} more of lower score` : "";
}

function draw() {
  const folded = board.cards.reduce((sum, card) => sum + card.alike.length, 0);
  const counts = [[board.cards.length, "shown"], [board.candidates, board.candidates === 1 ? "candidate" : "candidates"], [board.refused, "refused"],
    ...(board.more ? [[board.more, "more passed, of lower score"]] : []), ...(folded ? [[folded, folded === 1 ? "near-duplicate folded" : "near-duplicates folded"]] : []),
    ...(board.skipped ? [[board.skipped, "could not be had"]] : [])];
  at("asked").textContent = board.query + (board.negatives.length ? `, without ${board.negatives.join(", ")}` : "");
  at("counts").replaceChildren(...counts.map(([n, what]) => make("li", {}, make("b", {}, thousands(n)), ` ${what}`)));
  at("state").textContent = board.cards.length ? STATES[board.state] || "" : "Nothing here passes. What was refused, and why, is below.";
  at("notes").replaceChildren(...board.notes.map((note) => make("p", { class: "warn" }, note)));
  const used = new Set(board.cards.flatMap((card) => card.parts.map((part) => part.name)));
  at("key").hidden = !used.size;
  for (const one of at("key").querySelectorAll("[data-part]")) one.hidden = !used.has(one.dataset.part);
  at("cards").replaceChildren(...board.cards.map(show));
  refused();
  at("hint").hidden = true;
  at("told").hidden = false;
  document.title = `${board.query} · Curate`;
  for (const link of document.querySelectorAll("#past a")) {
    if (Number(link.dataset.number) === board.number) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  tell();
}

function tell() {
  const kept = board ? board.cards.filter((card) => card.kept).length : 0;
  const some = ticked.size > 0;
  at("keeping").hidden = !board?.cards.length;
  document.body.classList.toggle("picking", Boolean(board?.cards.length));
  at("ticked").textContent = some ? `${thousands(ticked.size)} ticked` : kept ? `${thousands(kept)} kept` : "None ticked";
  at("export").disabled = !some && !kept;
  at("export").textContent = some ? "Export those ticked" : kept ? "Export those kept" : "Export";
  if (at("keep")) at("keep").disabled = !some;
}

function take(found) {
  board = found;
  ticked.clear();
  draw();
}

function fill() {
  at("query").value = board.query;
  at("without").value = board.negatives.join(", ");
  at("rule").value = board.where || "";
  at("orientation").value = board.orientation || "";
  if (board.least_side !== null) at("least-side").value = board.least_side;
  if (board.least_confidence !== null) at("least-confidence").value = board.least_confidence;
  at("limit").value = board.limit;
}

async function choose() {
  const wish = { query: at("query").value.trim(), without: commas(at("without")), where: at("rule").value.trim() || null,
    orientation: at("orientation").value || null, least_side: Number(at("least-side").value), least_confidence: Number(at("least-confidence").value), limit: Number(at("limit").value), fold: at("fold").checked };
  at("choose").disabled = true;
  at("answer").setAttribute("aria-busy", "true");
  at("choose").textContent = "Choosing …";
  at("rule-wrong").textContent = "";
  at("rule").removeAttribute("aria-invalid");
  try {
    take(await ask("/curations", { method: "POST", body: wish }));
    history.pushState(null, "", `?of=${board.number}`);
    at("waiting")?.remove();
    await past();
    at("cards").querySelector(".tick")?.focus({ preventScroll: true });
    if (at("answer").getBoundingClientRect().top > innerHeight / 2) at("answer").scrollIntoView();
    notice(board.cards.length ? `${amount(board.cards.length, "picture")} chosen of ${thousands(board.candidates)}.` : "Nothing here passes.");
  } catch (error) {
    if (error.problem?.title === "The rule cannot be read") { at("rule-wrong").textContent = error.message; at("rule").setAttribute("aria-invalid", "true"); at("rule").focus(); }
    else notice(error.message, "error");
  }
  at("choose").disabled = false;
  at("choose").textContent = "Choose";
  at("answer").setAttribute("aria-busy", "false");
}

async function past() {
  const found = await ask("/curations");
  at("past").replaceChildren(...found.map((one) => make("li", {}, make("a", { href: `?of=${one.number}`, "data-number": one.number, "aria-current": one.number === board.number && "true" }, one.query), " ",
    make("span", { class: "soft" }, `${amount(one.shown, "picture")}${one.kept ? `, ${one.kept} kept` : ""} · ${one.at.slice(0, 10)}`))));
}

async function open(number) {
  await trying(async () => {
    take(await ask(`/curations/${number}`));
    fill();
  });
}

/** Keeps by rank or the best that differ; the cards say so at once. */
async function keep(body) {
  await trying(async () => {
    const focused = document.activeElement?.dataset?.rank;
    const done = await ask(`/curations/${board.number}/keep`, { method: "POST", body });
    take(await ask(`/curations/${board.number}`));
    if (focused) at(`tick-${focused}`)?.focus({ preventScroll: true });
    notice(`${amount(done.picks.length, "picture")} kept.`);
    for (const one of done.skipped) notice(`${one.path}: ${one.reason}`, "error");
    await past();
  });
}

const keepTicked = () => { if (ticked.size && may("write")) keep({ ranks: [...ticked].sort((a, b) => a - b) }); };

async function send() {
  await trying(async () => {
    const picks = board.cards.filter((card) => ticked.has(card.rank)).map((card) => ({ id: card.image }));
    const made = await ask("/exports", { method: "POST", body: { curation: board.number, picks, format: at("format").value } });
    make("a", { href: `${base}/exports/${made.id}`, download: made.name }).click();
    notice(`${amount(made.images, "picture")} exported as ${made.name}.`);
  });
}

function move(event) {
  const all = ticks();
  const here = all.indexOf(document.activeElement);
  const top = all[0].closest("li").offsetTop;
  const columns = Math.max(1, all.filter((tick) => tick.closest("li").offsetTop === top).length);
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  const to = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : event.key in steps ? here + steps[event.key] : -1;
  if (!(event.key in steps) && event.key !== "Home" && event.key !== "End") return;
  event.preventDefault();
  const next = all[Math.max(0, Math.min(all.length - 1, to))];
  next.focus({ preventScroll: true });
  next.closest("li").scrollIntoView({ block: "nearest" });
}

at("cards").addEventListener("focusin", (event) => {
  if (event.target.matches(".tick")) for (const tick of ticks()) tick.tabIndex = tick === event.target ? 0 : -1;
});
at("cards").addEventListener("keydown", (event) => {
  if (!event.target.matches(".tick") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter") { const link = event.target.closest("li").querySelector(".picture-name a"); if (link) location.href = link.href; }
  else move(event);
});
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && !event.ctrlKey && !event.metaKey && !event.altKey && !typing(event)) keepTicked();
});
at("wish").addEventListener("submit", (event) => { event.preventDefault(); choose(); });
at("past").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.getAttribute("href"));
  open(Number(link.dataset.number));
});
at("keep")?.addEventListener("click", keepTicked);
at("keep-best")?.addEventListener("click", () => keep({ best: Number(at("best").value) }));
at("export").addEventListener("click", send);
at("discard")?.addEventListener("click", () => trying(async () => {
  await ask("/curations/scratch", { method: "DELETE" });
  at("waiting").remove();
  notice("Cleared away.");
}));

const number = () => Number(new URLSearchParams(location.search).get("of"));
addEventListener("popstate", () => { if (number()) open(number()); });
if (number()) open(number());
