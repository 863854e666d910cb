// Narrows the list of columns as one types.

const field = document.getElementById("find");
field?.addEventListener("input", () => {
  const wanted = field.value.trim().toLowerCase();
  for (const row of document.querySelectorAll("[data-find]")) row.hidden = !row.dataset.find.includes(wanted);
});
