/* segmented_index.c — the index: segments, and which of them holds an id. Who locks what:
 *
 * FAISS allows searches beside each other on one index, but an add may move all its rows, so a
 * search during it reads freed memory. Hence segments of fixed capacity, each with a
 * readers-writer lock (segment.h): an insert or a removal stops searches of one segment for a few
 * milliseconds and leaves the others alone.
 *
 * `writer` serialises everything that changes the index, and guards the id map, the segment list and
 * the places of ids. Only filling a new segment with a whole add (add_whole_segment) happens outside
 * it. Lock order: writer, then either the searcher's lock or one segment's.
 * Searches never take `writer`: they know rows and ids from the segments alone. Between two
 * segment operations of one add or remove a search may see the part that is done; an id is never
 * seen twice, since a row moves only within its segment.
 *
 * Inserts go to the first segment with room, so room left by deletes is used again.
 */
#include "index.h"

#include <errno.h>
#include <string.h>

#include "idmap.h"
#include "searcher.h"

#define MAX_DIM 8192
#define DEFAULT_SEGMENT_BYTES ((size_t)64 << 20)
/* Removal looks at every row number of a segment: keep that below a millisecond in small dims. */
#define DEFAULT_SEGMENT_MAX_ROWS ((size_t)1 << 18)
/* Swapped in a few ms: the longest a search waits for a removal. */
#define REMOVE_SLICE_BYTES ((size_t)4 << 20)

struct vx_index {
    int dim;
    size_t segment_rows;
    const vx_first_pass *first_pass;
    const vx_dots_kernel *kernel; /* of the codes, where the first pass has them */
    vx_mutex writer;
    vx_idmap map VX_GUARDED;
    vx_segment **segments VX_GUARDED; /* the searcher has its own list */
    size_t n_segments VX_GUARDED;
    vx_searcher *searcher;
    vx_gpu *gpu VX_GUARDED; /* NULL: no GPU */
    atomic_bool uses_gpu;
};

/* The plain kernel is slower than FAISS. */
static const vx_first_pass *first_pass_of(vx_index_first_pass choice) {
    bool has_fast = vx_dots_kernel_at(1) != NULL;
    return choice == VX_INDEX_CODES || (choice == VX_INDEX_AUTO && has_fast)
               ? &vx_first_pass_codes
               : &vx_first_pass_floats;
}

int vx_index_new(const vx_index_params *params, vx_index **ret_index, vx_err *err) {
    if (params->dim < 1 || params->dim > MAX_DIM)
        return VX_FAIL(err, -EINVAL, "an index needs 1 to %d dimensions, not %d", MAX_DIM,
                       params->dim);
    if (params->segment_rows < 0 || params->segment_rows > INT32_MAX || params->threads < 0)
        return VX_FAIL(err, -EINVAL, "index segments of %lld rows with %d threads are not possible",
                       (long long)params->segment_rows, params->threads);
    VX_AUTO(vx_index) index = vx_new(vx_index);
    if (!index)
        return VX_FAIL(err, -ENOMEM, "no memory for an index");
    vx_mutex_init(&index->writer);
    index->dim = params->dim;
    index->first_pass = first_pass_of(params->first_pass);
    index->kernel = vx_dots_kernel_at(0);
    index->segment_rows = (size_t)params->segment_rows;
    if (index->segment_rows == 0) {
        size_t fits = DEFAULT_SEGMENT_BYTES / ((size_t)params->dim * sizeof(float));
        index->segment_rows = fits < DEFAULT_SEGMENT_MAX_ROWS ? fits : DEFAULT_SEGMENT_MAX_ROWS;
    }
    int rc = vx_searcher_new(params->dim, index->first_pass->has_codes ? index->kernel : NULL,
                             params->threads ? params->threads : vx_thread_cores(),
                             &index->searcher, err);
    if (rc)
        return rc;
    *ret_index = vx_take(index);
    return 0;
}

/* Without its lock: nobody else has the index any more. */
VX_NO_LOCK_ANALYSIS vx_index *vx_index_free(vx_index *index) {
    if (!index)
        return NULL;
    vx_searcher_free(index->searcher);
    vx_gpu_free(index->gpu);
    for (size_t i = 0; i < index->n_segments; i++)
        vx_segment_free(index->segments[i]);
    free(index->segments);
    vx_idmap_done(&index->map);
    vx_mutex_done(&index->writer);
    free(index);
    return NULL;
}

/* Takes the segment when it returns 0. */
static int attach_locked(vx_index *index, vx_segment *segment, vx_err *err)
    VX_REQUIRES(&index->writer) {
    vx_segment **grown = vx_regrow(index->segments, index->n_segments + 1, sizeof(*grown));
    if (!grown)
        return VX_FAIL(err, -ENOMEM, "no memory for another index segment");
    index->segments = grown;
    int rc = index->gpu ? vx_gpu_reserve(index->gpu, err) : 0;
    if (rc == 0)
        rc = vx_searcher_add_segment(index->searcher, segment, err);
    if (rc)
        return rc;
    index->segments[index->n_segments++] = segment;
    if (index->gpu)
        vx_gpu_add_segment(index->gpu, segment);
    return 0;
}

static void wake_gpu_locked(vx_index *index) VX_REQUIRES(&index->writer) {
    if (index->gpu)
        vx_gpu_wake(index->gpu);
}

static int new_segment_locked(vx_index *index, vx_err *err) VX_REQUIRES(&index->writer) {
    vx_segment *segment = NULL;
    int rc = vx_segment_new(index->dim, index->segment_rows, index->first_pass, index->kernel,
                            &segment, err);
    if (rc == 0)
        rc = attach_locked(index, segment, err);
    if (rc)
        vx_segment_free(segment);
    return rc;
}

/* Appends some of the rows to the first segment with room and notes their places. */
static int place_some_locked(vx_index *index, const int64_t *ids, const int64_t *groups,
                             const float *vectors, size_t n, size_t *ret_n, vx_err *err)
    VX_REQUIRES(&index->writer) {
    size_t at = 0;
    while (at < index->n_segments && index->segments[at]->n == index->segments[at]->capacity)
        at++;
    *ret_n = 0;
    int rc = at == index->n_segments ? new_segment_locked(index, err) : 0;
    if (rc)
        return rc;
    vx_segment *segment = index->segments[at];
    size_t row = segment->n, room = segment->capacity - row;
    rc = vx_segment_append(segment, ids, groups, vectors, n < room ? n : room, ret_n, err);
    for (size_t i = 0; i < *ret_n; i++)
        *vx_idmap_find(&index->map, ids[i]) = (vx_place){(uint32_t)at, (uint32_t)(row + i)};
    return rc;
}

/* Falling: what vx_segment_remove() wants within a segment. */
static int compare_places(const void *a, const void *b) {
    const vx_place *x = a, *y = b;
    if (x->segment != y->segment)
        return x->segment < y->segment ? 1 : -1;
    return (x->row < y->row) - (x->row > y->row);
}

/* Removes rows of one segment; their ids leave the map, those that moved get their new place. */
static int remove_rows_locked(vx_index *index, uint32_t at, const uint32_t *rows, size_t n,
                              vx_err *err) VX_REQUIRES(&index->writer) {
    vx_segment *segment = index->segments[at];
    size_t old_n = segment->n;
    int rc = vx_segment_remove(segment, rows, n, err);
    if (rc)
        return rc;
    /* The removed ids lie behind the live rows now. */
    for (size_t row = segment->n; row < old_n; row++)
        vx_idmap_erase(&index->map, segment->ids[row]);
    for (size_t i = 0; i < n; i++) {
        if (rows[i] < segment->n)
            *vx_idmap_find(&index->map, segment->ids[rows[i]]) = (vx_place){at, rows[i]};
    }
    return 0;
}

static int remove_locked(vx_index *index, const int64_t *ids, size_t n, vx_err *err)
    VX_REQUIRES(&index->writer) {
    VX_AUTO_FREE vx_place *places = vx_new_array(n + 1, sizeof(*places));
    VX_AUTO_FREE uint32_t *rows = vx_new_array(n + 1, sizeof(*rows));
    if (!places || !rows)
        return VX_FAIL(err, -ENOMEM, "no memory to remove %zu vectors", n);
    size_t n_found = 0;
    for (size_t i = 0; i < n; i++) {
        const vx_place *place = vx_idmap_find(&index->map, ids[i]);
        if (place)
            places[n_found++] = *place;
    }
    qsort(places, n_found, sizeof(*places), compare_places);
    for (size_t i = 0; i < n_found;) {
        uint32_t at = places[i].segment;
        size_t n_rows = 0;
        for (; i < n_found && places[i].segment == at; i++) {
            if (n_rows == 0 || rows[n_rows - 1] != places[i].row) /* an id given twice */
                rows[n_rows++] = places[i].row;
        }
        int rc = remove_rows_locked(index, at, rows, n_rows, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* Enters the ids without a place yet; all or none. */
static int enter_ids_locked(vx_index *index, const int64_t *ids, size_t n, vx_err *err)
    VX_REQUIRES(&index->writer) {
    if (vx_idmap_reserve(&index->map, n))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu more ids", n);
    for (size_t i = 0; i < n; i++) {
        int rc = 0;
        if (ids[i] < 0)
            rc = VX_FAIL(err, -EINVAL, "vector id %lld is negative", (long long)ids[i]);
        else if (!vx_idmap_insert(&index->map, ids[i], (vx_place){0}))
            rc = VX_FAIL(err, VX_INDEX_EXISTS, "vector id %lld is in the index already",
                         (long long)ids[i]);
        if (rc) {
            while (i-- > 0)
                vx_idmap_erase(&index->map, ids[i]);
            return rc;
        }
    }
    return 0;
}

static int add_locked(vx_index *index, const int64_t *ids, const int64_t *groups,
                      const float *vectors, size_t n, vx_err *err) VX_REQUIRES(&index->writer) {
    int rc = enter_ids_locked(index, ids, n, err);
    size_t done = 0;
    while (rc == 0 && done < n) {
        size_t placed;
        rc = place_some_locked(index, ids + done, groups + done,
                               vectors + done * (size_t)index->dim, n - done, &placed, err);
        done += placed;
        if (rc == 0)
            continue;
        for (size_t i = done; i < n; i++)
            vx_idmap_erase(&index->map, ids[i]);
        remove_locked(index, ids, done, NULL); /* keeps the first failure's text */
    }
    return rc;
}

/* Enters a segment that holds these rows and no others; takes it when it returns 0. */
static int add_segment_locked(vx_index *index, const int64_t *ids, vx_segment *segment, vx_err *err)
    VX_REQUIRES(&index->writer) {
    int rc = enter_ids_locked(index, ids, segment->n, err);
    if (rc)
        return rc;
    rc = attach_locked(index, segment, err);
    for (size_t i = 0; i < segment->n; i++) {
        if (rc)
            vx_idmap_erase(&index->map, ids[i]);
        else
            *vx_idmap_find(&index->map, ids[i]) =
                (vx_place){(uint32_t)(index->n_segments - 1), (uint32_t)i};
    }
    return rc;
}

static bool is_full(vx_index *index) {
    vx_mutex_lock(&index->writer);
    bool full = index->map.n == index->n_segments * index->segment_rows;
    vx_mutex_unlock(&index->writer);
    return full;
}

/* Vectors that fill a whole segment are copied before the lock is taken. So the threads that load an
 * index at start work in parallel: most of the time goes into the first touch of fresh memory. */
static int add_whole_segment(vx_index *index, const int64_t *ids, const int64_t *groups,
                             const float *vectors, vx_err *err) {
    vx_segment *segment = NULL;
    size_t n;
    int rc = vx_segment_new(index->dim, index->segment_rows, index->first_pass, index->kernel,
                            &segment, err);
    if (rc == 0)
        rc = vx_segment_append(segment, ids, groups, vectors, index->segment_rows, &n, err);
    if (rc == 0) {
        vx_mutex_lock(&index->writer);
        rc = add_segment_locked(index, ids, segment, err);
        vx_mutex_unlock(&index->writer);
    }
    if (rc)
        vx_segment_free(segment);
    return rc;
}

int vx_index_add(vx_index *index, const int64_t *ids, const int64_t *groups, const float *vectors,
                 size_t n, vx_err *err) {
    groups = groups ? groups : ids;
    if (n == index->segment_rows && is_full(index))
        return add_whole_segment(index, ids, groups, vectors, err);
    vx_mutex_lock(&index->writer);
    int rc = add_locked(index, ids, groups, vectors, n, err);
    wake_gpu_locked(index);
    vx_mutex_unlock(&index->writer);
    return rc;
}

/* In slices, so that searches, reads and other changes get in between. */
int vx_index_remove(vx_index *index, const int64_t *ids, size_t n, vx_err *err) {
    size_t slice_rows = REMOVE_SLICE_BYTES / ((size_t)index->dim * sizeof(float));
    int rc = 0;
    for (size_t done = 0, slice; done < n && rc == 0; done += slice) {
        slice = n - done < slice_rows ? n - done : slice_rows;
        vx_mutex_lock(&index->writer);
        rc = remove_locked(index, ids + done, slice, err);
        wake_gpu_locked(index);
        vx_mutex_unlock(&index->writer);
    }
    return rc;
}

int vx_index_search(vx_index *index, const vx_index_query *query, vx_neighbour *ret, size_t *ret_n,
                    vx_index_work *ret_work, vx_err *err) {
    if (query->k == 0)
        return VX_FAIL(err, -EINVAL, "a search for no results");
    return vx_searcher_run(index->searcher, query, ret, ret_n, ret_work, err);
}

static int not_found(int64_t id, vx_err *err) {
    return VX_FAIL(err, VX_INDEX_NOT_FOUND, "no vector has the id %lld", (long long)id);
}

int vx_index_get(vx_index *index, int64_t id, float *ret_vector, vx_err *err) {
    vx_mutex_lock(&index->writer);
    const vx_place *place = vx_idmap_find(&index->map, id);
    if (place)
        vx_segment_copy_row(index->segments[place->segment], place->row, ret_vector);
    vx_mutex_unlock(&index->writer);
    return place ? 0 : not_found(id, err);
}

int vx_index_score(vx_index *index, int64_t id, const float *queries, size_t n, float *ret_score,
                   vx_err *err) {
    vx_mutex_lock(&index->writer);
    const vx_place *place = vx_idmap_find(&index->map, id);
    if (place)
        *ret_score = vx_segment_score_row(index->segments[place->segment], place->row, queries, n);
    vx_mutex_unlock(&index->writer);
    return place ? 0 : not_found(id, err);
}

float vx_index_dot(const float *a, const float *b, size_t dim) {
    return vx_score_dot(a, b, dim);
}

bool vx_index_has(vx_index *index, int64_t id) {
    vx_mutex_lock(&index->writer);
    bool has = vx_idmap_find(&index->map, id) != NULL;
    vx_mutex_unlock(&index->writer);
    return has;
}

static int compare_ids(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int vx_index_ids(vx_index *index, int64_t **ret_ids, size_t *ret_n, vx_err *err) {
    vx_mutex_lock(&index->writer);
    size_t n = 0;
    int64_t *ids = vx_new_array(index->map.n + 1, sizeof(*ids));
    for (size_t i = 0; ids && i < index->n_segments; i++) {
        memcpy(ids + n, index->segments[i]->ids, index->segments[i]->n * sizeof(*ids));
        n += index->segments[i]->n;
    }
    vx_mutex_unlock(&index->writer);
    if (!ids)
        return VX_FAIL(err, -ENOMEM, "no memory for the list of ids");
    qsort(ids, n, sizeof(*ids), compare_ids);
    *ret_ids = ids;
    *ret_n = n;
    return 0;
}

/* ---- a GPU ---- */

int vx_index_use_gpu(vx_index *index, const vx_index_gpu *gpu, vx_err *err) {
    if (!index->first_pass->has_codes)
        return VX_FAIL(err, -EINVAL, "an index without codes has nothing to copy to a GPU");
    vx_mutex_lock(&index->writer);
    int rc = index->gpu ? VX_FAIL(err, -EINVAL, "the index uses a GPU already")
                        : vx_gpu_new(gpu, (size_t)index->dim, index->segment_rows, index->segments,
                                     index->n_segments, &index->gpu, err);
    if (rc == 0) {
        vx_searcher_use_gpu(index->searcher, index->gpu);
        atomic_store(&index->uses_gpu, true);
        vx_gpu_wake(index->gpu);
    }
    vx_mutex_unlock(&index->writer);
    return rc;
}

bool vx_index_uses_gpu(vx_index *index) {
    return atomic_load(&index->uses_gpu);
}

/* The gpu lives as long as the index, so only looking for it needs the lock. */
static vx_gpu *gpu_of(vx_index *index) {
    vx_mutex_lock(&index->writer);
    vx_gpu *gpu = index->gpu;
    vx_mutex_unlock(&index->writer);
    return gpu;
}

bool vx_index_release_gpu(vx_index *index) {
    vx_gpu *gpu = gpu_of(index);
    return gpu && vx_gpu_release(gpu);
}

void vx_index_sync_gpu(vx_index *index) {
    vx_gpu *gpu = gpu_of(index);
    if (gpu)
        vx_gpu_sync(gpu);
}

void vx_index_get_gpu_state(vx_index *index, vx_index_gpu_state *ret_state) {
    vx_gpu *gpu = gpu_of(index);
    *ret_state = (vx_index_gpu_state){0};
    if (gpu)
        vx_gpu_get_state(gpu, ret_state);
}

/* ---- facts ---- */

int vx_index_dim(const vx_index *index) {
    return index->dim;
}

int64_t vx_index_count(vx_index *index) {
    vx_mutex_lock(&index->writer);
    size_t n = index->map.n;
    vx_mutex_unlock(&index->writer);
    return (int64_t)n;
}

size_t vx_index_memory_bytes(vx_index *index) {
    vx_mutex_lock(&index->writer);
    size_t row_bytes = (size_t)index->dim * sizeof(float);
    if (index->first_pass->has_codes)
        row_bytes += vx_codes_groups((size_t)index->dim) * 4 + 2 * sizeof(float);
    size_t bytes = index->map.n_slots * sizeof(*index->map.slots);
    for (size_t i = 0; i < index->n_segments; i++)
        bytes += index->segments[i]->peak * row_bytes +
                 index->segments[i]->capacity * 2 * sizeof(int64_t);
    vx_mutex_unlock(&index->writer);
    return bytes;
}
