// Filters write a rule. The rule is text that anybody can read, edit and use elsewhere; it is the only state there is.

import { ask, cut, make, thousands } from "./api.js";

const TITLES = { shows: "Shows", format: "Format", camera_model: "Camera", taken_at: "Taken", tags: "Tags", folder: "Folder", width: "Width in pixels" };

export class Filters {
  /** `field` holds the rule; `changed` is called when a filter has written to it. */
  constructor(panel, field, changed) {
    Object.assign(this, { panel, field, changed });
    this.sliders = panel.querySelector("#sliders");
    this.facets = panel.querySelector("#facets");
    const choose = panel.querySelector("#attribute");
    choose.addEventListener("input", () => {
      if ([...choose.list.options].some((option) => option.value === choose.value)) {
        this.add(`${choose.value} >= 0.8`);
        choose.value = "";
      }
    });
    this.typed();
  }

  /** The clauses of the rule, where it is nothing but clauses joined by `and`. */
  clauses() {
    const text = this.field.value.trim();
    if (!text) return [];
    const parts = [];
    let depth = 0, quoted = false, start = 0;
    for (let at = 0; at < text.length; at++) {
      const c = text[at];
      if (c === "'") quoted = !quoted;
      else if (quoted) continue;
      else if (c === "(") depth++;
      else if (c === ")") depth--;
      else if (depth === 0 && /\s/.test(c)) {
        const rest = text.slice(at);
        if (/^\s+or\s/i.test(rest)) return [text];
        const and = /^\s+and\s+/i.exec(rest);
        const open = /\sbetween\s+\S+$/i.test(text.slice(start, at));
        if (and && !open) { parts.push(text.slice(start, at)); start = at + and[0].length; at = start - 1; }
      }
    }
    return [...parts, text.slice(start)].map((part) => part.trim()).filter(Boolean);
  }

  write(clauses) {
    this.field.value = clauses.map((c) => (clauses.length > 1 && /\sor\s/i.test(c) && !/^\(.*\)$/.test(c) ? `(${c})` : c)).join(" and ");
    this.typed();
    this.changed();
  }

  add(clause) { this.write([...this.clauses(), clause]); }

  toggle(clause) {
    const own = split(clause);
    const clauses = this.clauses();
    this.write(own.every((c) => clauses.includes(c)) ? clauses.filter((c) => !own.includes(c)) : [...clauses, ...own]);
  }

  /** The rule was edited by hand: sliders follow. */
  typed() {
    const found = this.clauses().map((clause) => /^([a-z][a-z0-9_]*) >= (0(?:\.\d+)?|1(?:\.0+)?)$/.exec(clause));
    const wanted = found.filter((m) => m && [...document.getElementById("codes").options].some((o) => o.value === m[1]));
    const key = wanted.map((m) => m[1]).join();
    if (this.sliders.dataset.codes === key) {
      wanted.forEach((m) => this.set(m[1], m[2]));
      return;
    }
    this.sliders.dataset.codes = key;
    this.sliders.replaceChildren(...wanted.map((m) => this.slider(m[1], m[2])));
  }

  set(code, value) {
    const slider = this.sliders.querySelector(`[data-code="${code}"]`);
    if (slider && document.activeElement !== slider.querySelector("input")) slider.querySelector("input").value = value;
    if (slider) slider.querySelector("output").textContent = cut(Number(value));
  }

  slider(code, value) {
    const label = [...document.getElementById("codes").options].find((o) => o.value === code).textContent;
    const id = `slider-${code}`;
    const input = make("input", { id, type: "range", min: "0", max: "1", step: "0.01", value });
    input.value = value;
    input.addEventListener("input", () => {
      const clauses = this.clauses().map((c) => (c.startsWith(`${code} >= `) ? `${code} >= ${Number(input.value)}` : c));
      this.write(clauses);
    });
    const remove = make("button", { type: "button", class: "quiet", "aria-label": `Remove ${label}` }, "×");
    remove.addEventListener("click", () => this.write(this.clauses().filter((c) => !c.startsWith(`${code} >= `))));
    return make("div", { class: "slider", "data-code": code }, make("label", { for: id }, label), make("output", { for: id }, cut(Number(value))), remove, input);
  }

  async show(question) {
    this.asking?.abort();
    if (!document.body.classList.contains("filtering")) { this.last = question; return; }
    this.asking = new AbortController();
    try {
      const found = await ask("/facets", { query: { q: question.q, where: question.where }, signal: this.asking.signal });
      const clauses = this.clauses();
      const shows = found.find((facet) => facet.name === "shows");
      const codes = [...document.getElementById("codes").options].filter((o) => clauses.includes(o.value));
      shows?.values.unshift(...codes.filter((o) => !shows.values.some((v) => v.rule === o.value)).map((o) => ({ value: o.textContent, count: null, rule: o.value })));
      const held = document.activeElement?.dataset?.rule;
      this.facets.replaceChildren(...found.filter((f) => f.values.length > 1 || f.values.some((v) => clauses.includes(v.rule))).map((f) => this.facet(f, clauses)));
      if (held) [...this.facets.querySelectorAll("button")].find((b) => b.dataset.rule === held)?.focus();
    } catch { /* the counts are a courtesy */ }
  }

  facet(facet, clauses) {
    const title = TITLES[facet.name] || facet.name;
    return make("section", {}, make("h2", {}, title), make("ul", { class: "facet" },
      ...facet.values.map((v) => {
        const on = split(v.rule).every((c) => clauses.includes(c));
        const button = make("button", { type: "button", "aria-pressed": String(on), "data-rule": v.rule, title: v.rule }, make("span", {}, v.value || "(top folder)"), make("span", { class: "count" }, v.count === null ? "all" : thousands(v.count)));
        button.addEventListener("click", () => this.toggle(v.rule));
        return make("li", {}, button);
      })));
  }
}

/** A rule such as `width >= 1 and width < 2` in its clauses. */
function split(rule) {
  return rule.split(/ and (?=[a-z_]+ (?:>=|<|=|contains) )/);
}
