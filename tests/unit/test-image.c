/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What images are made of, without a network: sums, headers, holes, entries of the cache, what may be
 * removed. */

#include <endian.h>
#include <lzma.h>
#include <sys/file.h>

#include "imagecache.h"
#include "imagefile.h"
#include "imagesource.h"
#include "qcow2.h"
#include "sparsefile.h"
#include "strv.h"
#include "tests/tree.h"
#include "unpack.h"
#include "vmdefined.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

TEST(digests_are_those_of_the_standard) {
        char hex[DIGEST_HEX_MAX];
        Digest *d = NULL;

        ASSERT_EQ(digest_new(DIGEST_SHA256, &d), 0);
        ASSERT_EQ(digest_add(d, "a", 1), 0);
        ASSERT_EQ(digest_add(d, "bc", 2), 0);
        ASSERT_EQ(digest_end(d, hex), 0);
        ASSERT_STREQ(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        digest_free(d);
        ASSERT_EQ(digest_new(DIGEST_SHA512, &d), 0);
        ASSERT_EQ(digest_end(d, hex), 0);
        ASSERT_EQ(strlen(hex), 128);
        ASSERT_EQ(strncmp(hex, "cf83e1357eefb8bd", 16), 0);
        digest_free(d);
}

TEST(releases_and_their_end) {
        const ImageRelease *r = imagesource_release(IMAGE_UBUNTU, NULL);

        ASSERT(r);
        ASSERT_STREQ(r->version, "25.10");
        ASSERT(!imagesource_is_over(r, 1783555200));            /* 2026-07-09 */
        ASSERT(imagesource_is_over(r, 1783555200 + 24 * 3600)); /* the day after */
        ASSERT(imagesource_release(IMAGE_UBUNTU, "noble") == imagesource_release(IMAGE_UBUNTU, "24.04"));
        ASSERT(!imagesource_release(IMAGE_DEBIAN, "noble"));
        ASSERT_STREQ(imagesource_release(IMAGE_DEBIAN, NULL)->codename, "trixie");
        ASSERT(!imagesource_release(IMAGE_TALOS, NULL));
}

TEST(places) {
        _cleanup_(image_place_done) ImagePlace u = {}, d = {};
        _cleanup_free_ char *versions = NULL;

        ASSERT_EQ(imagesource_place(imagesource_release(IMAGE_UBUNTU, "25.10"), IMAGESOURCE_UBUNTU, "arm64",
                                    &u),
                  0);
        ASSERT_STREQ(u.url,
                     "https://cloud-images.ubuntu.com/releases/questing/release/"
                     "ubuntu-25.10-server-cloudimg-arm64.img");
        ASSERT_STREQ(u.signature, "https://cloud-images.ubuntu.com/releases/questing/release/SHA256SUMS.gpg");
        ASSERT_EQ(u.digest, DIGEST_SHA256);
        ASSERT_EQ(imagesource_place(imagesource_release(IMAGE_DEBIAN, "13"), IMAGESOURCE_DEBIAN, "amd64", &d),
                  0);
        ASSERT_STREQ(d.url,
                     "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-generic-amd64.qcow2");
        ASSERT_STREQ(d.sums, "https://cloud.debian.org/images/cloud/trixie/latest/SHA512SUMS");
        ASSERT(!d.signature);
        ASSERT_EQ(imagesource_versions(IMAGE_UBUNTU, &versions), 0);
        ASSERT_STREQ(versions, "24.04, 25.10, 26.04");
}

TEST(sums) {
        char sum[DIGEST_HEX_MAX];

        ASSERT_EQ(imagesource_sum("x\n" HEX64 " *a.img\n", "a.img", DIGEST_SHA256, sum), 0);
        ASSERT_STREQ(sum, HEX64);
        ASSERT_EQ(imagesource_sum("0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef  a.img\r\n",
                                  "a.img", DIGEST_SHA256, sum),
                  0);
        ASSERT_STREQ(sum, HEX64);
        ASSERT_EQ(imagesource_sum(HEX64 "  a.img", "a.im", DIGEST_SHA256, sum), -ENOENT);
        ASSERT_EQ(imagesource_sum(HEX64 "  b/a.img", "a.img", DIGEST_SHA256, sum), -ENOENT);
        ASSERT_EQ(imagesource_sum(HEX64 "  a.img", "a.img", DIGEST_SHA512, sum), -EBADMSG);
        ASSERT_EQ(imagesource_sum(HEX64 HEX64 HEX64 "  a.img", "a.img", DIGEST_SHA512, sum), -EBADMSG);
        ASSERT_EQ(imagesource_sum(HEX64 "  a.img\n" HEX64 "  a.img", "a.img", DIGEST_SHA256, sum), 0);
        ASSERT_EQ(imagesource_sum(HEX64 "  a.img\n1" HEX64 "  a.img", "a.img", DIGEST_SHA256, sum), -EBADMSG);
}

TEST(variants) {
        char *open[] = { (char *) "siderolabs/nvidia-open-gpu-kernel-modules-production",
                         (char *) "siderolabs/nvidia-container-toolkit-production", NULL };
        char *nonfree[] = { (char *) "siderolabs/nonfree-kmod-nvidia", NULL };
        char *plain[] = { (char *) "siderolabs/qemu-guest-agent", NULL };
        char buf[IMAGE_VARIANT_MAX];

        ASSERT_STREQ(imagesource_variant(open, buf), "open-production");
        ASSERT_STREQ(imagesource_variant(nonfree, buf), "nonfree");
        ASSERT_STREQ(imagesource_variant(plain, buf), "");
}

TEST(github) {
        _cleanup_free_ char *version = NULL;

        ASSERT_EQ(imagesource_github_latest("{\"tag_name\":\"v1.13.9\",\"id\":1}", &version), 0);
        ASSERT_STREQ(version, "v1.13.9");
        ASSERT_EQ(imagesource_github_latest("{\"tag_name\":\"v1.14.0-rc.1\"}", &version), -EBADMSG);
        ASSERT_EQ(imagesource_github_latest("{\"tag_name\":7}", &version), -EBADMSG);
        ASSERT_EQ(imagesource_github_latest("[]", &version), -EBADMSG);
}

/* A header of version 3 that is right; 64 KiB, as it is read. */
static uint8_t *header(void) {
        static uint8_t h[QCOW2_HEADER_MAX];
        const uint32_t magic = htobe32(0x514649fb), version = htobe32(3), bits = htobe32(16), l1 = htobe32(8),
                       order = htobe32(4), length = htobe32(104);
        const uint64_t size = htobe64(UINT64_C(4) << 30);

        memset(h, 0, sizeof(h));
        memcpy(h, &magic, 4);
        memcpy(h + 4, &version, 4);
        memcpy(h + 20, &bits, 4);
        memcpy(h + 24, &size, 8);
        memcpy(h + 36, &l1, 4);
        memcpy(h + 96, &order, 4);
        memcpy(h + 100, &length, 4);
        return h;
}

static const char *verdict(const uint8_t *h, size_t n) {
        const char *reason = NULL;
        Qcow2 q;

        return qcow2_check(h, n, UINT64_C(16) << 30, &q, &reason) < 0 ? reason : "good";
}

TEST(qcow2_headers) {
        uint8_t *h = header();
        const char *reason;
        Qcow2 q;

        ASSERT_EQ(qcow2_check(h, QCOW2_HEADER_MAX, UINT64_C(16) << 30, &q, &reason), 0);
        ASSERT_EQ(q.size, INT64_C(4) << 30);
        ASSERT_EQ(q.version, 3);
        ASSERT_STREQ(verdict(h, 111), "is cut short in its header");
        ASSERT_STREQ(verdict(h, 112), "good");
        ASSERT_STREQ(verdict(h, 71), "is no qcow2 image");
        h[15] = 1;
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "names a backing file");
        h = header();
        h[19] = 1;
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "names a backing file");
        h = header();
        h[79] = 4;
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "names a data file");
        h[79] = 8;
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "good");
        h[79] = 32;
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "uses features that are not known");
        h = header();
        h[39] = 7;
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "has a table that is too small for its size");
        h = header();
        h[7] = 2;
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "good");
        h[23] = 40;
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "has clusters of an impossible size");
}

TEST(qcow2_extensions_are_bounded) {
        uint8_t *h = header();

        memcpy(h + 104, "\x68\x03\xf8\x57\xff\xff\xff\xff", 8);
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "has a header extension of an impossible length");
        memcpy(h + 104, "\x68\x03\xf8\x57\x00\x00\x00\x03", 8);
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "good");
        memcpy(h + 120, "\x44\x41\x54\x41\x00\x00\x00\x00", 8);
        ASSERT_STREQ(verdict(h, QCOW2_HEADER_MAX), "names a data file");
}

/* --- sparsefile */

/* The directory of the tree for what is written: its root may be good for looking up alone. */
static int open_directory(void) {
        int fd = fs_open(tree_new(), "/", O_RDONLY | O_DIRECTORY, 0);

        ASSERT(fd >= 0);
        return fd;
}

static const char *look_at(const void *data, size_t n, off_t size) {
        char path[sizeof(tree_path) + 8];
        const char *reason = NULL;
        ImageFile f;
        int r;

        ASSERT_EQ(fs_write_atomic(tree_root, "/disk", data, n, 0644), 0);
        (void) snprintf(path, sizeof(path), "%s/disk", tree_path);
        ASSERT_EQ(truncate(path, size), 0);
        r = imagefile_look(path, &f, &reason);
        ASSERT_EQ(r, reason ? -EBADMSG : 0);
        if (!reason)
                ASSERT_EQ(f.size, streq(f.format, "raw") ? (uint64_t) size : UINT64_C(4) << 30);
        return r < 0 ? reason : f.format;
}

TEST(images_that_somebody_brings_along) {
        const char *reason = NULL;
        uint8_t *h = header();
        ImageFile f;

        (void) tree_new();
        ASSERT_STREQ(look_at("\x55\xaa", 2, 1024 * 1024), "raw");
        ASSERT_STREQ(look_at(h, QCOW2_HEADER_MAX, 128 * 1024), "qcow2");
        ASSERT_STREQ(look_at("", 0, 0), "is empty");
        ASSERT(strstr(look_at("x", 1, 1000), "sector"));
        ASSERT(strstr(look_at("\xfd"
                              "7zXZ\0xx",
                              8, 1024),
                      "unxz"));
        ASSERT(strstr(look_at("\x1f\x8bxx", 4, 1024), "gunzip"));
        ASSERT(strstr(look_at("KDMV", 4, 1024), "VMware"));
        ASSERT(strstr(look_at("vhdxfile", 8, 1024), "Hyper-V"));
        ASSERT(strstr(look_at("LUKS\xba\xbe", 6, 1024), "encrypted"));
        ASSERT(strstr(look_at(h, 50, 50), "is no qcow2"));
        h[8 + 7] = 1;
        ASSERT_STREQ(look_at(h, QCOW2_HEADER_MAX, 128 * 1024), "names a backing file");
        h = header();
        h[79] = 4;
        ASSERT_STREQ(look_at(h, QCOW2_HEADER_MAX, 128 * 1024), "names a data file");
        ASSERT_EQ(imagefile_look(tree_path, &f, &reason), -EBADMSG);
        ASSERT_STREQ(reason, "is no file");
        ASSERT_EQ(imagefile_look("/nonexistent/disk", &f, &reason), -ENOENT);
}

static void put_sparse(int dir, const char *name, const uint8_t *data, size_t n, uint64_t max, int want,
                       char hex[static DIGEST_HEX_MAX]) {
        SparseFileLimits limits = { .max = max };
        SparseFile *f = NULL;
        Digest *d = NULL;

        ASSERT_EQ(digest_new(DIGEST_SHA256, &d), 0);
        ASSERT_EQ(sparsefile_open(dir, name, &limits, d, &f), 0);
        ASSERT_EQ(sparsefile_write(f, data, n), want);
        if (want == 0) {
                ASSERT_EQ(sparsefile_size(f), n);
                ASSERT_EQ(sparsefile_commit(f), 0);
        }
        sparsefile_free(f);
        ASSERT_EQ(digest_end(d, hex), 0);
        digest_free(d);
}

enum { B = SPARSEFILE_BLOCK };

TEST(sparse_files_have_holes_and_the_same_sum_when_read_again) {
        int dir = open_directory(), root = tree_root, fd;
        uint8_t *data = calloc(6, B);
        char written[DIGEST_HEX_MAX], read[DIGEST_HEX_MAX];
        Digest *d = NULL;
        struct stat st;

        ASSERT(data);
        data[B + 5] = 1;      /* the second block */
        data[5 * B + 99] = 1; /* the last one, which is not whole */
        put_sparse(dir, "image", data, 5 * B + 100, 6 * B, 0, written);
        ASSERT_EQ(fs_exists(root, "/image.part"), 0);
        fd = fs_open(root, "/image", O_RDONLY, 0);
        ASSERT_EQ(fstat(fd, &st), 0);
        ASSERT_EQ(st.st_size, 5 * B + 100);
        ASSERT_EQ(st.st_mode & 07777, 0444);
        ASSERT(st.st_blocks * 512 < 4 * B);
        ASSERT_EQ(digest_new(DIGEST_SHA256, &d), 0);
        ASSERT_EQ(sparsefile_sum(fd, false, d, NULL, NULL), 0);
        ASSERT_EQ(digest_end(d, read), 0);
        ASSERT_STREQ(read, written);
        digest_free(d);
        close(fd);
        /* The same bytes at another place are another file. */
        data[B + 5] = 0;
        data[2 * B + 5] = 1;
        put_sparse(dir, "moved", data, 5 * B + 100, 6 * B, 0, read);
        ASSERT(!streq(read, written));
        free(data);
}

TEST(sparse_files_that_fail_leave_nothing) {
        int dir = open_directory(), root = tree_root;
        uint8_t *data = calloc(2, B);
        SparseFileLimits greedy = { .max = B, .reserve = UINT64_C(1) << 60 };
        char hex[DIGEST_HEX_MAX], *text = NULL;
        SparseFile *f = NULL;

        ASSERT(data);
        /* A hole counts too. */
        put_sparse(dir, "image", data, 2 * B, B, -EFBIG, hex);
        ASSERT_EQ(fs_exists(root, "/image"), 0);
        ASSERT_EQ(fs_exists(root, "/image.part"), 0);
        ASSERT_EQ(sparsefile_open(dir, "image", &greedy, NULL, &f), -ENOSPC);
        ASSERT_EQ(fs_exists(root, "/image.part"), 0);
        /* A link of the half file's name is not followed. */
        tree_put("/other", "kept");
        tree_link("/image.part", "other");
        put_sparse(dir, "image", data, B, B, 0, hex);
        ASSERT_EQ(fs_read(root, "/other", 10, &text, NULL), 0);
        ASSERT_STREQ(text, "kept");
        free(text);
        free(data);
}

/* --- unpack */

typedef struct Feed {
        const uint8_t *data;
        size_t n, at, piece;
        int failure;
} Feed;

static ssize_t feed(void *userdata, const void **ret) {
        Feed *f = userdata;
        size_t k = MIN(f->piece, f->n - f->at);

        if (k == 0 && f->failure)
                return f->failure;
        *ret = f->data + f->at;
        f->at += k;
        return (ssize_t) k;
}

static ssize_t unpack_all(UnpackKind kind, const uint8_t *data, size_t n, size_t piece, int failure,
                          uint64_t memory, uint8_t *out, size_t max) {
        Feed f = { data, n, 0, piece, failure };
        Unpack *u = NULL;
        size_t done = 0;
        ssize_t k;

        ASSERT_EQ(unpack_open(kind, memory, feed, &f, &u), 0);
        while ((k = unpack_read(u, out + done, MIN((size_t) 10000, max - done))) > 0)
                done += (size_t) k;
        unpack_free(u);
        return k < 0 ? k : (ssize_t) done;
}

TEST(unpacks_xz_in_any_pieces) {
        enum { N = 100000 };
        static uint8_t plain[N], packed[N], out[N + 1];
        size_t n = 0;

        for (size_t i = 0; i < N; i++)
                plain[i] = (uint8_t) (i / 100);
        ASSERT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, plain, N, packed, &n, N), LZMA_OK);
        ASSERT_EQ(unpack_all(UNPACK_XZ, packed, n, 1, 0, 64 << 20, out, sizeof(out)), N);
        ASSERT(memcmp(out, plain, N) == 0);
        ASSERT_EQ(unpack_all(UNPACK_XZ, packed, n, n, 0, 64 << 20, out, sizeof(out)), N);
        ASSERT_EQ(unpack_all(UNPACK_XZ, packed, n - 1, 100, 0, 64 << 20, out, sizeof(out)), -ENODATA);
        ASSERT_EQ(unpack_all(UNPACK_XZ, packed, n - 1, 100, -EPIPE, 64 << 20, out, sizeof(out)), -EPIPE);
        ASSERT_EQ(unpack_all(UNPACK_XZ, packed, n + 1, n, 0, 64 << 20, out, sizeof(out)), -EBADMSG);
        ASSERT_EQ(unpack_all(UNPACK_XZ, packed, n + 4, n + 4, 0, 64 << 20, out, sizeof(out)), -EBADMSG);
        ASSERT_EQ(unpack_all(UNPACK_XZ, plain, N, 100, 0, 64 << 20, out, sizeof(out)), -EOPNOTSUPP);
        ASSERT_EQ(unpack_all(UNPACK_XZ, packed, n, n, 0, 1000, out, sizeof(out)), -E2BIG);
        packed[n / 2] ^= 1;
        ASSERT_EQ(unpack_all(UNPACK_XZ, packed, n, n, 0, 64 << 20, out, sizeof(out)), -EBADMSG);
}

TEST(unpacks_gzip_and_zstd) {
        /* "gpuvm\n" by gzip -9n and zstd. */
        static const uint8_t gz[] = { 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
                                      0x03, 0x4b, 0x2f, 0x28, 0x2d, 0xcb, 0xe5, 0x02, 0x00,
                                      0x36, 0xc6, 0xfa, 0x61, 0x06, 0x00, 0x00, 0x00 };
        static const uint8_t zst[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x31, 0x00,
                                       0x00, 'g',  'p',  'u',  'v',  'm',  '\n' };
        uint8_t out[100];

        ASSERT_EQ(unpack_all(UNPACK_GZIP, gz, sizeof(gz), 3, 0, 64 << 20, out, sizeof(out)), 6);
        ASSERT(memcmp(out, "gpuvm\n", 6) == 0);
        ASSERT_EQ(unpack_all(UNPACK_ZSTD, zst, sizeof(zst), 3, 0, 64 << 20, out, sizeof(out)), 6);
        ASSERT(memcmp(out, "gpuvm\n", 6) == 0);
        ASSERT(unpack_all(UNPACK_ZSTD, zst, sizeof(zst) - 2, 3, 0, 64 << 20, out, sizeof(out)) < 0);
        ASSERT_EQ(unpack_all(UNPACK_ZSTD, gz, sizeof(gz), 30, 0, 64 << 20, out, sizeof(out)), -EOPNOTSUPP);
        ASSERT_EQ(unpack_all(UNPACK_ZSTD, zst, sizeof(zst), 3, -EPIPE, 64 << 20, out, sizeof(out)), -EPIPE);
        ASSERT_EQ(unpack_all(UNPACK_NONE, zst, sizeof(zst), 4, 0, 0, out, sizeof(out)), sizeof(zst));
        ASSERT_EQ(unpack_kind("x.raw.xz"), UNPACK_XZ);
        ASSERT_EQ(unpack_kind("x.raw.zst"), UNPACK_ZSTD);
        ASSERT_EQ(unpack_kind("x.qcow2"), UNPACK_NONE);
}

/* --- imagecache */

/* An entry NAME of a file with that text. */
static void add_image(const char *name, const char *file, const char *text) {
        char sum[DIGEST_HEX_MAX], path[200];
        ImageEntry e = { .name = (char *) name,
                         .kind = (char *) "ubuntu",
                         .release = (char *) "25.10",
                         .arch = (char *) "amd64",
                         .file = (char *) file,
                         .format = (char *) "qcow2",
                         .schematic = (char *) "",
                         .url = (char *) "https://x.example/",
                         .content = (char *) "",
                         .signature = (char *) "unsigned",
                         .size = UINT64_C(4) << 30,
                         .length = strlen(text),
                         .used = 4096,
                         .pulled = 1 };
        Digest *d = NULL;

        ASSERT_EQ(digest_new(DIGEST_SHA256, &d), 0);
        ASSERT_EQ(digest_add(d, text, strlen(text)), 0);
        ASSERT_EQ(digest_end(d, sum), 0);
        digest_free(d);
        ASSERT_EQ(str_printf(&e.digest, "sha256:%s", sum), 0);
        (void) snprintf(path, sizeof(path), IMAGE_CACHE "/%s", file);
        tree_put(path, text);
        ASSERT_EQ(imagecache_put(tree_root, &e), 0);
        free(e.digest);
}

TEST(entries_are_found_and_verified) {
        int root = tree_new();
        ImageEntry e = {}, *l = NULL;
        size_t n;

        ASSERT_EQ(imagecache_list(root, &l, &n), 0);
        ASSERT_EQ(n, 0);
        free(l);
        add_image("b", "b-1.qcow2", "one");
        add_image("a", "a-1.qcow2", "two");
        tree_put(IMAGE_CACHE "/c.json", "{\"name\":\"c\"}");
        ASSERT_EQ(imagecache_list(root, &l, &n), 0);
        ASSERT_EQ(n, 2);
        ASSERT_STREQ(l[0].name, "a");
        image_entries_free(l, n);
        ASSERT_EQ(imagecache_find(root, "c", &e), -ENOENT);
        ASSERT_EQ(imagecache_find(root, "../b", &e), -EINVAL);
        ASSERT_EQ(imagecache_find(root, "b", &e), 0);
        ASSERT_STREQ(e.path, IMAGE_CACHE "/b-1.qcow2");
        ASSERT_EQ(e.size, INT64_C(4) << 30);
        ASSERT_EQ(imagecache_verify(root, &e, NULL, NULL), 0);
        tree_put(IMAGE_CACHE "/b-1.qcow2", "onf");
        ASSERT_EQ(imagecache_verify(root, &e, NULL, NULL), -EBADMSG);
        image_entry_done(&e);
        tree_put(IMAGE_CACHE "/b-1.qcow2", "on");
        ASSERT_EQ(imagecache_find(root, "b", &e), -ENOENT);
}

/* One that could not be read back would hide the others. */
TEST(an_entry_that_is_too_long_is_not_written) {
        ImageEntry e = { .name = (char *) "b", .format = (char *) "qcow2" };
        _cleanup_free_ char *text = malloc(2 << 20);
        int root = tree_new();

        memset(text, 'x', (2 << 20) - 1);
        text[(2 << 20) - 1] = '\0';
        e.url = text;
        ASSERT_EQ(imagecache_put(root, &e), -EFBIG);
        ASSERT(fs_exists(root, IMAGE_CACHE "/b.json") <= 0);
        tree_put(IMAGE_CACHE "/b.json", text);
        ASSERT_EQ(imagecache_find(root, "b", &e), -ENOENT);
}

TEST(entries_that_we_did_not_write_are_refused) {
        ImageEntry e;

        ASSERT_EQ(image_entry_parse("[]", &e), -EBADMSG);
        ASSERT_EQ(image_entry_parse("{\"name\":\"a\"}", &e), -EBADMSG);
        ASSERT(image_name_is_valid("talos-v1.13.9-amd64-open-lts"));
        ASSERT(!image_name_is_valid(".x"));
        ASSERT(!image_name_is_valid("a/b"));
        ASSERT(!image_name_is_valid(""));
        ASSERT(!image_name_is_valid("a\nb"));
}

/* A disk in the pool that is made on that file. */
static void add_disk(const char *path, const char *backing) {
        static uint8_t h[8192];
        uint64_t at = htobe64(4096);
        uint32_t n = htobe32((uint32_t) strlen(backing));

        memcpy(h, header(), sizeof(h));
        memcpy(h + 8, &at, 8);
        memcpy(h + 16, &n, 4);
        memcpy(h + 4096, backing, strlen(backing));
        ASSERT_EQ(fs_write_atomic(tree_root, path, h, sizeof(h), 0600), 0);
}

TEST(what_machines_are_made_on_stays) {
        _cleanup_strv_ char **elsewhere = NULL, **used = NULL, **gone = NULL, **again = NULL;
        int root = tree_new();
        ImageEntry e = {};
        uint64_t bytes;

        add_image("a", "a-1.qcow2", "old"); /* replaced, but a machine is made on it */
        add_image("a", "a-2.qcow2", "new");
        add_image("b", "b-1.qcow2", "old"); /* replaced */
        add_image("b", "b-2.qcow2", "new");
        tree_put(IMAGE_CACHE "/c-1.raw.part", "half");
        tree_put(IMAGE_CACHE "/notes.txt", "mine");
        tree_put("/pool/seed.iso", "no disk of this kind");
        add_disk("/pool/vm1.qcow2", IMAGE_CACHE "/a-1.qcow2");
        add_disk("/pool/vm2.qcow2", "/elsewhere/b-1.qcow2");
        ASSERT_EQ(imagecache_used(root, "/pool", &used), 0);
        ASSERT_EQ(strv_length(used), 1);
        ASSERT_STREQ(used[0], "a-1.qcow2");
        /* One that is elsewhere, through another that is; one that comes back to itself; one that is no file.
         */
        add_disk("/old/vm3.qcow2", "/old/vm4.qcow2");
        add_disk("/old/vm4.qcow2", IMAGE_CACHE "/d-1.qcow2");
        add_disk("/old/round.qcow2", "/old/round.qcow2");
        ASSERT_EQ(imagecache_add_used(root, "/old/vm3.qcow2", &elsewhere), 0);
        ASSERT_EQ(imagecache_add_used(root, "/old/round.qcow2", &elsewhere), 0);
        ASSERT_EQ(imagecache_add_used(root, "/old/none.qcow2", &elsewhere), 0);
        ASSERT_EQ(imagecache_add_used(root, "/old", &elsewhere), 0);
        ASSERT_EQ(strv_length(elsewhere), 1);
        ASSERT_STREQ(elsewhere[0], "d-1.qcow2");
        ASSERT_EQ(imagecache_gc(root, used, false, true, &gone, &bytes), 0);
        ASSERT_EQ(strv_length(gone), 2);
        ASSERT_EQ(fs_exists(root, IMAGE_CACHE "/b-1.qcow2"), 1);
        ASSERT_EQ(imagecache_gc(root, used, false, false, &again, &bytes), 0);
        ASSERT_STREQ(again[0], "b-1.qcow2");
        ASSERT_STREQ(again[1], "c-1.raw.part");
        ASSERT_EQ(fs_exists(root, IMAGE_CACHE "/b-1.qcow2"), 0);
        ASSERT_EQ(fs_exists(root, IMAGE_CACHE "/a-1.qcow2"), 1);
        ASSERT_EQ(fs_exists(root, IMAGE_CACHE "/notes.txt"), 1);
        /* One that is held stays, with its entry. */
        ASSERT_EQ(imagecache_find(root, "b", &e), 0);
        ASSERT_EQ(imagecache_hold(root, &e), 0);
        ASSERT_EQ(imagecache_remove(root, &e, used), -EBUSY);
        image_entry_done(&e);
        ASSERT_EQ(imagecache_find(root, "b", &e), 0);
        ASSERT_EQ(imagecache_remove(root, &e, used), 0);
        image_entry_done(&e);
        ASSERT_EQ(imagecache_find(root, "b", &e), -ENOENT);
        /* A pool that cannot be read is not one without disks. */
        tree_link("/pool/broken", "/pool/broken");
        strv_free(TAKE_PTR(used));
        ASSERT(imagecache_used(root, "/pool", &used) < 0);
}

TEST(a_definition_names_its_disks) {
        _cleanup_strv_ char **l = NULL;

        ASSERT_EQ(vmdefined_disks("<domain><devices><disk type='file'><source file='/a.qcow2'/></disk>"
                                  "<disk type='file' device='cdrom'/><interface/>"
                                  "<disk type='block'><source dev='/dev/vg/b'/></disk></devices></domain>",
                                  &l),
                  0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "/a.qcow2");
        ASSERT_STREQ(l[1], "/dev/vg/b");
        ASSERT_EQ(vmdefined_disks("<domain", &l), -EBADMSG);
}

TEST(a_half_file_that_somebody_works_at_stays) {
        _cleanup_strv_ char **gone = NULL, **again = NULL;
        int root = tree_new(), cache, lock;
        uint64_t bytes;

        tree_put(IMAGE_CACHE "/c-1.raw.part", "half");
        cache = imagecache_open(root);
        ASSERT(cache >= 0);
        lock = imagecache_lock(cache, "c", NULL, NULL);
        ASSERT(lock >= 0);
        ASSERT_EQ(imagecache_lock(cache, "c", NULL, NULL), -EBUSY);
        ASSERT_EQ(imagecache_gc(root, NULL, false, false, &gone, &bytes), 0);
        ASSERT_EQ(strv_length(gone), 0);
        close(lock);
        ASSERT_EQ(imagecache_gc(root, NULL, false, false, &again, &bytes), 0);
        ASSERT_EQ(strv_length(again), 1);
        close(cache);
}
