/* err.h — how vidx functions report failure.
 *
 * Every function that can fail returns int and takes a `vx_err *err` as its last parameter:
 *   0    success; *err is unspecified and must be ignored
 *   < 0  -errno: our fault or the machine's; callers forward it untouched
 *   > 0  an outcome listed in the function's header; the direct caller handles it
 *
 * The struct lives on the caller's stack (no allocation, no thread-local), so a message survives a
 * hop between threads by plain copy. `err` may be NULL where the caller does not want the text.
 * Threads: any; one vx_err belongs to one thread at a time.
 */
#pragma once

/* Where each module's outcomes (positive codes) begin, so that no two modules share one: a code that
 * reached the wrong caller is then recognised as one that nobody handled (vx_outcome_of_error). */
enum vx_codes {
    VX_CODES_STORE = 100,
    VX_CODES_FETCH = 200,
    VX_CODES_MEDIA = 300,
    VX_CODES_CLIP = 400,
    VX_CODES_SHOTS = 420,
    VX_CODES_PREPROCESS = 500,
    VX_CODES_TORCH = 600,
    VX_CODES_EMBED = 700,
    VX_CODES_CATALOG = 800,
    VX_CODES_JOBS = 900,
    VX_CODES_CUTTER = 1000,
    VX_CODES_OPTIONS = 1100,
    VX_CODES_FILTER = 1200,
    VX_CODES_DEDUP = 1300,
    VX_CODES_CLUSTER = 1400,
    VX_CODES_IMPORT = 1500,
    VX_CODES_BACKUP = 1600,
    VX_CODES_STORES = 1700,
    VX_CODES_VERDICT = 1800,
    VX_CODES_FOLDERS = 2000,
    VX_CODES_PARQUET = 2100,
};

typedef struct vx_err {
    int code;         /* the value the failing function returned */
    const char *func; /* static string: where it was first reported */
    int line;
    char msg[512]; /* one UTF-8 sentence for a person: what, with which item, what to do; one
                    that is too long has "…" for its middle */
} vx_err;

/* Fills *err and returns code, so that a failure is one statement: return VX_FAIL(err, -EIO, …). */
#define VX_FAIL(err, code, ...) vx_err_set((err), (code), __func__, __LINE__, __VA_ARGS__)

/* Puts context before an existing message ("opening the catalog: …"). Gives no code, as err may be
 * NULL: the caller returns the one it has. */
#define VX_WRAP(err, ...) vx_err_wrap((err), __VA_ARGS__)

int vx_err_set(vx_err *err, int code, const char *func, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void vx_err_wrap(vx_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As VX_FAIL with ": <strerror(errno_value)>" behind the text; returns -errno_value. */
int vx_err_errno(vx_err *err, int errno_value, const char *func, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
#define VX_FAIL_ERRNO(err, ...) vx_err_errno((err), errno, __func__, __LINE__, __VA_ARGS__)
