/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guest: of the machine "test": a tree, by mock/fakeagent.c in the place of libvirt's library for agents. */

#include "tests/libvirt.h"
#include "tests/tree.h"

static inline Virt *connect_to_guest(void) {
        (void) tree_new();
        ASSERT(setenv("FAKEAGENT_ROOT", tree_path, 1) >= 0);
        return connect_to_test();
}
