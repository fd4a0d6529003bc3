/* pgvector.c — PostgreSQL with the extension vector, through libpq.
 *
 * Every call waits in poll() for a second at a time, so that a server that says nothing cannot hold up the
 * end of the process. Points travel as one JSON parameter, taken apart by the server: one statement is one
 * transaction. */
#include <errno.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "export/text.h"
#include "fetch/fetch.h"
#include "outside.h"

enum { PAGE = 2000, CONNECT_S = 15, ANSWER_S = 120 };

typedef struct pgvector {
    vx_outside outside; /* first */
    PGconn *connection;
} pgvector;

static pgvector *of(vx_outside *outside) {
    return VX_CONTAINER_OF(outside, pgvector, outside);
}

static int open_pgvector(vx_outside **ret_outside, vx_err *err) {
    pgvector *pg = vx_new(pgvector);
    if (!pg)
        return VX_FAIL(err, -ENOMEM, "no memory for a store");
    *ret_outside = &pg->outside;
    return 0;
}

static void disconnect(pgvector *pg) {
    PQfinish(pg->connection);
    pg->connection = NULL;
}

static void close_pgvector(vx_outside *outside) {
    disconnect(of(outside));
    free(of(outside));
}

/* ---- waiting ---- */

/* Waits until the socket can be read or written. */
static int wait_for(pgvector *pg, short events, int64_t until_us, vx_err *err) {
    for (;;) {
        struct pollfd fd = {.fd = PQsocket(pg->connection), .events = events};
        int n = poll(&fd, 1, 1000);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return VX_FAIL_ERRNO(err, "waiting for %.80s", pg->outside.url.host);
        if (pg->outside.cancelled && pg->outside.cancelled(pg->outside.ctx))
            return VX_FAIL(err, VX_OUTSIDE_AWAY, "cancelled");
        if (vx_clock_monotonic_us() > until_us)
            return VX_FAIL(err, VX_OUTSIDE_AWAY, "%.80s was too slow", pg->outside.url.host);
    }
}

/* ---- connecting ---- */

/* Without a verified certificate only private addresses are used; libpq then gets the very address. */
static int resolve(const vx_outside *outside, char ret_address[NI_MAXHOST], vx_err *err) {
    const vx_outside_url *url = &outside->url;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char host[sizeof url->host];
    snprintf(host, sizeof host, "%s", url->host[0] == '[' ? url->host + 1 : url->host);
    host[strcspn(host, "]")] = 0;
    int code = getaddrinfo(host, url->port, &hints, &found);
    if (code)
        return VX_FAIL(err, VX_OUTSIDE_AWAY, "%.80s: %s", url->host, gai_strerror(code));
    int rc = getnameinfo(found->ai_addr, found->ai_addrlen, ret_address, NI_MAXHOST, NULL, 0,
                         NI_NUMERICHOST)
                 ? VX_FAIL(err, VX_OUTSIDE_AWAY, "%.80s has no address", url->host)
                 : 0;
    if (!rc && strcmp(url->sslmode, "verify-full") != 0 && vx_fetch_is_public(found->ai_addr))
        rc = VX_FAIL(err, VX_OUTSIDE_UNFIT,
                     "%.80s has a public address: leave out sslmode, for its certificate must be "
                     "verified",
                     url->host);
    freeaddrinfo(found);
    return rc;
}

static int connect_to(pgvector *pg, vx_err *err) {
    const vx_outside_url *url = &pg->outside.url;
    char address[NI_MAXHOST];
    int rc = resolve(&pg->outside, address, err);
    if (rc)
        return rc;
    /* libpq knows the machine's certificates by this name from 16 on. */
    const char *ca_path = pg->outside.access.ca_path,
               *roots = ca_path                    ? ca_path
                        : PQlibVersion() >= 160000 ? "system"
                                                   : "/etc/ssl/certs/ca-certificates.crt";
    bool verified = !strcmp(url->sslmode, "verify-full") && (ca_path || !getenv("PGSSLROOTCERT"));
    const char *names[] = {"host",
                           "hostaddr",
                           "port",
                           "dbname",
                           "user",
                           "password",
                           "sslmode",
                           "application_name",
                           "tcp_user_timeout",
                           "sslrootcert",
                           NULL};
    const char *values[] = {url->host,
                            address,
                            url->port,
                            url->collection,
                            url->user[0] ? url->user : NULL,
                            pg->outside.key,
                            url->sslmode,
                            "vidx",
                            "60000",
                            verified ? roots : NULL,
                            NULL};
    pg->connection = PQconnectStartParams(names, values, 0);
    int64_t until_us = vx_clock_monotonic_us() + CONNECT_S * 1000000LL;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (pg->connection && PQstatus(pg->connection) != CONNECTION_BAD && !rc &&
           state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        rc = wait_for(pg, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, until_us, err);
        if (!rc)
            state = PQconnectPoll(pg->connection);
    }
    if (!rc && (!pg->connection || PQstatus(pg->connection) != CONNECTION_OK))
        rc = vx_outside_fail(&pg->outside,
                             PQconnectionNeedsPassword(pg->connection) ||
                                     PQconnectionUsedPassword(pg->connection)
                                 ? VX_OUTSIDE_UNFIT
                                 : VX_OUTSIDE_AWAY,
                             "does not connect", PQerrorMessage(pg->connection), err);
    if (!rc && PQsetnonblocking(pg->connection, 1))
        rc = VX_FAIL(err, -ENOMEM, "no memory for a connection");
    if (rc)
        disconnect(pg);
    return rc;
}

/* ---- statements ---- */

static int send_all(pgvector *pg, int64_t until_us, vx_err *err) {
    int left, rc = 0;
    while (!rc && (left = PQflush(pg->connection)) > 0) {
        rc = wait_for(pg, POLLIN | POLLOUT, until_us, err);
        if (!rc && !PQconsumeInput(pg->connection))
            break;
    }
    return rc;
}

/* The class of an SQLSTATE. */
static int judge(pgvector *pg, const PGresult *result, vx_err *err) {
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    int code = VX_OUTSIDE_AWAY;
    if (state && (!strncmp(state, "22", 2) || !strncmp(state, "23", 2) || !strncmp(state, "54", 2)))
        code = VX_OUTSIDE_REFUSED; /* the data */
    else if (state && (!strncmp(state, "42", 2) || !strncmp(state, "28", 2) ||
                       !strncmp(state, "0A", 2) || !strncmp(state, "58", 2)))
        code = VX_OUTSIDE_UNFIT; /* rights, and what does not exist */
    int rc = vx_outside_fail(&pg->outside, code, "answers",
                             text ? text : PQerrorMessage(pg->connection), err);
    if (!state || code == VX_OUTSIDE_AWAY)
        disconnect(pg);
    return rc;
}

/* The next result, once all of it is here: PQgetResult alone would wait for as long as the server likes. NULL:
 * there is no more. */
static int next_result(pgvector *pg, int64_t until_us, PGresult **ret_result, vx_err *err) {
    int rc = 0;
    while (!rc && PQisBusy(pg->connection)) {
        rc = wait_for(pg, POLLIN, until_us, err);
        if (!rc && !PQconsumeInput(pg->connection))
            break; /* PQgetResult then says why */
    }
    *ret_result = rc ? NULL : PQgetResult(pg->connection);
    return rc;
}

/* Runs one statement. ret_result: NULL, or gives it (PQclear). */
static int run(pgvector *pg, const char *sql, const char *param, PGresult **ret_result,
               vx_err *err) {
    int rc = pg->connection ? 0 : connect_to(pg, err);
    if (rc)
        return rc;
    int64_t until_us = vx_clock_monotonic_us() + ANSWER_S * 1000000LL;
    if (!PQsendQueryParams(pg->connection, sql, param ? 1 : 0, NULL, &param, NULL, NULL, 0))
        return judge(pg, NULL, err);
    PGresult *result = NULL, *more = NULL;
    rc = send_all(pg, until_us, err);
    if (!rc)
        rc = next_result(pg, until_us, &result, err);
    if (rc) {
        disconnect(pg);
        return rc;
    }
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        rc = judge(pg, result, err);
    if (pg->connection) { /* one statement has one result; then the connection is free again */
        vx_err why;
        int end = next_result(pg, until_us, &more, &why);
        if (!end && more)
            end = VX_FAIL(&why, VX_OUTSIDE_AWAY, "%.80s answers one statement with two results",
                          pg->outside.url.host);
        PQclear(more);
        if (end)
            disconnect(pg);
        if (end && !rc) {
            *err = why;
            rc = end;
        }
    }
    if (!rc && ret_result)
        *ret_result = result;
    else
        PQclear(result);
    return rc;
}

/* The table's name is letters, digits and _ (outside.c). */
static int run_for_table(pgvector *pg, const char *before, const char *after, const char *param,
                         PGresult **ret_result, vx_err *err) {
    VX_AUTO_STRING sql = {0};
    vx_string_add(&sql, "%s \"%s\"%s", before, pg->outside.url.table, after);
    return sql.failed ? VX_FAIL(err, -ENOMEM, "no memory for a statement")
                      : run(pg, sql.text, param, ret_result, err);
}

static int check_dim(pgvector *pg, vx_err *err) {
    VX_AUTO_STRING name = {0};
    PGresult *result = NULL;
    vx_string_add(&name, "\"%s\"", pg->outside.url.table);
    int rc = name.failed ? VX_FAIL(err, -ENOMEM, "no memory for a statement")
                         : run(pg,
                               "SELECT a.atttypmod FROM pg_attribute a JOIN pg_type t"
                               " ON t.oid = a.atttypid WHERE a.attrelid = $1::regclass AND"
                               " a.attname = 'embedding' AND t.typname = 'vector'",
                               name.text, &result, err);
    int dim = !rc && PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    char text[96];
    snprintf(text, sizeof text, "its embedding has %d dimensions, those of the model %d", dim,
             pg->outside.dim);
    return rc || dim == pg->outside.dim ? rc
                                        : vx_outside_fail(&pg->outside, VX_OUTSIDE_UNFIT,
                                                          "has a table of that name", text, err);
}

static int ensure(vx_outside *outside, vx_err *err) {
    pgvector *pg = of(outside);
    char columns[400];
    strcpy(outside->version, "PostgreSQL, pgvector");
    snprintf(columns, sizeof columns,
             " (id text COLLATE \"C\" PRIMARY KEY, video text NOT NULL, clip integer NOT NULL,"
             " start_s double precision NOT NULL, end_s double precision NOT NULL,"
             " filename text NOT NULL, metadata jsonb NOT NULL, digest text NOT NULL,"
             " embedding vector(%d) NOT NULL)",
             outside->dim);
    int rc = run(pg, "SET client_min_messages = warning", NULL, NULL, err);
    if (!rc)
        rc = run(pg, "CREATE EXTENSION IF NOT EXISTS vector", NULL, NULL, err);
    if (!rc)
        rc = run_for_table(pg, "CREATE TABLE IF NOT EXISTS", columns, NULL, NULL, err);
    return rc ? rc : check_dim(pg, err);
}

/* ---- points ---- */

static int upsert(vx_outside *outside, const vx_point *points, size_t n, vx_err *err) {
    VX_AUTO_STRING rows = {0};
    vx_string_add(&rows, "[");
    for (size_t i = 0; i < n; i++) {
        const vx_point *point = &points[i];
        vx_string_add(&rows,
                      "%s{\"id\":\"%s\",\"video\":\"%s\",\"clip\":%d,\"start_s\":", i ? "," : "",
                      point->id, point->video, point->clip);
        vx_string_double(&rows, point->start_s);
        vx_string_add(&rows, ",\"end_s\":");
        vx_string_double(&rows, point->end_s);
        vx_string_add(&rows, ",\"filename\":");
        vx_string_json(&rows, point->filename);
        vx_string_add(&rows, ",\"metadata\":%s,\"digest\":\"%s\",\"embedding\":", point->metadata,
                      point->digest);
        vx_string_vector(&rows, point->vector, outside->dim);
        vx_string_add(&rows, "}");
    }
    vx_string_add(&rows, "]");
    if (rows.failed)
        return VX_FAIL(err, -ENOMEM, "no memory for a statement");
    return run_for_table(
        of(outside), "INSERT INTO",
        " (id, video, clip, start_s, end_s, filename, metadata, digest, embedding)"
        " SELECT id, video, clip, start_s, end_s, filename, metadata, digest, embedding"
        " FROM json_to_recordset($1::json) AS r (id text, video text, clip integer,"
        " start_s double precision, end_s double precision, filename text, metadata jsonb,"
        " digest text, embedding vector)"
        " ON CONFLICT (id) DO UPDATE SET video = excluded.video, clip = excluded.clip,"
        " start_s = excluded.start_s, end_s = excluded.end_s, filename = excluded.filename,"
        " metadata = excluded.metadata, digest = excluded.digest, embedding = excluded.embedding",
        rows.text, NULL, err);
}

static int remove_points(vx_outside *outside, const char (*ids)[VX_CLIP_ID_CHARS + 1], size_t n,
                         vx_err *err) {
    VX_AUTO_STRING list = {0};
    for (size_t i = 0; i < n; i++)
        vx_string_add(&list, "%c%s", i ? ',' : '{', ids[i]);
    vx_string_add(&list, "}");
    return list.failed ? VX_FAIL(err, -ENOMEM, "no memory for a statement")
                       : run_for_table(of(outside), "DELETE FROM", " WHERE id = ANY ($1::text[])",
                                       list.text, NULL, err);
}

static int list(vx_outside *outside, vx_outside_on_point on_point, void *ctx, vx_err *err) {
    char last[512] = "";
    int n = PAGE, rc = 0;
    while (n == PAGE && !rc) {
        PGresult *page = NULL;
        rc = run_for_table(of(outside), "SELECT id, left(digest, 32) FROM",
                           " WHERE id > $1 AND length(id) < 128 ORDER BY id LIMIT 2000", last,
                           &page, err);
        n = rc ? 0 : PQntuples(page);
        for (int i = 0; i < n && !rc; i++) {
            const char *id = PQgetvalue(page, i, 0);
            if (PQnfields(page) != 2 || strlen(id) >= sizeof last || strcmp(id, last) <= 0)
                rc = vx_outside_fail(outside, VX_OUTSIDE_AWAY, "lists its rows",
                                     "not in order of their ids", err);
            else
                rc = on_point(ctx, id, PQgetvalue(page, i, 1), err);
            if (!rc)
                snprintf(last, sizeof last, "%s", id);
        }
        PQclear(page);
    }
    return rc;
}

const vx_outside_kind vx_outside_pgvector = {
    .name = "pgvector",
    .max_points = 500,
    .max_metadata = 1 << 20,
    .open = open_pgvector,
    .ensure = ensure,
    .upsert = upsert,
    .remove = remove_points,
    .list = list,
    .close = close_pgvector,
};
