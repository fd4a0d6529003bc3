#include "parquet_private.h"

#include <string.h>

void vx_buffer_append(vx_buffer *buffer, const void *bytes, size_t n) {
    size_t wanted;
    if (buffer->failed || !n)
        return;
    if (!vx_add(buffer->n, n, &wanted) || wanted > SIZE_MAX / 2) {
        buffer->failed = true;
        return;
    }
    if (wanted > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 256;
        while (capacity < wanted)
            capacity *= 2;
        uint8_t *grown = vx_regrow(buffer->bytes, capacity, 1);
        if (!grown) {
            buffer->failed = true;
            return;
        }
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    memcpy(buffer->bytes + buffer->n, bytes, n);
    buffer->n = wanted;
}

void vx_buffer_varint(vx_buffer *buffer, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    vx_buffer_append(buffer, bytes, n);
}

static uint64_t zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static void field_header(vx_thrift *t, int field, int type) {
    int *last = &t->last_field[t->depth];
    int delta = field - *last; /* 1..15: every struct here has its fields in order and near */
    uint8_t byte = (uint8_t)(delta << 4 | type);
    *last = field;
    vx_buffer_append(t->out, &byte, 1);
}

void vx_thrift_open(vx_thrift *t, int field) {
    if (field)
        field_header(t, field, VX_THRIFT_STRUCT);
    t->last_field[++t->depth] = 0;
}

void vx_thrift_close(vx_thrift *t) {
    vx_buffer_append(t->out, "", 1);
    t->depth--;
}

void vx_thrift_int(vx_thrift *t, int field, int type, int64_t value) {
    field_header(t, field, type);
    vx_buffer_varint(t->out, zigzag(value));
}

void vx_thrift_element_int(vx_thrift *t, int64_t value) {
    vx_buffer_varint(t->out, zigzag(value));
}

void vx_thrift_element_text(vx_thrift *t, const char *text) {
    vx_buffer_varint(t->out, strlen(text));
    vx_buffer_append(t->out, text, strlen(text));
}

void vx_thrift_text(vx_thrift *t, int field, const char *text) {
    field_header(t, field, VX_THRIFT_BINARY);
    vx_thrift_element_text(t, text);
}

void vx_thrift_list(vx_thrift *t, int field, int element_type, size_t n) {
    field_header(t, field, VX_THRIFT_LIST);
    uint8_t byte = (uint8_t)((n < 15 ? n : 15) << 4 | (size_t)element_type);
    vx_buffer_append(t->out, &byte, 1);
    if (n >= 15)
        vx_buffer_varint(t->out, n);
}
