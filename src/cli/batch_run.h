/* batch_run.h — a run of batch/ in a server of its own, without clients. */
#pragma once

#include "batch/batch.h"
#include "server/server.h"

/* Runs an opened batch to its end with the parts of a started server, which has vx_batch_data_dir(batch) as its data
 * folder. Borrows both. Errors and the end as vx_batch_run() has them. */
int vx_batch_run_in_server(vx_batch *batch, vx_server *server, vx_batch_end *ret_end, vx_err *err);
