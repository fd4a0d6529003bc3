/* housekeeper.h — forgets what nobody needs any more: finished jobs, a week after their end.
 *
 * One thread that wakes every hour, and once at start. Threads: start and stop from main.
 */
#pragma once

#include "server.h"

int vx_housekeeper_start(vx_server *server, vx_err *err);
void vx_housekeeper_stop(vx_server *server); /* before the committer stops */
