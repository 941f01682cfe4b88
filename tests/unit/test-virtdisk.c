/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/libvirt.h"
#include "virtdisk.h"

TEST(files_that_are_in_no_pool) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();

        ASSERT_EQ(virtdisk_find(v, "/no/such/volume"), -ENXIO);
        ASSERT_EQ(virtdisk_remove(v, "/no/such/volume"), 0);
}

TEST(disks_of_no_machine) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        uint64_t size;

        ASSERT_EQ(virtdisk_size(v, "none", "/guest/diskimage1", &size), -ENOENT);
        ASSERT_EQ(virtdisk_grow(v, "none", "/guest/diskimage1", 1 << 30), -ENOENT);
}
