/* db.c — connections, prepared statements, and SQLite's codes as ours. */
#include "db.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 16 KiB pages hold three 1280-d or five 768-d vectors with 6 % lost. 32 and 64 KiB scan no faster
 * (4.3 GB/s from the page cache on two cores, all three) and write two and four times the bytes per
 * commit. No mmap: it gained 20 % warm and nothing cold, and a read error would be a SIGBUS.
 *
 * The log is folded into the file every 4000 pages (64 MiB), some 500 commits of one video. */
static const char common_setup[] = "PRAGMA busy_timeout = 10000;"
                                   "PRAGMA foreign_keys = ON;"
                                   "PRAGMA recursive_triggers = OFF;"
                                   "PRAGMA cell_size_check = ON;"
                                   "PRAGMA temp_store = MEMORY;";
static const char *const role_setup[] = {
    [VX_DB_WRITER] = "PRAGMA page_size = 16384;"
                     "PRAGMA synchronous = FULL;"
                     "PRAGMA wal_autocheckpoint = 4000;"
                     "PRAGMA journal_size_limit = 134217728;"
                     "PRAGMA secure_delete = FAST;"
                     "PRAGMA cache_size = -65536;",
    [VX_DB_READER] = "PRAGMA query_only = ON; PRAGMA cache_size = -8192;",
    [VX_DB_SCANNER] = "PRAGMA query_only = ON; PRAGMA cache_size = -2048;",
};

static int errno_of(vx_db *db, int sqlite_code) {
    int system = db->handle ? sqlite3_system_errno(db->handle) : 0;
    switch (sqlite_code & 0xFF) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_IOERR:
        return system == ENOSPC || system == EDQUOT || system == EFBIG ? ENOSPC : EIO;
    case SQLITE_CANTOPEN:
        return system ? system : EIO;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_MISUSE:
        return EINVAL;
    default:
        return EIO;
    }
}

/* What was read is wrong or cannot be read; a write that failed says nothing about what is stored. */
static bool is_damage(int sqlite_code) {
    int kind = sqlite_code & 0xFF;
    return kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || sqlite_code == SQLITE_IOERR_READ ||
           sqlite_code == SQLITE_IOERR_SHORT_READ || sqlite_code == SQLITE_IOERR_DATA ||
           sqlite_code == SQLITE_IOERR_CORRUPTFS;
}

static int fail(vx_db *db, int sqlite_code, vx_err *err) {
    const char *text = db->handle && sqlite_code != SQLITE_MISUSE && sqlite_code != SQLITE_TOOBIG
                           ? sqlite3_errmsg(db->handle)
                           : sqlite3_errstr(sqlite_code);
    if (is_damage(sqlite_code))
        vx_health_note(db->health, text);
    return VX_FAIL(err, -errno_of(db, sqlite_code), "catalog: %s", text);
}

/* Else each allocation takes a lock that all threads share, to be counted; nobody asks for the count. */
static void configure(void) {
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int vx_db_open(vx_db *db, const char *path, vx_db_role role, vx_err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
    *db = (vx_db){0};
    int sqlite_code = sqlite3_open_v2(path, &db->handle,
                                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                          (role == VX_DB_WRITER ? SQLITE_OPEN_CREATE : 0),
                                      NULL);
    if (sqlite_code)
        return fail(db, sqlite_code, err);
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite_code = sqlite3_exec(db->handle, common_setup, NULL, NULL, NULL);
    if (!sqlite_code)
        sqlite_code = sqlite3_exec(db->handle, role_setup[role], NULL, NULL, NULL);
    return sqlite_code ? fail(db, sqlite_code, err) : 0;
}

void vx_db_close(vx_db *db) {
    for (int i = 0; i < db->n_statements; i++)
        sqlite3_finalize(db->statements[i].stmt);
    sqlite3_close(db->handle);
    *db = (vx_db){0};
}

/* ---- Statements ---- */

static int find_or_prepare(vx_db *db, const char *sql, sqlite3_stmt **ret_stmt) {
    for (int i = 0; i < db->n_statements; i++) {
        if (db->statements[i].sql == sql) {
            *ret_stmt = db->statements[i].stmt;
            return SQLITE_OK;
        }
    }
    if (db->n_statements == VX_DB_STATEMENTS)
        return SQLITE_MISUSE;
    int sqlite_code =
        sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);
    if (sqlite_code)
        return sqlite_code;
    db->statements[db->n_statements].sql = sql;
    db->statements[db->n_statements++].stmt = *ret_stmt;
    return SQLITE_OK;
}

vx_sql vx_sql_begin(vx_db *db, const char *sql_literal) {
    vx_sql q = {.db = db, .was_in_transaction = vx_db_in_transaction(db)};
    q.sqlite_code = find_or_prepare(db, sql_literal, &q.stmt);
    return q;
}

void vx_sql_end(vx_sql *q) {
    if (!q->stmt)
        return;
    sqlite3_reset(q->stmt);
    sqlite3_clear_bindings(q->stmt);
}

void vx_sql_bind_int(vx_sql *q, int64_t value) {
    if (!q->sqlite_code)
        q->sqlite_code = sqlite3_bind_int64(q->stmt, ++q->n_bound, value);
}

void vx_sql_bind_real(vx_sql *q, double value) {
    if (!q->sqlite_code)
        q->sqlite_code = isnan(value) ? sqlite3_bind_null(q->stmt, ++q->n_bound)
                                      : sqlite3_bind_double(q->stmt, ++q->n_bound, value);
}

void vx_sql_bind_text(vx_sql *q, const char *text) {
    if (!q->sqlite_code)
        q->sqlite_code = sqlite3_bind_text(q->stmt, ++q->n_bound, text, -1, SQLITE_STATIC);
}

void vx_sql_bind_blob(vx_sql *q, const void *data, size_t bytes) {
    if (!q->sqlite_code) /* an empty blob must not become NULL */
        q->sqlite_code =
            bytes ? sqlite3_bind_blob64(q->stmt, ++q->n_bound, data, bytes, SQLITE_STATIC)
                  : sqlite3_bind_zeroblob(q->stmt, ++q->n_bound, 0);
}

int vx_sql_next(vx_sql *q, vx_err *err) {
    int sqlite_code = q->sqlite_code;
    if (!sqlite_code) {
        sqlite_code = sqlite3_step(q->stmt);
        q->n_read = 0;
        if (sqlite_code == SQLITE_ROW)
            return 1;
        if (sqlite_code == SQLITE_DONE)
            return 0;
    }
    int rc = fail(q->db, sqlite_code, err);
    if (q->was_in_transaction && !vx_db_in_transaction(q->db))
        q->db->lost_transaction = rc;
    return rc;
}

int vx_sql_run(vx_sql *q, vx_err *err) {
    int rc = vx_sql_next(q, err);
    return rc > 0 ? VX_FAIL(err, -EINVAL, "catalog: a row where none was expected") : rc;
}

int vx_db_run(vx_db *db, const char *sql_literal, vx_err *err) {
    __attribute__((cleanup(vx_sql_end))) vx_sql q = vx_sql_begin(db, sql_literal);
    return vx_sql_run(&q, err);
}

bool vx_db_in_transaction(const vx_db *db) {
    return !sqlite3_get_autocommit(db->handle);
}

/* ---- Columns ---- */

int64_t vx_sql_int(vx_sql *q) {
    return sqlite3_column_int64(q->stmt, q->n_read++);
}

bool vx_sql_int_or_null(vx_sql *q, int64_t *ret_value) {
    int column = q->n_read++;
    if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
        return false;
    *ret_value = sqlite3_column_int64(q->stmt, column);
    return true;
}

double vx_sql_real(vx_sql *q) {
    int column = q->n_read++;
    return sqlite3_column_type(q->stmt, column) == SQLITE_NULL
               ? (double)NAN
               : sqlite3_column_double(q->stmt, column);
}

char *vx_sql_text(vx_sql *q, bool *oom) {
    int column = q->n_read++;
    if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
        return NULL;
    const unsigned char *text = sqlite3_column_text(q->stmt, column);
    char *copy = text ? strdup((const char *)text) : NULL;
    if (!copy)
        *oom = true;
    return copy;
}

void vx_sql_text_into(vx_sql *q, char *buffer, size_t capacity) {
    const unsigned char *text = sqlite3_column_text(q->stmt, q->n_read++);
    size_t n = text ? strnlen((const char *)text, capacity - 1) : 0;
    memcpy(buffer, text ? (const char *)text : "", n);
    buffer[n] = '\0';
}

const void *vx_sql_blob(vx_sql *q, size_t *ret_bytes) {
    int column = q->n_read++;
    const void *data = sqlite3_column_blob(q->stmt, column);
    *ret_bytes = (size_t)sqlite3_column_bytes(q->stmt, column);
    return data;
}
