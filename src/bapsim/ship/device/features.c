/* docs/features.md in C99: fold, n-grams, hashes, weights, head. Slow and short on purpose.

   cc -O1 -std=c99 -ffp-contract=off features.c -lm -o features && ./features features.bin [head.bin] < TEXTS

   features.bin, head.bin: sections of (uint32 count, count 4-byte words), little endian, in the order of the
   enum below. TEXTS: (uint32 length, UTF-8 bytes) one after another. For each text a line of code points, of
   n-grams and their counts, of columns and weights, and with a head (of one class) of its answer. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLANKS, DROPS, ONE, MANY, PAIRS, LATE, WORD, SIZES_WORD, SIZES_CHAR, LIMITS, TF, SHARE,
       KNOWN_WORD, KNOWN_CHAR, IDF, IDF_OF, WEIGHTS, BIAS, PRIOR, CONSTANTS, SECTIONS };
enum { LIMIT, WORD_LIMIT, TF_LIMIT, BUCKETS };
enum { SLOPE, BEND, SHIFT, FLOOR, LOW, MIDDLE, KNEE, WORDS_KNOWN };
enum { BLANK = 0x20, DROP = 0x110001, EXPAND = 0x110002 };

typedef struct { uint32_t n, *at; } list;
static list S[SECTIONS];
static uint32_t to[0x110000], alone[0x100];
static unsigned char is_word[0x110000];

static void push(list *l, uint32_t x) {
    if ((l->n & (l->n - 1)) == 0) l->at = realloc(l->at, 4 * (l->n ? 2 * l->n : 1));
    l->at[l->n++] = x;
}

/* --- fold --- */

static void prepare(void) {
    uint32_t i, c, *r;
    for (c = 0; c < 0x110000; c++) to[c] = c >= 0xD800 && c < 0xE000 ? 0xFFFD : c;
    for (r = S[BLANKS].at; r < S[BLANKS].at + S[BLANKS].n; r += 2) for (c = r[0]; c <= r[1]; c++) to[c] = BLANK;
    for (r = S[DROPS].at; r < S[DROPS].at + S[DROPS].n; r += 2) for (c = r[0]; c <= r[1]; c++) to[c] = DROP;
    for (i = 0; i < S[ONE].n; i += 2) to[S[ONE].at[i]] = S[ONE].at[i + 1];
    for (i = 0; i < S[MANY].n; i += 2 + S[MANY].at[i + 1]) to[S[MANY].at[i]] = EXPAND + i; /* point, n, n points */
    for (i = 0; i < 0x100; i++) alone[i] = 0x1100 + i;
    for (i = 0; i < S[LATE].n; i += 2) alone[S[LATE].at[i] - 0x1100] = S[LATE].at[i + 1];
    for (r = S[WORD].at; r < S[WORD].at + S[WORD].n; r += 2) for (c = r[0]; c <= r[1]; c++) is_word[c] = 1;
}

static uint32_t composite(uint32_t base, uint32_t mark) {
    if (base - 0x1100 < 19 && mark - 0x1161 < 21) return 0xAC00 + ((base - 0x1100) * 21 + mark - 0x1161) * 28;
    if (base - 0xAC00 < 11172 && (base - 0xAC00) % 28 == 0 && mark - 0x11A8 < 27) return base + mark - 0x11A7;
    for (uint32_t i = 0; i < S[PAIRS].n; i += 3)
        if (S[PAIRS].at[i] == base && S[PAIRS].at[i + 1] == mark) return S[PAIRS].at[i + 2];
    return 0;
}

static void put(list *out, uint32_t c) {
    uint32_t both = out->n ? composite(out->at[out->n - 1], c) : 0;
    if (both) out->at[out->n - 1] = both; else push(out, c);
}

/* The folded text between two blanks. */
static list fold(const list *points) {
    list composed = {0, 0}, out = {0, 0};
    for (uint32_t i = 0; i < points->n && i < S[LIMITS].at[LIMIT]; i++) {
        uint32_t c = to[points->at[i]];
        if (c == DROP) continue;
        if (c < EXPAND) { put(&composed, c); continue; }
        const uint32_t *r = S[MANY].at + (c - EXPAND);
        for (uint32_t k = 0; k < r[1]; k++) put(&composed, r[2 + k]);
    }
    push(&out, BLANK);
    for (uint32_t i = 0; i < composed.n; i++) {
        uint32_t c = composed.at[i];
        if (c >= 0x1100 && c < 0x1200) c = alone[c - 0x1100];
        if (c != BLANK || out.at[out.n - 1] != BLANK) push(&out, c);
    }
    if (out.n == 1 || out.at[out.n - 1] != BLANK) push(&out, BLANK);
    free(composed.at);
    return out;
}

/* --- n-grams --- */

static uint32_t turned(uint32_t x, int bits) { return x << bits | x >> (32 - bits); }

/* MurmurHash3 x86 32 of n blocks of 32 bits. */
static uint32_t murmur(const uint32_t *block, uint32_t n, uint32_t h) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t scrambled = turned(block[i] * 0xCC9E2D51u, 15) * 0x1B873593u;
        h = turned(h ^ scrambled, 13) * 5 + 0xE6546B64u;
    }
    h ^= 4 * n;
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    return h ^ h >> 16;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static list word_hashes(const list *t) {
    list single = {0, 0}, out = {0, 0};
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t start = i;
        while (i < t->n && is_word[t->at[i]]) i++;
        uint32_t length = i - start < S[LIMITS].at[WORD_LIMIT] ? i - start : S[LIMITS].at[WORD_LIMIT];
        if (i > start) push(&single, murmur(t->at + start, length, 0));
    }
    for (uint32_t s = 0; s < S[SIZES_WORD].n; s++) {
        uint32_t n = S[SIZES_WORD].at[s];
        for (uint32_t i = 0; i + n <= single.n; i++)
            push(&out, n == 1 ? single.at[i] : murmur(single.at + i, n, n));
    }
    free(single.at);
    return out;
}

static list char_hashes(const list *t) {
    list out = {0, 0};
    for (uint32_t s = 0; s < S[SIZES_CHAR].n; s++) {
        uint32_t n = S[SIZES_CHAR].at[s];
        for (uint32_t i = 0; i + n <= t->n; i++) {
            int inside = 0, filled = 0;
            for (uint32_t j = 0; j < n; j++) {
                filled |= t->at[i + j] != BLANK;
                inside |= t->at[i + j] == BLANK && j > 0 && j < n - 1;
            }
            if (filled && !inside) push(&out, murmur(t->at + i, n, 0));
        }
    }
    return out;
}

/* --- weights and head --- */

typedef struct { uint32_t n, distinct, *column; float *value; } block;

/* A student has no vocabulary: words count by the lowest bits of their hashes, characters by the highest. */
static uint32_t bucket(uint32_t hash, uint32_t buckets, int characters) {
    int bits = 0;
    while (1u << bits < buckets) bits++;
    return !characters ? hash & (buckets - 1) : bits ? hash >> (32 - bits) : 0;
}

/* The known n-grams of one block, ascending; prints hash:count of all. */
static block weigh(list hashes, const list *known, uint32_t first, double length, int characters) {
    block b = {0, 0, calloc(hashes.n + 1, 4), calloc(hashes.n + 1, 4)};
    double square = 0;
    uint32_t buckets = S[LIMITS].at[BUCKETS];
    for (uint32_t i = 0; buckets && i < hashes.n; i++) hashes.at[i] = bucket(hashes.at[i], buckets, characters);
    if (hashes.n) qsort(hashes.at, hashes.n, 4, ascending);
    for (uint32_t i = 0, next; i < hashes.n; i = next) {
        for (next = i; next < hashes.n && hashes.at[next] == hashes.at[i];) next++;
        uint32_t count = next - i < S[LIMITS].at[TF_LIMIT] ? next - i : S[LIMITS].at[TF_LIMIT];
        printf(" %u:%u", hashes.at[i], count);
        b.distinct++;
        uint32_t column = hashes.at[i];
        float v = ((float *)S[TF].at)[count - 1];
        if (!buckets) {
            uint32_t *found = known->n ? bsearch(hashes.at + i, known->at, known->n, 4, ascending) : NULL;
            if (!found) continue;
            column = first + (uint32_t)(found - known->at);
            v *= ((float *)S[IDF].at)[((uint16_t *)S[IDF_OF].at)[column]];
        }
        square += (double)v * v;
        b.column[b.n] = column;
        b.value[b.n++] = v;
    }
    float scale = square > 0 ? (float)(length / sqrt(square)) : 0;
    for (uint32_t i = 0; i < b.n; i++) b.value[i] *= scale;
    free(hashes.at);
    return b;
}

static void head(const block *b) {
    uint32_t k = S[BIAS].n, known = b[0].n + b[1].n;
    const double *prior = (double *)S[PRIOR].at, *c = (double *)S[CONSTANTS].at;
    double *s = calloc(k, 8), *p = calloc(k, 8), best = -INFINITY, most = -INFINITY, total = 0;
    for (int i = 0; i < 2; i++)
        for (uint32_t j = 0; j < b[i].n; j++)
            for (uint32_t m = 0; m < k; m++)
                s[m] += (double)b[i].value[j] * ((float *)S[WEIGHTS].at)[(size_t)b[i].column[j] * k + m];
    for (uint32_t m = 0; m < k; m++) {
        s[m] += ((float *)S[BIAS].at)[m];
        p[m] = c[SLOPE] * s[m] + c[BEND] * fmax(s[m] - c[KNEE], 0) + c[SHIFT] * log(prior[m]);
        best = fmax(best, s[m]), most = fmax(most, p[m]);
    }
    for (uint32_t m = 0; m < k; m++) total += p[m] = exp(p[m] - most);
    for (uint32_t m = 0; m < k; m++)
        printf(" %.9g", known ? (1 - c[FLOOR]) * p[m] / total + c[FLOOR] * prior[m] : prior[m]);
    double coverage = b[0].distinct ? (double)b[0].n / b[0].distinct : 0;
    double z = (best + c[WORDS_KNOWN] * coverage - c[LOW]) / (c[MIDDLE] - c[LOW]) * log(19);
    printf(" %.9g\n", known ? 1 / (1 + exp(-z)) : 0);
    free(s), free(p);
}

/* --- files --- */

static list decoded(const unsigned char *text, uint32_t n) {
    list out = {0, 0};
    for (uint32_t i = 0; i < n;) {
        uint32_t c = text[i++], more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        if (more) c &= 0x3F >> more;
        while (more-- && i < n) c = c << 6 | (text[i++] & 0x3F);
        push(&out, c);
    }
    return out;
}

static int section(FILE *f, list *l) {
    if (fread(&l->n, 4, 1, f) != 1) return 0;
    l->at = malloc(4 * (size_t)l->n + 4);
    return fread(l->at, 4, l->n, f) == l->n;
}

int main(int count, char **argument) {
    FILE *f = count > 1 ? fopen(argument[1], "rb") : NULL, *g = count > 2 ? fopen(argument[2], "rb") : NULL;
    if (!f || (count > 2 && !g)) return 2;
    for (int i = 0; i < (g ? SECTIONS : WEIGHTS); i++) if (!section(i < WEIGHTS ? f : g, &S[i])) return 3;
    prepare();
    for (uint32_t n; fread(&n, 4, 1, stdin) == 1;) {
        unsigned char *bytes = malloc(n + 1);
        if (fread(bytes, 1, n, stdin) != n) return 4;
        list points = decoded(bytes, n), text = fold(&points);
        for (uint32_t i = 0; i < text.n; i++) printf(" %x", text.at[i]);
        printf("\n");
        double share = ((double *)S[SHARE].at)[0];
        block b[2] = {weigh(word_hashes(&text), &S[KNOWN_WORD], 0, share, 0), {0, 0, 0, 0}};
        printf(" |");
        b[1] = weigh(char_hashes(&text), &S[KNOWN_CHAR], S[KNOWN_WORD].n, 1, 1);
        printf("\n");
        for (int i = 0; i < 2; i++)
            for (uint32_t j = 0; j < b[i].n; j++) printf(" %u:%.9g", b[i].column[j], b[i].value[j]);
        printf("\n");
        if (g) head(b);
        for (int i = 0; i < 2; i++) free(b[i].column), free(b[i].value);
        free(points.at), free(text.at), free(bytes);
    }
    return 0;
}
