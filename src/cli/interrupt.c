/* interrupt.c — SIGINT and SIGTERM set a flag. */
#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>

static atomic_bool interrupted;

static void on_signal(int number) {
    (void)number;
    atomic_store(&interrupted, true);
}

void vx_interrupt_catch(void) {
    const struct sigaction action = {.sa_handler = on_signal,
                                     .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool vx_interrupted(void) {
    return atomic_load(&interrupted);
}
