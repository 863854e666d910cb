// Why a picture is among the answers, or why an attribute holds: sentences first, figures below them.

import { ask, badge, make, pageOf, thumbOf } from "./api.js";

export async function why(item, found) {
  const dialog = document.getElementById("why");
  const more = make("div", { class: "told" }, make("p", { class: "soft" }, "…"));
  dialog.replaceChildren(
    make("h2", { id: "why-title" }, "Why is this here? ", badge(item.confidence, found.state, item.band)),
    make("div", { class: "why-body" },
      make("a", { href: pageOf(item.id), class: "why-picture" }, make("img", { src: thumbOf(item.id, "large"), alt: item.name })),
      more),
    ...(item.folded.length ? [make("h3", {}, "Stands for these near-duplicates"), make("div", { class: "strip" }, ...item.folded.filter((n) => n.id).map((n) => make("a", { href: pageOf(n.id), title: n.path }, make("img", { src: thumbOf(n.id), alt: n.name }))))] : []),
    make("p", { class: "actions" }, make("button", { type: "button", class: "button", "data-close": true }, "Close")));
  dialog.showModal();
  dialog.querySelector("[data-close]").focus();
  try {
    more.replaceWith(told(await ask(`/images/${item.id}/explain`, { query: { of: found.query } }), item));
  } catch (error) {
    more.replaceChildren(make("p", {}, `It matched “${item.matched}” with a cosine of ${item.cosine.toFixed(4)}.`), make("p", { class: "soft" }, error.message));
  }
}

/** An explanation as the library gives it. */
export function told(found, item = null) {
  const figures = [["cosine", found.cosine?.toFixed(4)], ["logit", found.logit?.toFixed(2)], ["background", found.background?.toFixed(2)], ["evidence", found.evidence?.toFixed(2)],
    ["rank", found.rank === null ? null : `${found.rank} of ${found.of}`], ["margin", item?.margin?.toFixed(4)], ["state", found.state]].filter(([, value]) => value !== null && value !== undefined);
  const compared = found.said.slice(0, 8);
  return make("div", { class: "told" },
    ...found.words.map((text) => make("p", {}, text)),
    make("details", {}, make("summary", {}, "Figures"),
      make("dl", { class: "facts" }, ...figures.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
      ...(compared.length ? [make("h3", {}, "Compared with"), make("dl", { class: "facts" }, ...compared.flatMap((one) => [make("dt", {}, one.cosine.toFixed(4)), make("dd", {}, one.text, make("span", { class: "soft" }, ` ${one.role}`))]))] : [])),
    ...(found.neighbours.length ? [make("h3", {}, "Most like it, of what was labelled"), make("div", { class: "strip" }, ...found.neighbours.map((n) => make("figure", {}, make("a", { href: pageOf(n.id) }, make("img", { src: thumbOf(n.id), alt: n.path })), make("figcaption", {}, n.value ? "yes" : "no"))))] : []));
}
