// Learning a ranking: what it would be worth, and putting it in use. Experiments: starting one and ending it.

import { ask, trying } from "./api.js";

const said = document.getElementById("learn-said");
const learn = (dryRun) => trying(async () => {
  said.textContent = "Learning …";
  const found = await ask("/feedback/learn", { method: "POST", body: { dry_run: dryRun } }).catch((error) => { said.textContent = ""; throw error; });
  said.textContent = found.learned.reason || (found.version ? `Version ${found.version} is in use.` : "Nothing is put in use.");
});
document.getElementById("learn-try")?.addEventListener("click", () => learn(true));
document.getElementById("learn")?.addEventListener("click", () => learn(false));

const at = (id) => document.getElementById(id);
const graded = ["diversity", "threshold"];
at("compare-way")?.addEventListener("change", (event) => { at("compare-value-field").hidden = !graded.includes(event.target.value); });
at("compare")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const way = at("compare-way").value;
  const b = { [way]: graded.includes(way) ? Number(at("compare-value").value) : false };
  trying(async () => {
    await ask("/feedback/experiments", { method: "POST", body: { name: at("compare-name").value, b, share: Number(at("compare-share").value) / 100 } });
    location.reload();
  });
});
for (const button of document.querySelectorAll("[data-stop]")) {
  button.addEventListener("click", () => trying(async () => {
    await ask(`/feedback/experiments/${encodeURIComponent(button.dataset.stop)}/stop`, { method: "POST" });
    location.reload();
  }));
}
