/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What parts of a create cost, in milliseconds, the median of many: parts detect|seed|overlay FILE */

#include "cloudinit.h"
#include "fs.h"
#include "guestnet.h"
#include "imagefile.h"
#include "seed.h"
#include "vmhost.h"

enum { TIMES = 101 };

/* Looks at this host. */
static int detect(int root, const Conf *c, const char *file) {
        _cleanup_(vmhost_done) VmHost h = {};

        return vmhost_read(root, c, false, &h);
}

/* Writes a seed as create does. */
static int seed(int root, const Conf *c, const char *file) {
        static const char *const keys[] = {
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe a", NULL
        };
        const CloudInit init = { .kind = CLOUDINIT_DEBIAN,
                                 .hostname = "debian-01",
                                 .instance_id = "f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6d",
                                 .user = "ada",
                                 .ssh_keys = keys };
        const GuestNet net = { .mac = "52:54:00:1a:2b:3c" };
        _cleanup_free_ char *meta = NULL, *user = NULL, *network = NULL;
        _cleanup_free_ void *image = NULL;
        size_t size;
        int r;

        r = cloudinit_meta_data(&init, &meta);
        if (r >= 0)
                r = cloudinit_user_data(&init, &user);
        if (r >= 0)
                r = guestnet_config(&net, &network);
        if (r >= 0)
                r = seed_make(&(Seed){ .meta_data = meta, .user_data = user, .network_config = network },
                              &image, &size);
        return r < 0 ? r : fs_write_atomic(root, file, image, size, 0600);
}

/* Makes a disk of 50 GiB on an image, as create does. */
static int overlay(int root, const Conf *c, const char *file) {
        return imagefile_overlay(root, "/var/cache/base.qcow2", "qcow2", file, UINT64_C(50) << 30);
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

static uint64_t now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

int main(int argc, char *argv[]) {
        int (*part)(int root, const Conf *c, const char *file) = argc < 2 ? detect
                        : streq(argv[1], "seed")                          ? seed
                        : streq(argv[1], "overlay")                       ? overlay
                                                                          : detect;
        _cleanup_close_ int root = fs_open_root(NULL);
        _cleanup_(conf_done) Conf c = {};
        uint64_t took[TIMES];

        if (argc < 3 || root < 0 || conf_init(&c) < 0)
                return EXIT_FAILURE;
        for (size_t i = 0; i < TIMES; i++) {
                uint64_t start = now_nsec();

                if (part(root, &c, argv[2]) < 0)
                        return EXIT_FAILURE;
                took[i] = now_nsec() - start;
        }
        qsort(took, TIMES, sizeof(*took), compare);
        printf("%.3f\n", (double) took[TIMES / 2] / 1e6);
        return EXIT_SUCCESS;
}
