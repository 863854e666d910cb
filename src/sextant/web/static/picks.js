// What was picked: kept by this browser, exported with where it came from.

import { amount, ask, base, collection, make, notice, pageOf, thumbOf, trying } from "./api.js";

const STRIP = 40;

export class Picks {
  constructor(context, changed) {
    Object.assign(this, { context, changed });
    this.key = `picks ${collection}`;
    try { this.held = new Map(JSON.parse(localStorage.getItem(this.key) || "[]")); } catch { this.held = new Map(); }
    this.place = document.getElementById("picks");
    document.getElementById("picks-clear").addEventListener("click", () => { this.held.clear(); this.keep(); });
    document.getElementById("picks-export").addEventListener("click", () => this.export());
    this.show();
  }

  has(id) { return this.held.has(id); }

  toggle(item) {
    const { q, where } = this.context();
    const held = this.held.has(item.id);
    if (held) this.held.delete(item.id);
    else this.held.set(item.id, { name: item.name, query: q, rule: where, confidence: item.confidence ?? null });
    this.keep();
    return !held;
  }

  keep() {
    localStorage.setItem(this.key, JSON.stringify([...this.held]));
    this.show();
    this.changed();
  }

  show() {
    this.place.hidden = this.held.size === 0;
    document.body.classList.toggle("picking", this.held.size > 0);
    document.getElementById("picks-count").textContent = `${amount(this.held.size, "picture")} picked`;
    document.getElementById("picks-strip").replaceChildren(...[...this.held].slice(-STRIP).map(([id, item]) =>
      make("a", { href: pageOf(id), title: item.name }, make("img", { src: thumbOf(id), alt: item.name, loading: "lazy" }))));
  }

  async export() {
    const format = document.getElementById("picks-format").value;
    const picks = [...this.held].map(([id, item]) => ({ id, query: item.query || null, rule: item.rule || null }));
    await trying(async () => {
      const made = await ask("/exports", { method: "POST", body: { picks, format } });
      make("a", { href: `${base}/exports/${made.id}`, download: made.name }).click();
      notice(`${amount(made.images, "picture")} exported as ${made.name}.`);
    });
  }
}
