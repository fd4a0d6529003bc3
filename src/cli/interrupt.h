/* interrupt.h — SIGINT and SIGTERM, for commands that end their work in order (private to cli/).
 *
 * Threads: catch on main; interrupted anywhere.
 */
#pragma once

#include <stdbool.h>

#define VX_EXIT_INTERRUPTED 130 /* as a shell says of a program that SIGINT ended */

/* From now on the first signal only makes vx_interrupted() true. A second one ends the process, which
 * loses nothing that is stored. */
void vx_interrupt_catch(void);
bool vx_interrupted(void);
