// docs/features.md in JavaScript: fold, n-grams, hashes, weights, head. The sibling of features.c.
//
// node features.js features.bin [head.bin] < TEXTS       TEXTS: one JSON string a line.
// In a page: <script src="features.js"></script>, then bapsimFeatures.read(arrayBuffer) and
// bapsimFeatures.entries(model, text), whose columns and values are what head.onnx takes.
"use strict";

const bapsimFeatures = (() => {
const NAMES = ["blanks", "drops", "one", "many", "pairs", "late", "word", "sizesWord", "sizesChar", "limits",
  "tf", "share", "knownWord", "knownChar", "idf", "idfOf"];
const HEAD = ["weights", "bias", "prior", "constants"];
const KINDS = { tf: Float32Array, idf: Float32Array, idfOf: Uint16Array, share: Float64Array,
  weights: Float32Array, bias: Float32Array, prior: Float64Array, constants: Float64Array };
const BLANK = 0x20, BUCKETS = 3;

// The sections of a file (an ArrayBuffer) by name.
function sections(buffer, names) {
  const view = new DataView(buffer), found = {};
  let at = 0;
  for (const name of names) {
    const size = 4 * view.getUint32(at, true);
    found[name] = new (KINDS[name] || Uint32Array)(buffer.slice(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return found;
}

// features.bin, and head.bin where there is one.
function read(features, head) {
  const model = { ...sections(features, NAMES), ...(head ? sections(head, HEAD) : {}) };
  const to = new Map(), pairTo = new Map(), alone = new Map(), isWord = new Set();
  const { one, many, pairs, late } = model;
  const ranges = (list, f) => {
    for (let i = 0; i < list.length; i += 2) for (let c = list[i]; c <= list[i + 1]; c++) f(c);
  };
  ranges([0xD800, 0xDFFF], (c) => to.set(c, [0xFFFD]));
  ranges(model.blanks, (c) => to.set(c, [BLANK]));
  ranges(model.drops, (c) => to.set(c, []));
  for (let i = 0; i < one.length; i += 2) to.set(one[i], [one[i + 1]]);
  for (let i = 0; i < many.length; i += 2 + many[i + 1]) to.set(many[i], many.slice(i + 2, i + 2 + many[i + 1]));
  for (let i = 0; i < pairs.length; i += 3) pairTo.set(pairs[i] + "," + pairs[i + 1], pairs[i + 2]);
  for (let i = 0; i < late.length; i += 2) alone.set(late[i], late[i + 1]);
  ranges(model.word, (c) => isWord.add(c));
  return Object.assign(model, { to, pairTo, alone, isWord });
}

// --- fold ---

function composite(model, base, mark) {
  const lead = base - 0x1100, vowel = mark - 0x1161, syllable = base - 0xAC00, tail = mark - 0x11A7;
  if (lead >= 0 && lead < 19 && vowel >= 0 && vowel < 21) return 0xAC00 + (lead * 21 + vowel) * 28;
  if (syllable >= 0 && syllable < 11172 && syllable % 28 === 0 && tail > 0 && tail < 28) return base + tail;
  return model.pairTo.get(base + "," + mark) || 0;
}

// The folded text between two blanks, as code points.
function fold(model, text) {
  const composed = [], out = [BLANK];
  let seen = 0;
  for (const character of text) {
    if (seen++ === model.limits[0]) break;
    const c = character.codePointAt(0);
    for (const r of model.to.get(c) || [c]) {
      const both = composed.length ? composite(model, composed[composed.length - 1], r) : 0;
      if (both) composed[composed.length - 1] = both; else composed.push(r);
    }
  }
  for (const c of composed) {
    if (c !== BLANK || out[out.length - 1] !== BLANK) out.push(model.alone.get(c) || c);
  }
  if (out.length === 1 || out[out.length - 1] !== BLANK) out.push(BLANK);
  return out;
}

// --- n-grams ---

const turned = (x, bits) => (x << bits) | (x >>> (32 - bits));

function murmur(blocks, h) {
  for (const block of blocks) {
    h = turned(h ^ Math.imul(turned(Math.imul(block, 0xCC9E2D51), 15), 0x1B873593), 13);
    h = (Math.imul(h, 5) + 0xE6546B64) | 0;
  }
  h ^= 4 * blocks.length;
  h = Math.imul(h ^ (h >>> 16), 0x85EBCA6B);
  h = Math.imul(h ^ (h >>> 13), 0xC2B2AE35);
  return (h ^ (h >>> 16)) >>> 0;
}

function wordHashes(model, text) {
  const single = [], out = [];
  for (let i = 0, start; i < text.length; i++) {
    for (start = i; i < text.length && model.isWord.has(text[i]);) i++;
    if (i > start) single.push(murmur(text.slice(start, Math.min(i, start + model.limits[1])), 0));
  }
  for (const n of model.sizesWord)
    for (let i = 0; i + n <= single.length; i++)
      out.push(n === 1 ? single[i] : murmur(single.slice(i, i + n), n));
  return out;
}

function charHashes(model, text) {
  const out = [];
  for (const n of model.sizesChar)
    for (let i = 0; i + n <= text.length; i++) {
      const gram = text.slice(i, i + n);
      if (gram.some((c) => c !== BLANK) && !gram.slice(1, -1).includes(BLANK)) out.push(murmur(gram, 0));
    }
  return out;
}

// --- weights and head ---

function place(known, hash) {
  let low = 0, high = known.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (known[middle] < hash) low = middle + 1; else high = middle;
  }
  return known[low] === hash ? low : -1;
}

// A student has no vocabulary: words count by the lowest bits of their hashes, characters by the highest.
function bucket(hash, buckets, characters) {
  const bits = Math.log2(buckets);
  if (!characters) return (hash & (buckets - 1)) >>> 0;
  return bits ? hash >>> (32 - bits) : 0;
}

// The known n-grams of one block, ascending, with their weights.
function weigh(model, found, known, first, length, characters) {
  const counts = new Map(), entries = [], buckets = model.limits[BUCKETS];
  const hashes = buckets ? found.map((h) => bucket(h, buckets, characters)) : found;
  for (const h of hashes) counts.set(h, Math.min((counts.get(h) || 0) + 1, model.limits[2]));
  const all = [...counts].sort((a, b) => a[0] - b[0]);
  let square = 0;
  for (const [hash, count] of all) {
    const at = buckets ? hash : place(known, hash);
    if (at < 0) continue;
    const column = first + at, tf = model.tf[count - 1];
    const value = buckets ? tf : Math.fround(tf * model.idf[model.idfOf[column]]);
    square += value * value;
    entries.push([column, value]);
  }
  const scale = square > 0 ? Math.fround(length / Math.sqrt(square)) : 0;
  return { all, entries: entries.map(([column, value]) => [column, Math.fround(value * scale)]) };
}

// The blocks of a text: all n-grams, and the columns and weights of those that are known.
function blocks(model, folded) {
  const words = weigh(model, wordHashes(model, folded), model.knownWord, 0, model.share[0], false);
  const first = model.knownWord.length;
  return [words, weigh(model, charHashes(model, folded), model.knownChar, first, 1, true)];
}

// What head.onnx takes of a text: columns, values, and the share of its words that are known.
function entries(model, text) {
  const [words, characters] = blocks(model, fold(model, text));
  const both = [...words.entries, ...characters.entries];
  const share = words.all.length ? words.entries.length / words.all.length : 0;
  const coverage = model.limits[BUCKETS] ? Number(both.length > 0) : share;
  const filled = both.length ? both : [[0, 0]];
  return { columns: filled.map(([column]) => column), values: filled.map(([, value]) => value), coverage };
}

function head(model, words, characters) {
  const k = model.bias.length, entries = [...words.entries, ...characters.entries];
  const [slope, bend, shift, floor, low, middle, knee, wordsKnown] = model.constants;
  if (!entries.length) return [...model.prior, 0];
  const s = new Float64Array(k);
  for (const [column, value] of entries)
    for (let m = 0; m < k; m++) s[m] += value * model.weights[column * k + m];
  for (let m = 0; m < k; m++) s[m] += model.bias[m];
  const evidence = (x, m) => slope * x + bend * Math.max(x - knee, 0) + shift * Math.log(model.prior[m]);
  const logits = [...s].map(evidence), most = Math.max(...logits);
  const grown = logits.map((x) => Math.exp(x - most)), total = grown.reduce((a, b) => a + b);
  const coverage = words.all.length ? words.entries.length / words.all.length : 0;
  const z = ((Math.max(...s) + wordsKnown * coverage - low) / (middle - low)) * Math.log(19);
  return [...grown.map((x, m) => ((1 - floor) * x) / total + floor * model.prior[m]), 1 / (1 + Math.exp(-z))];
}

return { read, fold, blocks, entries, head };
})();

if (typeof require !== "undefined" && require.main === module) {
  const fs = require("fs");
  const bytes = (path) => { const b = fs.readFileSync(path); return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); };
  const { read, fold, blocks, head } = bapsimFeatures, [, , features, weights] = process.argv, out = [];
  const model = read(bytes(features), weights && bytes(weights));
  for (const line of fs.readFileSync(0, "utf8").split("\n")) {
    if (!line) continue;
    const text = fold(model, JSON.parse(line)), [words, characters] = blocks(model, text);
    const pairs = (list) => list.map(([a, b]) => " " + a + ":" + b).join("");
    out.push(text.map((c) => " " + c.toString(16)).join(""), pairs(words.all) + " |" + pairs(characters.all));
    out.push(pairs([...words.entries, ...characters.entries]));
    if (weights) out.push(head(model, words, characters).map((p) => " " + p).join(""));
  }
  process.stdout.write(out.join("\n") + (out.length ? "\n" : ""));
}
