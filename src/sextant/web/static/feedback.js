// Learning a ranking: what it would be worth, and putting it in use.

import { ask, trying } from "./api.js";

const said = document.getElementById("learn-said");
const learn = (dryRun) => trying(async () => {
  said.textContent = "Learning …";
  const found = await ask("/feedback/learn", { method: "POST", body: { dry_run: dryRun } }).catch((error) => { said.textContent = ""; throw error; });
  said.textContent = found.learned.reason || (found.version ? `Version ${found.version} is in use.` : "Nothing is put in use.");
});
document.getElementById("learn-try")?.addEventListener("click", () => learn(true));
document.getElementById("learn")?.addEventListener("click", () => learn(false));
