// The vocabulary: a phrase is tried as it is typed, the text is checked as it is edited.

import { amount, ask, badge, later, make, may, notice, pageOf, thousands, thumbOf, trying } from "./api.js";
import { small } from "./charts.js";

const at = (id) => document.getElementById(id);
const text = at("text");
let before = text.value;
let asking = null;

const preview = later(async () => {
  const description = at("phrase").value.trim();
  asking?.abort();
  if (!description) { at("tried").replaceChildren(); return; }
  asking = new AbortController();
  const body = { description, negatives: at("negatives").value.split(",").map((t) => t.trim()).filter(Boolean) };
  await trying(async () => tell(await ask("/vocabulary/preview", { method: "POST", body, signal: asking.signal }), description, body.negatives));
}, 160);

function tell(found, description, negatives) {
  const chart = make("div", { class: "chart" });
  const strip = (items) => make("div", { class: "strip" }, ...items.map((item) => make("figure", {}, make("a", { href: pageOf(item.id) }, make("img", { src: thumbOf(item.id), alt: item.name })), make("figcaption", {}, badge(item.confidence, found.state)))));
  const add = make("button", { type: "button", class: "button" }, "Add to the text");
  add.addEventListener("click", () => insert(description, negatives));
  at("tried").replaceChildren(
    make("p", {}, make("strong", {}, `${thousands(found.accepted)} accepted, ${thousands(found.tentative)} tentative`), make("span", { class: "soft" }, ` of ${amount(found.images, "picture")}, as “${found.prompt}” (${found.state})`)),
    chart, make("h3", {}, "Surest"), strip(found.best),
    ...(found.edge.length && found.accepted ? [make("h3", {}, "Around the edge"), strip(found.edge)] : []),
    ...(may("write") ? [make("p", { class: "actions" }, add)] : []));
  small(chart, found.at_least);
  document.documentElement.dataset.settled = String(Date.now());
}

const quoted = (words) => JSON.stringify(words);

function insert(description, negatives) {
  let code = description.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^[^a-z]+|_+$/g, "").slice(0, 40) || "new";
  while (new RegExp(`code:\\s*${code}\\b`).test(text.value)) code += "_2";
  const more = negatives.length ? `, negatives: [${negatives.map(quoted).join(", ")}]` : "";
  const line = `  - {code: ${code}, description: ${quoted(description)}, type: new${more}}\n`;
  const derived = /^derived_attributes:/m.exec(text.value);
  const where = derived ? derived.index : text.value.length;
  const head = text.value.slice(0, where).replace(/\s*$/, "\n");
  const start = /^base_attributes:/m.test(head) ? head : `${head}base_attributes:\n`;
  text.value = `${start}${line}${derived ? `\n${text.value.slice(where)}` : ""}`;
  text.focus();
  text.setSelectionRange(start.length, start.length + line.length);
  check();
}

const check = later(async () => {
  const said = await trying(() => ask("/vocabulary/check", { method: "POST", body: { text: text.value } }));
  if (!said) return;
  text.setAttribute("aria-invalid", String(!said.right));
  at("problems").replaceChildren(...said.problems.map((p) => {
    const line = make("button", { type: "button", class: "quiet" }, p.line ? `line ${p.line}` : "");
    line.addEventListener("click", () => go(p.line));
    return make("li", { class: "error" }, ...(p.line ? [line] : []), ` ${p.why}`);
  }));
  if (at("save")) at("save").disabled = !said.right || text.value === before;
  at("changes").textContent = !said.right ? amount(said.problems.length, "problem") : text.value === before ? "" : said.columns.length ? `makes ${amount(said.columns.length, "column")}: ${said.columns.slice(0, 6).join(", ")}${said.columns.length > 6 ? " …" : ""}` : "no column is computed";
}, 250);

function go(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1] || "").length);
}

at("phrase").addEventListener("input", preview);
at("negatives").addEventListener("input", preview);
at("try").addEventListener("submit", (event) => event.preventDefault());
text.addEventListener("input", check);
at("save")?.addEventListener("click", () => trying(async () => {
  at("save").disabled = true;
  const done = await ask("/vocabulary", { method: "PUT", body: { text: text.value } });
  before = text.value;
  notice(`${amount(done.columns.length, "column")} made in ${done.seconds.toFixed(1)} s.`);
  check();
}));
at("download").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([text.value], { type: "application/yaml" }));
  make("a", { href: address, download: "vocabulary.yaml" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
});
addEventListener("beforeunload", (event) => { if (text.value !== before) event.preventDefault(); });
