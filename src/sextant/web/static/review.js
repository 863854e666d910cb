// A yes or no on what is to be reviewed: the final word on that picture.

import { ask, notice, trying } from "./api.js";

document.addEventListener("click", (event) => {
  if (!event.target.matches("[data-say]")) return;
  const item = event.target.closest("[data-image]");
  trying(async () => {
    await ask(`/images/${item.dataset.image}/overrides/${item.dataset.code}`, { method: "PUT", body: { value: event.target.dataset.say === "yes", note: "review" } });
    const next = item.nextElementSibling?.querySelector("button") || item.previousElementSibling?.querySelector("button");
    item.remove();
    next?.focus();
    notice("Noted as the final word.");
  });
});
