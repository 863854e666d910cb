// Why a picture is among the answers: what matched, how sure that is, and what that number is worth.

import { ask, badge, cut, make, pageOf, thumbOf } from "./api.js";

const WORTH = {
  prior: "Nobody has labelled this phrase. What this encoder's logits usually mean makes the confidence.",
  uncalibrated: "Nothing is known about what these logits mean: trust the order alone.",
};

export async function why(item, found) {
  const dialog = document.getElementById("why");
  const rows = [
    ["matched", item.matched],
    ["confidence", badge(item.confidence, found.state, item.band)],
    ["logit", item.logit.toFixed(2)],
    ["cosine", item.cosine.toFixed(4)],
    ...(item.margin === null ? [] : [["margin to what must not be seen", item.margin.toFixed(4)]]),
    ...(item.said ? [["tags or description", "say so"]] : []),
  ];
  const more = make("div", { class: "why-more" });
  dialog.replaceChildren(
    make("h2", { id: "why-title" }, "Why is this here?"),
    make("div", { class: "why-body" },
      make("a", { href: pageOf(item.id) }, make("img", { src: thumbOf(item.id, "large"), alt: item.name })),
      make("div", {},
        make("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
        make("p", { class: "soft" }, WORTH[found.state] || ""), more)),
    ...(item.folded.length ? [make("h3", {}, "Stands for these near-duplicates"), make("div", { class: "strip" }, ...item.folded.filter((n) => n.id).map((n) => make("a", { href: pageOf(n.id), title: n.path }, make("img", { src: thumbOf(n.id), alt: n.name }))))] : []),
    make("p", { class: "actions" }, make("button", { type: "button", class: "button", "data-close": true }, "Close")));
  dialog.showModal();
  try {
    tell(more, await ask(`/images/${item.id}/explain`, { query: { of: found.query } }));
  } catch { /* the rows above are what is known */ }
}

/** An explanation of any shape: sentences as sentences, numbers as rows. */
function tell(place, told) {
  const rows = Object.entries(told).filter(([, value]) => value !== null && typeof value !== "object" && String(value).length < 400);
  place.append(make("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [
    make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, typeof value === "number" && !Number.isInteger(value) ? value.toFixed(4) : String(value))])));
}

export { cut };
