/* resources.h — who answers what: the functions that routes.c puts into its table. */
#pragma once

#include "api/request.h"

void vx_videos_post(vx_request *request); /* upload.c */
void vx_videos_put(vx_request *request);

void vx_videos_list(vx_request *request); /* videos.c */
void vx_videos_get(vx_request *request);
void vx_videos_patch(vx_request *request);
void vx_videos_delete(vx_request *request);

void vx_content_get(vx_request *request); /* content.c */
/* Replies with an open file, whole or in part, as the request's conditions and range want. Takes fd. */
void vx_content_send(vx_request *request, int fd, int64_t size, const char *etag, const char *type,
                     const char *filename);
void vx_clip_content_get(vx_request *request); /* clips.c */
void vx_thumbnail_get(vx_request *request);    /* thumbnail.c */
void vx_vectors_get(vx_request *request);      /* vectors.c */

void vx_search_post(vx_request *request); /* search.c */
void vx_search_get(vx_request *request);

void vx_embeddings_post(vx_request *request); /* embeddings.c */

void vx_jobs_list_get(vx_request *request); /* jobs.c */
void vx_jobs_one_get(vx_request *request);
void vx_jobs_one_delete(vx_request *request);
void vx_jobs_events_get(vx_request *request); /* events.c */

void vx_health_live_get(vx_request *request); /* health.c */
void vx_health_ready_get(vx_request *request);
void vx_models_list_get(vx_request *request); /* models.c */
void vx_models_backfill_post(vx_request *request);
void vx_models_vectors_delete(vx_request *request);
void vx_metrics_get(vx_request *request); /* metrics.c */
void vx_stats_get(vx_request *request);

void vx_assets_get(vx_request *request); /* assets.c */
void vx_problems_get(vx_request *request);

/* ---- what several resources share ---- */

/* videos.c: the stored video that args[0] names; NULL after a reply. Gives. */
struct vx_video;
struct vx_video *vx_videos_find(vx_request *request);
/* videos.c: the file of a video that was found cannot be read. 404 when it was deleted since, which
 * takes the file last; else a failure. */
void vx_videos_reply_lost(vx_request *request, const vx_err *err);
/* jobs.c: 202 with the job that has just become durable, and where to watch it. */
void vx_jobs_reply_accepted(vx_request *request, const char *job_id, const char *kind);
/* jobs.c: the job object. */
struct vx_job_view;
void vx_jobs_write(vx_out *out, const struct vx_job_view *job);
