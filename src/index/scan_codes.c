/* scan_codes.c — the first pass over 8-bit codes (codes.h), a tile of 64 rows at a time: integer products
 * with the queries, then every row whose score can reach the bar by the bound of what its codes lost. Of a
 * million random rows some hundred are considered.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/simd.h"
#include "first_pass.h"

/* Dot products that are computed before they are looked at: 8 KiB of them. */
#define QUERIES_AT_ONCE 32
/* Where a tile has only so few selected rows for one query, they are scored exactly at once: a row is four
 * times as long as its codes, but the tile has 64. With several queries the codes are read only once. */
#define FEW_ROWS 3
/* Bytes of each of these that are asked of the memory before they are needed. */
#define MOST_AHEAD 1024
/* With so few, asking which they are has saved time: it costs a tenth of the products, and some ten times as much where
 * long values are tested for it. After as many tiles where it did not, in this part or those before, it is asked of one
 * tile in 256, and of the rows that reach the bar: few. */
#define SAVING_ROWS 1
#define TILES_IN_VAIN 8
#define ASKED_IN_VAIN 256
/* So many rows that reach the bar are asked for one by one; for more their whole tile is. */
#define FEW_REACHING 4

/* One probe's state in this segment. */
typedef struct scan {
    vx_probe *probe;
    float score;     /* the lowest that matters now */
    vx_dots_bar bar; /* of it */
    float width;     /* of the bound, apart from what the row's codes lost */
} scan;

static void set_bar(const vx_rows *rows, scan *s) {
    float score = vx_probe_bar(s->probe);
    if (score != s->score) {
        s->score = score;
        s->bar = vx_codes_bar(rows->codes, &s->probe->coded, score);
    }
}

static void consider(const vx_rows *rows, scan *s, size_t row, int32_t dot) {
    const vx_row_codes *codes = rows->codes;
    vx_probe_consider(s->probe, rows, row, vx_dots_score(dot, codes->scales[row], &s->bar),
                      codes->errors[row] * s->bar.norm + s->width);
}

/* Of 64 keys that all lie in base..base + 63: bit i of the result is that of key i in `bits`. False: they do
 * not. */
VX_SIMD_CLONES static bool pick_bits(const int64_t *keys, int64_t base, uint64_t bits,
                                     uint64_t *ret) {
    uint64_t picked = 0, all = 0;
#pragma omp simd reduction(| : picked, all)
    for (uint64_t i = 0; i < VX_TILE_ROWS; i++) {
        uint64_t at = (uint64_t)keys[i] - (uint64_t)base;
        all |= at;
        picked |= (bits >> (at & 63) & 1) << i;
    }
    *ret = picked;
    return all < 64;
}

/* Bit i: row i of the tile that begins at row `first` is there and selected. Mostly rows lie in the order of
 * their groups and ids, so those of a tile are near each other. */
static uint64_t selected_rows(const vx_rows *rows, size_t first, const vx_selected *selected) {
    size_t n = rows->n - first;
    if (!selected)
        return n >= VX_TILE_ROWS ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
    const int64_t *keys = (selected->by_id ? rows->ids : rows->groups) + first;
    uint64_t wanted = 0;
    if (n >= VX_TILE_ROWS && selected->bits.bits &&
        pick_bits(keys, keys[0], vx_idset_bits_64(&selected->bits, keys[0]), &wanted))
        return wanted;
    wanted = 0;
    bool has = false;
    for (size_t i = 0; i < n && i < VX_TILE_ROWS; i++) {
        if (i == 0 || keys[i] != keys[i - 1])
            has = vx_idset_bits_have(&selected->bits, keys[i]);
        wanted |= (uint64_t)has << i;
    }
    return wanted;
}

/* Which rows of a tile are wanted, where that is known. */
typedef struct tile_rows {
    size_t first;
    bool is_known;
    uint64_t wanted;
    const vx_selected *selected;
} tile_rows;

static uint64_t wanted_of(const vx_rows *rows, tile_rows *tile) {
    if (!tile->is_known)
        tile->wanted = selected_rows(rows, tile->first, tile->selected);
    tile->is_known = true;
    return tile->wanted;
}

/* Of few rows of a tile those that are selected. */
static uint64_t selected_of(const vx_rows *rows, const tile_rows *tile, uint64_t few) {
    const vx_selected *selected = tile->selected;
    uint64_t found = 0;
    if (!selected)
        return few;
    const int64_t *keys = (selected->by_id ? rows->ids : rows->groups) + tile->first;
    for (; few; few &= few - 1) {
        unsigned i = (unsigned)__builtin_ctzll(few);
        found |= (uint64_t)vx_idset_bits_have(&selected->bits, keys[i]) << i;
    }
    return found;
}

/* The rows of a tile that can matter to one query, by its integer products with them. */
static void look_at_tile(const vx_rows *rows, scan *s, tile_rows *tile, const int32_t *dots) {
    const vx_row_codes *codes = rows->codes;
    size_t first = tile->first;
    set_bar(rows, s);
    uint64_t reach =
        codes->kernel->reach(dots, codes->scales + first, codes->errors + first, &s->bar);
    if (reach && (tile->is_known || __builtin_popcountll(reach) > FEW_REACHING))
        reach &= wanted_of(rows, tile);
    else if (reach)
        reach = selected_of(rows, tile, reach);
    for (; reach; reach &= reach - 1) {
        size_t i = (size_t)__builtin_ctzll(reach);
        consider(rows, s, first + i, dots[i]);
    }
}

static void scan_tile(const vx_rows *rows, scan *scans, size_t n, tile_rows *tile) {
    const vx_row_codes *codes = rows->codes;
    const uint8_t *bytes = vx_codes_tile(codes, tile->first / VX_TILE_ROWS);
    _Alignas(64) int32_t dots[QUERIES_AT_ONCE * VX_TILE_ROWS];
    for (size_t q = 0, now; q < n; q += now) {
        now = n - q < QUERIES_AT_ONCE ? n - q : QUERIES_AT_ONCE;
        codes->kernel->tile(bytes, codes->groups, scans[q].probe->coded.codes, now, dots);
        for (size_t i = 0; i < now; i++)
            look_at_tile(rows, &scans[q + i], tile, dots + i * VX_TILE_ROWS);
    }
}

static void prefetch_rows(const vx_rows *rows, size_t first, uint64_t wanted) {
    size_t bytes = rows->dim * sizeof(float);
    for (; wanted; wanted &= wanted - 1) {
        const char *row =
            (const char *)rows->vectors + (first + (size_t)__builtin_ctzll(wanted)) * bytes;
        for (size_t at = 0; at < bytes && at < MOST_AHEAD; at += 64)
            __builtin_prefetch(row + at);
    }
}

static void offer_rows(const vx_rows *rows, size_t first, uint64_t wanted, scan *scans, size_t n) {
    for (; wanted; wanted &= wanted - 1)
        for (size_t i = 0; i < n; i++)
            vx_probe_offer(scans[i].probe, rows, first + (size_t)__builtin_ctzll(wanted));
}

static bool is_in_vain(size_t in_vain) {
    return in_vain >= TILES_IN_VAIN && in_vain % ASKED_IN_VAIN;
}

/* For the parts that follow. Of two threads the one whose tiles were worth it tells them. */
static void tell_in_vain(const vx_selected *selected, size_t before, size_t in_vain) {
    if (!atomic_compare_exchange_strong(selected->in_vain, &before, in_vain) && in_vain < before)
        atomic_store_explicit(selected->in_vain, in_vain, memory_order_relaxed);
}

static void scan_tiles(const vx_rows *rows, size_t first, scan *scans, size_t n,
                       const vx_selected *selected) {
    int64_t n_scanned = 0;
    size_t before = selected ? atomic_load_explicit(selected->in_vain, memory_order_relaxed) : 0;
    size_t in_vain = before, late_first = 0;
    uint64_t late = 0; /* rows of the tile at late_first that are on their way from memory */
    for (; first < rows->n; first += VX_TILE_ROWS) {
        tile_rows tile = {.first = first, .selected = selected};
        if (is_in_vain(in_vain) && rows->n - first >= VX_TILE_ROWS) {
            in_vain++;
            n_scanned += VX_TILE_ROWS;
            scan_tile(rows, scans, n, &tile);
            continue;
        }
        uint64_t wanted = wanted_of(rows, &tile);
        size_t n_wanted = (size_t)__builtin_popcountll(wanted);
        n_scanned += (int64_t)n_wanted;
        in_vain = n_wanted <= SAVING_ROWS ? 0 : in_vain + 1;
        if (n_wanted * n > FEW_ROWS) {
            scan_tile(rows, scans, n, &tile);
            continue;
        }
        prefetch_rows(rows, first, wanted);
        offer_rows(rows, late_first, late, scans, n);
        late_first = first;
        late = wanted;
    }
    offer_rows(rows, late_first, late, scans, n);
    if (selected)
        tell_in_vain(selected, before, in_vain);
    for (size_t i = 0; i < n; i++)
        scans[i].probe->work.rows_scanned += n_scanned;
}

static int scan_codes(const vx_rows *rows, size_t first, vx_probe *probes, size_t n,
                      const vx_selected *selected, vx_err *err) {
    VX_AUTO_FREE scan *scans = vx_new_array(n, sizeof *scans);
    if (!scans)
        return VX_FAIL(err, -ENOMEM, "no memory to search for %zu queries", n);
    for (size_t i = 0; i < n; i++) {
        float score = vx_probe_bar(&probes[i]);
        scans[i] = (scan){.probe = &probes[i],
                          .score = score,
                          .bar = vx_codes_bar(rows->codes, &probes[i].coded, score),
                          .width = vx_codes_width(rows->codes->max_length, &probes[i].coded)};
    }
    scan_tiles(rows, first, scans, n, selected);
    return 0;
}

const vx_first_pass vx_first_pass_codes = {.name = "int8", .has_codes = true, .scan = scan_codes};
