/* model_choice.c — see the header. */
#include "model_choice.h"

const vx_model_rank vx_model_ranks[VX_MODEL_RANKS] = {
    {"cosmos-embed1-336p", true}, {"cosmos-embed1-448p", true},  {"cosmos-embed1-224p", true},
    {"internvideo2-1b", true},    {"efficientnet-lite0", false},
};

static bool may_run(const vx_model_candidate *c, const vx_model_rank *rank) {
    return c->present && (c->on_gpu || !rank->needs_gpu || c->stored);
}

size_t vx_model_order(const vx_model_candidate candidates[VX_MODEL_RANKS],
                      size_t ret_order[VX_MODEL_RANKS]) {
    size_t n = 0;
    for (int stored = 1; stored >= 0; stored--)
        for (size_t i = 0; i < VX_MODEL_RANKS; i++)
            if (candidates[i].stored == stored && may_run(&candidates[i], &vx_model_ranks[i]))
                ret_order[n++] = i;
    return n;
}

const char *vx_model_reason(const vx_model_candidate *candidate, const vx_model_rank *rank) {
    if (candidate->stored)
        return "the collection has vectors of it";
    if (rank->needs_gpu)
        return "the best one present that the GPU carries";
    return "the best one present that runs without a GPU";
}
