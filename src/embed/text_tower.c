/* text_tower.c — text to token ids on the caller's thread, ids to vectors on the worker's.
 *
 * Most texts are far shorter than what the module reads. The padding is masked, so it costs time and
 * changes nothing. A batch is therefore run without the padding that all its texts share, if the
 * module can do that: one traced at a fixed length cannot, which is tested when it is opened.
 */
#include "text_tower.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "batcher.h"
#include "line.h"
#include "tokenizer.h"
#include "torch/torch_shim.h"

/* Texts a run: some 20 ms on two cores for the default model at full length. */
enum { CPU_BATCH = 16, MAX_BATCH = 64 };
enum { LENGTH_STEP = 8 }; /* lengths are multiples of it: a GPU prepares for each new shape anew */
/* The vectors with and without padding must agree to this, each number; float32 gives 1e-6. */
#define SAME 1e-4f

struct vx_text_tower {
    vx_model_info info;
    char device[32], path[PATH_MAX]; /* of the module */
    vx_tokenizer *tokenizer;
    vx_torch_module *module;
    vx_batcher *batcher;
    int64_t *ids, *mask; /* [MAX_BATCH, length] each: a batch, as the module takes it */
    bool cuts_padding;   /* it answers the same when the padding is left out */
};

/* Of n items int64 [2, length]: up to where any text has tokens, in steps. */
static size_t longest(const void *const *items, int n, size_t length) {
    size_t most = 1;
    for (int i = 0; i < n; i++) {
        const int64_t *mask = (const int64_t *)items[i] + length;
        while (most < length && mask[most])
            most++;
    }
    most = (most + LENGTH_STEP - 1) / LENGTH_STEP * LENGTH_STEP;
    return most < length ? most : length;
}

/* Of n items int64 [2, length]: the ids of a text and then their mask. */
static int run_text(void *ctx, int line, const void *const *items, int n, float *ret_vectors,
                    vx_err *err) {
    (void)line; /* there is one */
    vx_text_tower *tower = ctx;
    const vx_model_info *m = &tower->info;
    size_t length = (size_t)m->text_length;
    size_t used = tower->cuts_padding ? longest(items, n, length) : length;
    for (int i = 0; i < n; i++) {
        const int64_t *item = items[i];
        memcpy(tower->ids + (size_t)i * used, item, used * sizeof *item);
        memcpy(tower->mask + (size_t)i * used, item + length, used * sizeof *item);
    }
    vx_torch_view inputs[2];
    for (int i = 0; i < 2; i++)
        inputs[i] = (vx_torch_view){.data = i ? tower->mask : tower->ids,
                                    .dtype = VX_TORCH_I64,
                                    .n_dims = 2,
                                    .shape = {n, (int64_t)used}};
    const vx_torch_view output = {
        .data = ret_vectors, .dtype = VX_TORCH_F32, .n_dims = 2, .shape = {n, m->dim}};
    int rc = vx_torch_run(tower->module, inputs, 2, &output, err);
    return vx_line_failed(rc, m->name, tower->device, n, err);
}

static int encode(const vx_text_tower *tower, vx_text text, int64_t *item, int64_t *tokens,
                  vx_err *err) {
    int length = tower->info.text_length, n = 0;
    int64_t *mask = item + length;
    int rc =
        vx_tokenizer_encode(tower->tokenizer, text.text, text.n_bytes, length, item, mask, err);
    if (rc)
        return rc;
    while (n < length && mask[n])
        n++;
    if (n <= 2 && length > 2) /* [CLS] and [SEP] alone */
        return VX_FAIL(err, VX_EMBED_BAD_TEXT, "the text has no words");
    *tokens += n;
    return 0;
}

int vx_text_tower_run(vx_text_tower *tower, const vx_text *texts, int n, float *ret_vectors,
                      vx_text_report *ret_report, vx_err *err) {
    size_t item = 2 * (size_t)tower->info.text_length, all;
    *ret_report = (vx_text_report){0};
    if (n < 1 || !vx_mul((size_t)n, item, &all))
        return VX_FAIL(err, -EINVAL, "%d texts to embed", n);
    VX_AUTO_FREE int64_t *items = vx_new_array(all, sizeof *items);
    if (!items)
        return VX_FAIL(err, -ENOMEM, "no memory for %d texts", n);
    for (int i = 0; i < n; i++) {
        int rc = encode(tower, texts[i], items + (size_t)i * item, &ret_report->tokens, err);
        if (rc)
            return ret_report->bad = i, rc;
    }
    return vx_batcher_run(tower->batcher, -1, items, item * sizeof *items, n, ret_vectors, err);
}

static int load(vx_text_tower *tower, const vx_package *package, vx_err *err) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", package->dir, package->text_vocab);
    int rc = vx_tokenizer_open(path, &tower->tokenizer, err);
    if (rc)
        return rc;
    snprintf(tower->path, sizeof tower->path, "%s/%s", package->dir, package->text_file);
    rc = vx_torch_load(tower->path, tower->device, &tower->module, err);
    if (rc == VX_TORCH_OUT_OF_MEMORY || rc == VX_TORCH_NO_DEVICE)
        return err->code = VX_EMBED_NO_DEVICE;
    return rc > 0 ? (err->code = VX_EMBED_BAD_PACKAGE) : rc;
}

static int allocate(vx_text_tower *tower, vx_err *err) {
    size_t batch = MAX_BATCH * (size_t)tower->info.text_length;
    tower->ids = vx_new_array(batch, sizeof(int64_t));
    tower->mask = vx_new_array(batch, sizeof(int64_t));
    if (!tower->ids || !tower->mask)
        return VX_FAIL(err, -ENOMEM, "no memory for batches of text");
    return 0;
}

static int revive(void *ctx, int line, vx_err *err) {
    (void)line;
    vx_text_tower *tower = ctx;
    return vx_line_load_again(&tower->module, tower->path, tower->device, err);
}

static int start(vx_text_tower *tower, int threads, vx_err *err) {
    vx_batcher_params params = {
        .model = tower->info.name,
        .dim = tower->info.dim,
        .max_batch = strcmp(tower->device, "cpu") ? MAX_BATCH : CPU_BATCH,
        .threads = threads,
        .run = run_text,
        .revive = revive,
        .ctx = tower,
    };
    return vx_batcher_start(&params, &tower->batcher, err);
}

/* A text of some words in both ways, before the first caller comes: sets cuts_padding. What is wrong
 * with the module at its full length is for the caller to find out. */
static int try_without_padding(vx_text_tower *tower, vx_err *err) {
    static const char words[] = "a dog on the beach"; /* any text */
    size_t length = (size_t)tower->info.text_length, dim = (size_t)tower->info.dim;
    int64_t tokens = 0;
    VX_AUTO_FREE int64_t *item = vx_new_array(2 * length, sizeof *item);
    VX_AUTO_FREE float *vectors = vx_new_array(2 * dim, sizeof(float));
    if (!item || !vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for a text");
    vx_err unread;
    if (encode(tower, (vx_text){words, strlen(words)}, item, &tokens, &unread) ||
        run_text(tower, 0, (const void *[]){item}, 1, vectors, &unread))
        return 0;
    tower->cuts_padding = true;
    bool same = !run_text(tower, 0, (const void *[]){item}, 1, vectors + dim, &unread);
    for (size_t i = 0; i < dim && same; i++)
        same = fabsf(vectors[i] - vectors[dim + i]) < SAME;
    tower->cuts_padding = same;
    return 0;
}

int vx_text_tower_open(const vx_package *package, const char *device, int threads,
                       vx_text_tower **ret_tower, vx_err *err) {
    vx_text_tower *tower = vx_new(vx_text_tower);
    if (!tower)
        return VX_FAIL(err, -ENOMEM, "no memory for a text tower");
    tower->info = package->info;
    snprintf(tower->device, sizeof tower->device, "%s", device);
    int rc = load(tower, package, err);
    if (!rc)
        rc = allocate(tower, err);
    if (!rc)
        rc = try_without_padding(tower, err);
    if (!rc)
        rc = start(tower, threads, err);
    if (rc) {
        vx_text_tower_free(tower);
        return rc;
    }
    *ret_tower = tower;
    return 0;
}

vx_text_tower *vx_text_tower_free(vx_text_tower *tower) {
    if (!tower)
        return NULL;
    vx_batcher_free(tower->batcher);
    vx_torch_free(tower->module);
    vx_tokenizer_free(tower->tokenizer);
    free(tower->ids);
    free(tower->mask);
    free(tower);
    return NULL;
}
