/* nvdec_parts.c — one clip for several decoders.
 *
 * A part begins where decoding may start: at a point, unless a leading picture that refers to the GOP
 * before is fed. So the pieces between such points ("units") are fixed, and the parts are runs of
 * them. The least size of the largest part is found by bisection: a size is enough if filling the
 * parts one after the other up to it needs no more than n_parts.
 */
#include "nvdec_parts.h"

#include <errno.h>

void vx_nvdec_thin(uint8_t *action, int64_t n_packets) {
    for (int64_t i = 0; i < n_packets; i++)
        action[i] =
            action[i] == VX_PLAN_DROP || action[i] == VX_PLAN_INEXACT ? VX_PLAN_DROP : VX_PLAN_SEND;
}

/* Whether nothing that is fed of the GOP at `point` refers to the GOP before. */
static bool stands_alone(const vx_media *media, const uint8_t *action, int64_t point,
                         int64_t n_packets) {
    for (int64_t i = point + 1; i < n_packets && !(media->packets[i].flags & VX_PACKET_POINT); i++)
        if (action[i] != VX_PLAN_DROP &&
            vx_plan_is_leading(&media->packets[point], &media->packets[i]))
            return false;
    return true;
}

/* The units into `units`, which has room for as many as there are points and one more. */
static size_t find_units(const vx_media *media, const uint8_t *action, int64_t n_packets,
                         vx_nvdec_part *units) {
    size_t n = 0;
    for (int64_t i = 0; i < n_packets; i++) {
        if (action[i] == VX_PLAN_DROP)
            continue;
        bool point = media->may_skip && (media->packets[i].flags & VX_PACKET_POINT);
        if (n == 0 || (point && stands_alone(media, action, i, n_packets)))
            units[n++] = (vx_nvdec_part){.from = i};
        units[n - 1].to = i + 1;
        units[n - 1].n_fed++;
    }
    return n;
}

/* Joins neighbours into parts of at most `most` pictures. parts may be units; NULL only counts. */
static size_t fill(const vx_nvdec_part *units, size_t n_units, int64_t most, vx_nvdec_part *parts) {
    size_t n = 0;
    vx_nvdec_part current = {0};
    for (size_t i = 0; i < n_units; i++) {
        bool joins = i > 0 && current.n_fed + units[i].n_fed <= most;
        if (joins) {
            current.to = units[i].to;
            current.n_fed += units[i].n_fed;
        } else {
            current = units[i];
            n++;
        }
        if (parts)
            parts[n - 1] = current;
    }
    return n;
}

int vx_nvdec_divide(const vx_media *media, const uint8_t *action, int64_t n_packets, int n_parts,
                    vx_nvdec_part **ret_parts, size_t *ret_n, vx_err *err) {
    size_t n_points = 1;
    for (int64_t i = 0; i < n_packets; i++)
        n_points += (media->packets[i].flags & VX_PACKET_POINT) != 0;
    VX_AUTO_FREE vx_nvdec_part *parts = vx_new_array(n_points, sizeof(*parts));
    if (!parts)
        return VX_FAIL(err, -ENOMEM, "no memory to divide a video among decoders");
    size_t n_units = find_units(media, action, n_packets, parts);
    int64_t low = 1, high = 1; /* the least sufficient size is in [low, high] */
    for (size_t i = 0; i < n_units; i++) {
        low = parts[i].n_fed > low ? parts[i].n_fed : low;
        high += parts[i].n_fed;
    }
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (fill(parts, n_units, middle, NULL) <= (size_t)n_parts)
            high = middle;
        else
            low = middle + 1;
    }
    *ret_n = fill(parts, n_units, low, parts);
    *ret_parts = vx_take(parts);
    return 0;
}
