/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <math.h>

#include "fs.h"
#include "library.h"
#include "nvml.h"

#define LIBRARY "libnvidia-ml.so.1"

/* As in nvml.h, whose interface is fixed once published. */
enum {
        NVML_ERROR_INVALID_ARGUMENT = 2,
        NVML_ERROR_NOT_SUPPORTED = 3,
        NVML_ERROR_NO_PERMISSION = 4,
        NVML_ERROR_NOT_FOUND = 6,
        NVML_ERROR_DRIVER_NOT_LOADED = 9,
        NVML_ERROR_TIMEOUT = 10,
        NVML_ERROR_LIBRARY_NOT_FOUND = 12,
        NVML_ERROR_FUNCTION_NOT_FOUND = 13,
        NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
        NVML_ERROR_IN_USE = 19,
        NVML_CLOCK_GRAPHICS = 0,
        NVML_CLOCK_SM = 1,
        NVML_CLOCK_MEM = 2,
        NVML_TEMPERATURE_GPU = 0,
        NVML_INIT_FLAG_NO_GPUS = 1, /* the only GPU of a machine is not seen while it is draining */
};

typedef struct NvmlPci {
        char bus_id_legacy[16];
        unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
        char bus_id[32];
} NvmlPci;

typedef struct NvmlUtilization {
        unsigned gpu, memory; /* per cent of the time */
} NvmlUtilization;

typedef struct NvmlMemory {
        unsigned long long total, free, used;
} NvmlMemory;

/* The functions used here: in the child only. */
static struct {
        void *library;
        int (*nvmlInitWithFlags)(unsigned flags);
        int (*nvmlShutdown)(void);
        int (*nvmlDeviceGetHandleByPciBusId_v2)(const char *bus_id, void **device);
        int (*nvmlDeviceGetPersistenceMode)(void *device, int *mode);
        int (*nvmlDeviceSetPersistenceMode)(void *device, int mode);
        int (*nvmlDeviceModifyDrainState)(NvmlPci *pci, int state);
        int (*nvmlDeviceQueryDrainState)(NvmlPci *pci, int *state);
        int (*nvmlDeviceGetUtilizationRates)(void *device, NvmlUtilization *u);
        int (*nvmlDeviceGetMemoryInfo)(void *device, NvmlMemory *m);
        int (*nvmlDeviceGetTemperature)(void *device, int sensor, unsigned *celsius);
        int (*nvmlDeviceGetPowerUsage)(void *device, unsigned *milliwatts);
        int (*nvmlDeviceGetClockInfo)(void *device, int clock, unsigned *mhz);
} lib;

/* NVIDIA has announced that they go one day. */
static struct {
        void *library;
        int (*nvmlDeviceGetApplicationsClock)(void *device, int type, unsigned *mhz);
        int (*nvmlDeviceSetApplicationsClocks)(void *device, unsigned memory, unsigned graphics);
} clocks;

#define X(f) \
        { #f, &lib.f }
static const LibraryFunction functions[] = { X(nvmlShutdown),
                                             X(nvmlDeviceGetHandleByPciBusId_v2),
                                             X(nvmlDeviceGetPersistenceMode),
                                             X(nvmlDeviceSetPersistenceMode),
                                             X(nvmlDeviceModifyDrainState),
                                             X(nvmlDeviceQueryDrainState),
                                             X(nvmlDeviceGetUtilizationRates),
                                             X(nvmlDeviceGetMemoryInfo),
                                             X(nvmlDeviceGetTemperature),
                                             X(nvmlDeviceGetPowerUsage),
                                             X(nvmlDeviceGetClockInfo),
                                             X(nvmlInitWithFlags) };
#undef X
#define X(f) \
        { #f, &clocks.f }
static const LibraryFunction clock_functions[] = { X(nvmlDeviceGetApplicationsClock),
                                                   X(nvmlDeviceSetApplicationsClocks) };
#undef X

static int load_library(int root, const LibraryFunction *f, size_t n, void **library) {
        const char *path = fs_is_host(root) ? LIBRARY : secure_getenv("GPUVM_NVML");
        int r = library_load(path, f, n, library);

        return r == -ENOSYS ? -EOPNOTSUPP : MIN(r, 0);
}

static int to_errno(int r) {
        switch (r) {
        case 0:
                return 0;
        case NVML_ERROR_INVALID_ARGUMENT:
                return -EINVAL;
        case NVML_ERROR_NOT_SUPPORTED:
        case NVML_ERROR_DRIVER_NOT_LOADED:
        case NVML_ERROR_LIBRARY_NOT_FOUND:
        case NVML_ERROR_FUNCTION_NOT_FOUND:
                return -EOPNOTSUPP;
        case NVML_ERROR_NO_PERMISSION:
                return -EPERM;
        case NVML_ERROR_NOT_FOUND:
                return -ENODEV;
        case NVML_ERROR_TIMEOUT:
                return -ETIME;
        case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
                return -ELIBBAD;
        case NVML_ERROR_IN_USE:
                return -EBUSY;
        default:
                return -EIO;
        }
}

/* The handle opens the GPU, until nvmlShutdown(). */
static int get_persistence(const char *bus_id, void **ret_device, int *ret) {
        int r;

        r = lib.nvmlDeviceGetHandleByPciBusId_v2(bus_id, ret_device);
        return to_errno(r ?: lib.nvmlDeviceGetPersistenceMode(*ret_device, ret));
}

static int set_persistence(const char *bus_id, int on) {
        void *device = NULL;
        int r, now = -1;

        r = get_persistence(bus_id, &device, &now);
        if (r < 0 || now == on)
                return r;
        r = to_errno(lib.nvmlDeviceSetPersistenceMode(device, on));
        if (r < 0)
                return r;
        return lib.nvmlDeviceGetPersistenceMode(device, &now) == 0 && now == on ? 0 : -EIO;
}

static int set_draining(NvmlPci *pci, int on) {
        int r, now = -1;

        r = to_errno(lib.nvmlDeviceQueryDrainState(pci, &now));
        if (r < 0 || now == on)
                return r;
        r = to_errno(lib.nvmlDeviceModifyDrainState(pci, on));
        if (r < 0)
                return r;
        return lib.nvmlDeviceQueryDrainState(pci, &now) == 0 && now == on ? 0 : -EIO;
}

/* One of a GPU that is draining is not to be had, and it cannot be persistent. */
static int get_state(NvmlPci *pci, char *answer) {
        int r, draining = 0, persistent = 0;
        void *device = NULL;

        if (lib.nvmlDeviceQueryDrainState(pci, &draining) != 0)
                draining = 0;
        r = draining == 1 ? 0 : get_persistence(pci->bus_id, &device, &persistent);
        if (r >= 0)
                (void) snprintf(answer, WORKER_ANSWER_MAX, "%d%d", persistent == 1, draining == 1);
        return r;
}

static int get_clocks(void *device, NvmlClocks *ret) {
        int r = clocks.nvmlDeviceGetApplicationsClock(device, NVML_CLOCK_MEM, &ret->memory);

        return to_errno(r
                                        ?: clocks.nvmlDeviceGetApplicationsClock(device, NVML_CLOCK_GRAPHICS,
                                                                                 &ret->graphics));
}

/* wanted: as nvml_set_clocks() writes it, or "" to ask only. */
static int serve_clocks(int root, const char *bus_id, const char *wanted, char *answer) {
        NvmlClocks want, now;
        void *device = NULL;
        int r;

        r = load_library(root, clock_functions, ELEMENTSOF(clock_functions), &clocks.library);
        if (r >= 0)
                r = to_errno(lib.nvmlDeviceGetHandleByPciBusId_v2(bus_id, &device));
        if (r >= 0 && sscanf(wanted, "%u,%u", &want.memory, &want.graphics) == 2) {
                r = to_errno(clocks.nvmlDeviceSetApplicationsClocks(device, want.memory, want.graphics));
                if (r >= 0)
                        r = get_clocks(device, &now);
                return r < 0 || (now.memory == want.memory && now.graphics == want.graphics) ? r : -EIO;
        }
        if (r >= 0)
                r = get_clocks(device, &now);
        if (r >= 0)
                (void) snprintf(answer, WORKER_ANSWER_MAX, "%u,%u", now.memory, now.graphics);
        return r;
}

/* What it cannot tell is "nan". */
static int get_sample(NvmlPci *pci, char *answer) {
        unsigned celsius, milliwatts, mhz;
        NvmlSample s = { NAN, NAN, NAN, NAN, NAN, NAN };
        NvmlUtilization u;
        void *device = NULL;
        NvmlMemory m;
        int r, draining = 0;

        if (lib.nvmlDeviceQueryDrainState(pci, &draining) == 0 && draining == 1)
                return -EBUSY;
        r = to_errno(lib.nvmlDeviceGetHandleByPciBusId_v2(pci->bus_id, &device));
        if (r < 0)
                return r;
        if (lib.nvmlDeviceGetUtilizationRates(device, &u) == 0)
                s.busy = u.gpu / 100.0;
        if (lib.nvmlDeviceGetMemoryInfo(device, &m) == 0) {
                s.memory_used = (double) m.used;
                s.memory_total = (double) m.total;
        }
        if (lib.nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, &celsius) == 0)
                s.celsius = celsius;
        if (lib.nvmlDeviceGetPowerUsage(device, &milliwatts) == 0)
                s.watts = milliwatts / 1000.0;
        if (lib.nvmlDeviceGetClockInfo(device, NVML_CLOCK_SM, &mhz) == 0)
                s.sm_hertz = mhz * 1e6;
        (void) snprintf(answer, WORKER_ANSWER_MAX, "%.17g %.17g %.17g %.17g %.17g %.17g", s.busy,
                        s.memory_used, s.memory_total, s.celsius, s.watts, s.sm_hertz);
        return 0;
}

/* In the child. A request is "ADDRESS VERB". */
static int serve(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        const char *verb = strchr(request, ' ');
        NvmlPci pci = {};
        Bdf b;
        int r;

        (void) n;
        if (!verb || (size_t) (verb - request) >= sizeof(pci.bus_id))
                return -EINVAL;
        memcpy(pci.bus_id, request, (size_t) (verb++ - request));
        if (bdf_parse(pci.bus_id, &b) < 0)
                return -EINVAL;
        (void) snprintf(pci.bus_id_legacy, sizeof(pci.bus_id_legacy), "%04x:%02x:%02x.0", b.domain & 0xffff,
                        (unsigned) b.bus, (unsigned) b.slot);
        pci.domain = b.domain;
        pci.bus = b.bus;
        pci.device = b.slot;
        if (!lib.nvmlInitWithFlags) {
                r = load_library(root, functions, ELEMENTSOF(functions), &lib.library);
                if (r < 0)
                        return r;
        }
        r = to_errno(lib.nvmlInitWithFlags(NVML_INIT_FLAG_NO_GPUS));
        if (r < 0)
                return r;
        if (streq(verb, "get"))
                r = get_state(&pci, answer);
        else if (streq(verb, "sample"))
                r = get_sample(&pci, answer);
        else if (startswith(verb, "persistent="))
                r = set_persistence(pci.bus_id, streq(verb, "persistent=1"));
        else if (startswith(verb, "clocks="))
                r = serve_clocks(root, pci.bus_id, startswith(verb, "clocks="), answer);
        else
                r = set_draining(&pci, streq(verb, "draining=1"));
        (void) lib.nvmlShutdown();
        return r;
}

static int call(Worker *w, Bdf gpu, const char *verb, uint64_t timeout_usec, char **ret) {
        char address[BDF_STRING_MAX], request[BDF_STRING_MAX + 32];
        int k = snprintf(request, sizeof(request), "%s %s", bdf_format(gpu, address), verb);

        return worker_call(w, serve, request, (size_t) k, timeout_usec, ret);
}

int nvml_get(Worker *w, Bdf gpu, uint64_t timeout_usec, NvmlState *ret) {
        _cleanup_free_ char *answer = NULL;
        int r;

        r = call(w, gpu, "get", timeout_usec, &answer);
        if (r < 0)
                return r;
        if (strlen(answer) != 2)
                return -EIO;
        *ret = (NvmlState){ answer[0] == '1', answer[1] == '1' };
        return 0;
}

int nvml_sample(Worker *w, Bdf gpu, uint64_t timeout_usec, NvmlSample *ret) {
        _cleanup_free_ char *answer = NULL;
        NvmlSample s;
        int r;

        r = call(w, gpu, "sample", timeout_usec, &answer);
        if (r < 0)
                return r;
        if (sscanf(answer, "%lf %lf %lf %lf %lf %lf", &s.busy, &s.memory_used, &s.memory_total, &s.celsius,
                   &s.watts, &s.sm_hertz) != 6)
                return -EIO;
        *ret = s;
        return 0;
}

int nvml_set_persistent(Worker *w, Bdf gpu, bool on, uint64_t timeout_usec) {
        return call(w, gpu, on ? "persistent=1" : "persistent=0", timeout_usec, NULL);
}

int nvml_get_clocks(Worker *w, Bdf gpu, uint64_t timeout_usec, NvmlClocks *ret) {
        _cleanup_free_ char *answer = NULL;
        int r;

        r = call(w, gpu, "clocks=", timeout_usec, &answer);
        if (r < 0)
                return r;
        return sscanf(answer, "%u,%u", &ret->memory, &ret->graphics) == 2 ? 0 : -EIO;
}

int nvml_set_clocks(Worker *w, Bdf gpu, const NvmlClocks *c, uint64_t timeout_usec) {
        char verb[sizeof("clocks=") + 2 * sizeof("4294967295")];

        (void) snprintf(verb, sizeof(verb), "clocks=%u,%u", c->memory, c->graphics);
        return call(w, gpu, verb, timeout_usec, NULL);
}

int nvml_set_draining(Worker *w, Bdf gpu, bool on, uint64_t timeout_usec) {
        return call(w, gpu, on ? "draining=1" : "draining=0", timeout_usec, NULL);
}
