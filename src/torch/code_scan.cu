// code_scan.cu — code_scan.h on CUDA. One stream; eight queries at a time.
//
//   score_rows    integer products of all rows with the queries, as float32 scores: [8, rows]
//   count_leasts  a histogram of each query's certain scores
//   find_bars     the bin that k rows reach
//   pick_rows     the rows that can reach it
#include "code_scan.h"

#include <cuda_runtime.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "torch_shim.h"

namespace {

constexpr int AT_ONCE = 8, TILE_ROWS = 64, THREADS = 256, BINS = VX_CODE_SCAN_BINS,
              ROOM = VX_CODE_SCAN_ROOM;
constexpr int ROWS_A_THREAD = 4, THREADS_A_TILE = TILE_ROWS / ROWS_A_THREAD;
constexpr int FIRST_ROWS =
    2048; // of each query that come back with the counts, at the price of one copy

struct segment {
    const uint8_t *tiles;
    const float *scales, *errors;
    const int64_t *ids, *groups;
    uint32_t n_tiles;
};

struct query {
    float scale, norm, width, range, lowest, highest;
    int64_t before_id;
    uint32_t k;
};

struct batch {
    query queries[AT_ONCE];
    int n;
    vx_code_selection selected; // its bits are on the device
};

struct picked {
    uint32_t index;
    float score;
};

struct answers {
    uint32_t counts[AT_ONCE];
    float bars[AT_ONCE];
    picked rows[AT_ONCE][ROOM];
};

// Four rows a thread: 16 bytes of codes a load. Grid: 16 tiles a block.
//   packed  int32 [groups, Q]: four codes of each query
template <int Q>
__global__ void __launch_bounds__(THREADS)
    score_rows(const segment *segments, int n_tiles, int segment_tiles, int groups,
               const int *packed, batch b, float *scores, size_t n_rows) {
    extern __shared__ int codes[];
    for (int i = threadIdx.x; i < groups * Q; i += THREADS)
        codes[i] = packed[i];
    __syncthreads();
    int tile =
        static_cast<int>(blockIdx.x * (THREADS / THREADS_A_TILE) + threadIdx.x / THREADS_A_TILE);
    int lane = static_cast<int>(threadIdx.x % THREADS_A_TILE);
    if (tile >= n_tiles)
        return;
    const segment s = segments[tile / segment_tiles];
    uint32_t own = static_cast<uint32_t>(tile % segment_tiles);
    if (own >= s.n_tiles)
        return;
    const uint4 *at = reinterpret_cast<const uint4 *>(s.tiles + static_cast<size_t>(own) * groups *
                                                                    TILE_ROWS * 4) +
                      lane;
    int sums[Q][ROWS_A_THREAD] = {};
#pragma unroll 8
    for (int g = 0; g < groups; g++) {
        uint4 four = __ldcs(at + g * THREADS_A_TILE);
        int rows[ROWS_A_THREAD] = {
            static_cast<int>(four.x ^ 0x80808080u), static_cast<int>(four.y ^ 0x80808080u),
            static_cast<int>(four.z ^ 0x80808080u), static_cast<int>(four.w ^ 0x80808080u)};
#pragma unroll
        for (int q = 0; q < Q; q++)
#pragma unroll
            for (int r = 0; r < ROWS_A_THREAD; r++)
                sums[q][r] = __dp4a(rows[r], codes[g * Q + q], sums[q][r]);
    }
    size_t row = static_cast<size_t>(own) * TILE_ROWS + static_cast<size_t>(lane) * ROWS_A_THREAD;
    size_t out = static_cast<size_t>(tile) * TILE_ROWS + static_cast<size_t>(lane) * ROWS_A_THREAD;
    float4 scale = *reinterpret_cast<const float4 *>(s.scales + row);
    float scales[ROWS_A_THREAD] = {scale.x, scale.y, scale.z, scale.w};
#pragma unroll
    for (int q = 0; q < Q; q++) {
        float score[ROWS_A_THREAD];
#pragma unroll
        for (int r = 0; r < ROWS_A_THREAD; r++)
            score[r] =
                __fmul_rn(__fmul_rn(static_cast<float>(sums[q][r]), scales[r]), b.queries[q].scale);
        *reinterpret_cast<float4 *>(scores + q * n_rows + out) =
            make_float4(score[0], score[1], score[2], score[3]);
    }
}

// What a row's score can be off; endless for rows without codes.
__device__ float off(const query &q, float error) {
    return __fadd_rn(__fmul_rn(error, q.norm), q.width);
}

__device__ bool may_be_result(const segment &s, uint32_t row, const query &q,
                              const vx_code_selection &selected) {
    if (q.before_id && s.ids[row] >= q.before_id)
        return false;
    if (!selected.bits)
        return true;
    uint64_t at = static_cast<uint64_t>((selected.by_id ? s.ids : s.groups)[row]) -
                  static_cast<uint64_t>(selected.first);
    return at < selected.n_bits && (selected.bits[at / 64] >> (at % 64) & 1);
}

// Block (x, query). Calls visit(row of all, its score, its bound) for each row that is there and may be a result.
template <class Visit>
__device__ void each_row(const segment *segments, int n_tiles, int segment_tiles, const query &q,
                         const vx_code_selection &selected, const float *scores, Visit visit) {
    size_t end = static_cast<size_t>(n_tiles) * TILE_ROWS;
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < end;
         i += static_cast<size_t>(gridDim.x) * blockDim.x) {
        int tile = static_cast<int>(i / TILE_ROWS);
        const segment &s = segments[tile / segment_tiles];
        uint32_t own = static_cast<uint32_t>(tile % segment_tiles);
        uint32_t row = own * TILE_ROWS + static_cast<uint32_t>(i % TILE_ROWS);
        if (own < s.n_tiles && may_be_result(s, row, q, selected))
            visit(static_cast<uint32_t>(i), scores[i], off(q, s.errors[row]));
    }
}

__global__ void count_leasts(const segment *segments, int n_tiles, int segment_tiles, batch b,
                             const float *scores, size_t n_rows, uint32_t *bins) {
    __shared__ uint32_t own[BINS];
    const query q = b.queries[blockIdx.y];
    for (int i = threadIdx.x; i < BINS; i += blockDim.x)
        own[i] = 0;
    __syncthreads();
    float per_unit = BINS / (2 * q.range);
    each_row(segments, n_tiles, segment_tiles, q, b.selected, scores + blockIdx.y * n_rows,
             [&](uint32_t, float score, float bound) {
                 float at = (score - bound + q.range) * per_unit;
                 bool is_certain = score + bound <= q.highest;
                 if (is_certain && at >= 0) // false for NaN, and for rows without a bound
                     atomicAdd(&own[at < BINS - 1 ? static_cast<int>(at) : BINS - 1], 1u);
             });
    __syncthreads();
    for (int i = threadIdx.x; i < BINS; i += blockDim.x)
        if (own[i])
            atomicAdd(&bins[blockIdx.y * BINS + i], own[i]);
}

// A block a query. The bar is the lower edge of the bin below the one in which the k-th highest lies: what
// was rounded may lie one lower.
__global__ void find_bars(batch b, const uint32_t *bins, answers *ret) {
    __shared__ uint32_t parts[THREADS];
    const query q = b.queries[blockIdx.x];
    constexpr int PART = BINS / THREADS;
    const uint32_t *own = bins + blockIdx.x * BINS;
    uint32_t sum = 0;
    for (int i = 0; i < PART; i++)
        sum += own[threadIdx.x * PART + i];
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x)
        return;
    uint32_t above = 0;
    int part = THREADS - 1;
    while (part >= 0 && above + parts[part] < q.k)
        above += parts[part--];
    float bar = -INFINITY;
    if (part >= 0) {
        int bin = part * PART + PART - 1;
        while (above + own[bin] < q.k)
            above += own[bin--];
        bar = static_cast<float>(bin - 1) / BINS * 2 * q.range - q.range;
    }
    ret->counts[blockIdx.x] = 0;
    ret->bars[blockIdx.x] = bar > q.lowest ? bar : q.lowest;
}

__global__ void pick_rows(const segment *segments, int n_tiles, int segment_tiles, batch b,
                          const float *scores, size_t n_rows, answers *ret) {
    const query q = b.queries[blockIdx.y];
    float bar = ret->bars[blockIdx.y];
    each_row(segments, n_tiles, segment_tiles, q, b.selected, scores + blockIdx.y * n_rows,
             [&](uint32_t index, float score, float bound) {
                 if (score + bound < bar || score - bound > q.highest) // false for NaN
                     return;
                 uint32_t place = atomicAdd(&ret->counts[blockIdx.y], 1u);
                 if (place < ROOM)
                     ret->rows[blockIdx.y][place] = {index, score};
             });
}

} // namespace

struct vx_code_scan {
    int device;
    size_t groups, segment_tiles;
    cudaStream_t stream;
    segment *segments, *device_segments; // [n_segments of room]; the same
    size_t n_segments, room;
    int *packed; // [groups, AT_ONCE]
    int *host_packed;
    float *scores; // [AT_ONCE, n_scores]
    size_t n_scores;
    uint32_t *bins;
    uint64_t *bits; // [n_words]: what is selected
    size_t n_words;
    answers *found, *host_found; // the second page-locked
};

namespace {

int fail(cudaError_t code, const char *what, vx_err *err) {
    cudaGetLastError(); // what is not sticky is over
    return VX_FAIL(
        err, code == cudaErrorMemoryAllocation ? static_cast<int>(VX_TORCH_OUT_OF_MEMORY) : -EIO,
        "%s: %s", what, cudaGetErrorString(code));
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        cudaError_t code_ = (call);                                                                \
        if (code_ != cudaSuccess)                                                                  \
            return fail(code_, "scanning codes on the GPU", err);                                  \
    } while (0)

int allocate(vx_code_scan *s, vx_err *err) {
    TRY(cudaSetDevice(s->device));
    TRY(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking));
    size_t packed = s->groups * AT_ONCE * sizeof(int);
    TRY(cudaMalloc(&s->packed, packed));
    TRY(cudaMallocHost(&s->host_packed, packed));
    TRY(cudaMalloc(&s->bins, AT_ONCE * BINS * sizeof(uint32_t)));
    TRY(cudaMalloc(&s->found, sizeof(answers)));
    TRY(cudaMallocHost(&s->host_found, sizeof(answers)));
    return 0;
}

// A segment's memory, and room for it in the table.
int add_segment(vx_code_scan *s, vx_err *err) {
    size_t rows = s->segment_tiles * TILE_ROWS;
    if (s->n_segments == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        void *grown = realloc(s->segments, room * sizeof(segment));
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory for a scan on the GPU");
        s->segments = static_cast<segment *>(grown);
        segment *on_device;
        TRY(cudaMalloc(&on_device, room * sizeof(segment)));
        cudaFree(s->device_segments);
        s->device_segments = on_device;
        s->room = room;
    }
    uint8_t *tiles = nullptr;
    float *scales = nullptr;
    int64_t *ids = nullptr;
    cudaError_t code = cudaMalloc(&tiles, rows * s->groups * 4);
    if (code == cudaSuccess)
        code = cudaMalloc(&scales, 2 * rows * sizeof(float));
    if (code == cudaSuccess)
        code = cudaMalloc(&ids, 2 * rows * sizeof(int64_t));
    if (code != cudaSuccess) {
        cudaFree(tiles);
        cudaFree(scales);
        return fail(code, "a segment of codes on the GPU", err);
    }
    s->segments[s->n_segments++] = {tiles, scales, scales + rows, ids, ids + rows, 0};
    return 0;
}

// All tables are small: the whole one is sent after each change.
int send_table(vx_code_scan *s, vx_err *err) {
    TRY(cudaMemcpyAsync(s->device_segments, s->segments, s->n_segments * sizeof(segment),
                        cudaMemcpyHostToDevice, s->stream));
    TRY(cudaStreamSynchronize(s->stream));
    return 0;
}

int grow_scores(vx_code_scan *s, size_t n_rows, vx_err *err) {
    if (n_rows <= s->n_scores)
        return 0;
    cudaFree(s->scores);
    s->scores = nullptr;
    s->n_scores = 0;
    TRY(cudaMalloc(&s->scores, AT_ONCE * n_rows * sizeof(float)));
    s->n_scores = n_rows;
    return 0;
}

// The bits of what is selected, for one run.
int send_selected(vx_code_scan *s, const vx_code_selection *selected, vx_code_selection *ret,
                  vx_err *err) {
    *ret = *selected;
    if (!selected->bits)
        return 0;
    size_t n_words = selected->n_bits / 64 + 1, used = (selected->n_bits + 63) / 64;
    if (n_words > s->n_words) {
        cudaFree(s->bits);
        s->bits = nullptr;
        s->n_words = 0;
        TRY(cudaMalloc(&s->bits, n_words * sizeof(uint64_t)));
        s->n_words = n_words;
    }
    TRY(cudaMemcpyAsync(s->bits, selected->bits, used * sizeof(uint64_t), cudaMemcpyHostToDevice,
                        s->stream));
    ret->bits = s->bits;
    return 0;
}

template <int Q> int launch_scores(vx_code_scan *s, int n_tiles, const batch &b, vx_err *err) {
    constexpr int TILES_A_BLOCK = THREADS / THREADS_A_TILE;
    size_t shared = s->groups * Q * sizeof(int);
    if (shared > 48 << 10)
        TRY(cudaFuncSetAttribute(score_rows<Q>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared)));
    score_rows<Q><<<(n_tiles + TILES_A_BLOCK - 1) / TILES_A_BLOCK, THREADS, shared, s->stream>>>(
        s->device_segments, n_tiles, static_cast<int>(s->segment_tiles),
        static_cast<int>(s->groups), s->packed, b, s->scores, s->n_scores);
    TRY(cudaGetLastError());
    return 0;
}

// At most AT_ONCE queries; their answers lie in host_found but for the rows behind FIRST_ROWS.
int run_batch(vx_code_scan *s, const vx_code_query *queries, int n,
              const vx_code_selection &selected, vx_err *err) {
    int n_tiles = static_cast<int>(s->n_segments * s->segment_tiles);
    int wide = n > 1 ? AT_ONCE : 1, tiles = static_cast<int>(s->segment_tiles);
    batch b = {};
    b.n = n;
    b.selected = selected;
    for (int q = 0; q < wide; q++) {
        const vx_code_query &from = queries[q < n ? q : 0];
        b.queries[q] = {from.scale,  from.norm,    from.width,     from.range,
                        from.lowest, from.highest, from.before_id, static_cast<uint32_t>(from.k)};
        for (size_t g = 0; g < s->groups; g++)
            memcpy(&s->host_packed[g * wide + q], from.codes + 4 * g, sizeof(int));
    }
    TRY(cudaMemcpyAsync(s->packed, s->host_packed, s->groups * wide * sizeof(int),
                        cudaMemcpyHostToDevice, s->stream));
    TRY(cudaMemsetAsync(s->bins, 0, AT_ONCE * BINS * sizeof(uint32_t), s->stream));
    int rc = wide == 1 ? launch_scores<1>(s, n_tiles, b, err)
                       : launch_scores<AT_ONCE>(s, n_tiles, b, err);
    if (rc)
        return rc;
    int blocks =
        (n_tiles * TILE_ROWS + 4095) / 4096; // 16 rows a thread, and more where there are many
    dim3 grid(blocks < 1024 ? blocks : 1024, n);
    count_leasts<<<grid, THREADS, 0, s->stream>>>(s->device_segments, n_tiles, tiles, b, s->scores,
                                                  s->n_scores, s->bins);
    find_bars<<<n, THREADS, 0, s->stream>>>(b, s->bins, s->found);
    pick_rows<<<grid, THREADS, 0, s->stream>>>(s->device_segments, n_tiles, tiles, b, s->scores,
                                               s->n_scores, s->found);
    TRY(cudaGetLastError());
    TRY(cudaMemcpyAsync(s->host_found, s->found, offsetof(answers, rows), cudaMemcpyDeviceToHost,
                        s->stream));
    TRY(cudaMemcpy2DAsync(s->host_found->rows, sizeof s->found->rows[0], s->found->rows,
                          sizeof s->found->rows[0], FIRST_ROWS * sizeof(picked), n,
                          cudaMemcpyDeviceToHost, s->stream));
    TRY(cudaStreamSynchronize(s->stream));
    return 0;
}

int copy_out(vx_code_scan *s, int q, vx_code_row *ret_rows, size_t *ret_n, vx_err *err) {
    size_t n = s->host_found->counts[q], segment_rows = s->segment_tiles * TILE_ROWS;
    *ret_n = n;
    n = n < ROOM ? n : ROOM;
    picked *rows = s->host_found->rows[q];
    if (n > FIRST_ROWS)
        TRY(cudaMemcpy(rows + FIRST_ROWS, s->found->rows[q] + FIRST_ROWS,
                       (n - FIRST_ROWS) * sizeof(picked), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < n; i++)
        ret_rows[i] = {static_cast<uint32_t>(rows[i].index / segment_rows),
                       static_cast<uint32_t>(rows[i].index % segment_rows), rows[i].score};
    return 0;
}

} // namespace

extern "C" int vx_code_scan_new(const char *device, size_t groups, size_t segment_tiles,
                                vx_code_scan **ret_scan, vx_err *err) noexcept {
    int count = 0, number = 0;
    if (strncmp(device, "cuda", 4) || (device[4] && (device[4] != ':' || !device[5])))
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "%s is no CUDA device", device);
    number = device[4] ? atoi(device + 5) : 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || number < 0 || number >= count) {
        cudaGetLastError();
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "there is no %s", device);
    }
    vx_code_scan *s = new (std::nothrow) vx_code_scan();
    if (!s)
        return VX_FAIL(err, -ENOMEM, "no memory for a scan on the GPU");
    s->device = number;
    s->groups = groups;
    s->segment_tiles = segment_tiles;
    int rc = allocate(s, err);
    if (rc)
        vx_code_scan_free(s);
    else
        *ret_scan = s;
    return rc;
}

extern "C" vx_code_scan *vx_code_scan_free(vx_code_scan *s) noexcept {
    if (!s)
        return nullptr;
    cudaSetDevice(s->device);
    for (size_t i = 0; i < s->n_segments; i++) {
        cudaFree(const_cast<uint8_t *>(s->segments[i].tiles));
        cudaFree(const_cast<float *>(s->segments[i].scales));
        cudaFree(const_cast<int64_t *>(s->segments[i].ids));
    }
    free(s->segments);
    cudaFree(s->device_segments);
    cudaFree(s->packed);
    cudaFreeHost(s->host_packed);
    cudaFree(s->scores);
    cudaFree(s->bins);
    cudaFree(s->bits);
    cudaFree(s->found);
    cudaFreeHost(s->host_found);
    if (s->stream)
        cudaStreamDestroy(s->stream);
    cudaGetLastError();
    delete s;
    return nullptr;
}

extern "C" int vx_code_scan_put(vx_code_scan *s, size_t at, size_t first, size_t n, size_t n_tiles,
                                const vx_code_tiles *tiles, vx_err *err) noexcept {
    TRY(cudaSetDevice(s->device));
    if (at == s->n_segments)
        if (int rc = add_segment(s, err))
            return rc;
    segment &own = s->segments[at];
    size_t tile_bytes = s->groups * TILE_ROWS * 4, row = first * TILE_ROWS;
    auto copy = [&](const void *to, const void *from, size_t bytes) {
        return cudaMemcpyAsync(const_cast<void *>(to), from, bytes, cudaMemcpyHostToDevice,
                               s->stream);
    };
    size_t n_rows = n * TILE_ROWS;
    TRY(copy(own.tiles + first * tile_bytes, tiles->tiles, n * tile_bytes));
    TRY(copy(own.scales + row, tiles->scales, n_rows * sizeof(float)));
    TRY(copy(own.errors + row, tiles->errors, n_rows * sizeof(float)));
    TRY(copy(own.ids + row, tiles->ids, n_rows * sizeof(int64_t)));
    TRY(copy(own.groups + row, tiles->groups, n_rows * sizeof(int64_t)));
    own.n_tiles = static_cast<uint32_t>(n_tiles);
    if (int rc = send_table(s, err))
        return rc;
    return grow_scores(s, s->n_segments * s->segment_tiles * TILE_ROWS, err);
}

extern "C" int vx_code_scan_run(vx_code_scan *s, const vx_code_query *queries, size_t n,
                                const vx_code_selection *selected, vx_code_row *ret_rows,
                                size_t *ret_n, float *ret_bars, vx_err *err) noexcept {
    TRY(cudaSetDevice(s->device));
    vx_code_selection there;
    if (int rc = send_selected(s, selected, &there, err))
        return rc;
    for (size_t done = 0; done < n; done += AT_ONCE) {
        int now = static_cast<int>(n - done < AT_ONCE ? n - done : AT_ONCE);
        if (int rc = run_batch(s, queries + done, now, there, err))
            return rc;
        for (int q = 0; q < now; q++) {
            ret_bars[done + q] = s->host_found->bars[q];
            if (int rc = copy_out(s, q, ret_rows + (done + q) * ROOM, &ret_n[done + q], err))
                return rc;
        }
    }
    return 0;
}
