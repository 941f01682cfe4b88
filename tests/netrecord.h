/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Netrecord: the kernel's answers that the fuzzer of netstate.h starts from; recorded in network namespaces
 * by Linux 6.18. */

#include "fs.h"
#include "netstate.h"
#include "tests/tap.h"

static inline char *netrecord_read(const char *name, size_t *ret_size) {
        _cleanup_close_ int root = fs_open_root(getenv("GPUVM_SOURCE"));
        _cleanup_free_ char *path = NULL;
        char *data;

        ASSERT_EQ(str_printf(&path, "/tests/fuzz/corpus/netstate/%s", name), 0);
        ASSERT_EQ(fs_read(root, path, FS_FILE_MAX, &data, ret_size), 0);
        return data;
}

static inline void netrecord_load(const char *name, NetState *ret) {
        size_t size;
        _cleanup_free_ char *data = netrecord_read(name, &size);

        *ret = (NetState){};
        ASSERT_EQ(netstate_parse(ret, data, size), 0);
}
