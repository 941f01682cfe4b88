/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dlfcn.h>

#include "library.h"

int library_load(const char *name, const LibraryFunction *functions, size_t n, void **library) {
        void *handle;

        if (*library)
                return 0;
        /* Lazily, as whoever links them has them: of the sixty libraries that come with libvirt most
         * functions are never called, and to bind all of them at once is a sixth of what 'vmctl list' costs.
         */
        handle = name ? dlopen(name, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE) : NULL;
        if (!handle)
                return -ENOPKG;
        for (size_t i = 0; i < n; i++) {
                void *f = dlsym(handle, functions[i].name);

                if (!f)
                        return -ENOSYS;
                memcpy(functions[i].at, &f, sizeof(f));
        }
        *library = handle;
        return 1;
}

char *library_file(uintptr_t function) {
        Dl_info info;

        return dladdr((const void *) function, &info) != 0 && info.dli_fname ? realpath(info.dli_fname, NULL)
                                                                             : NULL;
}
