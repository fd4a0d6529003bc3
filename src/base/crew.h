/* crew.h — one call's work spread over threads that live as long as the call.
 *
 * Starting a thread takes some 30 µs, so a piece should take longer. Threads: any caller; the caller's thread
 * works too.
 */
#pragma once

#include <stddef.h>

/* Runs piece(ctx, 0) to piece(ctx, n - 1), each once, on up to `threads` threads of that name; returns when all
 * have ended. A thread that cannot be started is done without. */
void vx_crew_run(const char *name, int threads, size_t n, void (*piece)(void *ctx, size_t i),
                 void *ctx);
