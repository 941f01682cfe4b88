/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All that runs in a guest of the lab: tells the serial console how often it has started and whether what the
 * last start wrote to the disk is there; then which devices its kernel sees on the PCI bus, at first and
 * whenever a line comes in; "off" shuts the guest down. */

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define DISK    "/dev/vda"

enum {
        COMPRESSED_MODULE = 4,             /* MODULE_INIT_COMPRESSED_FILE, linux/module.h */
        COUNT_OFFSET = 1024 * 1024 * 1024, /* behind the file system, in what the machine's own disk adds */
        DATA_OFFSET = COUNT_OFFSET + 1024 * 1024,
        DATA_SIZE = 1024 * 1024,
};

/* "0x10de" as "10de", or "?". */
static const char *attribute(const char *device, const char *name, char *text, size_t size) {
        char path[512];
        ssize_t n = -1;
        int fd;

        (void) snprintf(path, sizeof(path), DEVICES "/%s/%s", device, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
                n = read(fd, text, size - 1);
                (void) close(fd);
        }
        if (n <= 2)
                return "?";
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return text + 2;
}

static void tell_devices(void) {
        DIR *d = opendir(DEVICES);
        struct dirent *e;

        while (d && (e = readdir(d))) {
                char vendor[16], device[16], class[16];

                if (e->d_name[0] != '.')
                        printf("guest: pci %s %s:%s %s\n", e->d_name,
                               attribute(e->d_name, "vendor", vendor, sizeof(vendor)),
                               attribute(e->d_name, "device", device, sizeof(device)),
                               attribute(e->d_name, "class", class, sizeof(class)));
        }
        if (d)
                (void) closedir(d);
}

/* Other bytes for each start. */
static void make_data(uint64_t count, uint64_t *data) {
        for (uint64_t i = 0; i < DATA_SIZE / sizeof(*data); i++)
                data[i] = (i + 1) * 0x9e3779b97f4a7c15 ^ count;
}

/* The count is written when its data are on the disk. */
static bool write_data(int disk, uint64_t count, uint64_t *data) {
        make_data(count, data);
        return pwrite(disk, data, DATA_SIZE, DATA_OFFSET) == DATA_SIZE && fsync(disk) == 0 &&
                        pwrite(disk, &count, sizeof(count), COUNT_OFFSET) == sizeof(count) &&
                        fsync(disk) == 0;
}

static void tell_data(void) {
        static uint64_t is[DATA_SIZE / sizeof(uint64_t)], should[DATA_SIZE / sizeof(uint64_t)];
        int module = open("/virtio_blk.ko.xz", O_RDONLY | O_CLOEXEC), disk;
        uint64_t count = 0;
        bool whole;

        (void) syscall(SYS_finit_module, module, "", COMPRESSED_MODULE);
        (void) close(module);
        disk = open(DISK, O_RDWR | O_CLOEXEC);
        whole = disk >= 0 && pread(disk, &count, sizeof(count), COUNT_OFFSET) == sizeof(count) &&
                        pread(disk, is, sizeof(is), DATA_OFFSET) == sizeof(is);
        make_data(count, should);
        whole = whole && (count == 0 || memcmp(is, should, sizeof(is)) == 0);
        printf("guest: data of %llu starts %s\n", (unsigned long long) count, whole ? "whole" : "lost");
        if (!whole || !write_data(disk, count + 1, should))
                puts("guest: data cannot be written");
        (void) close(disk);
}

int main(void) {
        char line[64];

        (void) mkdir("/sys", 0755);
        (void) mkdir("/dev", 0755);
        if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0 || mount("dev", "/dev", "devtmpfs", 0, NULL) < 0 ||
            !freopen("/dev/ttyS0", "w", stdout) || !freopen("/dev/ttyS0", "r", stdin))
                return 1; /* the kernel panics, and says so */
        tell_data();
        tell_devices();
        puts("guest: up");
        (void) fflush(stdout);
        while (fgets(line, sizeof(line), stdin)) {
                line[strcspn(line, "\r\n")] = '\0';
                if (strcmp(line, "off") == 0)
                        (void) reboot(RB_POWER_OFF);
                tell_devices();
                printf("guest: told %s\n", line);
                (void) fflush(stdout);
        }
        for (;;)
                (void) pause();
}
