// One key, one control: a control says its key in data-key, and pressing the key is clicking the control. Within a
// group (data-keys-within) the focused part goes first, so that the same keys work on every tile of a page.
"use strict";
(() => {
  const typed = (target) => target.matches?.("input:not([type=radio],[type=checkbox],[type=hidden]), textarea, select");
  const visible = (one) => !one.disabled && one.getClientRects().length > 0;

  // A Korean keyboard says ㄴ where an English one says s: the place of the key counts, not its sign.
  function name(event) {
    if (event.key === " ") return "Space";
    if (event.key.length > 1 && event.key !== "Process") return event.key;
    const placed = /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code);
    return placed && (event.key.length > 1 || event.key.charCodeAt(0) > 126) ? placed[1].toLowerCase() : event.key.toLowerCase();
  }

  function control(key, from) {
    const scopes = [from?.closest?.("[data-keys-within]"), document].filter(Boolean);
    for (const scope of scopes) {
      const found = [...scope.querySelectorAll("[data-key]")].filter(
        (one) => visible(one) && one.dataset.key.split(" ").includes(key) &&
          (scope !== document || !one.closest("[data-keys-within]")));
      if (found.length) return found[0];
    }
    return null;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat) return;
    const target = event.target;
    if (typed(target)) {
      if (event.key === "Escape") { target.blur(); event.preventDefault(); }
      return;
    }
    if ((event.key === "Enter" || event.key === " ") && target.matches?.("button, a, summary, input, label")) return;
    const key = name(event);
    const found = control(key, target);
    if (!found) return;
    event.preventDefault();
    if (found.matches("input:not([type=radio],[type=checkbox]), textarea, select")) found.focus();
    else if (found.tagName === "DETAILS") found.open = !found.open;
    else found.click();
  });

  // A search field narrows a list of choices: data-filters names the list. Enter takes the only one, or the first.
  document.addEventListener("input", (event) => {
    const list = event.target.dataset?.filters && document.getElementById(event.target.dataset.filters);
    if (!list) return;
    const said = event.target.value.normalize("NFC").toLocaleLowerCase();
    for (const one of list.children) one.hidden = !one.textContent.normalize("NFC").toLocaleLowerCase().includes(said);
  });
  document.addEventListener("keydown", (event) => {
    const list = event.target.dataset?.filters && document.getElementById(event.target.dataset.filters);
    if (!list || event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    const first = [...list.children].find((one) => !one.hidden);
    first?.querySelector("button, input")?.click();
  });

  // Seconds that a page was looked at, for whoever is paid by time: a hidden page, and what passes without a key
  // or a movement for a minute, do not count.
  const STILL = 60000;
  let last = performance.now(), spent = 0, hidden = document.hidden;
  const tick = () => {
    const now = performance.now();
    if (!hidden) spent += Math.min(now - last, STILL);
    last = now;
    hidden = document.hidden;
  };
  for (const what of ["keydown", "pointermove", "pointerdown", "scroll", "visibilitychange"])
    document.addEventListener(what, tick, { passive: true, capture: true });
  document.addEventListener("submit", (event) => {
    tick();
    const field = event.target.querySelector("input[name=seconds]");
    if (field) field.value = (spent / 1000).toFixed(1);
  }, true);
  document.addEventListener("desk:shown", () => { last = performance.now(); spent = 0; });

  // Another item came into its place: it is shown, and the keyboard goes on from there.
  document.addEventListener("DOMContentLoaded", () => {
    const desk = document.getElementById("desk");
    if (!desk) return;
    new MutationObserver(() => {
      document.dispatchEvent(new Event("desk:shown"));
      const first = desk.querySelector("[autofocus]");
      if (first && !desk.contains(document.activeElement)) first.focus({ preventScroll: true });
    }).observe(desk, { childList: true });
  });
})();
