/* embedder.c — opens a package: chooses a variant, loads its towers, proves them on a probe.
 *
 * Each tower has a worker of its own (batcher.h), so that a query's text need not wait until a batch
 * of clips is through.
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "batcher.h"
#include "line.h"
#include "package.h"
#include "slot_pool.h"
#include "text_tower.h"
#include "torch/torch_shim.h"

/* A device that runs the video tower. */
typedef struct tower_line {
    char device[16];
    vx_torch_module *module; /* the worker's alone: it makes it anew after its device was lost */
    atomic_int n_graphs, max_graphs; /* of the module, as vx_torch_count_graphs has them */
    atomic_int batch;                /* clips that the device has room for, as far as is known */
    int batch_fit; /* the largest that it may grow back to; 0 while it is being opened */
    int full_runs; /* of that size, since it last changed; the worker's alone */
} tower_line;

struct vx_embedder {
    vx_model_info info;
    char path[PATH_MAX]; /* of the video tower's module */
    tower_line lines[VX_EMBED_MAX_LINES];
    int n_lines;
    vx_batcher *batcher;
    vx_slot_pool *slots;
    vx_text_tower *text; /* NULL: the package has none */
    size_t clip_floats;  /* T * 3 * H * W */
    atomic_llong out_of_memory;
    void (*relieve)(void *ctx); /* NULL: nobody else has memory there */
    void *relieve_ctx;
};

static int run_module(vx_embedder *e, tower_line *l, const void *const *clips, int n,
                      float *ret_vectors, vx_err *err) {
    const vx_model_info *m = &e->info;
    const vx_torch_view clip = {
        .dtype = VX_TORCH_F32,
        .n_dims = 4,
        .shape = {m->n_frames, 3, m->preprocess.height_px, m->preprocess.width_px}};
    const vx_torch_view output = {
        .data = ret_vectors, .dtype = VX_TORCH_F32, .n_dims = 2, .shape = {n, m->dim}};
    int rc = vx_torch_run_parts(l->module, clips, n, &clip, &output, err);
    int n_graphs, max_graphs;
    vx_torch_count_graphs(l->module, &n_graphs, &max_graphs);
    atomic_store(&l->n_graphs, n_graphs);
    atomic_store(&l->max_graphs, max_graphs);
    return vx_line_failed(rc, m->name, l->device, n, err);
}

/* A device that had no room for one batch mostly has none for the next, and finding that out costs a
 * run; but whatever took the memory, perhaps another program, may end. So a halved limit is doubled
 * again after this many full runs. */
enum { GROW_RUNS = 200 };

static void note_room(tower_line *l, int clips) {
    int limit = atomic_load(&l->batch), fit = l->batch_fit;
    if (clips < limit || limit >= fit || ++l->full_runs < GROW_RUNS)
        return;
    l->full_runs = 0;
    atomic_store(&l->batch, 2 * limit < fit ? 2 * limit : fit);
}

static void note_no_room(vx_embedder *e, tower_line *l, int clips) {
    l->full_runs = 0;
    atomic_fetch_add(&e->out_of_memory, 1);
    atomic_store(&l->batch, (clips + 1) / 2);
}

void vx_embedder_on_no_memory(vx_embedder *e, void (*relieve)(void *ctx), void *ctx) {
    e->relieve = relieve;
    e->relieve_ctx = ctx;
}

/* Has others free memory; they may need a moment. True: so a single clip is worth another try. */
static bool relieve(const vx_embedder *e, int clips, int *n_waits) {
    enum { WAITS = 100, WAIT_US = 20000 };
    if (e->relieve)
        e->relieve(e->relieve_ctx);
    if (!e->relieve || clips > 1 || ++*n_waits > WAITS)
        return false;
    usleep(WAIT_US);
    return true;
}

static int run_video(void *ctx, int line, const void *const *clips, int n, float *ret_vectors,
                     vx_err *err) {
    vx_embedder *e = ctx;
    tower_line *l = &e->lines[line];
    int n_waits = 0;
    for (int done = 0; done < n;) {
        int limit = atomic_load(&l->batch), take = n - done < limit ? n - done : limit;
        int rc = run_module(e, l, clips + done, take,
                            ret_vectors + (size_t)done * (size_t)e->info.dim, err);
        if (rc == -ENOMEM && (take > 1 || n_waits == 0)) /* a single clip counts once */
            note_no_room(e, l, take);
        if (rc == -ENOMEM && (relieve(e, take, &n_waits) || take > 1))
            continue;
        if (rc == -ENODEV)
            vx_log_failed(VX_LOG_ERROR, "device", err, "model=%s device=%s state=lost",
                          e->info.name, l->device);
        if (rc)
            return rc;
        note_room(l, take);
        done += take;
    }
    return 0;
}

/* A module that loads and runs: the device is back. */
static int revive(void *ctx, int line, vx_err *err) {
    vx_embedder *e = ctx;
    tower_line *l = &e->lines[line];
    VX_AUTO_FREE float *clip = vx_new_array(e->clip_floats, sizeof(float));
    VX_AUTO_FREE float *vector = vx_new_array((size_t)e->info.dim, sizeof(float));
    if (!clip || !vector)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    int rc = vx_line_load_again(&l->module, e->path, l->device, err);
    if (!rc)
        rc = run_module(e, l, (const void *[]){clip}, 1, vector, err);
    if (!rc)
        vx_log(VX_LOG_WARN, "device", "model=%s device=%s state=back", e->info.name, l->device);
    return rc;
}

int vx_embedder_run(vx_embedder *e, const float *clips, int n_clips, float *ret_vectors,
                    vx_err *err) {
    return vx_batcher_run(e->batcher, -1, clips, e->clip_floats * sizeof(float), n_clips,
                          ret_vectors, err);
}

/* ---- slots -----------------------------------------------------------------------------------*/

int vx_embedder_claim(vx_embedder *e, vx_slot **ret_slot, vx_err *err) {
    return vx_slot_pool_claim(e->slots, ret_slot, err);
}

static void release_slot(void *slot) {
    vx_slot_free(slot);
}

int vx_embedder_submit(vx_embedder *e, vx_slot *const *slots, int n, vx_embed_job **ret_job,
                       vx_err *err) {
    vx_batch_item items[VX_EMBED_MAX_SUBMIT];
    if (n < 1 || n > VX_EMBED_MAX_SUBMIT) {
        for (int i = 0; i < n; i++)
            vx_slot_free(slots[i]);
        return VX_FAIL(err, -EINVAL, "%d clips to embed at once", n);
    }
    for (int i = 0; i < n; i++) {
        items[i] = (vx_batch_item){vx_slot_clip(slots[i]), slots[i]};
        vx_slot_pool_send(slots[i]);
    }
    return vx_batcher_submit(e->batcher, items, n, ret_job, err);
}

/* Two batches a line, one being run while the next is filled, and the clips that are being written: some, or with
 * a GPU, which decodes many videos at a time, one of each. No more than most_bytes hold. */
static int pool_slots(const vx_embedder *e) {
    const int64_t most_bytes = INT64_C(1) << 30;
    int64_t fit = most_bytes / (int64_t)(e->clip_floats * sizeof(float));
    int wanted = 2 * e->info.max_batch * e->n_lines + (strcmp(e->info.device, "cpu") ? 48 : 4);
    return fit < 1 ? 1 : fit < wanted ? (int)fit : wanted;
}

int vx_embedder_run_texts(vx_embedder *e, const vx_text *texts, int n, float *ret_vectors,
                          vx_text_report *ret_report, vx_err *err) {
    vx_text_report unread;
    if (!e->text)
        return VX_FAIL(err, VX_EMBED_NO_TEXT, "model %s takes no text", e->info.name);
    return vx_text_tower_run(e->text, texts, n, ret_vectors, ret_report ? ret_report : &unread,
                             err);
}

int vx_embedder_run_text(vx_embedder *e, const char *text, size_t n_bytes, float *ret_vector,
                         vx_err *err) {
    return vx_embedder_run_texts(e, &(vx_text){text, n_bytes}, 1, ret_vector, NULL, err);
}

void vx_embedder_get_stats(vx_embedder *e, vx_embedder_stats *ret_stats) {
    vx_batcher_get_stats(e->batcher, ret_stats);
    for (int i = 0; i < e->n_lines; i++) {
        int batch = atomic_load(&e->lines[i].batch);
        snprintf(ret_stats->lines[i].device, sizeof ret_stats->lines[i].device, "%s",
                 e->lines[i].device);
        ret_stats->batch = !i || batch < ret_stats->batch ? batch : ret_stats->batch;
        ret_stats->n_graphs += atomic_load(&e->lines[i].n_graphs);
        ret_stats->max_graphs += atomic_load(&e->lines[i].max_graphs);
    }
    ret_stats->out_of_memory = atomic_load(&e->out_of_memory);
    ret_stats->n_slots = vx_slot_pool_made(e->slots);
    ret_stats->max_slots = pool_slots(e);
    ret_stats->slot_bytes = (int64_t)(e->clip_floats * sizeof(float));
}

const vx_model_info *vx_embedder_info(const vx_embedder *e) {
    return &e->info;
}

/* ---- opening and closing ---------------------------------------------------------------------*/

/* Where and how to run: the first variant of the manifest that the settings and the machine allow. */
typedef struct choice {
    const vx_variant *variant;
    vx_devices devices; /* as asked for */
    char device[16];    /* the first, found out */
    vx_err
        why_not; /* why the last variant for the requested device (auto: the GPU) cannot run here;
                       "" = the first one can */
} choice;

/* 0 when this variant can run as requested, else why not. */
static int try_variant(const vx_variant *v, const vx_embedder_params *p, const char *requested,
                       char device[16], vx_err *err) {
    bool anywhere = !strcmp(requested, "auto");
    if (!anywhere && strncmp(requested, v->device, strlen(v->device)))
        return VX_FAIL(err, VX_EMBED_NO_DEVICE, "the package has no variant for %s", requested);
    if (p->dtype && strcmp(p->dtype, v->dtype))
        return VX_FAIL(err, VX_EMBED_NO_DEVICE, "the package has no %s variant for %s", p->dtype,
                       requested);
    if (!strcmp(v->device, "cpu")) {
        snprintf(device, 16, "cpu");
        if (v->needs_amx && !p->dtype && !vx_torch_cpu_has_amx())
            return VX_FAIL(err, VX_EMBED_NO_DEVICE, "this CPU has no AMX for %s", v->dtype);
        return 0;
    }
    snprintf(device, 16, "%s", anywhere ? "cuda:0" : requested);
    int64_t free_bytes, total_bytes;
    int rc = vx_torch_memory(device, &free_bytes, &total_bytes, err);
    double needed_gib = (double)v->memory_bytes / 0x1p30;
    if (rc > 0 && v->memory_bytes)
        VX_WRAP(err, "no GPU with the %.1f GiB of memory that it needs", needed_gib);
    if (!rc && !strcmp(v->dtype, "fp8"))
        rc = vx_torch_check_fp8(device, err);
    if (rc)
        return rc < 0 ? rc : (err->code = VX_EMBED_NO_DEVICE);
    if (free_bytes < v->memory_bytes)
        return VX_FAIL(err, VX_EMBED_NO_DEVICE,
                       "%s has %.1f GiB of memory free of %.1f, %.1f are needed", device,
                       (double)free_bytes / 0x1p30, (double)total_bytes / 0x1p30, needed_gib);
    return 0;
}

/* For the first device, and whether the others of the list run the same variant. */
static int choose(const vx_package *package, const vx_embedder_params *p, choice *ret,
                  vx_err *err) {
    int rc =
        vx_devices_parse(p->device ? p->device : "auto", vx_torch_cuda_count(), &ret->devices, err);
    if (rc)
        return rc;
    const char *requested = ret->devices.names[0];
    rc = VX_EMBED_NO_DEVICE;
    for (int i = 0; i < package->n_variants && !ret->variant; i++) {
        const vx_variant *v = &package->variants[i];
        rc = try_variant(v, p, requested, ret->device, err);
        if (!rc)
            ret->variant = v;
        else if (!strncmp(strcmp(requested, "auto") ? requested : "cuda", v->device,
                          strlen(v->device)))
            ret->why_not = *err;
    }
    for (int i = 1; i < ret->devices.n && !rc; i++) {
        char device[16];
        rc = try_variant(ret->variant, p, ret->devices.names[i], device, err);
    }
    if (!rc)
        return 0;
    if (!ret->variant && ret->why_not.code) /* of a variant for the device, not for another */
        rc = (*err = ret->why_not).code;
    return VX_WRAP(err, "model %s", package->info.name), rc;
}

int vx_embedder_find_device(const vx_embedder_params *params, char ret_device[16], vx_err *err) {
    VX_AUTO_FREE vx_package *package = vx_new(vx_package);
    VX_AUTO_FREE choice *how = vx_new(choice);
    if (!package || !how)
        return VX_FAIL(err, -ENOMEM, "no memory for a manifest");
    vx_err unread;
    err = err ? err : &unread;
    int rc = vx_package_read_manifest(params->models_dir, params->name, package, err);
    if (!rc)
        rc = vx_package_check_role(package, params->role, err);
    if (!rc)
        rc = choose(package, params, how, err);
    if (!rc)
        memcpy(ret_device, how->device, sizeof how->device);
    return rc;
}

static int load_module(vx_embedder *e, const vx_package *package, const choice *how,
                       vx_torch_module **ret_module, const char *device, vx_err *err) {
    struct stat facts;
    snprintf(e->path, sizeof e->path, "%s/%s", package->dir, how->variant->file);
    if (!stat(e->path, &facts)) /* TorchScript archives hold their tensors as they are in memory */
        e->info.weights_bytes = facts.st_size;
    int rc = vx_torch_load(e->path, device, ret_module, err);
    if (rc == VX_TORCH_OUT_OF_MEMORY || rc == VX_TORCH_NO_DEVICE || rc == VX_TORCH_DEVICE_LOST)
        return err->code = VX_EMBED_NO_DEVICE;
    return rc > 0 ? (err->code = VX_EMBED_BAD_PACKAGE) : rc;
}

/* One line a device; on the CPU as many as the caller wants. */
static int load_lines(vx_embedder *e, const vx_package *package, const vx_embedder_params *p,
                      const choice *how, vx_err *err) {
    int wanted = how->devices.n > 1 ? how->devices.n : p->cpu_lines > 1 ? p->cpu_lines : 1;
    int rc = 0;
    while (e->n_lines < wanted && !rc) {
        tower_line *l = &e->lines[e->n_lines];
        const char *device = how->devices.n > 1 ? how->devices.names[e->n_lines] : how->device;
        snprintf(l->device, sizeof l->device, "%s", device);
        atomic_store(&l->batch, e->info.max_batch);
        rc = load_module(e, package, how, &l->module, l->device, err);
        e->n_lines += !rc;
    }
    return rc;
}

/* Turns the failure of a probe into the outcome of opening: the package is bad, or the device. */
static int judge_probe(int rc, const char *file, vx_err *err) {
    if (rc == -EIO || rc == VX_EMBED_BAD_TEXT)
        return VX_WRAP(err, "%s", file), err->code = VX_EMBED_BAD_PACKAGE;
    return rc == -ENOMEM || rc == -EHOSTDOWN ? (err->code = VX_EMBED_NO_DEVICE) : rc;
}

int vx_embedder_fit_batch(int wanted, int64_t free_bytes, int64_t one_clip_bytes,
                          int64_t two_clips_bytes) {
    int64_t more = two_clips_bytes - one_clip_bytes, room = free_bytes / 5 * 4 - one_clip_bytes;
    if (more <= 0 || room >= more * (wanted - 1))
        return wanted;
    return room > 0 ? 1 + (int)(room / more) : 1;
}

/* Measures what runs of one and of two clips need, and sets the batch that fits. Where the device
 * does not count its memory (the CPU), the batch of the manifest stays. */
static int measure(vx_embedder *e, int line, const float *clips, float *vectors, vx_err *err) {
    tower_line *l = &e->lines[line];
    size_t clip_bytes = e->clip_floats * sizeof(float);
    int64_t free_bytes, total_bytes, one = 0, two = 0, before;
    if (!strcmp(l->device, "cpu") || e->info.max_batch < 2 ||
        vx_torch_memory(l->device, &free_bytes, &total_bytes, NULL) ||
        vx_torch_take_peak(l->device, &before, NULL))
        return 0;
    int rc = vx_batcher_run(e->batcher, line, clips, clip_bytes, 1, vectors, err);
    if (!rc && !(rc = vx_torch_take_peak(l->device, &one, err)))
        rc = vx_batcher_run(e->batcher, line, clips, clip_bytes, 2, vectors, err);
    if (!rc)
        rc = vx_torch_take_peak(l->device, &two, err);
    if (rc)
        return rc;
    e->info.run_bytes = one > e->info.run_bytes ? one : e->info.run_bytes;
    int fit = vx_embedder_fit_batch(e->info.max_batch, free_bytes, one, two);
    if (fit < atomic_load(&l->batch)) /* two clips may have found no room */
        atomic_store(&l->batch, fit);
    return 0;
}

/* One clip through each line: proves dim, shape and unit length, and warms up the operators. */
static int probe_video(vx_embedder *e, const char *file, vx_err *err) {
    VX_AUTO_FREE float *clips = vx_new_array(2 * e->clip_floats, sizeof(float));
    VX_AUTO_FREE float *vectors = vx_new_array(2 * (size_t)e->info.dim, sizeof(float));
    if (!clips || !vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    for (size_t i = 0; i < 2 * e->clip_floats; i++)
        clips[i] = (float)(i % 251) / 125.0f - 1.0f; /* any picture but an empty one */
    int rc = 0;
    for (int line = 0; line < e->n_lines && !rc; line++) {
        rc = vx_batcher_run(e->batcher, line, clips, e->clip_floats * sizeof(float), 1, vectors,
                            err);
        if (!rc)
            rc = measure(e, line, clips, vectors, err);
        e->lines[line].batch_fit = atomic_load(&e->lines[line].batch);
    }
    vx_batcher_reset_stats(e->batcher);
    return judge_probe(rc, file, err);
}

static int start_video(vx_embedder *e, const vx_package *package, const vx_embedder_params *p,
                       const choice *how, int threads, vx_err *err) {
    const vx_preprocess_spec *picture = &e->info.preprocess;
    e->clip_floats = (size_t)e->info.n_frames * 3 * (size_t)picture->width_px *
                     (size_t)picture->height_px; /* the manifest's limits keep it < 2^28 */
    e->info.max_batch = p->max_batch > 0 ? p->max_batch : how->variant->max_batch;
    int rc = load_lines(e, package, p, how, err);
    if (rc)
        return rc;
    vx_batcher_params params = {
        .model = e->info.name,
        .dim = e->info.dim,
        .max_batch = e->info.max_batch,
        .separate_jobs = p->reproducible && !strcmp(e->info.device, "cpu"),
        .threads = threads,
        .n_lines = e->n_lines,
        .run = run_video,
        .revive = revive,
        .ctx = e,
        .done = release_slot,
    };
    e->info.together = params.separate_jobs ? e->info.max_batch : 1;
    const vx_slot_pool_params slots = {.model = e->info.name,
                                       .device = e->info.device,
                                       .slot_bytes = e->clip_floats * sizeof(float),
                                       .n_slots = pool_slots(e)};
    rc = vx_slot_pool_new(&slots, &e->slots, err);
    if (!rc)
        rc = vx_batcher_start(&params, &e->batcher, err);
    return rc ? rc : probe_video(e, how->variant->file, err);
}

static int start_text(vx_embedder *e, const vx_package *package, int threads, vx_err *err) {
    int rc = vx_text_tower_open(package, e->info.device, threads, &e->text, err);
    VX_AUTO_FREE float *vector = vx_new_array((size_t)e->info.dim, sizeof(float));
    if (rc || !vector)
        return rc ? rc : VX_FAIL(err, -ENOMEM, "no memory for a vector");
    static const char words[] = "a dog on the beach"; /* any text */
    rc = vx_embedder_run_text(e, words, strlen(words), vector, err);
    return judge_probe(rc, package->text_file, err);
}

/* The files that this start loads, before any of them is. */
static int check_files(const vx_package *package, const choice *how, bool with_text, vx_err *err) {
    int rc = vx_package_check_file(package, how->variant->file, err);
    if (!rc && with_text)
        rc = vx_package_check_file(package, package->text_file, err);
    if (!rc && with_text)
        rc = vx_package_check_file(package, package->text_vocab, err);
    return rc;
}

static int start(vx_embedder *e, const vx_package *package, const vx_embedder_params *p,
                 vx_err *err) {
    choice how = {0};
    int threads = p->threads > 0 ? p->threads : vx_thread_cores();
    bool with_text = package->info.has_text && !p->video_only;
    int rc = choose(package, p, &how, err);
    if (!rc)
        rc = check_files(package, &how, with_text, err);
    if (rc)
        return rc;
    e->info = package->info;
    snprintf(e->info.device, sizeof e->info.device, "%s", how.device);
    snprintf(e->info.dtype, sizeof e->info.dtype, "%s", how.variant->dtype);
    if (strcmp(how.device, "cpu"))
        e->info.kernels_note = vx_torch_kernels_note();
    if (how.variant->slow)
        snprintf(e->info.device_note, sizeof e->info.device_note,
                 "runs on %s, which is slow for this model%s%.240s", how.device,
                 how.why_not.msg[0] ? ": " : "", how.why_not.msg);
    rc = start_video(e, package, p, &how, threads, err);
    if (!rc && with_text)
        rc = start_text(e, package, threads, err);
    return rc;
}

int vx_embedder_open(const vx_embedder_params *params, vx_embedder **ret_embedder, vx_err *err) {
    vx_err unread; /* the text is built upon below, so there must be one */
    err = err ? err : &unread;
    VX_AUTO_FREE vx_package *package = vx_new(vx_package);
    VX_AUTO(vx_embedder) e = vx_new(vx_embedder);
    if (!package || !e)
        return VX_FAIL(err, -ENOMEM, "no memory for an embedder");
    int rc = vx_package_read(params->models_dir, params->name, package, err);
    if (rc || (rc = vx_package_check_role(package, params->role, err)) ||
        (rc = start(e, package, params, err)))
        return rc;
    *ret_embedder = vx_take(e);
    return 0;
}

vx_embedder *vx_embedder_free(vx_embedder *e) {
    if (!e)
        return NULL;
    if (e->slots)
        vx_slot_pool_close(e->slots);
    vx_batcher_free(e->batcher); /* no worker runs a module any more */
    vx_slot_pool_free(e->slots);
    for (int i = 0; i < e->n_lines; i++)
        vx_torch_free(e->lines[i].module);
    vx_text_tower_free(e->text);
    free(e);
    return NULL;
}
