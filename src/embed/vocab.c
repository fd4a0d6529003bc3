/* vocab.c — vocab.txt to a trie.
 *
 * The lines are sorted, so that those which begin alike lie together; a node is a range of them.
 * Nodes are made breadth first, which puts the children of one node side by side: a node needs
 * only the first and their number, and a step is one memchr over their labels.
 */
#include "vocab.h"

#include <errno.h>
#include <string.h>
#include <utf8proc.h>

#include "embed.h"

typedef struct node {
    uint32_t first_child; /* 0 when there are none: the root is nobody's child */
    int32_t id;           /* -1: no token ends here */
} node;

struct vx_vocab {
    node *nodes;     /* [n_nodes], the root first; one more, to end the last one's children */
    uint8_t *labels; /* [n_nodes]: the byte that leads to the node */
    uint32_t n_nodes;
    uint32_t
        inside; /* the node of "##", from which pieces inside a word begin; 0: there are none */
};

typedef struct token {
    const char *text; /* borrows */
    uint32_t n_bytes;
    int32_t id;
} token;

/* ---- lines ------------------------------------------------------------------------------------*/

static bool is_utf8(const char *text, size_t n_bytes) {
    utf8proc_int32_t c;
    for (size_t at = 0; at < n_bytes;) {
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                              (utf8proc_ssize_t)(n_bytes - at), &c);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static int read_line(const char *line, size_t n_bytes, int32_t id, token *ret_token, vx_err *err) {
    if (n_bytes > 0 && line[n_bytes - 1] == '\r')
        n_bytes--;
    const char *problem = n_bytes == 0                         ? "is empty"
                          : n_bytes > VX_VOCAB_MAX_TOKEN_BYTES ? "is too long for a token"
                          : !is_utf8(line, n_bytes)            ? "is not UTF-8"
                                                               : NULL;
    if (problem)
        return VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "line %d %s", id + 1, problem);
    *ret_token = (token){.text = line, .n_bytes = (uint32_t)n_bytes, .id = id};
    return 0;
}

static int read_lines(const char *text, size_t n_bytes, token *ret_tokens, vx_err *err) {
    int32_t id = 0;
    for (const char *line = text, *end = text + n_bytes; line < end; id++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        int rc = read_line(line, (size_t)((stop ? stop : end) - line), id, &ret_tokens[id], err);
        if (rc)
            return rc;
        line = stop ? stop + 1 : end;
    }
    return 0;
}

static size_t count_lines(const char *text, size_t n_bytes) {
    size_t n = n_bytes > 0 && text[n_bytes - 1] != '\n';
    for (size_t i = 0; i < n_bytes; i++)
        n += text[i] == '\n';
    return n;
}

static int compare_tokens(const void *a_, const void *b_) {
    const token *a = a_, *b = b_;
    int order = memcmp(a->text, b->text, a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes);
    if (order)
        return order;
    if (a->n_bytes != b->n_bytes)
        return a->n_bytes < b->n_bytes ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static size_t n_bytes_in_common(const token *a, const token *b) {
    size_t n = 0;
    while (n < a->n_bytes && n < b->n_bytes && a->text[n] == b->text[n])
        n++;
    return n;
}

/* ---- the trie ---------------------------------------------------------------------------------*/

/* The sorted tokens [low, high) share their first `depth` bytes: they hang under one node. */
typedef struct branch {
    uint32_t low, high, depth;
} branch;

/* Appends the children of node i to the vocabulary's nodes and to `branches`. */
static void add_children(vx_vocab *vocab, branch *branches, const token *tokens, uint32_t i) {
    branch b = branches[i];
    vocab->nodes[i].id = tokens[b.low].n_bytes == b.depth ? tokens[b.low++].id : -1;
    vocab->nodes[i].first_child = vocab->n_nodes;
    while (b.low < b.high) {
        uint32_t next = b.low + 1;
        uint8_t label = (uint8_t)tokens[b.low].text[b.depth];
        while (next < b.high && (uint8_t)tokens[next].text[b.depth] == label)
            next++;
        vocab->labels[vocab->n_nodes] = label;
        branches[vocab->n_nodes++] = (branch){b.low, next, b.depth + 1};
        b.low = next;
    }
}

/* From sorted tokens without duplicates, n >= 1. */
static int build(vx_vocab *vocab, const token *tokens, size_t n, vx_err *err) {
    size_t n_nodes = 1;
    for (size_t i = 0; i < n; i++)
        n_nodes += tokens[i].n_bytes - (i ? n_bytes_in_common(&tokens[i - 1], &tokens[i]) : 0);
    VX_AUTO_FREE branch *branches = vx_new_array(n_nodes, sizeof *branches);
    vocab->nodes = vx_new_array(n_nodes + 1, sizeof *vocab->nodes);
    vocab->labels = vx_new_array(n_nodes, 1);
    if (!branches || !vocab->nodes || !vocab->labels)
        return VX_FAIL(err, -ENOMEM, "no memory for a vocabulary of %zu tokens", n);
    branches[0] = (branch){0, (uint32_t)n, 0};
    vocab->n_nodes = 1;
    for (uint32_t i = 0; i < vocab->n_nodes; i++)
        add_children(vocab, branches, tokens, i);
    vocab->nodes[vocab->n_nodes] = (node){.first_child = vocab->n_nodes, .id = -1};
    return 0;
}

/* The child of node i over a byte; 0 when there is none. */
static uint32_t step(const vx_vocab *vocab, uint32_t i, uint8_t byte) {
    uint32_t first = vocab->nodes[i].first_child, end = vocab->nodes[i + 1].first_child;
    const uint8_t *found = memchr(vocab->labels + first, byte, end - first);
    return found ? (uint32_t)(found - vocab->labels) : 0;
}

static uint32_t walk(const vx_vocab *vocab, const char *text) {
    uint32_t i = 0;
    do
        i = step(vocab, i, (uint8_t)*text++);
    while (i && *text);
    return i;
}

int vx_vocab_new(const char *text, size_t n_bytes, vx_vocab **ret_vocab, vx_err *err) {
    if (n_bytes == 0 || n_bytes > VX_VOCAB_MAX_BYTES)
        return VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "has %zu bytes, not 1 to %d", n_bytes,
                       VX_VOCAB_MAX_BYTES);
    size_t n = count_lines(text, n_bytes);
    VX_AUTO_FREE token *tokens = vx_new_array(n, sizeof *tokens);
    VX_AUTO(vx_vocab) vocab = vx_new(vx_vocab);
    if (!tokens || !vocab)
        return VX_FAIL(err, -ENOMEM, "no memory for a vocabulary of %zu tokens", n);
    int rc = read_lines(text, n_bytes, tokens, err);
    if (rc)
        return rc;
    qsort(tokens, n, sizeof *tokens, compare_tokens);
    for (size_t i = 1; i < n; i++)
        if (tokens[i].n_bytes == tokens[i - 1].n_bytes &&
            n_bytes_in_common(&tokens[i - 1], &tokens[i]) == tokens[i].n_bytes)
            return VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "line %d repeats line %d: '%.*s'",
                           tokens[i].id + 1, tokens[i - 1].id + 1, (int)tokens[i].n_bytes,
                           tokens[i].text);
    if ((rc = build(vocab, tokens, n, err)))
        return rc;
    vocab->inside = walk(vocab, "##");
    *ret_vocab = vx_take(vocab);
    return 0;
}

vx_vocab *vx_vocab_free(vx_vocab *vocab) {
    if (!vocab)
        return NULL;
    free(vocab->nodes);
    free(vocab->labels);
    free(vocab);
    return NULL;
}

int32_t vx_vocab_find(const vx_vocab *vocab, const char *token_text) {
    uint32_t i = walk(vocab, token_text);
    return i ? vocab->nodes[i].id : -1;
}

size_t vx_vocab_split(const vx_vocab *vocab, const char *word, size_t n_bytes, int32_t *ret_ids) {
    size_t n = 0, start = 0;
    while (start < n_bytes) {
        uint32_t i = n == 0 ? 0 : vocab->inside;
        if (n > 0 && i == 0)
            return 0;
        size_t end = start;
        for (size_t at = start; at < n_bytes && (i = step(vocab, i, (uint8_t)word[at])); at++)
            if (vocab->nodes[i].id >= 0) {
                ret_ids[n] = vocab->nodes[i].id;
                end = at + 1;
            }
        if (end == start)
            return 0;
        start = end;
        n++;
    }
    return n;
}
