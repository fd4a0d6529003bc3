/* embed_texts.h — texts to vectors of a loaded model, with refusals that say what to do.
 *
 * Threads: any; blocks until the model has run.
 */
#pragma once

#include "base/outcome.h"
#include "server/server.h"

/* n texts → ret_vectors float32 [n, dim]. OK, BAD_REQUEST (ret_report->bad says which), WRONG_SPACE
 * (the model takes no text; err names one that does), STOPPING or INTERNAL. */
vx_outcome vx_embed_texts(vx_server *server, const vx_model *model, const vx_text *texts, int n,
                          float *ret_vectors, vx_text_report *ret_report, vx_err *err);
