/* plan.c — which packets a set of wanted frames needs, from the packet table alone.
 *
 * The stream is walked GOP by GOP from the end. A GOP is decoded up to its last requested picture in
 * decode order: later ones cannot matter. A requested picture that is shown before an open point (a
 * leading picture) may refer to any picture of the GOP before, which is then decoded to its end. Of
 * what is left, pictures that nothing depends on and nobody requested are dropped. Where the table's
 * flags are not proven, everything up to the last requested picture is decoded.
 */
#include <errno.h>
#include <string.h>

#include "plan.h"

enum { REQUESTED = 1 };

bool vx_plan_is_leading(const vx_packet *point, const vx_packet *packet) {
    return !(point->flags & VX_PACKET_CLOSED) && !(packet->flags & VX_PACKET_RADL) &&
           packet->pts < point->pts;
}

/* Number of the last requested packet of [from, to), -1 if none. *ret_leading: one of them is a
 * leading picture. */
static int64_t last_requested(const vx_media *media, const uint8_t *requested, int64_t from,
                              int64_t to, bool *ret_leading) {
    const vx_packet *point = &media->packets[from];
    int64_t last = -1;
    *ret_leading = false;
    for (int64_t i = from; i < to; i++) {
        if (!requested[i])
            continue;
        last = i;
        *ret_leading |= vx_plan_is_leading(point, &media->packets[i]);
    }
    return last;
}

/* Actions for packets [from, upto] of one GOP. */
static void send_gop(const vx_media *media, uint8_t *action, int64_t from, int64_t upto,
                     bool leading) {
    for (int64_t i = from; i <= upto; i++) {
        uint32_t flags = media->packets[i].flags;
        bool skip = (flags & VX_PACKET_NONREF) || (!leading && (flags & VX_PACKET_RASL));
        if (action[i] == REQUESTED)
            action[i] = VX_PLAN_SEND;
        else if (skip)
            action[i] = VX_PLAN_DROP;
        else
            action[i] = !leading && vx_plan_is_leading(&media->packets[from], &media->packets[i])
                            ? VX_PLAN_INEXACT
                            : VX_PLAN_SEND;
    }
}

/* Whether a decoder that got the packets up to `upto` of a GOP that ends before `end` is in the same
 * state as after decoding all of it. */
static bool is_complete(const vx_media *media, int64_t upto, int64_t end) {
    for (int64_t i = upto + 1; i < end; i++)
        if (!(media->packets[i].flags & VX_PACKET_NONREF))
            return false;
    return true;
}

static void plan_gops(const vx_media *media, uint8_t *action, int64_t *ret_n) {
    bool leading = false; /* of the GOP after this one */
    int64_t end = media->n_packets;
    while (end > 0) {
        int64_t from = end - 1;
        while (from > 0 && !(media->packets[from].flags & VX_PACKET_POINT))
            from--;
        bool own_leading;
        int64_t upto = last_requested(media, action, from, end, &own_leading);
        if (leading)
            upto = end - 1;
        if (upto >= 0)
            send_gop(media, action, from, upto, own_leading);
        if (end < *ret_n && action[end] == VX_PLAN_SEND && !is_complete(media, upto, end))
            action[end] = VX_PLAN_RESTART;
        *ret_n = *ret_n > upto + 1 ? *ret_n : upto + 1;
        leading = own_leading && from > 0;
        end = from;
    }
}

int vx_media_plan(const vx_media *media, const int64_t *frames, int64_t n, uint8_t **ret_action,
                  int64_t *ret_n, vx_err *err) {
    VX_AUTO_FREE uint8_t *action = vx_new_array((size_t)media->n_packets, 1);
    if (!action)
        return VX_FAIL(err, -ENOMEM, "no memory to plan %lld packets", (long long)media->n_packets);
    int64_t last = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t packet = media->shown[frames[i]];
        action[packet] = REQUESTED;
        last = packet > last ? packet : last;
    }
    *ret_n = 0;
    if (media->may_skip && !media->by_order) {
        plan_gops(media, action, ret_n);
    } else {
        *ret_n = media->by_order ? media->n_packets : last + 1;
        memset(action, VX_PLAN_SEND, (size_t)*ret_n);
    }
    *ret_action = vx_take(action);
    return 0;
}

int vx_media_cost(const vx_media *media, const int64_t *frames, int64_t n, int64_t *ret_n_pictures,
                  vx_err *err) {
    VX_AUTO_FREE uint8_t *action = NULL;
    int64_t n_packets;
    int rc = vx_media_plan(media, frames, n, &action, &n_packets, err);
    if (rc != 0)
        return rc;
    *ret_n_pictures = 0;
    for (int64_t i = 0; i < n_packets; i++)
        *ret_n_pictures += action[i] != VX_PLAN_DROP;
    return 0;
}
