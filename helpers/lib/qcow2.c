/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>

#include "qcow2.h"

enum {
        VERSION_2_BYTES = 72,
        VERSION_3_BYTES = 104,
        BACKING_MAX = 1023,
        FORMAT_MAX = 16,
        CLUSTER_BITS_MIN = 9,
        CLUSTER_BITS_MAX = 21,
        REFCOUNT_ORDER_MAX = 6,
        EXTENSIONS_MAX = 64,
        L1_ENTRIES_MAX = 4 * 1024 * 1024, /* QEMU opens no more */
};

/* Bits of the incompatible features. */
enum {
        FEATURE_DIRTY = 1 << 0,
        FEATURE_CORRUPT = 1 << 1,
        FEATURE_DATA_FILE = 1 << 2,
        FEATURE_COMPRESSION = 1 << 3,
        FEATURE_EXTENDED_L2 = 1 << 4,
        FEATURES_KNOWN = FEATURE_COMPRESSION | FEATURE_EXTENDED_L2,
};

#define MAGIC                    UINT32_C(0x514649fb)
#define EXTENSION_END            UINT32_C(0)
#define EXTENSION_BACKING_FORMAT UINT32_C(0xe2792aca)
#define EXTENSION_DATA_FILE      UINT32_C(0x44415441)
#define EXTENSION_FEATURE_NAMES  UINT32_C(0x6803f857)

/* Of an image that is made here: what QEMU makes by itself. */
enum {
        CLUSTER_BITS = 16,
        CLUSTER = 1 << CLUSTER_BITS,
        REFCOUNT_ORDER = 4, /* 1 << 4 bits each */
        HEADER_LENGTH = 112,
        SECTOR = 512,
};

/* And where its tables begin, one cluster each but for the last. */
enum { AT_REFCOUNT_TABLE = CLUSTER, AT_REFCOUNTS = 2 * CLUSTER, AT_L1 = 3 * CLUSTER };

/* Offsets in the header. */
enum {
        AT_MAGIC = 0,
        AT_VERSION = 4,
        AT_BACKING_OFFSET = 8,
        AT_BACKING_SIZE = 16,
        AT_CLUSTER_BITS = 20,
        AT_SIZE = 24,
        AT_CRYPT_METHOD = 32,
        AT_L1_SIZE = 36,
        AT_L1_OFFSET = 40,
        AT_REFCOUNT_TABLE_OFFSET = 48,
        AT_REFCOUNT_TABLE_CLUSTERS = 56,
        AT_N_SNAPSHOTS = 60,
        AT_FEATURES = 72,
        AT_REFCOUNT_ORDER = 96,
        AT_HEADER_LENGTH = 100,
};

static uint32_t get32(const uint8_t *data, size_t at) {
        uint32_t v;

        memcpy(&v, data + at, sizeof(v));
        return be32toh(v);
}

static uint64_t get64(const uint8_t *data, size_t at) {
        uint64_t v;

        memcpy(&v, data + at, sizeof(v));
        return be64toh(v);
}

/* Returns what is wrong, or NULL and how long the header is. */
static const char *check_version(const uint8_t *p, size_t n, unsigned *ret_version, size_t *ret_length) {
        if (n < VERSION_2_BYTES || get32(p, AT_MAGIC) != MAGIC)
                return "is no qcow2 image";
        *ret_version = get32(p, AT_VERSION);
        *ret_length = VERSION_2_BYTES;
        if (*ret_version == 2)
                return NULL;
        if (*ret_version != 3)
                return "is a qcow2 image of an unknown version";
        if (n < VERSION_3_BYTES)
                return "is cut short in its header";
        *ret_length = get32(p, AT_HEADER_LENGTH);
        return *ret_length < VERSION_3_BYTES || *ret_length % 8 != 0 || *ret_length > n
                        ? "has a header of an impossible length"
                        : NULL;
}

static const char *check_features(const uint8_t *p) {
        uint64_t features = get64(p, AT_FEATURES);

        if (features & FEATURE_DATA_FILE)
                return "names a data file";
        if (features & (FEATURE_DIRTY | FEATURE_CORRUPT))
                return "was not closed properly";
        if (features & ~(uint64_t) FEATURES_KNOWN)
                return "uses features that are not known";
        return get32(p, AT_REFCOUNT_ORDER) > REFCOUNT_ORDER_MAX ? "has impossible reference counts" : NULL;
}

/* They follow the header: type and length of 4 bytes each, then the data, filled up to 8. */
static const char *check_extensions(const uint8_t *p, size_t n, size_t at) {
        for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
                uint32_t type, length;

                if (n - at < 8)
                        return "is cut short in its header";
                type = get32(p, at);
                length = get32(p, at + 4);
                at += 8;
                if (type == EXTENSION_END)
                        return NULL;
                if (type == EXTENSION_BACKING_FORMAT)
                        return "names a backing file's format";
                if (type == EXTENSION_DATA_FILE)
                        return "names a data file";
                if (length > n - at || (length + UINT64_C(7)) / 8 * 8 > n - at)
                        return "has a header extension of an impossible length";
                at += (length + UINT64_C(7)) / 8 * 8;
        }
        return "has too many header extensions";
}

/* An entry of the first table leads to a cluster of entries of 8 bytes each, for a cluster each. */
static const char *check_sizes(const uint8_t *p, uint64_t size, unsigned cluster_bits, uint64_t max) {
        uint64_t per_entry;

        if (cluster_bits < CLUSTER_BITS_MIN || cluster_bits > CLUSTER_BITS_MAX)
                return "has clusters of an impossible size";
        if (size == 0)
                return "is empty";
        if (size > max)
                return "is bigger than allowed";
        per_entry = UINT64_C(1) << (2 * cluster_bits - 3);
        return get32(p, AT_L1_SIZE) < size / per_entry ? "has a table that is too small for its size" : NULL;
}

int qcow2_check(const void *data, size_t n, uint64_t max, Qcow2 *ret, const char **reterr_reason) {
        const uint8_t *p = data;
        const char *reason;
        size_t length = 0;
        Qcow2 q = {};

        reason = check_version(p, n, &q.version, &length);
        if (!reason) {
                q.cluster_bits = get32(p, AT_CLUSTER_BITS);
                q.size = get64(p, AT_SIZE);
                reason = get64(p, AT_BACKING_OFFSET) != 0 || get32(p, AT_BACKING_SIZE) != 0
                                ? "names a backing file"
                                : get32(p, AT_CRYPT_METHOD) != 0 ? "is encrypted"
                                : get32(p, AT_N_SNAPSHOTS) != 0  ? "has snapshots"
                                                                 : NULL;
        }
        if (!reason && q.version >= 3)
                reason = check_features(p);
        if (!reason)
                reason = check_sizes(p, q.size, q.cluster_bits, max);
        if (!reason)
                reason = check_extensions(p, n, length);
        if (reason) {
                *reterr_reason = reason;
                return -EBADMSG;
        }
        *ret = q;
        return 0;
}

int qcow2_backing(const void *data, size_t n, char **ret) {
        const uint8_t *p = data;
        uint64_t offset;
        unsigned version;
        uint32_t size;
        size_t length;

        if (check_version(p, n, &version, &length))
                return -EBADMSG;
        offset = get64(p, AT_BACKING_OFFSET);
        size = get32(p, AT_BACKING_SIZE);
        if (offset == 0)
                return -ENOENT;
        if (size == 0 || size > BACKING_MAX || offset > n || size > n - offset ||
            memchr(p + offset, '\0', size))
                return -EBADMSG;
        *ret = strndup((const char *) p + offset, size);
        return *ret ? 0 : -ENOMEM;
}

/* So that a program can name what it does not know: of the incompatible, compatible and other features. */
static const struct {
        uint8_t kind, bit;
        char name[46];
} feature_names[] = {
        { 0, 0, "dirty bit" },        { 0, 1, "corrupt bit" },         { 0, 2, "external data file" },
        { 0, 3, "compression type" }, { 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" },
        { 2, 0, "bitmaps" },          { 2, 1, "raw external data" },
};

static void put16(uint8_t *data, size_t at, uint16_t v) {
        v = htobe16(v);
        memcpy(data + at, &v, sizeof(v));
}

static void put32(uint8_t *data, size_t at, uint32_t v) {
        v = htobe32(v);
        memcpy(data + at, &v, sizeof(v));
}

static void put64(uint8_t *data, size_t at, uint64_t v) {
        v = htobe64(v);
        memcpy(data + at, &v, sizeof(v));
}

/* Returns where the next one goes. */
static size_t put_extension(uint8_t *data, size_t at, uint32_t type, const void *content, size_t size) {
        put32(data, at, type);
        put32(data, at + 4, (uint32_t) size);
        memcpy(data + at + 8, content, size);
        return at + 8 + (size + 7) / 8 * 8;
}

static void put_header(uint8_t *p, const char *base, const char *format, uint64_t size, uint32_t n_l1) {
        size_t at = HEADER_LENGTH, n_base = strlen(base);

        put32(p, AT_MAGIC, MAGIC);
        put32(p, AT_VERSION, 3);
        put32(p, AT_CLUSTER_BITS, CLUSTER_BITS);
        put64(p, AT_SIZE, size);
        put32(p, AT_L1_SIZE, n_l1);
        put64(p, AT_L1_OFFSET, AT_L1);
        put64(p, AT_REFCOUNT_TABLE_OFFSET, AT_REFCOUNT_TABLE);
        put32(p, AT_REFCOUNT_TABLE_CLUSTERS, 1);
        put32(p, AT_REFCOUNT_ORDER, REFCOUNT_ORDER);
        put32(p, AT_HEADER_LENGTH, HEADER_LENGTH);
        at = put_extension(p, at, EXTENSION_BACKING_FORMAT, format, strlen(format));
        at = put_extension(p, at, EXTENSION_FEATURE_NAMES, feature_names, sizeof(feature_names));
        at = put_extension(p, at, EXTENSION_END, "", 0);
        put64(p, AT_BACKING_OFFSET, at);
        put32(p, AT_BACKING_SIZE, (uint32_t) n_base);
        memcpy(p + at, base, n_base);
}

/* Where nothing is written yet, the first table has nothing but zeros, and only the tables have a cluster. */
int qcow2_overlay(const char *base, const char *format, uint64_t size, void **ret, size_t *ret_size) {
        const uint64_t per_entry = UINT64_C(1) << (2 * CLUSTER_BITS - 3);
        uint64_t n_l1 = size / per_entry + (size % per_entry != 0);
        size_t n_bytes, n_clusters;
        uint8_t *p;

        if (isempty(base) || isempty(format) || size == 0)
                return -EINVAL;
        if (strlen(base) > BACKING_MAX || strlen(format) > FORMAT_MAX)
                return -ENAMETOOLONG;
        if (n_l1 > L1_ENTRIES_MAX)
                return -EFBIG;
        n_bytes = AT_L1 + (size_t) n_l1 * sizeof(uint64_t);
        n_clusters = (n_bytes + CLUSTER - 1) / CLUSTER;
        p = calloc(1, n_bytes);
        if (!p)
                return -ENOMEM;
        put_header(p, base, format, (size + SECTOR - 1) / SECTOR * SECTOR, (uint32_t) n_l1);
        put64(p, AT_REFCOUNT_TABLE, AT_REFCOUNTS);
        for (size_t i = 0; i < n_clusters; i++)
                put16(p, AT_REFCOUNTS + i * sizeof(uint16_t), 1);
        *ret = p;
        *ret_size = n_bytes;
        return 0;
}
