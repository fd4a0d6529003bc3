/* devices.c — the setting --device as a list. */
#include <string.h>

#include "embed.h"

static int add(vx_devices *devices, const char *name, size_t n, vx_err *err) {
    char *to = devices->names[devices->n];
    bool fits = n > 5 && n < sizeof devices->names[0] && !strncmp(name, "cuda:", 5) &&
                strspn(name + 5, "0123456789") >= n - 5 && (name[5] != '0' || n == 6);
    if (!fits)
        return VX_FAIL(err, VX_EMBED_NO_DEVICE,
                       "device '%.*s' is not auto, cpu, all, cuda:N or a list of cuda:N",
                       n < 40 ? (int)n : 40, name);
    for (int i = 0; i < devices->n; i++)
        if (strlen(devices->names[i]) == n && !memcmp(devices->names[i], name, n))
            return VX_FAIL(err, VX_EMBED_NO_DEVICE, "device %s is named twice", devices->names[i]);
    if (devices->n == VX_DEVICES_MAX)
        return VX_FAIL(err, VX_EMBED_NO_DEVICE, "more than %d devices", VX_DEVICES_MAX);
    memcpy(to, name, n);
    to[n] = '\0';
    devices->n++;
    return 0;
}

static int add_all(vx_devices *devices, int n_cuda, vx_err *err) {
    if (n_cuda < 1)
        return VX_FAIL(err, VX_EMBED_NO_DEVICE,
                       "device all: there is no GPU here that this vidx can use");
    for (int i = 0; i < n_cuda && i < VX_DEVICES_MAX; i++)
        snprintf(devices->names[devices->n++], sizeof devices->names[0], "cuda:%d", i);
    return 0;
}

int vx_devices_parse(const char *text, int n_cuda, vx_devices *ret_devices, vx_err *err) {
    vx_devices devices = {0};
    int rc = 0;
    if (!strcmp(text, "auto") || !strcmp(text, "cpu"))
        strcpy(devices.names[devices.n++], text);
    else if (!strcmp(text, "all"))
        rc = add_all(&devices, n_cuda, err);
    else
        for (const char *at = text; !rc; at++) {
            size_t n = strcspn(at, ",");
            rc = add(&devices, at, n, err);
            at += n;
            if (!*at)
                break;
        }
    if (!rc)
        *ret_devices = devices;
    return rc;
}
