/* cli.h — one function per subcommand; argv[0] is its name. Each returns the process's exit code: 0
 * done, 1 failed (check: problems are left), 2 wrong usage; embed and dedup also 3 (done, but some videos were
 * skipped); embed, cluster and dedup 130 (interrupted). */
#pragma once

#define VX_DEFAULT_MODEL "efficientnet-lite0" /* of vidx embed and vidx dedup */

/* --help texts of options that several subcommands have. */
#define VX_DEVICE_HELP "auto, cpu, cuda:N, several as cuda:0,cuda:1, or all for all GPUs"
#define VX_MODELS_HELP                                                                             \
    "folder of the model packages (default: the first that has one of models, ../models and "      \
    "../../models beside the program, ~/.local/share/vidx/models, /usr/share/vidx/models)"
#define VX_CLIP_HELP                                                                               \
    "which clips to make of a video: auto, whole, fixed:10 (10-second pieces), shots (one per "    \
    "camera shot); details: README, Clips"
#define VX_FINGERPRINTS_HELP                                                                       \
    "frames to recognise copies by: full (two a second), frames (those decoded for the model, "    \
    "and "                                                                                         \
    "key frames: faster, finds fewer), off (no copies are recognised)"
#define VX_STORE_KEYS_HELP                                                                         \
    "file with the credentials of stores, lines of HOST[:PORT] KEY, without PORT "                 \
    "for the default port; else, for that port, the variable VIDX_STORE_KEY_<HOST> is taken, "     \
    "with "                                                                                        \
    "_ for dots and dashes"
#define VX_STORE_FOLDER_HELP                                                                       \
    "folder below which files://NAME/FOLDER keeps the collection as files of FAISS, NumPy or "     \
    "Parquet"
#define VX_STORE_CA_HELP                                                                           \
    "file with the certificates (PEM) that vouch for stores, in place of the machine's"

int vx_command_serve(int argc, char **argv);
int vx_command_check(int argc, char **argv);
int vx_command_backup(int argc, char **argv);
int vx_command_restore(int argc, char **argv);
int vx_command_sync(int argc, char **argv);
int vx_command_embed(int argc, char **argv);
int vx_command_dedup(int argc, char **argv);
int vx_command_cluster(int argc, char **argv);
int vx_command_export(int argc, char **argv);
int vx_command_import(int argc, char **argv);
