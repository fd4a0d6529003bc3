/* dispatch.h — drives a request: the callbacks that libmicrohttpd calls.
 *
 * For each request: check where it comes from, find its route, read its query and body, run the
 * route, send the reply, log and count it. Threads: the daemon's threads.
 */
#pragma once

#include <microhttpd.h>
#include <stddef.h>

/* The first argument of each is the struct vx_http. */

/* MHD_OPTION_URI_LOG_CALLBACK: the request line has been read. */
void *vx_dispatch_on_uri(void *http, const char *uri, struct MHD_Connection *connection);
/* The access handler: headers, then the body piece by piece, then its end, and once per wake. */
enum MHD_Result vx_dispatch_on_call(void *http, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *bytes,
                                    size_t *n, void **slot);
/* MHD_OPTION_NOTIFY_COMPLETED: the request has ended, answered or not. */
void vx_dispatch_on_end(void *http, struct MHD_Connection *connection, void **slot,
                        enum MHD_RequestTerminationCode code);
