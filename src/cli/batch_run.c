/* batch_run.c — hands the parts of a server to a batch. */
#include "batch_run.h"

int vx_batch_run_in_server(vx_batch *batch, vx_server *server, vx_batch_end *ret_end, vx_err *err) {
    const vx_batch_parts parts = {
        .collection = server->collection,
        .extractor = &server->extractor,
        .writer = server->writer,
        .ingest = server->ingest,
        .library = server->library,
        .workers =
            server->n_decodes < VX_BATCH_WORKERS_MAX ? server->n_decodes : VX_BATCH_WORKERS_MAX,
    };
    return vx_batch_run(batch, &parts, ret_end, err);
}
