// A page of items to keep or reject: a decision goes to the next item that has none, arrows move, and the last
// decision leads to the button that sends the page. Undo takes back the last decision of the page, and where there is
// none, what was sent last.
"use strict";
(() => {
  const tiles = (form) => [...form.querySelectorAll(".tile")];
  const decided = (tile) => tile.querySelector("input:checked") !== null;
  const go = (tile) => tile?.querySelector("input:checked, input")?.focus();

  let order = []; // decided tiles of the page, as they were decided

  function begin() {
    const form = document.querySelector("form[data-tiles]");
    if (!form || form.dataset.ready) return;
    form.dataset.ready = "1";
    go(tiles(form)[0]);
  }

  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-tiles]");
    if (!form || event.target.type !== "radio") return;
    const tile = event.target.closest(".tile");
    tile.dataset.said = event.target.value;
    order = [...order.filter((one) => one !== tile && one.isConnected), tile];
    const all = tiles(form), here = all.indexOf(tile);
    const next = all.slice(here + 1).find((one) => !decided(one)) || all.find((one) => !decided(one));
    if (next) go(next);
    else form.querySelector("button.main").focus();
  });

  document.addEventListener("keydown", (event) => {
    const form = event.target.closest?.("form[data-tiles]");
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!form || !step || event.ctrlKey || event.altKey || event.metaKey) return;
    const all = tiles(form), here = all.indexOf(event.target.closest(".tile"));
    event.preventDefault();
    event.stopPropagation();
    go(all[Math.min(Math.max(here < 0 ? all.length - 1 : here + step, 0), all.length - 1)]);
  }, true);

  document.addEventListener("click", (event) => {
    const form = event.target.closest?.("form[data-tiles]");
    if (!form || !event.target.closest("button[data-key=z]")) return;
    const last = order.filter((one) => one.isConnected).pop();
    if (!last) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    order.pop();
    for (const one of last.querySelectorAll("input")) one.checked = false;
    delete last.dataset.said;
    go(last);
  }, true);

  document.addEventListener("DOMContentLoaded", begin);
  document.addEventListener("desk:shown", begin);
})();
