/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "computejob.h"
#include "compute.h"
#include "fs.h"
#include "library.h"

#define CUDA "libcuda.so.1"
#define NVML "libnvidia-ml.so.1"

/* As in cuda.h and nvml.h, whose interfaces are fixed once published. */
enum {
        CUDA_ERROR_OUT_OF_MEMORY = 2,
        CUDA_ERROR_STUB_LIBRARY = 34,
        CUDA_ERROR_DEVICE_UNAVAILABLE = 46,
        CUDA_ERROR_NO_DEVICE = 100,
        CUDA_ERROR_INVALID_DEVICE = 101,
        CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
        CUDA_ERROR_INVALID_PTX = 218,
        CUDA_ERROR_JIT_COMPILER_NOT_FOUND = 221,
        CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
        CUDA_ERROR_JIT_COMPILATION_DISABLED = 223,
        CUDA_ERROR_SYSTEM_NOT_READY = 802,
        CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
        CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE = 804,
        NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
};

enum { N = 1 << 16, BYTES = N * sizeof(uint32_t), BLOCK = 256 };

/* c[i] = a[i] + b[i], for every GPU since Maxwell: the driver compiles it for the one that is here. */
static const char ptx[] =
                ".version 6.0\n"
                ".target sm_50\n"
                ".address_size 64\n"
                ".visible .entry add(.param .u64 pa, .param .u64 pb, .param .u64 pc, .param .u32 pn) {\n"
                ".reg .pred %out;\n"
                ".reg .u32 %i, %k, %n, %x, %y;\n"
                ".reg .u64 %a, %b, %c, %o;\n"
                "mov.u32 %i, %ctaid.x;\n"
                "mov.u32 %k, %ntid.x;\n"
                "mov.u32 %n, %tid.x;\n"
                "mad.lo.u32 %i, %i, %k, %n;\n"
                "ld.param.u32 %n, [pn];\n"
                "setp.ge.u32 %out, %i, %n;\n"
                "@%out bra end;\n"
                "ld.param.u64 %a, [pa];\n"
                "ld.param.u64 %b, [pb];\n"
                "ld.param.u64 %c, [pc];\n"
                "cvta.to.global.u64 %a, %a;\n"
                "cvta.to.global.u64 %b, %b;\n"
                "cvta.to.global.u64 %c, %c;\n"
                "mul.wide.u32 %o, %i, 4;\n"
                "add.u64 %a, %a, %o;\n"
                "add.u64 %b, %b, %o;\n"
                "add.u64 %c, %c, %o;\n"
                "ld.global.u32 %x, [%a];\n"
                "ld.global.u32 %y, [%b];\n"
                "add.u32 %x, %x, %y;\n"
                "st.global.u32 [%c], %x;\n"
                "end: ret;\n"
                "}\n";

/* The functions used here: in the child only. */
static struct {
        void *library;
        int (*cuInit)(unsigned flags);
        int (*cuGetErrorName)(int error, const char **name);
        int (*cuDriverGetVersion)(int *version);
        int (*cuDeviceGetByPCIBusId)(int *device, const char *bus_id);
        int (*cuDeviceGetName)(char *name, int n, int device);
        int (*cuCtxCreate_v2)(void **context, unsigned flags, int device);
        int (*cuCtxDestroy_v2)(void *context);
        int (*cuModuleLoadData)(void **module, const void *image);
        int (*cuModuleGetFunction)(void **function, void *module, const char *name);
        int (*cuMemAlloc_v2)(uint64_t *address, size_t bytes);
        int (*cuMemcpyHtoD_v2)(uint64_t to, const void *from, size_t bytes);
        int (*cuMemcpyDtoH_v2)(void *to, uint64_t from, size_t bytes);
        int (*cuLaunchKernel)(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                              unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                              void *stream, void **parameters, void **extra);
        int (*cuCtxSynchronize)(void);
} lib;

/* The last call, and what it returned. */
static struct {
        const char *name;
        int result;
} call;

#define CALL(f, ...) (call.name = #f, call.result = lib.f(__VA_ARGS__))

static const char *library_path(int root, const char *name, const char *variable) {
        return fs_is_host(root) ? name : secure_getenv(variable);
}

#define X(f) \
        { #f, &lib.f }
static const LibraryFunction functions[] = { X(cuGetErrorName),        X(cuDriverGetVersion),
                                             X(cuDeviceGetByPCIBusId), X(cuDeviceGetName),
                                             X(cuCtxCreate_v2),        X(cuCtxDestroy_v2),
                                             X(cuModuleLoadData),      X(cuModuleGetFunction),
                                             X(cuMemAlloc_v2),         X(cuMemcpyHtoD_v2),
                                             X(cuMemcpyDtoH_v2),       X(cuLaunchKernel),
                                             X(cuCtxSynchronize),      X(cuInit) };
#undef X

static bool load_cuda(int root) {
        return library_load(library_path(root, CUDA, "GPUVM_CUDA"), functions, ELEMENTSOF(functions),
                            &lib.library) >= 0;
}

/* NVIDIA's libraries have their version in the names of their files: libcuda.so.580.95.05. */
static char *loaded_version(void) {
        _cleanup_free_ char *real = NULL;
        const char *version;

        real = library_file((uintptr_t) lib.cuInit);
        version = real ? strstr(real, ".so.") : NULL;
        return version && strchr(version + strlen(".so."), '.') ? strdup(version + strlen(".so.")) : NULL;
}

/* NVML says so even where libcuda only has a number for it. */
static bool is_mismatch(int root) {
        int (*init)(unsigned flags), (*end)(void);
        const LibraryFunction functions_of_nvml[] = { { "nvmlInitWithFlags", &init },
                                                      { "nvmlShutdown", &end } };
        void *library = NULL;
        int r;

        if (library_load(library_path(root, NVML, "GPUVM_NVML"), functions_of_nvml,
                         ELEMENTSOF(functions_of_nvml), &library) < 0)
                return false;
        r = init(0);
        if (r == 0)
                (void) end();
        return r == NVML_ERROR_LIB_RM_VERSION_MISMATCH;
}

static ComputeVerdict judge(int root, int result) {
        switch (result) {
        case 0:
                return COMPUTE_PROVED;
        case CUDA_ERROR_OUT_OF_MEMORY:
        case CUDA_ERROR_DEVICE_UNAVAILABLE:
                return COMPUTE_BUSY;
        case CUDA_ERROR_STUB_LIBRARY:
                return COMPUTE_NO_LIBRARY;
        case CUDA_ERROR_SYSTEM_NOT_READY:
                return COMPUTE_NO_FABRIC;
        case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
        case CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE:
                return COMPUTE_MISMATCH;
        case CUDA_ERROR_NO_BINARY_FOR_GPU:
        case CUDA_ERROR_INVALID_PTX:
        case CUDA_ERROR_JIT_COMPILER_NOT_FOUND:
        case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
        case CUDA_ERROR_JIT_COMPILATION_DISABLED:
                return COMPUTE_NO_JIT;
        }
        if (is_mismatch(root))
                return COMPUTE_MISMATCH;
        return result == CUDA_ERROR_NO_DEVICE || result == CUDA_ERROR_INVALID_DEVICE ? COMPUTE_NO_DEVICE
                                                                                     : COMPUTE_FAILED;
}

/* In the context of a GPU. *ret_right: all sums are. */
static int add_vectors(bool *ret_right) {
        static uint32_t x[N], y[N], sums[N];
        void *module, *function;
        uint64_t a, b, c;
        uint32_t n = N;
        int r;

        for (uint32_t i = 0; i < N; i++) {
                x[i] = i * 2654435761u; /* no two alike, and most sums overflow */
                y[i] = ~i;
        }
        r = CALL(cuModuleLoadData, &module, ptx) ?: CALL(cuModuleGetFunction, &function, module, "add");
        r = r ?: CALL(cuMemAlloc_v2, &a, BYTES) ?: CALL(cuMemAlloc_v2, &b, BYTES) ?: CALL(cuMemAlloc_v2, &c, BYTES);
        r = r ?: CALL(cuMemcpyHtoD_v2, a, x, BYTES) ?: CALL(cuMemcpyHtoD_v2, b, y, BYTES);
        r = r
                        ?: CALL(cuLaunchKernel, function, N / BLOCK, 1, 1, BLOCK, 1, 1, 0, NULL,
                                ((void *[]){ &a, &b, &c, &n }), NULL);
        r = r ?: CALL(cuCtxSynchronize) ?: CALL(cuMemcpyDtoH_v2, sums, c, BYTES);
        if (r != 0)
                return r;
        *ret_right = true;
        for (uint32_t i = 0; i < N; i++)
                *ret_right &= sums[i] == x[i] + y[i];
        return 0;
}

/* Memory and module go with the context. */
static int compute_on(const char *address, char name[static 128], bool *ret_right) {
        void *context = NULL;
        int device, r;

        r = CALL(cuInit, 0) ?: CALL(cuDeviceGetByPCIBusId, &device, address);
        if (r != 0)
                return r;
        if (lib.cuDeviceGetName(name, 127, device) != 0)
                *name = '\0';
        r = CALL(cuCtxCreate_v2, &context, 0, device);
        if (r != 0)
                return r;
        r = add_vectors(ret_right);
        (void) lib.cuCtxDestroy_v2(context);
        return r;
}

int computejob_serve(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        char name[128] = "", detail[128] = "";
        const char *error = NULL;
        _cleanup_free_ char *version = NULL;
        bool right = false;
        int cuda = 0, r;

        (void) n;
        /* What the caller's session asks for does not count, and no program is left in anybody's home. */
        if (unsetenv("CUDA_VISIBLE_DEVICES") < 0 || setenv("CUDA_CACHE_DISABLE", "1", 1) < 0)
                return -errno;
        if (!lib.cuInit && !load_cuda(root)) {
                lib.cuInit = NULL;
                return COMPUTE_NO_LIBRARY;
        }
        version = loaded_version();
        if (lib.cuDriverGetVersion(&cuda) != 0)
                cuda = 0;
        r = compute_on(request, name, &right);
        if (r != 0 && lib.cuGetErrorName(r, &error) == 0 && error)
                (void) snprintf(detail, sizeof(detail), "%s: %s", call.name, error);
        else if (r != 0)
                (void) snprintf(detail, sizeof(detail), "%s: error %d", call.name, r);
        (void) snprintf(answer, WORKER_ANSWER_MAX, "%s\n%d\n%s\n%s\n", strempty(version), cuda, name, detail);
        return r == 0 && !right ? COMPUTE_WRONG : (int) judge(root, r);
}
