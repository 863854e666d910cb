// A grid of a hundred thousand pictures of which only those in sight exist. Knows nothing of searches.

import { make } from "./api.js";

const GAP = 10;
const SPARE_ROWS = 2;
const PART = 120;

export class Grid {
  /**
   * `fetchPart(offset, limit)` gives { items, total }; `fill(tile, item, place)` puts an item into a tile.
   * Items are asked for in parts, when they come near the window.
   */
  constructor(list, { fetchPart, fill, onEnter, onKey }) {
    Object.assign(this, { list, fetchPart, fill, onEnter, onKey });
    this.size = 220;
    this.tiles = new Map();
    this.active = 0;
    this.reset(0);
    const draw = () => {
      if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
    };
    addEventListener("scroll", draw, { passive: true });
    new ResizeObserver(() => this.layOut()).observe(list);
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("focusin", (event) => {
      const tile = event.target.closest("li");
      if (tile) this.setActive(Number(tile.dataset.place));
    });
  }

  /** Forgets everything; `total` and `first` are what is known already. */
  reset(total, first = []) {
    this.total = total;
    this.items = new Map(first.map((item, place) => [place, item]));
    this.asked = new Set(first.length ? [0] : []);
    for (let start = PART; start < first.length; start += PART) this.asked.add(start);
    this.generation = (this.generation || 0) + 1;
    const held = this.list.contains(document.activeElement);
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
    this.active = 0;
    this.layOut();
    if (held && total) this.focus(0);
  }

  get rowHeight() { return Math.round(this.width * 0.75) + this.foot + GAP; }

  layOut() {
    const whole = this.list.clientWidth;
    if (!whole) return;
    this.columns = Math.max(2, Math.round((whole + GAP) / (Math.min(this.size, whole / 2) + GAP)));
    this.width = (whole - GAP * (this.columns - 1)) / this.columns;
    this.foot = this.width < 160 ? 26 : 30;
    const rows = Math.ceil(this.total / this.columns);
    this.list.style.height = `${Math.max(0, rows * this.rowHeight - GAP)}px`;
    for (const [place, tile] of this.tiles) this.put(tile, place);
    this.draw();
  }

  draw() {
    if (!this.columns) return;
    const top = this.list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / this.rowHeight) - SPARE_ROWS) * this.columns;
    const last = Math.min(this.total, (Math.ceil((innerHeight - top) / this.rowHeight) + SPARE_ROWS) * this.columns);
    for (const [place, tile] of this.tiles) {
      if ((place < first || place >= last) && !tile.contains(document.activeElement)) {
        tile.remove();
        this.tiles.delete(place);
      }
    }
    for (let place = first; place < last; place++) this.show(place);
    this.need(first, last);
  }

  show(place) {
    if (this.tiles.has(place)) return this.tiles.get(place);
    const tile = make("li", { "data-place": place, "aria-posinset": place + 1, "aria-setsize": this.total });
    this.put(tile, place);
    this.tiles.set(place, tile);
    const after = [...this.tiles.keys()].filter((other) => other > place);
    const next = after.length ? this.tiles.get(Math.min(...after)) : null;
    this.list.insertBefore(tile, next);
    this.paint(place);
    return tile;
  }

  put(tile, place) {
    const row = Math.floor(place / this.columns);
    const column = place % this.columns;
    tile.style.width = `${this.width}px`;
    tile.style.height = `${this.rowHeight - GAP}px`;
    tile.style.transform = `translate(${column * (this.width + GAP)}px, ${row * this.rowHeight}px)`;
  }

  paint(place) {
    const tile = this.tiles.get(place);
    const item = this.items.get(place);
    if (!tile) return;
    const held = tile.contains(document.activeElement);
    tile.replaceChildren();
    tile.className = item ? "" : "waiting";
    if (!item) return;
    this.fill(tile, item, place);
    const link = tile.querySelector("a");
    link.tabIndex = place === this.active ? 0 : -1;
    if (held) link.focus({ preventScroll: true });
  }

  async need(first, last) {
    for (let start = Math.floor(first / PART) * PART; start < last; start += PART) {
      if (this.asked.has(start)) continue;
      this.asked.add(start);
      const generation = this.generation;
      try {
        const part = await this.fetchPart(start, PART);
        if (generation !== this.generation) return;
        part.items.forEach((item, k) => { this.items.set(start + k, item); this.paint(start + k); });
        if (part.total !== this.total) { this.total = part.total; this.layOut(); }
      } catch {
        if (generation === this.generation) this.asked.delete(start);
      }
    }
  }

  setActive(place) {
    const before = this.tiles.get(this.active)?.querySelector("a");
    if (before) before.tabIndex = -1;
    this.active = place;
    const now = this.tiles.get(place)?.querySelector("a");
    if (now) now.tabIndex = 0;
  }

  /** Moves the focus to a place, and what is seen with it. */
  focus(place) {
    if (!this.total) return;
    const wanted = Math.max(0, Math.min(this.total - 1, place));
    const row = Math.floor(wanted / this.columns);
    const top = this.list.getBoundingClientRect().top + row * this.rowHeight;
    const head = document.querySelector(".bar").offsetHeight + 12;
    if (top < head) scrollBy(0, top - head);
    else if (top + this.rowHeight > innerHeight) scrollBy(0, top + this.rowHeight - innerHeight + 12);
    const tile = this.show(wanted);
    this.setActive(wanted);
    (tile.querySelector("a") || tile).focus({ preventScroll: true });
    this.draw();
  }

  key(event) {
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns,
      PageDown: this.columns * 4, PageUp: -this.columns * 4,
    };
    if (event.target.closest("button")) return;
    if (event.key in steps && !event.altKey && !event.ctrlKey && !event.metaKey) this.focus(this.active + steps[event.key]);
    else if (event.key === "Home") this.focus(0);
    else if (event.key === "End") this.focus(this.total - 1);
    else if (!this.onKey(event, this.items.get(this.active), this.active)) return;
    event.preventDefault();
  }
}
