/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtdisk.h"
#include "virtlib.h"

int virtdisk_size(Virt *v, const char *name, const char *path, uint64_t *ret) {
        _cleanup_domain_ virDomainPtr d = NULL;
        virDomainBlockInfo info;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        if (lv.virDomainGetBlockInfo(d, path, &info, 0) < 0)
                return virtlib_failed(v);
        *ret = info.capacity;
        return 0;
}

int virtdisk_grow(Virt *v, const char *name, const char *path, uint64_t bytes) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        return lv.virDomainBlockResize(d, path, bytes, VIR_DOMAIN_BLOCK_RESIZE_BYTES) < 0 ? virtlib_failed(v)
                                                                                          : 0;
}

static int look_up_volume(Virt *v, const char *path, virStorageVolPtr *ret) {
        *ret = lv.virStorageVolLookupByPath(v->connection, path);
        return *ret ? 0 : virtlib_failed(v);
}

/* A pool knows of files that others have put there once it has looked again. */
static int look_again(Virt *v, const char *path) {
        _cleanup_free_ char *directory = strndup(path, (size_t) (strrchr(path, '/') - path));
        virStoragePoolPtr pool;
        int r;

        if (!directory)
                return -ENOMEM;
        pool = lv.virStoragePoolLookupByTargetPath(v->connection, directory);
        if (!pool) {
                r = virtlib_failed(v);
                return r == -ENOENT || r == -EOPNOTSUPP ? -ENXIO : r;
        }
        r = lv.virStoragePoolRefresh(pool, 0) < 0 ? virtlib_failed(v) : 0;
        (void) lv.virStoragePoolFree(pool);
        return r == -EBUSY ? -ENXIO : r;
}

/* Returns 1 and the volume, or as virtdisk_find(). */
static int find_volume(Virt *v, const char *path, virStorageVolPtr *ret) {
        int r = look_up_volume(v, path, ret);

        if (r != -ENOENT)
                return r < 0 ? r : 1;
        r = look_again(v, path);
        if (r >= 0)
                r = look_up_volume(v, path, ret);
        return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int virtdisk_find(Virt *v, const char *path) {
        virStorageVolPtr volume;
        int r = find_volume(v, path, &volume);

        if (r > 0)
                (void) lv.virStorageVolFree(volume);
        return r;
}

int virtdisk_remove(Virt *v, const char *path) {
        virStorageVolPtr volume;
        int r = find_volume(v, path, &volume);

        if (r <= 0)
                return r == -ENXIO ? 0 : r;
        r = lv.virStorageVolDelete(volume, 0) < 0 ? virtlib_failed(v) : 1;
        (void) lv.virStorageVolFree(volume);
        return r;
}
