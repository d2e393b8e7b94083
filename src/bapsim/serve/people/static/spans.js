// Marks parts of a text by keyboard or mouse. Left and Right move, with Shift they select; w takes the next word; the
// key of a label gives the selection that label, Delete takes a span away. Places count code points.
"use strict";
(() => {
  function begin(root) {
    const field = root.querySelector("input[name=spans]");
    const shown = root.querySelector("[data-spans-text]");
    const status = root.querySelector("[role=status]");
    if (!field || !shown || root.dataset.ready) return;
    root.dataset.ready = "1";
    const signs = [...shown.textContent];
    const spans = JSON.parse(field.value || "[]");
    let anchor = 0, cursor = 0;

    const chosen = () => [Math.min(anchor, cursor), Math.max(anchor, cursor)];
    const text = (a, b) => signs.slice(a, b).join("");

    function draw() {
      const [from, to] = chosen();
      const edges = new Set([0, signs.length, from, to]);
      for (const [a, b] of spans) edges.add(a).add(b);
      const cuts = [...edges].sort((a, b) => a - b);
      shown.replaceChildren();
      for (let i = 0; i + 1 < cuts.length; i++) {
        const [a, b] = [cuts[i], cuts[i + 1]];
        const span = spans.find(([s, e]) => s <= a && b <= e);
        const part = document.createElement(span ? "mark" : "span");
        part.dataset.start = a;
        if (from < to && from <= a && b <= to) part.className = "selected";
        part.textContent = text(a, b);
        if (span && span[1] === b) {
          const label = document.createElement("small");
          label.textContent = span[2];
          part.append(label);
        }
        if (from === to && a === from) part.classList.add("here");
        shown.append(part);
      }
      field.value = JSON.stringify(spans);
    }

    function say(what) { if (status) status.textContent = what; }

    function label(name) {
      const [from, to] = chosen();
      if (from === to) return;
      for (let i = spans.length - 1; i >= 0; i--) if (spans[i][0] < to && from < spans[i][1]) spans.splice(i, 1);
      spans.push([from, to, name]);
      spans.sort((a, b) => a[0] - b[0]);
      say(`${text(from, to)}: ${name}`);
      anchor = cursor = to;
      draw();
    }

    function remove() {
      const [from, to] = chosen();
      const at = spans.findIndex(([a, b]) => a <= from && Math.max(to, from + 1) <= b || (from < to && from <= a && b <= to));
      if (at < 0) return;
      say(`– ${text(spans[at][0], spans[at][1])}`);
      spans.splice(at, 1);
      draw();
    }

    const blank = (i) => i >= signs.length || !/[\p{L}\p{N}]/u.test(signs[i]);
    function word() {
      let a = Math.max(...chosen());
      while (a < signs.length && blank(a)) a++;
      let b = a;
      while (b < signs.length && !blank(b)) b++;
      if (a === b) return;
      [anchor, cursor] = [a, b];
      say(text(a, b));
      draw();
    }

    root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
      if (event.target.matches("input, textarea")) return;
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) {
        cursor = Math.min(Math.max(cursor + step, 0), signs.length);
        if (!event.shiftKey) anchor = cursor;
        const [from, to] = chosen();
        say(from < to ? text(from, to) : text(cursor, cursor + 1));
        draw();
      } else if (event.key === "w" || event.code === "KeyW") word();
      else if (event.key === "Delete" || event.key === "Backspace") remove();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-label]");
      if (button) { label(button.dataset.label); event.preventDefault(); }
    });
    shown.addEventListener("pointerup", () => {
      const held = window.getSelection();
      if (!held || held.rangeCount === 0) return;
      const place = (node, offset) => {
        const part = (node.nodeType === 3 ? node.parentElement : node).closest("[data-start]");
        if (!part || !shown.contains(part) || node.parentElement?.tagName === "SMALL") return null;
        return Number(part.dataset.start) + [...node.textContent.slice(0, offset)].length;
      };
      const a = place(held.anchorNode, held.anchorOffset), b = place(held.focusNode, held.focusOffset);
      if (a === null || b === null) return;
      [anchor, cursor] = [a, b];
      held.removeAllRanges();
      draw();
    });
    draw();
  }

  const start = () => document.querySelectorAll("[data-spans]").forEach(begin);
  document.addEventListener("DOMContentLoaded", start);
  document.addEventListener("desk:shown", start);
})();
