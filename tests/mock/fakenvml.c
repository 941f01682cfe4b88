/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fakenvml: a libnvidia-ml.so.1 for the machine below FAKESYS_ROOT. What it knows of a GPU is in the files
 * nvml/ADDRESS.persistent and nvml/ADDRESS.draining there ("0" or "1"); a GPU without them is not found. Its
 * application clocks are in nvml/ADDRESS.clocks ("MEMORY,GRAPHICS"), those it knows besides in
 * nvml/ADDRESS.supported, alike; without the first it has none.
 *
 *   FAKENVML_FAIL=FUNCTION:CODE[:N]  that function returns CODE, at its N-th call only if N is given
 *   FAKENVML_HANG=FUNCTION           it never returns
 *
 * What a GPU is at is in nvml/ADDRESS.sample: "BUSY% USED TOTAL CELSIUS MILLIWATTS MHZ", a word for what it
 * cannot tell; each time that it is asked is a line in nvml/ADDRESS.opened, if that is there.
 *
 * As the real one: persistence of a GPU that is draining cannot be asked for, and a persistent GPU cannot be
 * drained. nvml/ADDRESS.held names a link that is there exactly while the GPU is persistent: the open file of
 * nvidia-persistenced. nvml/ADDRESS.comes names one ("LINK NODE") that is made when somebody asks to drain
 * the GPU. */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        ERROR_UNINITIALIZED = 1,
        ERROR_INVALID_ARGUMENT = 2,
        ERROR_NOT_SUPPORTED = 3,
        ERROR_NOT_FOUND = 6,
        ERROR_IN_USE = 19,
        CLOCK_GRAPHICS = 0,
        CLOCK_MEM = 2,
};

typedef struct Pci {
        char legacy[16];
        unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
        char bus_id[32];
} Pci;

static int users;
static char opened[PATH_MAX];

static int enter(const char *function) {
        const char *fail = getenv("FAKENVML_FAIL"), *hang = getenv("FAKENVML_HANG");
        size_t n = strlen(function);
        static int calls;
        int code = 0, at = 0;

        if (hang && strcmp(hang, function) == 0)
                for (;;)
                        (void) pause();
        if (!fail || strncmp(fail, function, n) != 0 || sscanf(fail + n, ":%d:%d", &code, &at) < 1)
                return users > 0 || strcmp(function, "nvmlInitWithFlags") == 0 ? 0 : ERROR_UNINITIALIZED;
        calls++;
        return at == 0 || calls == at ? code : 0;
}

static char *path_of(char buf[static PATH_MAX], const char *address, const char *what) {
        (void) snprintf(buf, PATH_MAX, "%s/nvml/%s.%s", getenv("FAKESYS_ROOT"), address, what);
        return buf;
}

/* Makes or takes away what the file names. */
static void open_file(const char *address, const char *what, int on) {
        char path[PATH_MAX], link[PATH_MAX], node[PATH_MAX];
        FILE *f = fopen(path_of(path, address, what), "re");

        if (!f)
                return;
        if (fscanf(f, "%4095s %4095s", link, node) == 2 && (on ? symlink(node, link) : unlink(link)) < 0)
                abort();
        (void) fclose(f);
}

static int get(const char *address, const char *what) {
        char path[PATH_MAX];
        int c = -1, fd = open(path_of(path, address, what), O_RDONLY | O_CLOEXEC);
        char byte;

        if (fd < 0)
                return -1;
        if (read(fd, &byte, 1) == 1)
                c = byte == '1';
        (void) close(fd);
        return c;
}

/* By write(2), so that a test can cut before it. */
static void put(const char *address, const char *what, int on) {
        char path[PATH_MAX];
        int fd = open(path_of(path, address, what), O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, on ? "1\n" : "0\n", 2) != 2)
                abort();
        (void) close(fd);
}

/* Returns 1 if there are some. */
static int read_clocks(const char *address, const char *what, unsigned ret[static 2]) {
        char path[PATH_MAX];
        FILE *f = fopen(path_of(path, address, what), "re");
        int n = f ? fscanf(f, "%u,%u", &ret[0], &ret[1]) : 0;

        if (f)
                (void) fclose(f);
        return n == 2;
}

#define EXPORT __attribute__((visibility("default")))

EXPORT int nvmlInitWithFlags(unsigned flags);
EXPORT int nvmlShutdown(void);
EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device);
EXPORT int nvmlDeviceGetPersistenceMode(void *device, int *mode);
EXPORT int nvmlDeviceSetPersistenceMode(void *device, int mode);
EXPORT int nvmlDeviceGetApplicationsClock(void *device, int type, unsigned *mhz);
EXPORT int nvmlDeviceSetApplicationsClocks(void *device, unsigned memory, unsigned graphics);
EXPORT int nvmlDeviceModifyDrainState(Pci *pci, int state);
EXPORT int nvmlDeviceQueryDrainState(Pci *pci, int *state);
EXPORT int nvmlDeviceGetUtilizationRates(void *device, unsigned u[2]);
EXPORT int nvmlDeviceGetMemoryInfo(void *device, unsigned long long m[3]);
EXPORT int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius);
EXPORT int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts);
EXPORT int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *mhz);

static void note_opened(const char *address) {
        char path[PATH_MAX];
        int fd = open(path_of(path, address, "opened"), O_WRONLY | O_APPEND | O_CLOEXEC);

        if (fd >= 0 && write(fd, "opened\n", 7) != 7)
                abort();
        if (fd >= 0)
                (void) close(fd);
}

/* The k-th word of the sample. */
static int sample(const char *function, const char *address, int k, unsigned long long *ret) {
        char path[PATH_MAX], line[256] = "", *word, *rest = line, *end;
        FILE *f = fopen(path_of(path, address, "sample"), "re");
        int r = enter(function);

        if (f && !fgets(line, sizeof(line), f))
                line[0] = 0;
        if (f)
                (void) fclose(f);
        do
                word = strtok_r(rest, " \n", &rest);
        while (word && k-- > 0);
        if (r != 0 || !word)
                return r != 0 ? r : ERROR_NOT_SUPPORTED;
        *ret = strtoull(word, &end, 10);
        return *end ? ERROR_NOT_SUPPORTED : 0;
}

int nvmlInitWithFlags(unsigned flags) {
        int r = enter("nvmlInitWithFlags");

        if (r == 0)
                users++;
        return r;
}

int nvmlShutdown(void) {
        int r = enter("nvmlShutdown");

        if (r == 0)
                users--;
        return r;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device) {
        int r = enter("nvmlDeviceGetHandleByPciBusId_v2");

        if (r != 0)
                return r;
        if (get(bus_id, "persistent") < 0 || get(bus_id, "draining") == 1)
                return ERROR_NOT_FOUND;
        (void) snprintf(opened, sizeof(opened), "%s", bus_id);
        note_opened(bus_id);
        *device = opened;
        return 0;
}

int nvmlDeviceGetPersistenceMode(void *device, int *mode) {
        int r = enter("nvmlDeviceGetPersistenceMode");

        if (r == 0)
                *mode = get(device, "persistent");
        return r;
}

int nvmlDeviceSetPersistenceMode(void *device, int mode) {
        int r = enter("nvmlDeviceSetPersistenceMode");

        if (r != 0)
                return r;
        put(device, "persistent", mode);
        open_file(device, "held", mode);
        return 0;
}

int nvmlDeviceGetApplicationsClock(void *device, int type, unsigned *mhz) {
        int r = enter("nvmlDeviceGetApplicationsClock");
        unsigned now[2];

        if (r == 0 && type != CLOCK_GRAPHICS && type != CLOCK_MEM)
                return ERROR_INVALID_ARGUMENT;
        if (r == 0 && !read_clocks(device, "clocks", now))
                return ERROR_NOT_SUPPORTED;
        if (r == 0)
                *mhz = now[type == CLOCK_GRAPHICS];
        return r;
}

int nvmlDeviceSetApplicationsClocks(void *device, unsigned memory, unsigned graphics) {
        int r = enter("nvmlDeviceSetApplicationsClocks");
        char path[PATH_MAX];
        unsigned known[2];
        FILE *f;

        if (r != 0)
                return r;
        if (!read_clocks(device, "supported", known) || known[0] != memory || known[1] != graphics)
                return ERROR_INVALID_ARGUMENT;
        f = fopen(path_of(path, device, "clocks"), "we");
        if (!f || fprintf(f, "%u,%u\n", memory, graphics) < 0 || fclose(f) != 0)
                abort();
        return 0;
}

int nvmlDeviceModifyDrainState(Pci *pci, int state) {
        int r = enter("nvmlDeviceModifyDrainState");

        if (state == 1)
                open_file(pci->bus_id, "comes", 1);

        if (r != 0)
                return r;
        if (state == 1 && get(pci->bus_id, "persistent") == 1)
                return ERROR_IN_USE;
        put(pci->bus_id, "draining", state);
        return 0;
}

int nvmlDeviceQueryDrainState(Pci *pci, int *state) {
        int r = enter("nvmlDeviceQueryDrainState");

        if (r != 0)
                return r;
        *state = get(pci->bus_id, "draining");
        return *state < 0 ? ERROR_NOT_FOUND : 0;
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned u[2]) {
        unsigned long long busy;
        int r = sample("nvmlDeviceGetUtilizationRates", device, 0, &busy);

        if (r == 0)
                u[0] = (unsigned) busy, u[1] = 0;
        return r;
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long m[3]) {
        int r = sample("nvmlDeviceGetMemoryInfo", device, 1, &m[2]);

        if (r == 0)
                r = sample("nvmlDeviceGetMemoryInfo", device, 2, &m[0]);
        if (r == 0)
                m[1] = m[0] - m[2];
        return r;
}

static int sample_number(const char *function, const char *address, int k, unsigned *ret) {
        unsigned long long n;
        int r = sample(function, address, k, &n);

        if (r == 0)
                *ret = (unsigned) n;
        return r;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
        return sensor == 0 ? sample_number("nvmlDeviceGetTemperature", device, 3, celsius)
                           : ERROR_NOT_SUPPORTED;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
        return sample_number("nvmlDeviceGetPowerUsage", device, 4, milliwatts);
}

int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *mhz) {
        return clock == 1 ? sample_number("nvmlDeviceGetClockInfo", device, 5, mhz) : ERROR_NOT_SUPPORTED;
}
