/* thrift_read.c — see the header. */
#include "thrift_read.h"

enum {
    STOP = 0,
    TRUE = 1,
    FALSE = 2,
    BYTE = 3,
    I16 = 4,
    I32 = 5,
    I64 = 6,
    DOUBLE = 7,
    BINARY = 8,
    LIST = 9,
    SET = 10,
    MAP = 11,
    STRUCT = 12
};
#define DEPTH_MAX 16

static void fail(vx_thrift_in *in) {
    in->failed = true;
    in->at = in->end;
}

static uint8_t read_byte(vx_thrift_in *in) {
    if (in->at == in->end) {
        fail(in);
        return 0;
    }
    return *in->at++;
}

static uint64_t read_varint(vx_thrift_in *in) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = read_byte(in);
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return value;
    }
    fail(in);
    return 0;
}

static int64_t read_zigzag(vx_thrift_in *in) {
    uint64_t value = read_varint(in);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

vx_thrift_struct vx_thrift_begin(vx_thrift_in *in) {
    if (++in->depth > DEPTH_MAX)
        fail(in);
    return (vx_thrift_struct){0};
}

bool vx_thrift_field(vx_thrift_in *in, vx_thrift_struct *s) {
    uint8_t byte = read_byte(in);
    s->type = byte & 0x0F;
    if (in->failed || s->type == STOP) {
        in->depth--;
        return false;
    }
    int64_t id = byte >> 4 ? s->id + (byte >> 4) : read_zigzag(in);
    if (id < 0 || id > INT16_MAX)
        fail(in);
    s->id = in->failed ? -1 : (int)id;
    return !in->failed || (in->depth--, false);
}

int64_t vx_thrift_read_int(vx_thrift_in *in, int type) {
    if (type == BYTE)
        return (int8_t)read_byte(in);
    if (type == I16 || type == I32 || type == I64)
        return read_zigzag(in);
    if (type == TRUE || type == FALSE)
        return type == TRUE;
    fail(in);
    return 0;
}

void vx_thrift_take(vx_thrift_in *in, const vx_thrift_struct *s, vx_thrift_ints into) {
    if (s->id < VX_THRIFT_FIELDS && into[s->id])
        *into[s->id] = vx_thrift_read_int(in, s->type);
    else
        vx_thrift_skip(in, s->type);
}

void vx_thrift_take_all(vx_thrift_in *in, vx_thrift_ints into) {
    for (vx_thrift_struct s = vx_thrift_begin(in); vx_thrift_field(in, &s);)
        vx_thrift_take(in, &s, into);
}

const char *vx_thrift_read_text(vx_thrift_in *in, int type, size_t *ret_n) {
    uint64_t n = type == BINARY ? read_varint(in) : 0;
    *ret_n = 0;
    if (type != BINARY || n > (uint64_t)(in->end - in->at)) {
        fail(in);
        return "";
    }
    const char *text = (const char *)in->at;
    in->at += n;
    *ret_n = (size_t)n;
    return text;
}

size_t vx_thrift_read_list(vx_thrift_in *in, int type, int *ret_type) {
    if (type != LIST && type != SET) {
        fail(in);
        return 0;
    }
    uint8_t byte = read_byte(in);
    uint64_t n = byte >> 4 == 15 ? read_varint(in) : byte >> 4;
    if (ret_type)
        *ret_type = byte & 0x0F;
    if (n > (uint64_t)(in->end - in->at))
        fail(in);
    return in->failed ? 0 : (size_t)n;
}

/* Of a list or map: there a truth value takes a byte, in a field it is its type. So each takes at least one, and no
 * count can be larger than what is there. */
static void skip_element(vx_thrift_in *in, int type) {
    if (type == TRUE || type == FALSE)
        read_byte(in);
    else
        vx_thrift_skip(in, type);
}

static void skip_map(vx_thrift_in *in) {
    uint64_t n = read_varint(in);
    uint8_t types = n ? read_byte(in) : 0;
    for (uint64_t i = 0; i < n && !in->failed; i++) {
        skip_element(in, types >> 4);
        skip_element(in, types & 0x0F);
    }
}

static void skip_list(vx_thrift_in *in, int type) {
    int element = 0;
    size_t n = vx_thrift_read_list(in, type, &element);
    for (size_t i = 0; i < n && !in->failed; i++)
        skip_element(in, element);
}

void vx_thrift_skip(vx_thrift_in *in, int type) {
    size_t n;
    if (++in->depth > DEPTH_MAX)
        fail(in);
    switch (in->failed ? TRUE : type) {
    case TRUE:
    case FALSE:
        break;
    case BYTE:
        read_byte(in);
        break;
    case I16:
    case I32:
    case I64:
        read_varint(in);
        break;
    case DOUBLE:
        if (in->end - in->at < 8)
            fail(in);
        else
            in->at += 8;
        break;
    case BINARY:
        vx_thrift_read_text(in, type, &n);
        break;
    case LIST:
    case SET:
        skip_list(in, type);
        break;
    case MAP:
        skip_map(in);
        break;
    case STRUCT:
        for (vx_thrift_struct s = vx_thrift_begin(in); vx_thrift_field(in, &s);)
            vx_thrift_skip(in, s.type);
        break;
    default:
        fail(in);
    }
    in->depth--;
}
