/* db.h — one SQLite connection and its statements (private: only this folder includes sqlite3.h).
 *
 *   VX_SQL(q, db, "SELECT row, filename FROM videos WHERE id = ?");
 *   vx_sql_bind_text(&q, id);
 *   while ((rc = vx_sql_next(&q, err)) > 0) {
 *       int64_t row = vx_sql_int(&q); char *name = vx_sql_text(&q); …
 *
 * Parameters are bound and columns are read from left to right. Statements are prepared once per
 * connection and found again by the address of their text, so the SQL stands in the function that
 * runs it. At the end of the scope a statement is reset and its bindings are cleared.
 *
 * Threads  a connection belongs to one thread at a time (opened without SQLite's own mutex)
 * Errs     -ENOSPC, -ENOMEM, -EBUSY, -EROFS, -EINVAL (a constraint), -EIO, with SQLite's own text
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "health.h"

#define VX_DB_STATEMENTS 256 /* more than the folder has */

typedef struct vx_db {
    sqlite3 *handle;
    struct {
        const char *sql; /* borrows: a string literal */
        sqlite3_stmt *stmt;
    } statements[VX_DB_STATEMENTS];
    int n_statements;
    /* SQLite gives up a whole transaction by itself on some failures (disk full, out of memory).
     * What follows would then run, and be committed, statement by statement: so a transaction that
     * was open when a statement failed and is not any more is remembered here, 0 = none. */
    int lost_transaction;
    vx_health *health; /* borrows, or NULL: told when a read meets damage */
} vx_db;

typedef enum vx_db_role { VX_DB_WRITER, VX_DB_READER, VX_DB_SCANNER } vx_db_role;

/* Opens path; *db is zeroed first and safe to close whatever happens. */
int vx_db_open(vx_db *db, const char *path, vx_db_role role, vx_err *err);
void vx_db_close(vx_db *db);

typedef struct vx_sql {
    vx_db *db;
    sqlite3_stmt *stmt;
    int sqlite_code; /* of preparing and binding: vx_sql_next reports it */
    int n_bound, n_read;
    bool was_in_transaction;
} vx_sql;
vx_sql vx_sql_begin(vx_db *db, const char *sql_literal);
void vx_sql_end(vx_sql *q);
#define VX_SQL(name, db, sql_literal)                                                              \
    __attribute__((cleanup(vx_sql_end))) vx_sql name = vx_sql_begin((db), "" sql_literal)

/* All borrow until the end of the query's scope. NULL text and NaN are stored as NULL. */
void vx_sql_bind_int(vx_sql *q, int64_t value);
void vx_sql_bind_real(vx_sql *q, double value);
void vx_sql_bind_text(vx_sql *q, const char *text);
void vx_sql_bind_blob(vx_sql *q, const void *data, size_t bytes);

/* 1 = a row is there, 0 = no more, or < 0. */
int vx_sql_next(vx_sql *q, vx_err *err);
/* For statements that give no rows. */
int vx_sql_run(vx_sql *q, vx_err *err);
int vx_db_run(vx_db *db, const char *sql_literal, vx_err *err);
bool vx_db_in_transaction(const vx_db *db);

int64_t vx_sql_int(vx_sql *q);
bool vx_sql_int_or_null(vx_sql *q, int64_t *ret_value); /* false for NULL */
double vx_sql_real(vx_sql *q);                          /* NULL is NaN */
/* Gives malloc'ed text; NULL for NULL. *oom is set, never cleared, when memory is out. */
char *vx_sql_text(vx_sql *q, bool *oom);
/* Copies, cut to the buffer; "" for NULL. */
void vx_sql_text_into(vx_sql *q, char *buffer, size_t capacity);
/* Borrowed until the next vx_sql_next; NULL when empty. */
const void *vx_sql_blob(vx_sql *q, size_t *ret_bytes);
