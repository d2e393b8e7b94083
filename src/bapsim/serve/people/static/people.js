// What every page of the rooms has: the help of keys, copying, asking before what cannot be undone.
"use strict";
const typing = (at) => at instanceof HTMLElement &&
  (at.isContentEditable || at.matches("input:not([type=radio], [type=checkbox]), textarea, select"));

document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  const help = document.getElementById("keys");
  if (help && !help.open) { event.preventDefault(); help.showModal(); }
});

document.addEventListener("click", async (event) => {
  const at = event.target instanceof Element ? event.target : null;
  const opens = at?.closest("[data-opens]");
  if (opens) document.getElementById(opens.dataset.opens)?.showModal();
  const copies = at?.closest("[data-copies]");
  if (copies) {
    const from = document.getElementById(copies.dataset.copies);
    from.select();
    try { await navigator.clipboard.writeText(from.value); } catch { document.execCommand("copy"); }
    document.getElementById("said").textContent = copies.dataset.done;
  }
  const ticks = at?.closest("[data-ticks]");
  if (ticks) {
    const boxes = [...document.getElementById(ticks.dataset.ticks).querySelectorAll("input[type=checkbox]")];
    const all = boxes.every((one) => one.checked);
    for (const one of boxes) one.checked = !all;
  }
  const select = at?.closest("[data-select]");
  if (select) select.select();
});

document.addEventListener("submit", (event) => {
  const asks = event.target.dataset?.confirm;
  if (asks && !window.confirm(asks)) event.preventDefault();
}, true);
