/* address.c — which addresses are public, after IANA's special-purpose registries. */
#include "fetch.h"

#include <netinet/in.h>
#include <string.h>

typedef struct range4 {
    uint32_t base;
    int bits;
} range4;

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static const range4 special4[] = {
    {IP4(0, 0, 0, 0), 8},       /* this network */
    {IP4(10, 0, 0, 0), 8},      /* private */
    {IP4(100, 64, 0, 0), 10},   /* shared by carriers */
    {IP4(127, 0, 0, 0), 8},     /* loopback */
    {IP4(169, 254, 0, 0), 16},  /* link-local, metadata services of clouds */
    {IP4(172, 16, 0, 0), 12},   /* private */
    {IP4(192, 0, 0, 0), 24},    /* protocol assignments */
    {IP4(192, 0, 2, 0), 24},    /* documentation */
    {IP4(192, 88, 99, 0), 24},  /* 6to4 relays */
    {IP4(192, 168, 0, 0), 16},  /* private */
    {IP4(198, 18, 0, 0), 15},   /* benchmarks */
    {IP4(198, 51, 100, 0), 24}, /* documentation */
    {IP4(203, 0, 113, 0), 24},  /* documentation */
    {IP4(224, 0, 0, 0), 3},     /* multicast, reserved, broadcast */
};

static bool is_public4(uint32_t address) {
    for (size_t i = 0; i < VX_LEN(special4); i++)
        if (!((address ^ special4[i].base) >> (32 - special4[i].bits)))
            return false;
    return true;
}

static bool begins(const uint8_t address[16], const uint8_t *prefix, int bits) {
    int whole = bits / 8, rest = bits % 8;
    return !memcmp(address, prefix, (size_t)whole) &&
           (!rest || !((address[whole] ^ prefix[whole]) >> (8 - rest)));
}

/* Global unicast is 2000::/3; of it, these lead elsewhere. What maps or translates an IPv4 address
 * (::ffff:0:0/96, 64:ff9b::/96) is outside of it, and with that not public either. */
static bool is_public6(const uint8_t address[16]) {
    static const struct {
        uint8_t prefix[4];
        int bits;
    } special[] = {
        {{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments, Teredo */
        {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
        {{0x20, 0x02, 0x00, 0x00}, 16}, /* 6to4: carries an IPv4 address */
        {{0x3f, 0xff, 0x00, 0x00}, 20}, /* documentation */
    };
    static const uint8_t unicast[] = {0x20};
    for (size_t i = 0; i < VX_LEN(special); i++)
        if (begins(address, special[i].prefix, special[i].bits))
            return false;
    return begins(address, unicast, 3);
}

bool vx_fetch_is_public(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return is_public4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return is_public6(v6.sin6_addr.s6_addr);
    }
    return false;
}
