// One picture: a person's word on its attributes, its tags and description, what resembles it, and why.

import { ask, cut, make, notice, pageOf, thumbOf, trying } from "./api.js";
import { told } from "./why.js";

const id = document.querySelector("[data-image]").dataset.image;
const at = (name) => document.getElementById(name);

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-code]");
  const code = row?.dataset.code;
  if (event.target.matches("[data-say]")) {
    const held = event.target.getAttribute("aria-pressed") === "true";
    const value = held ? null : event.target.dataset.say === "yes";
    trying(async () => {
      await ask(`/images/${id}/overrides/${code}`, { method: "PUT", body: { value } });
      location.reload();
    });
  }
  if (event.target.matches("[data-why]")) {
    trying(async () => {
      const found = await ask(`/images/${id}/explain`, { query: { of: code } });
      at("why").replaceChildren(make("h2", { id: "why-title" }, row.querySelector("th").textContent.trim()), told(found),
        make("p", { class: "actions" }, make("button", { type: "button", class: "button", "data-close": true }, "Close")));
      at("why").showModal();
    });
  }
  if (event.target.matches("[data-untag]")) words({ untag: [event.target.dataset.untag] });
});

async function words(body) {
  const found = await trying(() => ask(`/images/${id}/words`, { method: "PATCH", body }));
  if (!found) return;
  at("tags").replaceChildren(...found.tags.map((tag) => make("li", {}, make("span", {}, tag), make("button", { type: "button", class: "quiet", "data-untag": tag, "aria-label": `Take off ${tag}` }, "×"))));
}

at("words-form").addEventListener("submit", (event) => event.preventDefault());
at("tag")?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.value.trim()) return;
  event.preventDefault();
  words({ tags: event.target.value.split(",").map((tag) => tag.trim()).filter(Boolean) });
  event.target.value = "";
});
at("description").addEventListener("change", async (event) => {
  await words({ description: event.target.value });
  notice("The description is kept.");
});

trying(async () => {
  const found = await ask(`/images/${id}/near`, { query: { limit: 14 } });
  at("near-strip").replaceChildren(...found.images.map((item) => make("figure", {},
    make("a", { href: pageOf(item.id) }, make("img", { src: thumbOf(item.id), alt: item.name, loading: "lazy" })),
    make("figcaption", {}, make("span", {}, item.cosine >= found.near_duplicate_from ? "near-duplicate" : ""), make("span", {}, cut(item.cosine))))));
});
