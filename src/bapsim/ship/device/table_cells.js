// Rows of a table as cells, and how little they resemble training, as table_cells.py has them. For browsers and
// Node; the answer is head.onnx's. A row is an object with a value for every column, null where there is none.
//
//   node table_cells.js MODEL_FOLDER < ROWS    one JSON object a line -> {"cells": [...], "in_scope": ...} a line
"use strict";
const bapsimCells = (() => {
  const NUMBER = /^(?:[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|([+-]?)(?:(nan)|(inf|infinity)))$/i;
  const FARTHEST = 3e38, BINS = 20;

  function number(said) {
    if (said === null || Number.isNaN(said)) return NaN;
    if (typeof said === "string") {
      const found = NUMBER.exec(said);
      if (!found) throw new Error(`${JSON.stringify(said.slice(0, 80))} is no number`);
      if (found[2]) return NaN;
      said = found[3] ? (found[1] === "-" ? -Infinity : Infinity) : Number(said);
    }
    if (typeof said === "boolean") said = Number(said);
    if (typeof said !== "number") throw new Error(`${typeof said} is no number`);
    return Math.min(Math.max(said, -FARTHEST), FARTHEST);
  }

  function category(said) {
    if (said === null || typeof said === "string") return said;
    if (typeof said === "boolean") return String(said);
    if (typeof said === "number") {
      const size = Math.abs(said);
      if (Number.isSafeInteger(said) || (size >= 1e-4 && size < 1e10)) return String(said);
    }
    throw new Error(`${JSON.stringify(said)} is no category: write it as text`);
  }

  // spec: spec.json; bytes: ArrayBuffer of features.bin
  function read(spec, bytes) {
    const view = new DataView(bytes), half = view.getUint32(0, true) * 4;
    const columns = spec.columns.map((column) => ({
      ...column,
      codes: column.kind === "category" ? new Map(column.values.map((value, i) => [value, i + 1])) : null,
      width: (column.high - column.low) / BINS || 1 / BINS,
    }));
    return { columns, strange: new Float64Array(bytes.slice(4, 4 + half)), outside: new Float64Array(bytes.slice(8 + half)) };
  }

  function cell(column, row) {
    if (!Object.hasOwn(row, column.name)) throw new Error("no such column: say null where there is no value");
    if (!column.codes) return number(row[column.name]);
    const said = category(row[column.name]);
    return said === null ? NaN : column.codes.get(said) ?? 0;
  }

  function bin(column, x) {
    if (Number.isNaN(x)) return [column.mass.length - 1, 0];
    if (column.codes) return [x, 0];
    const u = Math.asinh((x - column.centre) / column.scale);
    const far = Math.max(0, u - column.high, column.low - u) / column.width;
    return [Math.trunc(Math.min(Math.max((u - column.low) / column.width, 0), BINS - 1)), far];
  }

  // The share of what was held out that is at least as strange.
  function share(seen, measure) {
    let low = 0, high = seen.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (seen[middle] < measure - 1e-9) low = middle + 1; else high = middle;
    }
    return (1 + seen.length - low) / (seen.length + 1);
  }

  function entries(model, row) {
    if (row === null || typeof row !== "object" || Array.isArray(row)) throw new Error("a row is an object");
    const cells = [];
    let strange = 0, outside = 0;
    for (const column of model.columns) {
      let x;
      try { x = cell(column, row); } catch (error) { throw new Error(`column ${JSON.stringify(column.name)}: ${error.message}`); }
      const [place, far] = bin(column, x);
      strange -= Math.log(column.mass[place]);
      outside += far + column.gap[place];
      cells.push(x);
    }
    const p = Math.min(share(model.strange, strange), share(model.outside, outside));
    return { cells, in_scope: Math.fround(p / (p + 0.01)) };
  }
  return { read, entries };
})();

if (typeof module !== "undefined") {
  module.exports = bapsimCells;
  if (require.main === module) {
    const fs = require("fs"), path = require("path"), folder = process.argv[2];
    const body = fs.readFileSync(path.join(folder, "features.bin"));
    const spec = JSON.parse(fs.readFileSync(path.join(folder, "spec.json"), "utf8"));
    const model = bapsimCells.read(spec, body.buffer.slice(body.byteOffset, body.byteOffset + body.length));
    for (const line of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
      const { cells, in_scope } = bapsimCells.entries(model, JSON.parse(line));
      process.stdout.write(JSON.stringify({ cells, in_scope }) + "\n");
    }
  }
}
