/* video.c — a video in memory: its ids, the words of its verdict, its end. */
#include "base/hex.h"
#include "catalog.h"

vx_video *vx_video_free(vx_video *video) {
    if (!video)
        return NULL;
    free(video->filename);
    free(video->source_path);
    free(video->places);
    free(video->metadata);
    free(video->clusters);
    free(video->clips);
    free(video);
    return NULL;
}

void vx_video_id_of(const uint8_t sha256[32], char ret_id[VX_VIDEO_ID_CHARS + 1]) {
    ret_id[0] = 'v';
    vx_hex_encode(sha256, 12, ret_id + 1);
}

void vx_clip_id_of(const char *video_id, int index, char ret_id[VX_CLIP_ID_CHARS + 1]) {
    snprintf(ret_id, VX_CLIP_ID_CHARS + 1, "%s.%d", video_id, index);
}

const char *vx_evidence_state_name(vx_evidence_state state) {
    static const char *const names[] = {"none", "pending", "done", "failed"};
    return names[state];
}

const char *vx_verdict_name(vx_verdict_kind kind) {
    static const char *const names[] = {
        [VX_VERDICT_NEW] = "new",
        [VX_VERDICT_EXACT] = "exact",
        [VX_VERDICT_COPY] = "copy",
        [VX_VERDICT_SIMILAR] = "similar",
        [VX_VERDICT_PART_OF] = "part_of",
        [VX_VERDICT_CONTAINS] = "contains",
        [VX_VERDICT_SHARED_SEGMENT] = "shared_segment",
    };
    return names[kind];
}
