/* cli.h — one function per subcommand; argv[0] is its name. Each returns the process's exit
 * code: 0 done, 1 failed (check: problems are left), 2 wrong usage; embed also 3: done, but some videos
 * could not be read. */
#pragma once

#include <stdbool.h>

int vx_command_serve(int argc, char **argv);
int vx_command_check(int argc, char **argv);
int vx_command_embed(int argc, char **argv);
