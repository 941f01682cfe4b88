/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints what a machine would get for its address, for tests: ipfree MAX [TAKEN...] */

#include "fs.h"
#include "ipcheck.h"
#include "strv.h"

int main(int argc, char *argv[]) {
        _cleanup_(ipknown_done) IpKnown known = {};
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_close_ int root = fs_open_root(NULL);
        _cleanup_strv_ char **l = NULL;
        _cleanup_free_ char *why = NULL;
        int r;

        if (argc < 2 || root < 0 || conf_load_and_warn(root, &conf) < 0)
                return 2;
        for (int i = 2; i < argc; i++)
                if (ipknown_add(&known, IP_RESERVED, argv[i], NULL) < 0)
                        return 2;
        r = ipcheck_free(root, &conf, &known, (size_t) atoi(argv[1]), &l, &why);
        if (r < 0)
                fprintf(stderr, "%s\n", strerror(-r));
        else if (r == 0)
                printf("none: %s\n", why);
        STRV_FOREACH(a, l)
                puts(*a);
        return r < 0;
}
