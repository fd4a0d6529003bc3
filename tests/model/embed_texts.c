/* embed_texts.c — texts through a model's text tower, for the Python tests.
 *
 *     embed_texts MODELS NAME DEVICE < lines of UTF-8 > float32 vectors, one per line
 */
#include <string.h>

#include "base/mem.h"
#include "embed/embed.h"

static int die(const vx_err *err) {
    fprintf(stderr, "embed_texts: %s\n", err->msg);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return fprintf(stderr, "usage: embed_texts MODELS NAME DEVICE\n"), 2;
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    vx_embedder_params params = {.models_dir = argv[1], .name = argv[2], .device = argv[3]};
    if (vx_embedder_open(&params, &e, &err))
        return die(&err);
    size_t dim = (size_t)vx_embedder_info(e)->dim;
    VX_AUTO_FREE float *vector = vx_new_array(dim, sizeof(float));
    if (!vector)
        return fprintf(stderr, "embed_texts: out of memory\n"), 1;
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        if (vx_embedder_run_text(e, line, strcspn(line, "\n"), vector, &err))
            return die(&err);
        fwrite(vector, sizeof(float), dim, stdout);
    }
    return 0;
}
