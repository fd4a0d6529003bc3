/* handlers.h — the functions that answer the routes; routes.c has the table.
 *
 * Each is called with the whole body: it sets the request's reply, or suspends the request.
 * Threads: the daemon thread of the request.
 */
#pragma once

#include <stdbool.h>

#include "api/http/request.h"

/* upload.c; the checks are for vx_route.check */
void vx_videos_upload(vx_request *request); /* POST and PUT */
bool vx_videos_check_upload(vx_request *request);
/* videos.c */
void vx_videos_list(vx_request *request);
void vx_videos_get(vx_request *request);
void vx_videos_copies_get(vx_request *request);
void vx_videos_evidence_get(vx_request *request);
void vx_videos_patch(vx_request *request);
void vx_videos_delete(vx_request *request);
/* content.c, clips.c, thumbnail.c, vectors.c */
void vx_content_get(vx_request *request);
void vx_clip_content_get(vx_request *request);
void vx_thumbnail_get(vx_request *request);
void vx_vectors_get(vx_request *request);
/* search.c, embeddings.c */
void vx_search_post(vx_request *request);
void vx_search_get(vx_request *request);
bool vx_search_check(vx_request *request);
void vx_embeddings_post(vx_request *request);
/* jobs.c, events.c */
void vx_jobs_list_get(vx_request *request);
void vx_jobs_one_get(vx_request *request);
void vx_jobs_one_delete(vx_request *request);
void vx_jobs_retry_post(vx_request *request);
void vx_jobs_events_get(vx_request *request);
void vx_reread_post(vx_request *request);
/* clusters.c */
void vx_clusters_post(vx_request *request);
void vx_clusters_list_get(vx_request *request);
void vx_clusters_one_get(vx_request *request);
void vx_clusters_members_get(vx_request *request);
void vx_clusters_one_delete(vx_request *request);
void vx_videos_clusters_get(vx_request *request);
/* duplicates.c, decisions.c */
void vx_duplicates_scan_post(vx_request *request);
void vx_duplicates_list_get(vx_request *request);
void vx_duplicates_group_get(vx_request *request);
void vx_duplicates_resolve_post(vx_request *request);
void vx_decisions_list_get(vx_request *request);
void vx_decisions_one_get(vx_request *request);
void vx_decisions_one_delete(vx_request *request);
/* export.c, import.c */
void vx_export_get(vx_request *request);
typedef struct vx_exports_stats {
    int64_t active;            /* being prepared or sent */
    int64_t bytes, broken_off; /* since the start; broken off: too slow a client, or an error */
} vx_exports_stats;
vx_exports_stats vx_exports_get_stats(void);
void vx_import_post(vx_request *request);
bool vx_import_check_request(vx_request *request);
/* indexes.c */
void vx_indexes_get(vx_request *request);
void vx_indexes_put(vx_request *request);
/* models.c */
void vx_models_list_get(vx_request *request);
void vx_models_one_get(vx_request *request);
void vx_models_backfill_post(vx_request *request);
void vx_models_vectors_delete(vx_request *request);
/* stores.c */
void vx_stores_get(vx_request *request);
void vx_stores_post(vx_request *request);
void vx_stores_one_get(vx_request *request);
void vx_stores_one_delete(vx_request *request);
void vx_stores_check_post(vx_request *request);
/* folders.c */
void vx_folders_list_get(vx_request *request);
void vx_folders_one_get(vx_request *request);
void vx_folders_one_delete(vx_request *request);
void vx_folders_files_get(vx_request *request);
void vx_folders_walk_post(vx_request *request);
void vx_forgotten_list_get(vx_request *request);
void vx_forgotten_one_delete(vx_request *request);
/* health.c, metrics.c */
void vx_health_live_get(vx_request *request);
void vx_health_ready_get(vx_request *request);
void vx_metrics_get(vx_request *request);
void vx_stats_get(vx_request *request);
/* assets.c */
void vx_assets_get(vx_request *request);
void vx_problems_get(vx_request *request);
