/* card.c — the driver's calls behind card.h.
 *
 * Work is lent from a pool: a stream with two arenas, one on the card and one of page-locked memory.
 * An arena is a list of blocks, taken from front to back and kept for the next work, so that a steady
 * load allocates nothing. Allocating and freeing on a card may wait for all that it does.
 */
#include "card.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "driver.h"

enum { MAX_IMAGES = 8, ALIGN = 256, BLOCK_BYTES = 1 << 20, KEEP_BYTES = 64 << 20 };

typedef struct image {
    const vx_card_image *of;
    CUmodule module; /* NULL: cannot be loaded, for the reason in err */
    vx_err err;
} image;

/* Part of an arena. */
typedef struct block {
    uint8_t *memory;
    size_t n_bytes, n_used;
    vx_card_buffer *buffer; /* on the card; NULL: page-locked */
    struct block *next;
} block;

struct vx_card_work {
    vx_card *card;
    CUstream stream;
    block *on_card, *on_host; /* the newest block first */
    struct vx_card_work *next;
};

struct vx_card {
    vx_card_driver driver;
    bool owns_driver;
    int device;
    CUdevice handle;
    CUcontext context;
    char name[64];
    int64_t total_bytes;
    vx_mutex lock;
    image images[MAX_IMAGES] VX_GUARDED;
    int n_images VX_GUARDED;
    vx_card_buffer *idle VX_GUARDED; /* the last one given back first */
    vx_card_memory memory VX_GUARDED;
    int64_t quiet_until_us VX_GUARDED; /* nothing is allocated before */
    vx_card_work *idle_work VX_GUARDED;
};

/* ---- open and close ---- */

static int open_device(vx_card *card, vx_err *err) {
    const CudaFunctions *cuda = card->driver.cuda;
    const char *call = "cuInit";
    CUresult result = cuda->cuInit(0);
    if (result == CUDA_SUCCESS) {
        call = "cuDeviceGet";
        result = cuda->cuDeviceGet(&card->handle, card->device);
    }
    if (result != CUDA_SUCCESS) {
        vx_card_driver_fail(&card->driver, result, call, err);
        VX_WRAP(err, "cuda:%d cannot be used", card->device);
        return -ENODEV;
    }
    size_t total_bytes = 0;
    cuda->cuDeviceGetName(card->name, sizeof card->name, card->handle);
    card->driver.total_memory(&total_bytes, card->handle);
    card->total_bytes = (int64_t)total_bytes;
    /* Without effect where another part of the process has started the context already. */
    cuda->cuDevicePrimaryCtxSetFlags(card->handle, CU_CTX_SCHED_BLOCKING_SYNC);
    result = cuda->cuDevicePrimaryCtxRetain(&card->context, card->handle);
    if (result == CUDA_SUCCESS)
        return 0;
    card->context = NULL;
    return vx_card_driver_fail(&card->driver, result, "cuDevicePrimaryCtxRetain", err);
}

int vx_card_open(const vx_card_params *params, vx_card **ret_card, vx_err *err) {
    VX_AUTO(vx_card) card = vx_new(vx_card);
    if (!card)
        return VX_FAIL(err, -ENOMEM, "no memory for a card");
    card->device = params->device;
    vx_mutex_init(&card->lock);
    int rc = 0;
    if (params->driver)
        card->driver = *params->driver;
    else
        rc = vx_card_driver_load(&card->driver, err);
    card->owns_driver = rc == 0 && !params->driver;
    if (rc == 0)
        rc = open_device(card, err);
    if (rc != 0)
        return rc;
    vx_mutex_lock(&card->lock);
    card->memory.max_bytes = params->max_bytes > 0 ? params->max_bytes : card->total_bytes / 24;
    vx_mutex_unlock(&card->lock);
    *ret_card = vx_take(card);
    return 0;
}

static void free_buffer(vx_card *card, vx_card_buffer *buffer) {
    card->driver.cuda->cuMemFree((CUdeviceptr)(uintptr_t)buffer->address);
    free(buffer);
}

static void give_locked(vx_card *card, vx_card_buffer *buffer) VX_REQUIRES(card->lock) {
    buffer->next = card->idle;
    card->idle = buffer;
    card->memory.used_bytes -= (int64_t)buffer->n_bytes;
}

/* Gives back all blocks of an arena on the card. */
static void give_blocks_locked(vx_card *card, block **blocks) VX_REQUIRES(card->lock) {
    for (block *b; (b = *blocks);) {
        *blocks = b->next;
        give_locked(card, b->buffer);
        free(b);
    }
}

/* Gives back all blocks of an arena. */
static void free_blocks(vx_card *card, block **blocks) {
    for (block *b; (b = *blocks);) {
        *blocks = b->next;
        if (b->buffer)
            vx_card_give(card, b->buffer);
        else
            card->driver.host_free(b->memory);
        free(b);
    }
}

static void free_work(vx_card_work *work) {
    free_blocks(work->card, &work->on_card);
    free_blocks(work->card, &work->on_host);
    if (work->stream)
        work->card->driver.cuda->cuStreamDestroy(work->stream);
    free(work);
}

/* Nobody else has the card any more. */
VX_NO_LOCK_ANALYSIS static void free_all(vx_card *card) {
    vx_card_enter(card);
    for (vx_card_work *w; (w = card->idle_work);) {
        card->idle_work = w->next;
        free_work(w);
    }
    for (vx_card_buffer *b; (b = card->idle);) {
        card->idle = b->next;
        free_buffer(card, b);
    }
    for (int i = 0; i < card->n_images; i++)
        if (card->images[i].module)
            card->driver.cuda->cuModuleUnload(card->images[i].module);
    vx_card_leave(card);
}

vx_card *vx_card_free(vx_card *card) {
    if (!card)
        return NULL;
    if (card->context) {
        free_all(card);
        card->driver.cuda->cuDevicePrimaryCtxRelease(card->handle);
    }
    if (card->owns_driver)
        vx_card_driver_unload(&card->driver);
    vx_mutex_done(&card->lock);
    free(card);
    return NULL;
}

int64_t vx_card_total_bytes(const vx_card *card) {
    return card->total_bytes;
}

const char *vx_card_name(const vx_card *card) {
    return card->name;
}

const vx_card_driver *vx_card_get_driver(const vx_card *card) {
    return &card->driver;
}

void vx_card_enter(vx_card *card) {
    card->driver.cuda->cuCtxPushCurrent(card->context);
}

void vx_card_leave(vx_card *card) {
    CUcontext popped;
    card->driver.cuda->cuCtxPopCurrent(&popped);
}

/* ---- memory ---- */

/* An idle buffer of that size, or NULL. */
static vx_card_buffer *find_idle_locked(vx_card *card, size_t n_bytes) VX_REQUIRES(card->lock) {
    for (vx_card_buffer **at = &card->idle; *at; at = &(*at)->next) {
        vx_card_buffer *buffer = *at;
        if (buffer->n_bytes == n_bytes) {
            *at = buffer->next;
            return buffer;
        }
    }
    return NULL;
}

/* The buffer that has been idle longest, to be freed; NULL: none is. */
static vx_card_buffer *take_oldest_locked(vx_card *card) VX_REQUIRES(card->lock) {
    vx_card_buffer **at = &card->idle;
    while (*at && (*at)->next)
        at = &(*at)->next;
    vx_card_buffer *oldest = *at;
    if (oldest) {
        *at = NULL;
        card->memory.bytes -= (int64_t)oldest->n_bytes;
    }
    return oldest;
}

/* A new buffer, whose bytes are counted already; NULL: the card is full. */
static vx_card_buffer *new_buffer(vx_card *card, size_t n_bytes) {
    CUdeviceptr address = 0;
    vx_card_buffer *buffer = vx_new(vx_card_buffer);
    if (!buffer || card->driver.cuda->cuMemAlloc(&address, n_bytes) != CUDA_SUCCESS) {
        free(buffer);
        return NULL;
    }
    *buffer = (vx_card_buffer){(uint8_t *)(uintptr_t)address, n_bytes, NULL};
    return buffer;
}

vx_card_buffer *vx_card_take(vx_card *card, size_t n_bytes) {
    n_bytes = (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    int64_t bytes = (int64_t)n_bytes;
    vx_mutex_lock(&card->lock);
    vx_card_memory *m = &card->memory;
    vx_card_buffer *buffer = find_idle_locked(card, n_bytes), *oldest = NULL;
    while (!buffer && m->bytes + bytes > m->max_bytes && (oldest = take_oldest_locked(card))) {
        vx_mutex_unlock(&card->lock);
        free_buffer(card, oldest);
        vx_mutex_lock(&card->lock);
    }
    bool quiet = vx_clock_monotonic_us() < card->quiet_until_us;
    if (!buffer && !quiet && m->bytes + bytes <= m->max_bytes) {
        m->bytes += bytes;
        vx_mutex_unlock(&card->lock);
        buffer = new_buffer(card, n_bytes);
        vx_mutex_lock(&card->lock);
        m->bytes -= buffer ? 0 : bytes;
    }
    m->used_bytes += buffer ? bytes : 0;
    m->n_refused += !buffer;
    vx_mutex_unlock(&card->lock);
    return buffer;
}

void vx_card_give(vx_card *card, vx_card_buffer *buffer) {
    if (!buffer)
        return;
    vx_mutex_lock(&card->lock);
    give_locked(card, buffer);
    vx_mutex_unlock(&card->lock);
}

void vx_card_trim(vx_card *card, int64_t quiet_us) {
    vx_card_enter(card);
    vx_mutex_lock(&card->lock);
    card->quiet_until_us = vx_clock_monotonic_us() + quiet_us;
    for (vx_card_work *w = card->idle_work; w; w = w->next)
        give_blocks_locked(card, &w->on_card);
    for (vx_card_buffer *oldest; (oldest = take_oldest_locked(card));) {
        vx_mutex_unlock(&card->lock);
        free_buffer(card, oldest);
        vx_mutex_lock(&card->lock);
    }
    vx_mutex_unlock(&card->lock);
    vx_card_leave(card);
}

vx_card_memory vx_card_get_memory(vx_card *card) {
    vx_mutex_lock(&card->lock);
    vx_card_memory memory = card->memory;
    vx_mutex_unlock(&card->lock);
    return memory;
}

/* ---- kernels ---- */

static void load(vx_card *card, image *i) {
    CUresult result = CUDA_SUCCESS;
    if (i->of->n_bytes > 0 || card->driver.has_kernels)
        result = card->driver.cuda->cuModuleLoadData(&i->module, i->of->data);
    else
        VX_FAIL(&i->err, -ENODEV,
                "vidx was built without %s, because CUDA's compiler nvcc was not there",
                i->of->name);
    if (result != CUDA_SUCCESS) {
        i->module = NULL;
        vx_card_driver_fail(&card->driver, result, "cuModuleLoadData", &i->err);
        VX_WRAP(&i->err, "the driver cannot load %s", i->of->name);
    }
}

/* The image, loaded on first use. NULL: there are too many. */
static image *find_image_locked(vx_card *card, const vx_card_image *of) VX_REQUIRES(card->lock) {
    for (int i = 0; i < card->n_images; i++)
        if (card->images[i].of == of)
            return &card->images[i];
    if (card->n_images == MAX_IMAGES)
        return NULL;
    image *fresh = &card->images[card->n_images++];
    *fresh = (image){.of = of};
    load(card, fresh);
    return fresh;
}

static int find_module(vx_card *card, const vx_card_image *of, CUmodule *ret, vx_err *err) {
    vx_mutex_lock(&card->lock);
    const image *found = find_image_locked(card, of);
    *ret = found ? found->module : NULL;
    if (found && !found->module && err)
        *err = found->err;
    vx_mutex_unlock(&card->lock);
    if (!found)
        return VX_FAIL(err, -ENODEV, "too many kernels");
    return *ret ? 0 : -ENODEV;
}

int vx_card_load(vx_card *card, const vx_card_image *of, vx_err *err) {
    CUmodule module;
    vx_card_enter(card);
    int rc = find_module(card, of, &module, err);
    vx_card_leave(card);
    return rc;
}

/* ---- work ---- */

static int new_work(vx_card *card, vx_card_work **ret_work, vx_err *err) {
    vx_card_work *work = vx_new(vx_card_work);
    if (!work)
        return VX_FAIL(err, -ENOMEM, "no memory for work on a card");
    work->card = card;
    CUresult result = card->driver.cuda->cuStreamCreate(&work->stream, CU_STREAM_NON_BLOCKING);
    if (result != CUDA_SUCCESS) {
        free(work);
        return vx_card_driver_fail(&card->driver, result, "cuStreamCreate", err);
    }
    *ret_work = work;
    return 0;
}

int vx_card_begin(vx_card *card, vx_card_work **ret_work, vx_err *err) {
    vx_mutex_lock(&card->lock);
    vx_card_work *work = card->idle_work;
    if (work)
        card->idle_work = work->next;
    vx_mutex_unlock(&card->lock);
    vx_card_enter(card);
    int rc = work ? 0 : new_work(card, &work, err);
    if (rc == 0)
        *ret_work = work;
    else
        vx_card_leave(card);
    return rc;
}

/* Empties an arena. Blocks of unusual size are not kept. */
static void reset(vx_card *card, block **blocks) {
    size_t all = 0;
    for (block *b = *blocks; b; b = b->next) {
        all += b->n_bytes;
        b->n_used = 0;
    }
    if (all > KEEP_BYTES)
        free_blocks(card, blocks);
}

vx_card_work *vx_card_end(vx_card_work *work) {
    if (!work)
        return NULL;
    vx_card *card = work->card;
    card->driver.cuda->cuStreamSynchronize(work->stream);
    reset(card, &work->on_card);
    reset(card, &work->on_host);
    vx_card_leave(card);
    vx_mutex_lock(&card->lock);
    work->next = card->idle_work;
    card->idle_work = work;
    vx_mutex_unlock(&card->lock);
    return NULL;
}

static block *new_block(vx_card_work *work, bool on_card, size_t n_bytes) {
    block *b = vx_new(block);
    if (!b)
        return NULL;
    b->n_bytes = n_bytes > BLOCK_BYTES ? n_bytes : BLOCK_BYTES;
    if (on_card) {
        b->buffer = vx_card_take(work->card, b->n_bytes);
        b->memory = b->buffer ? b->buffer->address : NULL;
    } else if (work->card->driver.host_alloc((void **)&b->memory, b->n_bytes, 0) != CUDA_SUCCESS) {
        b->memory = NULL;
    }
    if (b->memory)
        return b;
    free(b);
    return NULL;
}

/* The next n_bytes of an arena; NULL: no memory. */
static uint8_t *take(vx_card_work *work, bool on_card, size_t n_bytes) {
    block **blocks = on_card ? &work->on_card : &work->on_host, *b = *blocks;
    n_bytes = (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    while (b && b->n_bytes - b->n_used < n_bytes)
        b = b->next;
    if (!b && (b = new_block(work, on_card, n_bytes))) {
        b->next = *blocks;
        *blocks = b;
    }
    if (!b)
        return NULL;
    b->n_used += n_bytes;
    return b->memory + b->n_used - n_bytes;
}

int vx_card_scratch(vx_card_work *work, size_t n_bytes, void **ret_address, vx_err *err) {
    *ret_address = take(work, true, n_bytes);
    return *ret_address
               ? 0
               : VX_FAIL(err, -ENOMEM, "no memory on %s for %zu bytes", work->card->name, n_bytes);
}

int vx_card_results(vx_card_work *work, size_t n_bytes, void **ret_memory, vx_err *err) {
    *ret_memory = take(work, false, n_bytes);
    return *ret_memory ? 0 : VX_FAIL(err, -ENOMEM, "no page-locked memory for %zu bytes", n_bytes);
}

int vx_card_upload(vx_card_work *work, const void *data, size_t n_bytes, const void **ret_address,
                   vx_err *err) {
    void *on_card, *staged;
    int rc = vx_card_scratch(work, n_bytes, &on_card, err);
    if (rc == 0)
        rc = vx_card_results(work, n_bytes, &staged, err);
    if (rc != 0)
        return rc;
    memcpy(staged, data, n_bytes);
    const vx_card_driver *driver = &work->card->driver;
    CUresult result = driver->cuda->cuMemcpyHtoDAsync((CUdeviceptr)(uintptr_t)on_card, staged,
                                                      n_bytes, work->stream);
    *ret_address = on_card;
    return result == CUDA_SUCCESS ? 0
                                  : vx_card_driver_fail(driver, result, "cuMemcpyHtoDAsync", err);
}

int vx_card_copy_rows(vx_card_work *work, const void *from, size_t from_pitch, void *to,
                      size_t to_pitch, size_t row_bytes, size_t n_rows, vx_err *err) {
    const vx_card_driver *driver = &work->card->driver;
    CUDA_MEMCPY2D copy = {
        .srcMemoryType = CU_MEMORYTYPE_DEVICE,
        .srcDevice = (CUdeviceptr)(uintptr_t)from,
        .srcPitch = from_pitch,
        .dstMemoryType = CU_MEMORYTYPE_HOST,
        .dstHost = to,
        .dstPitch = to_pitch,
        .WidthInBytes = row_bytes,
        .Height = n_rows,
    };
    CUresult result = driver->cuda->cuMemcpy2DAsync(&copy, work->stream);
    return result == CUDA_SUCCESS ? 0 : vx_card_driver_fail(driver, result, "cuMemcpy2DAsync", err);
}

int vx_card_launch(vx_card_work *work, const vx_card_image *of, const char *kernel,
                   const vx_card_shape *shape, void **args, vx_err *err) {
    const vx_card_driver *driver = &work->card->driver;
    CUmodule module;
    CUfunction function;
    int rc = find_module(work->card, of, &module, err);
    if (rc != 0)
        return rc;
    CUresult result = driver->cuda->cuModuleGetFunction(&function, module, kernel);
    if (result == CUDA_SUCCESS)
        result = driver->cuda->cuLaunchKernel(
            function, shape->blocks[0], shape->blocks[1], shape->blocks[2], shape->threads, 1, 1,
            (unsigned)shape->shared_bytes, work->stream, args, NULL);
    if (result == CUDA_SUCCESS)
        return 0;
    rc = vx_card_driver_fail(driver, result, "cuLaunchKernel", err);
    VX_WRAP(err, "%s", kernel);
    return rc;
}

int vx_card_wait(vx_card_work *work, vx_err *err) {
    const vx_card_driver *driver = &work->card->driver;
    CUresult result = driver->cuda->cuStreamSynchronize(work->stream);
    return result == CUDA_SUCCESS ? 0
                                  : vx_card_driver_fail(driver, result, "cuStreamSynchronize", err);
}
