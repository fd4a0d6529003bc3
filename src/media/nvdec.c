/* nvdec.c — clips, parts and threads around the decoders.
 *
 * The caller of vx_nvdec_decode reads the file and appends each packet to its part; a thread that has
 * taken the part feeds the packets as they come. What is read and not yet fed is bounded, so that a
 * long film does not fill the memory. This cannot lock up: parts are read and taken in the same order,
 * so a full buffer always holds packets of a part that is taken, or will be when one before it ends.
 *
 * Locks   run.lock     the packets and the state of one clip's parts
 *         nvdec.lock   the queue of parts; never taken inside run.lock or the other way round
 */
#include "nvdec.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/trace.h"
#include "budget.h"
#include "nvdec_parts.h"
#include "nvdec_read.h"

enum {
    MAX_PARTS_ALONE = 8,       /* of a short clip: with more, one clip is no sooner ready */
    PART_PICTURES = 128,       /* a longer clip has more parts */
    MAX_HELD_BYTES = 64 << 20, /* packets of a clip that are read and not yet fed */
    POLL_US = 20000,           /* how often a waiting caller asks keep_going */
};

typedef struct run run;

typedef struct part {
    run *of;
    vx_nvdec_part range;
    AVPacket **packets; /* [range.n_fed]; a thread frees those that it has fed */
    int64_t *numbers;   /* [range.n_fed] */
    int64_t n_read, n_fed;
    bool ended; /* its thread has left it */
    struct part *next;
} part;

/* One call of vx_nvdec_decode. */
struct run {
    vx_nvdec *nvdec;
    vx_nvdec_clip clip;
    vx_mutex lock;
    vx_cond changed;
    part *parts; /* [n_parts] */
    size_t n_parts;
    size_t n_running VX_GUARDED; /* parts queued or taken */
    int64_t held_bytes VX_GUARDED;
    bool read VX_GUARDED;    /* no more packets will come */
    bool stopped VX_GUARDED; /* threads leave their parts */
    int rc VX_GUARDED;       /* of the first part that failed, with its error */
    vx_nvdec_reason reason VX_GUARDED;
    vx_err err VX_GUARDED;
    int64_t n_fed VX_GUARDED, n_requested VX_GUARDED;
};

struct vx_nvdec {
    vx_card *card;
    int device;
    vx_nvdec_caps caps;
    vx_nvdec_pool pool;
    vx_mutex lock;
    vx_cond queued;
    part *first VX_GUARDED, *last VX_GUARDED;
    int n_queued VX_GUARDED, n_busy VX_GUARDED;
    bool closing VX_GUARDED;
    pthread_t *threads;
    int n_threads;
};

/* ---- threads ---- */

static part *take_part(vx_nvdec *nvdec) {
    vx_mutex_lock(&nvdec->lock);
    while (!nvdec->first && !nvdec->closing)
        vx_cond_wait(&nvdec->queued, &nvdec->lock);
    part *p = nvdec->first;
    if (p) {
        nvdec->first = p->next;
        if (!nvdec->first)
            nvdec->last = NULL;
        nvdec->n_queued--;
        nvdec->n_busy++;
    }
    vx_mutex_unlock(&nvdec->lock);
    return p;
}

/* The next packet of a part; waits until it was read. Frees the one before. */
static const AVPacket *next_packet(void *ctx, int64_t *ret_number) {
    part *p = ctx;
    run *r = p->of;
    AVPacket *packet = NULL, *fed = NULL;
    vx_mutex_lock(&r->lock);
    if (p->n_fed > 0) {
        fed = vx_take(p->packets[p->n_fed - 1]);
        r->held_bytes -= fed->size;
        vx_cond_broadcast(&r->changed);
    }
    while (p->n_fed == p->n_read && p->n_read < p->range.n_fed && !r->read && !r->stopped)
        vx_cond_wait(&r->changed, &r->lock);
    if (p->n_fed < p->n_read && !r->stopped) {
        packet = p->packets[p->n_fed];
        *ret_number = p->numbers[p->n_fed++];
    }
    vx_mutex_unlock(&r->lock);
    av_packet_free(&fed);
    return packet;
}

static void run_part(part *p) {
    run *r = p->of;
    const vx_nvdec_source source = {next_packet, p};
    vx_nvdec_session_stats stats = {0};
    vx_nvdec_reason reason = VX_NVDEC_ACCEPTED;
    vx_err err = {0};
    int64_t begun_us = vx_trace_begin();
    int rc = vx_nvdec_session_run(&r->clip, &r->nvdec->pool, &source, &stats, &reason, &err);
    vx_trace_end("decode on the GPU", begun_us);
    vx_mutex_lock(&r->lock);
    if ((rc != 0 || reason != VX_NVDEC_ACCEPTED) && r->rc == 0 && r->reason == VX_NVDEC_ACCEPTED) {
        r->rc = rc;
        r->reason = reason;
        r->err = err;
        r->stopped = true;
    }
    r->n_fed += stats.n_fed;
    r->n_requested += stats.n_requested;
    r->n_running--;
    vx_cond_broadcast(&r->changed); /* the run may be gone once the lock is free */
    vx_mutex_unlock(&r->lock);
}

static void *thread_run(void *ctx) {
    vx_nvdec *nvdec = ctx;
    vx_card_enter(nvdec->card);
    for (part *p; (p = take_part(nvdec));) {
        run_part(p);
        vx_mutex_lock(&nvdec->lock);
        nvdec->n_busy--;
        vx_mutex_unlock(&nvdec->lock);
    }
    vx_card_leave(nvdec->card);
    return NULL;
}

/* ---- open and close ---- */

static int start_threads(vx_nvdec *nvdec, int n, vx_err *err) {
    nvdec->threads = vx_new_array((size_t)n, sizeof(*nvdec->threads));
    if (!nvdec->threads)
        return VX_FAIL(err, -ENOMEM, "no memory for %d threads", n);
    int rc = 0;
    while (rc == 0 && nvdec->n_threads < n) {
        rc = vx_thread_start(&nvdec->threads[nvdec->n_threads], "nvdec", thread_run, nvdec, err);
        nvdec->n_threads += rc == 0;
    }
    return rc;
}

int vx_nvdec_open(const vx_nvdec_params *params, vx_nvdec **ret_nvdec, vx_err *err) {
    int max_decoders = params->max_decoders > 0 ? params->max_decoders : 28;
    VX_AUTO(vx_nvdec) nvdec = vx_new(vx_nvdec);
    if (!nvdec)
        return VX_FAIL(err, -ENOMEM, "no memory for a decoder");
    nvdec->device = params->device;
    vx_mutex_init(&nvdec->lock);
    vx_cond_init(&nvdec->queued);
    const vx_card_params card = {.device = params->device, .driver = params->driver};
    int rc = vx_card_open(&card, &nvdec->card, err);
    const int64_t most = INT64_C(6) << 30;
    int64_t share = rc == 0 ? vx_card_total_bytes(nvdec->card) / 12 : 0;
    int64_t max_bytes = params->max_bytes > 0 ? params->max_bytes : share < most ? share : most;
    vx_nvdec_caps_init(&nvdec->caps, rc == 0 ? vx_card_get_driver(nvdec->card) : NULL);
    vx_nvdec_pool_init(&nvdec->pool, &nvdec->caps, max_decoders, max_bytes);
    if (rc == 0)
        rc = start_threads(nvdec, max_decoders, err);
    if (rc == 0)
        *ret_nvdec = vx_take(nvdec);
    return rc;
}

vx_nvdec *vx_nvdec_free(vx_nvdec *nvdec) {
    if (!nvdec)
        return NULL;
    vx_mutex_lock(&nvdec->lock);
    nvdec->closing = true;
    vx_cond_broadcast(&nvdec->queued);
    vx_mutex_unlock(&nvdec->lock);
    for (int i = 0; i < nvdec->n_threads; i++)
        pthread_join(nvdec->threads[i], NULL);
    free(nvdec->threads);
    if (nvdec->card)
        vx_nvdec_trim(nvdec, 0);
    vx_nvdec_pool_done(&nvdec->pool);
    vx_nvdec_caps_done(&nvdec->caps);
    vx_card_free(nvdec->card);
    vx_cond_done(&nvdec->queued);
    vx_mutex_done(&nvdec->lock);
    free(nvdec);
    return NULL;
}

void vx_nvdec_trim(vx_nvdec *nvdec, int64_t quiet_us) {
    vx_card_enter(nvdec->card);
    vx_nvdec_pool_trim(&nvdec->pool, 0, quiet_us);
    vx_card_leave(nvdec->card);
    vx_card_trim(nvdec->card, quiet_us);
}

void vx_nvdec_get_stats(vx_nvdec *nvdec, vx_nvdec_stats *ret_stats) {
    *ret_stats = (vx_nvdec_stats){0};
    snprintf(ret_stats->card, sizeof ret_stats->card, "%s", vx_card_name(nvdec->card));
    vx_mutex_lock(&nvdec->lock);
    ret_stats->n_queued = nvdec->n_queued;
    vx_mutex_unlock(&nvdec->lock);
    ret_stats->pool = vx_nvdec_pool_get_stats(&nvdec->pool);
}

vx_card *vx_nvdec_get_card(const vx_nvdec *nvdec) {
    return nvdec->card;
}

vx_nvdec_reason vx_nvdec_check(vx_nvdec *nvdec, const vx_media *media) {
    if (media->by_order || !media->may_skip)
        return VX_NVDEC_STREAM;
    vx_card_enter(nvdec->card);
    vx_nvdec_reason reason = vx_nvdec_caps_check_stream(&nvdec->caps, media->par);
    vx_card_leave(nvdec->card);
    return reason;
}

/* ---- one clip ---- */

/* Into how many parts to divide a clip of which n_fed pictures are decoded. */
static int count_parts(vx_nvdec *nvdec, int64_t n_fed) {
    vx_mutex_lock(&nvdec->lock);
    int free_threads = nvdec->n_threads - nvdec->n_busy - nvdec->n_queued;
    vx_mutex_unlock(&nvdec->lock);
    int64_t n = free_threads < MAX_PARTS_ALONE ? free_threads : MAX_PARTS_ALONE;
    int64_t by_length = (n_fed + PART_PICTURES - 1) / PART_PICTURES;
    n = n > by_length ? n : by_length;
    return n < 1 ? 1 : n > 10000 ? 10000 : (int)n;
}

/* For each packet whether its picture is handed on, and as which frame. */
static int mark_pictures(const vx_media *media, const vx_nvdec_decode_params *params,
                         const uint8_t *action, uint8_t **ret_take, int64_t **ret_number,
                         vx_err *err) {
    VX_AUTO_FREE uint8_t *take = vx_new_array((size_t)media->n_packets, sizeof(*take));
    VX_AUTO_FREE int64_t *number = vx_new_array((size_t)media->n_packets, sizeof(*number));
    if (!take || !number)
        return VX_FAIL(err, -ENOMEM, "no memory to decode %lld packets",
                       (long long)media->n_packets);
    for (int64_t i = 0; i < media->n_packets; i++)
        number[i] = -1;
    for (int64_t i = 0; i < media->info.n_frames; i++) {
        number[media->shown[i]] = i;
        if (params->extras && action[media->shown[i]] != VX_PLAN_DROP)
            take[media->shown[i]] = VX_NVDEC_EXTRA;
    }
    for (int64_t i = 0; i < params->n; i++)
        take[media->shown[params->frames[i]]] = VX_NVDEC_REQUESTED;
    *ret_take = vx_take(take);
    *ret_number = vx_take(number);
    return 0;
}

static int make_parts(run *r, const vx_nvdec_part *ranges, size_t n, vx_err *err) {
    r->parts = vx_new_array(n, sizeof(*r->parts));
    for (size_t i = 0; r->parts && i < n; i++) {
        part *p = &r->parts[r->n_parts++];
        *p = (part){.of = r, .range = ranges[i]};
        p->packets = vx_new_array((size_t)p->range.n_fed, sizeof(*p->packets));
        p->numbers = vx_new_array((size_t)p->range.n_fed, sizeof(*p->numbers));
        if (!p->packets || !p->numbers)
            return VX_FAIL(err, -ENOMEM, "no memory for the packets of a video");
    }
    return r->parts ? 0 : VX_FAIL(err, -ENOMEM, "no memory for the parts of a video");
}

static void queue_parts(run *r) {
    vx_nvdec *nvdec = r->nvdec;
    vx_mutex_lock(&r->lock);
    r->n_running = r->n_parts;
    vx_mutex_unlock(&r->lock);
    vx_mutex_lock(&nvdec->lock);
    for (size_t i = 0; i < r->n_parts; i++) {
        if (nvdec->last)
            nvdec->last->next = &r->parts[i];
        else
            nvdec->first = &r->parts[i];
        nvdec->last = &r->parts[i];
        nvdec->n_queued++;
    }
    vx_cond_broadcast(&nvdec->queued);
    vx_mutex_unlock(&nvdec->lock);
}

static bool goes_on(const vx_nvdec_decode_params *params) {
    return !params->keep_going || params->keep_going(params->ctx);
}

/* Waits up to POLL_US for a change, with the lock released while the caller is asked whether to go on.
 * False: it does not, and the parts are stopped. */
static bool wait_locked(run *r, const vx_nvdec_decode_params *params) VX_REQUIRES(&r->lock) {
    vx_cond_wait_until(&r->changed, &r->lock, vx_clock_monotonic_us() + POLL_US);
    vx_mutex_unlock(&r->lock);
    bool on = goes_on(params);
    vx_mutex_lock(&r->lock);
    if (!on) {
        r->stopped = true;
        vx_cond_broadcast(&r->changed);
    }
    return on;
}

/* Hands the packet to its part once there is room. Takes the packet. False: the parts have stopped. */
static bool append(run *r, part *p, AVPacket *packet, int64_t number,
                   const vx_nvdec_decode_params *params, bool *ret_cancelled) {
    vx_mutex_lock(&r->lock);
    while (r->held_bytes >= MAX_HELD_BYTES && !r->stopped && !*ret_cancelled)
        *ret_cancelled = !wait_locked(r, params);
    bool taken = !r->stopped && p->n_read < p->range.n_fed;
    if (taken) {
        p->packets[p->n_read] = packet;
        p->numbers[p->n_read++] = number;
        r->held_bytes += packet->size;
        vx_cond_broadcast(&r->changed);
    }
    vx_mutex_unlock(&r->lock);
    if (!taken)
        av_packet_free(&packet);
    return taken;
}

/* Reads all packets of the parts. *ret_cancelled: keep_going said no. */
static int read_parts(run *r, vx_nvdec_reader *reader, const vx_nvdec_decode_params *params,
                      bool *ret_cancelled, vx_err *err) {
    size_t at = 0;
    int rc = 0;
    for (bool on = true; on && rc == 0;) {
        AVPacket *packet;
        int64_t number;
        rc = vx_nvdec_reader_next(reader, &packet, &number, err);
        if (rc != 0 || !packet)
            break;
        *ret_cancelled = !goes_on(params);
        while (at + 1 < r->n_parts && number >= r->parts[at].range.to)
            at++;
        if (*ret_cancelled)
            av_packet_free(&packet);
        on = !*ret_cancelled && append(r, &r->parts[at], packet, number, params, ret_cancelled);
    }
    vx_mutex_lock(&r->lock);
    r->read = true;
    r->stopped |= rc != 0 || *ret_cancelled;
    vx_cond_broadcast(&r->changed);
    vx_mutex_unlock(&r->lock);
    return rc;
}

/* Takes the run's parts out of the queue; returns how many. */
static size_t unqueue_parts(run *r) {
    vx_nvdec *nvdec = r->nvdec;
    size_t n = 0;
    vx_mutex_lock(&nvdec->lock);
    nvdec->last = NULL;
    for (part **at = &nvdec->first; *at;) {
        if ((*at)->of == r) {
            *at = (*at)->next;
            n++;
        } else {
            nvdec->last = *at;
            at = &(*at)->next;
        }
    }
    nvdec->n_queued -= (int)n;
    vx_mutex_unlock(&nvdec->lock);
    return n;
}

static void wait_for_parts(run *r, const vx_nvdec_decode_params *params, bool *ret_cancelled) {
    vx_mutex_lock(&r->lock);
    while (r->n_running > 0) {
        if (r->stopped) {
            vx_mutex_unlock(&r->lock);
            size_t n = unqueue_parts(r);
            vx_mutex_lock(&r->lock);
            r->n_running -= n;
            while (r->n_running > 0) /* keep_going is still asked: a receiver may depend on it */
                wait_locked(r, params);
        } else {
            *ret_cancelled = !wait_locked(r, params);
        }
    }
    vx_mutex_unlock(&r->lock);
}

static void run_done(run *r) {
    for (size_t i = 0; i < r->n_parts; i++) {
        part *p = &r->parts[i];
        for (int64_t k = 0; p->packets && k < p->n_read; k++)
            av_packet_free(&p->packets[k]);
        free(p->packets);
        free(p->numbers);
    }
    free(r->parts);
    vx_cond_done(&r->changed);
    vx_mutex_done(&r->lock);
}

/* What became of the clip, once no thread works on it any more. */
static int finish(run *r, int read_rc, bool cancelled, const vx_nvdec_decode_params *params,
                  vx_nvdec_decode_stats *stats, vx_err *err) {
    vx_mutex_lock(&r->lock);
    stats->n_fed = r->n_fed;
    stats->n_parts = (int)r->n_parts;
    stats->reason = r->reason;
    int rc = read_rc;
    if (rc == 0 && cancelled)
        rc = VX_FAIL(err, VX_MEDIA_STOPPED, "decoding the video was stopped");
    if (rc == 0 && (r->rc != 0 || r->reason != VX_NVDEC_ACCEPTED)) {
        if (err)
            *err = r->err;
        rc = r->rc != 0 ? r->rc : VX_NVDEC_REFUSED;
    }
    if (rc == 0 && r->n_requested < params->n) {
        stats->reason = VX_NVDEC_DAMAGED;
        rc = VX_FAIL(err, VX_NVDEC_REFUSED, "%lld of %lld pictures came out",
                     (long long)r->n_requested, (long long)params->n);
    }
    vx_mutex_unlock(&r->lock);
    return rc;
}

static int decode_parts(vx_nvdec *nvdec, const vx_nvdec_clip *clip, vx_nvdec_reader *reader,
                        const vx_nvdec_part *ranges, size_t n_ranges,
                        const vx_nvdec_decode_params *params, vx_nvdec_decode_stats *stats,
                        vx_err *err) {
    run r = {.nvdec = nvdec, .clip = *clip};
    vx_mutex_init(&r.lock);
    vx_cond_init(&r.changed);
    int rc = make_parts(&r, ranges, n_ranges, err);
    bool cancelled = false;
    if (rc == 0) {
        queue_parts(&r);
        rc = read_parts(&r, reader, params, &cancelled, err);
        wait_for_parts(&r, params, &cancelled);
        rc = finish(&r, rc, cancelled, params, stats, err);
    }
    run_done(&r);
    return rc;
}

static int decode_planned(vx_nvdec *nvdec, const vx_media *media,
                          const vx_nvdec_decode_params *params, uint8_t *action, int64_t n_packets,
                          vx_nvdec_decode_stats *stats, vx_err *err) {
    VX_AUTO_FREE vx_nvdec_part *ranges = NULL;
    VX_AUTO_FREE uint8_t *take = NULL;
    VX_AUTO_FREE int64_t *number = NULL;
    size_t n_ranges = 0;
    int64_t n_fed = 0;
    vx_nvdec_thin(action, n_packets);
    for (int64_t i = 0; i < n_packets; i++)
        n_fed += action[i] != VX_PLAN_DROP;
    int rc = vx_budget_check_work(media, n_fed, err);
    if (rc == 0)
        rc = mark_pictures(media, params, action, &take, &number, err);
    if (rc == 0)
        rc = vx_nvdec_divide(media, action, n_packets,
                             params->max_parts > 0 ? params->max_parts : count_parts(nvdec, n_fed),
                             &ranges, &n_ranges, err);
    vx_nvdec_reader reader;
    if (rc == 0)
        rc = vx_nvdec_reader_open(&reader, media, action, n_packets, params->keep_going,
                                  params->ctx, err);
    if (rc != 0)
        return rc;
    const vx_nvdec_clip clip = {.media = media,
                                .take = take,
                                .number = number,
                                .headers = reader.headers,
                                .headers_bytes = reader.headers_bytes,
                                .device = nvdec->device,
                                .on_frame = params->on_frame,
                                .ctx = params->ctx};
    rc = decode_parts(nvdec, &clip, &reader, ranges, n_ranges, params, stats, err);
    vx_nvdec_reader_close(&reader);
    return rc;
}

int vx_nvdec_decode(vx_nvdec *nvdec, const vx_media *media, const vx_nvdec_decode_params *params,
                    vx_nvdec_decode_stats *ret_stats, vx_err *err) {
    vx_nvdec_decode_stats stats = {.reason = vx_nvdec_check(nvdec, media)};
    VX_AUTO_FREE uint8_t *action = NULL;
    int64_t n_packets = 0;
    int rc = 0;
    if (stats.reason != VX_NVDEC_ACCEPTED)
        rc = VX_FAIL(err, VX_NVDEC_REFUSED, "the card does not decode this video: %s",
                     vx_nvdec_reason_name(stats.reason));
    else if (params->n > 0)
        rc = vx_media_plan(media, params->frames, params->n, &action, &n_packets, err);
    if (rc == 0 && params->n > 0)
        rc = decode_planned(nvdec, media, params, action, n_packets, &stats, err);
    if (ret_stats)
        *ret_stats = stats;
    return rc;
}
