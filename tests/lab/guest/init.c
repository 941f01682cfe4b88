/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All that runs in a guest of the lab: tells the serial console which devices its kernel sees on the PCI bus,
 * at first and whenever a line comes in; "off" shuts the guest down. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"

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

int main(void) {
        char line[64];

        (void) mkdir("/sys", 0755);
        (void) mkdir("/dev", 0755);
        if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0 || mount("dev", "/dev", "devtmpfs", 0, NULL) < 0 ||
            !freopen("/dev/ttyS0", "w", stdout) || !freopen("/dev/ttyS0", "r", stdin))
                return 1; /* the kernel panics, and says so */
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
