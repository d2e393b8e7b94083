// docs/features.md in JavaScript: fold, n-grams, hashes, weights, head. The sibling of features.c.
//
// node features.js MODEL < TEXTS       MODEL: as features.c reads it. TEXTS: one JSON string a line.
"use strict";
const fs = require("fs");

const NAMES = ["blanks", "drops", "one", "many", "pairs", "late", "word", "sizesWord", "sizesChar", "limits",
  "tf", "knownWord", "knownChar", "idf", "weights", "bias", "prior", "constants"];
const KINDS = { tf: Float32Array, idf: Float32Array, weights: Float32Array, bias: Float32Array,
  prior: Float64Array, constants: Float64Array };
const BLANK = 0x20;

function readModel(path) {
  const bytes = fs.readFileSync(path), model = {};
  let at = 0;
  for (const name of NAMES) {
    const start = bytes.byteOffset + at + 4, size = 4 * bytes.readUInt32LE(at);
    model[name] = new (KINDS[name] || Uint32Array)(bytes.buffer.slice(start, start + size));
    at += 4 + size;
  }
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

// The known n-grams of one block, ascending, with their weights.
function weigh(model, hashes, known, first, length) {
  const counts = new Map(), entries = [];
  for (const h of hashes) counts.set(h, Math.min((counts.get(h) || 0) + 1, model.limits[2]));
  const all = [...counts].sort((a, b) => a[0] - b[0]);
  let square = 0;
  for (const [hash, count] of all) {
    const at = place(known, hash);
    if (at < 0) continue;
    const value = Math.fround(model.tf[count - 1] * model.idf[first + at]);
    square += value * value;
    entries.push([first + at, value]);
  }
  const scale = square > 0 ? Math.fround(length / Math.sqrt(square)) : 0;
  return { all, entries: entries.map(([column, value]) => [column, Math.fround(value * scale)]) };
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

const model = readModel(process.argv[2]), out = [];
for (const line of fs.readFileSync(0, "utf8").split("\n")) {
  if (!line) continue;
  const text = fold(model, JSON.parse(line));
  const words = weigh(model, wordHashes(model, text), model.knownWord, 0, model.constants[8]);
  const characters = weigh(model, charHashes(model, text), model.knownChar, model.knownWord.length, 1);
  const pairs = (list) => list.map(([a, b]) => " " + a + ":" + b).join("");
  out.push(text.map((c) => " " + c.toString(16)).join(""), pairs(words.all) + " |" + pairs(characters.all));
  out.push(pairs([...words.entries, ...characters.entries]));
  out.push(head(model, words, characters).map((p) => " " + p).join(""));
}
process.stdout.write(out.join("\n") + (out.length ? "\n" : ""));
