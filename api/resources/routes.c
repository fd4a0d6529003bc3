#include "api/resources/resources.h"

#include "api/resources/handlers.h"
#include "base/mem.h"

#define UPLOAD_FIELDS "metadata clip on_duplicate wait"
#define SEARCH_FIELDS "k min_score max_score group_by offset cursor histogram explain filter model"

static const vx_route rows[] = {
    {"POST", "/v1/videos", VX_ACCEPT_FORM | VX_ACCEPT_RAW, "filename " UPLOAD_FIELDS,
     "filename " UPLOAD_FIELDS, vx_videos_upload, vx_videos_check_upload},
    {"GET", "/v1/videos", 0, "limit cursor filename verdict filter count", "", vx_videos_list},
    /* {id} is the file name here. OpenAPI allows only one name for a segment. */
    {"PUT", "/v1/videos/{id}", VX_ACCEPT_RAW, UPLOAD_FIELDS, "", vx_videos_upload,
     vx_videos_check_upload},
    {"GET", "/v1/videos/{id}", 0, "", "", vx_videos_get},
    {"PATCH", "/v1/videos/{id}", VX_ACCEPT_JSON, "", "", vx_videos_patch},
    {"DELETE", "/v1/videos/{id}", 0, "", "", vx_videos_delete},
    {"GET", "/v1/videos/{id}/copies", 0, "limit cursor filter count", "", vx_videos_copies_get},
    {"GET", "/v1/videos/{id}/content", 0, "", "", vx_content_get},
    {"GET", "/v1/videos/{id}/clips/{n}/content", 0, "copy", "", vx_clip_content_get},
    {"GET", "/v1/videos/{id}/thumbnail", 0, "t size", "", vx_thumbnail_get},
    {"GET", "/v1/videos/{id}/vectors", 0, "model", "", vx_vectors_get},
    {"POST", "/v1/search", VX_ACCEPT_JSON | VX_ACCEPT_FORM, "", SEARCH_FIELDS, vx_search_post,
     vx_search_check},
    {"GET", "/v1/search", 0, "q " SEARCH_FIELDS, "", vx_search_get},
    {"GET", "/v1/videos/{id}/clusters", 0, "", "", vx_videos_clusters_get},
    {"POST", "/v1/clusters", VX_ACCEPT_JSON, "", "", vx_clusters_post},
    {"GET", "/v1/clusters", 0, "limit cursor", "", vx_clusters_list_get},
    {"GET", "/v1/clusters/{clustering}", 0, "", "", vx_clusters_one_get},
    {"DELETE", "/v1/clusters/{clustering}", 0, "", "", vx_clusters_one_delete},
    {"GET", "/v1/clusters/{clustering}/members", 0, "cluster outliers limit cursor", "",
     vx_clusters_members_get},
    {"GET", "/v1/metadata-indexes", 0, "", "", vx_indexes_get},
    {"PUT", "/v1/metadata-indexes", VX_ACCEPT_JSON, "", "", vx_indexes_put},
    {"GET", "/v1/export", 0, "format model filter", "", vx_export_get},
    {"POST", "/v1/embeddings", VX_ACCEPT_JSON | VX_LIKE_OPENAI, "", "", vx_embeddings_post},
    {"GET", "/v1/jobs", 0, "limit cursor count state", "", vx_jobs_list_get},
    {"GET", "/v1/jobs/{id}", 0, "", "", vx_jobs_one_get},
    {"DELETE", "/v1/jobs/{id}", 0, "", "", vx_jobs_one_delete},
    {"POST", "/v1/jobs/{id}/retry", 0, "", "", vx_jobs_retry_post},
    {"GET", "/v1/jobs/{id}/events", 0, "", "", vx_jobs_events_get},
    {"GET", "/v1/health/live", VX_WHILE_STARTING | VX_PROBE, "", "", vx_health_live_get},
    {"GET", "/v1/health/ready", VX_WHILE_STARTING | VX_PROBE, "", "", vx_health_ready_get},
    {"GET", "/v1/models", 0, "", "", vx_models_list_get},
    {"GET", "/v1/models/{name}", 0, "", "", vx_models_one_get},
    {"POST", "/v1/models/{name}/backfill", 0, "", "", vx_models_backfill_post},
    {"DELETE", "/v1/models/{name}/vectors", 0, "digest", "", vx_models_vectors_delete},
    {"POST", "/v1/reread", 0, "", "", vx_reread_post},
    {"GET", "/v1/metrics", 0, "", "", vx_metrics_get},
    {"GET", "/v1/stats", 0, "", "", vx_stats_get},
    {"GET", "/problems/{name}", VX_WHILE_STARTING, "", "", vx_problems_get},
    {"GET", "/openapi.yaml", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/openapi.json", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/app.js", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/common.js", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/clusters.js", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/uploads.js", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/style.css", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/icon.svg", VX_WHILE_STARTING, "", "", vx_assets_get},
};

const vx_routes vx_resource_routes = {rows, VX_LEN(rows)};
