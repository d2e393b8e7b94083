// Rows of a table as cells, and how little they resemble training, as table_cells.py has them. For browsers and
// Node; the answer is head.onnx's. A row is an object with a value for every column, null where there is none.
//
//   node table_cells.js MODEL_FOLDER < ROWS    one JSON object a line -> {"cells": [...], "in_scope": ...} a line,
//                                              {"error": why} of a line that cannot be read
"use strict";
const bapsimCells = (() => {
  const NUMBER = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?$/i;
  const WHOLE = /^[+-]?[0-9]{1,19}$/, WHOLE_TYPE = /^(u?)int([0-9]+)$/;
  const TRUTH = { true: 1, 1: 1, false: 0, 0: 0 };
  const BLANK = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";  // Python's
  const FIRST = new RegExp(`^${BLANK}+`), LAST = new RegExp(`${BLANK}+$`);
  const FARTHEST = 3e38, BINS = 20;

  // One row as JSON. Where the engine tells how a number was written, that is kept: 2.0 is no 2 to a category.
  function parse(text) {
    return JSON.parse(text, (_, value, how) => typeof value === "number" && how?.source || value);
  }

  const TIME_TYPE = /^(timestamp|date|time)(?:32|64)?\[(s|ms|us|ns|day)(, tz=.+)?\]$/;
  const CLOCK = "([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\\.([0-9]{1,9}))?)?)?(Z|([+-])([0-9]{2}):?([0-9]{2})?)?";
  const MOMENT = new RegExp(`^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]${CLOCK})?$`);
  const DIGITS = { s: 0, ms: 3, us: 6, ns: 9, day: 0 };  // of a fraction of a second

  // A moment, day or time of day in ISO 8601 in seconds; undefined where it is none.
  function seconds(said, kind, digits, zoned) {
    const found = MOMENT.exec(kind === "time" ? `1970-01-01 ${said}` : said);
    if (!found || (kind === "date" && said.length !== 10) || (kind === "time" && !found[5])) return undefined;
    const [year, month, day, hour, minute, second] = found.slice(1, 7).map((one) => Number(one ?? 0));
    const fraction = found[7] ?? "", sign = found[9] === "-" ? -1 : 1;
    if (hour > 23 || minute > 59 || second > 59 || fraction.length > digits || (found[8] !== undefined) !== zoned) return undefined;
    const date = new Date(0);
    date.setUTCFullYear(year, month - 1, day);
    if (year < 1 || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
    const ahead = sign * (Number(found[10] ?? 0) * 3600 + Number(found[11] ?? 0) * 60);
    const whole = BigInt(date.getTime() / 1000 + hour * 3600 + minute * 60 + second - ahead);
    const count = whole * 10n ** BigInt(digits) + BigInt(fraction.padEnd(digits, "0") || 0);
    return BigInt.asIntN(64, count) === count ? Number(count) / 10 ** digits : undefined;
  }

  // What a value says in a column of numbers of an Arrow type ("": not known); undefined where nothing.
  function held(said, kind) {
    const text = typeof said === "string", whole = WHOLE_TYPE.exec(kind);
    if (typeof said === "boolean") return kind === "bool" || kind === "" ? Number(said) : undefined;
    if (!text && typeof said !== "number") return undefined;
    if (kind === "bool") return text ? (Object.hasOwn(TRUTH, said.toLowerCase()) ? TRUTH[said.toLowerCase()] : undefined)
      : said === 0 || said === 1 ? said : undefined;
    const time = TIME_TYPE.exec(kind);
    if (time) {
      const digits = time[1] === "time" ? Math.min(DIGITS[time[2]], 6) : DIGITS[time[2]];
      return text ? seconds(said, time[1], digits, time[3] !== undefined) : undefined;
    }
    if (whole) {
      if (!(text ? WHOLE.test(said) : Number.isInteger(said))) return undefined;
      const value = BigInt(text ? said.replace("+", "") : said), bits = BigInt(whole[2]) - (whole[1] ? 0n : 1n);
      return value < 1n << bits && value >= (whole[1] ? 0n : -(1n << bits)) ? Number(value) : undefined;
    }
    if (text && /^nan$/i.test(said)) return NaN;
    const value = text ? (NUMBER.test(said) ? Number(said) : NaN) : said;
    return Number.isFinite(value) ? value : undefined;
  }

  function number(said, kind) {
    if (said === null || Number.isNaN(said)) return NaN;
    const value = held(typeof said === "string" ? said.replace(FIRST, "").replace(LAST, "") : said, kind);
    if (value === undefined) {
      throw new Error(`${(JSON.stringify(said) ?? typeof said).slice(0, 90)} is no ${TIME_TYPE.test(kind) ? kind : `number of the type ${kind || "double"}`}`);
    }
    return Math.min(Math.max(kind === "float" ? Math.fround(value) : value, -FARTHEST), FARTHEST);
  }

  function category(said) {
    if (said === null || (typeof said === "string" && !/\p{Cs}/u.test(said))) return said;
    if (typeof said === "boolean") return String(said);
    if (Object.is(said, -0)) return "-0";
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
    if (!column.codes) return number(row[column.name], column.type ?? "");
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
  return { read, parse, entries };
})();

if (typeof module !== "undefined") {
  module.exports = bapsimCells;
  if (require.main === module) {
    const fs = require("fs"), path = require("path"), folder = process.argv[2];
    const body = fs.readFileSync(path.join(folder, "features.bin"));
    const spec = JSON.parse(fs.readFileSync(path.join(folder, "spec.json"), "utf8"));
    const model = bapsimCells.read(spec, body.buffer.slice(body.byteOffset, body.byteOffset + body.length));
    const lines = fs.readFileSync(0, "utf8").replace(/^\ufeff/, "").split("\n");
    for (const line of lines.at(-1) ? lines : lines.slice(0, -1)) {
      let told;
      try { told = bapsimCells.entries(model, bapsimCells.parse(line)); } catch (error) { told = { error: error.message }; }
      process.stdout.write(JSON.stringify(told) + "\n");
    }
  }
}
