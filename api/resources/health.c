/* health.c — probes for supervisors: is the process alive, and is it ready for requests. */
#include "api/http/reply.h"
#include "api/resources/handlers.h"
#include "server/server.h"

static void reply_status(vx_request *request, const char *status, int64_t missing_files,
                         bool has_lost_columns) {
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "status", status);
    if (missing_files)
        vx_out_int(&out, "missing_files", missing_files);
    if (has_lost_columns)
        vx_out_string(&out, "filters", "rebuilding");
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

void vx_health_live_get(vx_request *request) {
    reply_status(request, "live", 0, false);
}

void vx_health_ready_get(vx_request *request) {
    vx_server *server = request->server;
    char damage[256];
    if (!atomic_load(&server->ready) || atomic_load(&server->stopping)) {
        vx_reply_problem(request, VX_PROBLEM_NOT_READY, NULL);
    } else if (!vx_catalog_health(server->catalog, damage, sizeof damage)) {
        vx_reply_problem(request, VX_PROBLEM_CATALOG_DAMAGED, "the catalog is damaged: %s", damage);
    } else {
        reply_status(request, "ready", vx_collection_count_missing_files(server->collection),
                     vx_collection_has_lost_columns(server->collection));
    }
}
