/* housekeeper.h — forgets what nobody needs any more: finished jobs, a week after their end, and the
 * vectors that were given up (spaces.h).
 *
 * One thread that wakes every hour, once at start, and when asked. Threads: start and stop from main.
 */
#pragma once

#include "server/server.h"

int vx_housekeeper_start(vx_server *server, vx_err *err);
void vx_housekeeper_wake(vx_server *server); /* any thread, from start to free */
void vx_housekeeper_stop(vx_server *server); /* before the committer stops */
void vx_housekeeper_free(vx_server *server); /* after it: the committer wakes it */
