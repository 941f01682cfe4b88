/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fakecuda: a libcuda.so.1 that adds vectors itself. It has the GPUs at the addresses in FAKECUDA_GPUS.
 *
 *   FAKECUDA_FAIL=FUNCTION:CODE  that function returns CODE
 *   FAKECUDA_HANG=FUNCTION       it never returns
 *   FAKECUDA_CRASH=FUNCTION      it crashes
 *   FAKECUDA_STICKY=1            once a function has failed, all others do, with the code 999
 *   FAKECUDA_WRONG=1             the last sum is wrong */

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        ERROR_INVALID_VALUE = 1,
        ERROR_NOT_INITIALIZED = 3,
        ERROR_INVALID_DEVICE = 101,
        ERROR_INVALID_PTX = 218,
        ERROR_UNKNOWN = 999
};

static int ready, contexts, spoiled;

static int enter(const char *function) {
        const char *fail = getenv("FAKECUDA_FAIL"), *hang = getenv("FAKECUDA_HANG"),
                   *crash = getenv("FAKECUDA_CRASH");
        size_t n = strlen(function);

        if (hang && strcmp(hang, function) == 0)
                for (;;)
                        (void) pause();
        if (crash && strcmp(crash, function) == 0)
                (void) raise(SIGKILL);
        if (spoiled)
                return ERROR_UNKNOWN;
        if (fail && strncmp(fail, function, n) == 0 && fail[n] == ':') {
                spoiled = getenv("FAKECUDA_STICKY") != NULL;
                return atoi(fail + n + 1);
        }
        return ready || strcmp(function, "cuInit") == 0 ? 0 : ERROR_NOT_INITIALIZED;
}

#define EXPORT __attribute__((visibility("default")))

EXPORT int cuInit(unsigned flags);
EXPORT int cuGetErrorName(int error, const char **name);
EXPORT int cuDriverGetVersion(int *version);
EXPORT int cuDeviceGetByPCIBusId(int *device, const char *bus_id);
EXPORT int cuDeviceGetName(char *name, int n, int device);
EXPORT int cuCtxCreate_v2(void **context, unsigned flags, int device);
EXPORT int cuCtxDestroy_v2(void *context);
EXPORT int cuModuleLoadData(void **module, const void *image);
EXPORT int cuModuleGetFunction(void **function, void *module, const char *name);
EXPORT int cuMemAlloc_v2(uint64_t *address, size_t bytes);
EXPORT int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes);
EXPORT int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes);
EXPORT int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned shared, void *stream,
                          void **parameters, void **extra);
EXPORT int cuCtxSynchronize(void);

int cuInit(unsigned flags) {
        int r = enter("cuInit");

        ready = r == 0;
        return r;
}

int cuGetErrorName(int error, const char **name) {
        *name = error == 802 ? "CUDA_ERROR_SYSTEM_NOT_READY" : NULL;
        return *name ? 0 : ERROR_INVALID_VALUE;
}

int cuDriverGetVersion(int *version) {
        *version = 13000;
        return 0;
}

int cuDeviceGetByPCIBusId(int *device, const char *bus_id) {
        const char *gpus = getenv("FAKECUDA_GPUS");
        int r = enter("cuDeviceGetByPCIBusId");

        *device = 0;
        if (r != 0)
                return r;
        /* What a session wants to see would keep others from being seen. */
        return gpus && strstr(gpus, bus_id) && !getenv("CUDA_VISIBLE_DEVICES") ? 0 : ERROR_INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int n, int device) {
        (void) snprintf(name, (size_t) n, "NVIDIA Made Up");
        return 0;
}

int cuCtxCreate_v2(void **context, unsigned flags, int device) {
        int r = enter("cuCtxCreate_v2");

        *context = &contexts;
        contexts += r == 0;
        return r;
}

/* One that stays would be the GPU in use. */
int cuCtxDestroy_v2(void *context) {
        if (context != &contexts || --contexts != 0)
                abort();
        return 0;
}

int cuModuleLoadData(void **module, const void *image) {
        int r = enter("cuModuleLoadData");

        *module = &ready;
        return r != 0 ? r : strstr(image, ".entry add(") ? 0 : ERROR_INVALID_PTX;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
        *function = module;
        return strcmp(name, "add") == 0 ? enter("cuModuleGetFunction") : ERROR_INVALID_VALUE;
}

int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
        *address = (uintptr_t) malloc(bytes);
        return enter("cuMemAlloc_v2");
}

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
        memcpy((void *) (uintptr_t) to, from, bytes);
        return enter("cuMemcpyHtoD_v2");
}

int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
        memcpy(to, (const void *) (uintptr_t) from, bytes);
        return enter("cuMemcpyDtoH_v2");
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **parameters,
                   void **extra) {
        uint32_t *v[3], n = *(uint32_t *) parameters[3];
        int r = enter("cuLaunchKernel");

        if (r != 0)
                return r;
        if (grid_x * block_x < n || grid_y != 1 || grid_z != 1 || block_y != 1 || block_z != 1)
                return ERROR_INVALID_VALUE;
        for (int i = 0; i < 3; i++)
                v[i] = (uint32_t *) (uintptr_t) * (uint64_t *) parameters[i];
        for (uint32_t i = 0; i < n; i++)
                v[2][i] = v[0][i] + v[1][i];
        v[2][n - 1] += getenv("FAKECUDA_WRONG") != NULL;
        return 0;
}

int cuCtxSynchronize(void) {
        return enter("cuCtxSynchronize");
}
