/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bundletext.h"
#include "confkey.h"
#include "fs.h"
#include "json.h"
#include "strv.h"

enum { MOK_STANDIN = 700, MOK_MIN = 64 };

/* Writes what scrub_text() leaves of it. */
static int put(Scrub *s, const char *text, FILE *out) {
        _cleanup_free_ char *clean = NULL;
        int r = scrub_text(s, text, &clean);

        if (r >= 0)
                fputs(clean, out);
        return MIN(r, 0);
}

/* Calls edit with each line, without its newline. */
typedef int (*LineEdit)(Scrub *s, char *line, FILE *out);

static int each_line(Scrub *s, const char *data, LineEdit edit, FILE *out) {
        _cleanup_free_ char *copy = strdup(data);
        char *line = copy, *end;
        int r = 0;

        if (!copy)
                return -ENOMEM;
        for (; *line && r >= 0; line = end) {
                size_t n = strcspn(line, "\n");

                end = line + n + (line[n] == '\n');
                line[n] = '\0';
                r = edit(s, line, out);
        }
        return r;
}

static bool begins_with_any(const char *line, const char *const *prefixes) {
        for (; *prefixes; prefixes++)
                if (startswith(line, *prefixes))
                        return true;
        return false;
}

static bool contains_any(const char *line, const char *const *words) {
        for (; *words; words++)
                if (strstr(line, *words))
                        return true;
        return false;
}

static int put_line(Scrub *s, const char *line, FILE *out) {
        int r = put(s, line, out);

        fputc('\n', out);
        return r;
}

int bundle_text(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return put(s, data, out);
}

int bundle_bytes(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        (void) fwrite(data, 1, size, out);
        return 0;
}

/* --- /proc */

/* Words that say how the kernel is to treat devices. What else has a value is about this machine alone, and
 * may be a secret. */
static const char *const kernel_words[] = { "BOOT_IMAGE=",
                                            "amd_iommu=",
                                            "cgroup",
                                            "console=",
                                            "default_hugepagesz=",
                                            "drm",
                                            "efi",
                                            "gpuvm.",
                                            "hugepages",
                                            "i915.",
                                            "initcall_blacklist=",
                                            "intel_iommu=",
                                            "iommu",
                                            "isolcpus=",
                                            "kvm",
                                            "mem=",
                                            "mitigations=",
                                            "modprobe.blacklist=",
                                            "module_blacklist=",
                                            "nouveau",
                                            "nvidia",
                                            "panic=",
                                            "pci=",
                                            "pcie",
                                            "root=",
                                            "rootfstype=",
                                            "vfio",
                                            "video=",
                                            NULL };

/* The first words that are kept whatever they are are the boot loader's. Behind a quote that opens, what has
 * a blank in it is a value still. */
static int put_words(Scrub *s, const char *line, size_t kept, FILE *out) {
        _cleanup_strv_ char **words = NULL;
        bool quoted = false;
        int r;

        r = strv_split(line, " \t\n", &words);
        for (size_t i = 0; r >= 0 && words && words[i]; i++) {
                const char *w = words[i], *value = strchr(w, '=');
                bool inside = quoted, hidden;

                for (const char *c = w; *c; c++)
                        quoted ^= *c == '"';
                hidden = i >= kept && (inside || (value && !begins_with_any(w, kernel_words)));
                if (i > 0 && !(inside && hidden))
                        fputc(' ', out);
                if (hidden && !inside)
                        fprintf(out, "%.*s=hidden", (int) (value - w), w);
                else if (!hidden)
                        r = put(s, w, out);
        }
        fputc('\n', out);
        return r;
}

int bundle_cmdline(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return put_words(s, data, 0, out);
}

/* All processors are alike: the first one's. */
int bundle_cpuinfo(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        static const char *const keys[] = { "vendor_id",     "model name",      "flags",
                                            "address sizes", "CPU implementer", NULL };
        const char *end = strstr(data, "\n\n");
        size_t n = end ? (size_t) (end - data) : size;

        for (const char *line = data; line < data + n;) {
                size_t k = strcspn(line, "\n");

                if (begins_with_any(line, keys))
                        fprintf(out, "%.*s\n", (int) k, line);
                line += k + 1;
        }
        return 0;
}

static int edit_meminfo(Scrub *s, char *line, FILE *out) {
        static const char *const keys[] = { "MemTotal:", "MemFree:", "MemAvailable:", NULL };

        return begins_with_any(line, keys) ? put_line(s, line, out) : 0;
}

int bundle_meminfo(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_meminfo, out);
}

/* Root is shown where each module is in the kernel's memory, which an attacker would like to know. */
static int edit_module(Scrub *s, char *line, FILE *out) {
        fprintf(out, "%.*s 0 0 - Live 0x0000000000000000\n", (int) strcspn(line, " "), line);
        return 0;
}

int bundle_modules(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_module, out);
}

/* Other mount points are the users' words. */
static const char *mount_point(const char *point) {
        static const char *const known[] = { "/",
                                             "/boot",
                                             "/boot/efi",
                                             "/dev",
                                             "/efi",
                                             "/home",
                                             "/opt",
                                             "/proc",
                                             "/root",
                                             "/run",
                                             "/srv",
                                             "/sys",
                                             "/tmp",
                                             "/usr",
                                             "/var",
                                             "/var/cache",
                                             "/var/lib",
                                             "/var/lib/libvirt",
                                             "/var/lib/libvirt/images",
                                             "/var/log",
                                             "/var/tmp" };

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (streq(point, known[i]))
                        return point;
        return "/mnt";
}

/* "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS" */
static int edit_mount(Scrub *s, char *line, FILE *out) {
        _cleanup_strv_ char **w = NULL;
        size_t n, dash = 6;
        int r;

        r = strv_split(line, " ", &w);
        if (r < 0)
                return r;
        n = strv_length(w);
        while (dash < n && !streq(w[dash], "-"))
                dash++;
        if (dash + 2 >= n)
                return 0;
        fprintf(out, "%s %s %s / %s rw - %s ", w[0], w[1], w[2], mount_point(w[4]), w[dash + 1]);
        r = put(s, startswith(w[dash + 2], "/dev/") ? w[dash + 2] : "none", out);
        fputs(" rw\n", out);
        return r;
}

int bundle_mounts(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_mount, out);
}

static int edit_swap(Scrub *s, char *line, FILE *out) {
        return put_line(s,
                        startswith(line, "/") && !startswith(line, "/dev/") ? "/swapfile file 0 0 0" : line,
                        out);
}

int bundle_swaps(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_swap, out);
}

/* The default routes, without their gateways. */
static int edit_route_at(Scrub *s, char *line, size_t gateway, FILE *out) {
        _cleanup_strv_ char **w = NULL;
        int r;

        r = strv_split(line, " \t", &w);
        if (r < 0 || strv_length(w) <= gateway)
                return r;
        memset(w[gateway], '0', strlen(w[gateway]));
        for (size_t i = 0; w[i] && r >= 0; i++) {
                if (i > 0)
                        fputc('\t', out);
                r = put(s, w[i], out);
        }
        fputc('\n', out);
        return r;
}

static int edit_route(Scrub *s, char *line, FILE *out) {
        const char *target = strchr(line, '\t');

        return target && startswith(target, "\t00000000\t") ? edit_route_at(s, line, 2, out) : 0;
}

int bundle_route(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_route, out);
}

static int edit_route6(Scrub *s, char *line, FILE *out) {
        return startswith(line, "00000000000000000000000000000000 00 ") ? edit_route_at(s, line, 4, out) : 0;
}

int bundle_route6(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_route6, out);
}

/* "... Kernel Module for x86_64  580.95.05  Release Build  (builder@host)" */
int bundle_driver_version(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        const char *end = strstr(data, "Release Build");
        size_t n = strcspn(data, "\n(");

        if (end && (size_t) (end - data) < n)
                n = (size_t) (end - data);
        fprintf(out, "%.*s\n", (int) n, data);
        return 0;
}

/* --- /sys */

int bundle_pci_config(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return bundle_bytes(root, s, data, size, out);
}

int bundle_read_header(int root, const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_free_ char *class_path = NULL, *data = calloc(1, max + 1);
        const char *end = strrchr(path, '/');
        _cleanup_close_ int fd = -EBADF;
        uint64_t class;
        ssize_t n;

        if (!data || str_printf(&class_path, "%.*s/class", (int) (end - path), path) < 0)
                return -ENOMEM;
        if (fs_read_hex(root, class_path, &class) < 0 || class >> 16 != 0x06)
                return -ENODATA;
        fd = fs_open(root, path, O_RDONLY | O_NONBLOCK, 0);
        n = fd < 0 ? fd : pread(fd, data, max, 0);
        if (n < 0)
                return fd < 0 ? fd : -errno;
        *ret = TAKE_PTR(data);
        *ret_size = (size_t) n;
        return 0;
}

/* The keys that DKMS signs with have this host's name in them. All that counts is whether the firmware trusts
 * one: in place of each there is the same text. */
static void put_standin(FILE *out) {
        for (int i = 0; i < MOK_STANDIN; i++)
                fputc("a certificate. "[i % 15], out);
}

int bundle_mok(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        if (size >= MOK_MIN)
                put_standin(out);
        return 0;
}

int bundle_mok_list(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        static const char *const keys[] = { "/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der" };

        (void) fwrite("\6\0\0\0", 1, 4, out);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_free_ char *key = NULL;
                size_t n = 0;

                if (fs_read(root, keys[i], FS_ATTR_MAX, &key, &n) < 0 || n < MOK_MIN ||
                    !memmem(data, size, key, n))
                        continue;
                put_standin(out);
                break;
        }
        return 0;
}

/* --- /boot, /lib/modules */

static int edit_kernel_config(Scrub *s, char *line, FILE *out) {
        static const char *const words[] = { "VFIO", "IOMMU", "SMMU", "CONFIG_DRM", "CONFIG_KVM", NULL };

        if (strstr(line, "CONFIG_") && contains_any(line, words))
                fprintf(out, "%s\n", line);
        return 0;
}

int bundle_kernel_config(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_kernel_config, out);
}

static int edit_module_list(Scrub *s, char *line, FILE *out) {
        static const char *const words[] = { "/vfio", "/nvidia", NULL };

        if (contains_any(line, words))
                fprintf(out, "%s\n", line);
        return 0;
}

int bundle_module_list(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_module_list, out);
}

/* Where the kernel's words begin: "linux /boot/vmlinuz-6.1.0 root=...", with others before it or without. */
static const char *find_kernel_line(const char *line) {
        static const char *const kernels[] = { "linux", "multiboot", "module", "options", NULL };

        for (const char *w = line + strspn(line, " \t"); *w;) {
                if (begins_with_any(w, kernels))
                        return w;
                w += strcspn(w, " \t");
                w += strspn(w, " \t");
        }
        return NULL;
}

static int edit_grub(Scrub *s, char *line, FILE *out) {
        static const char *const secrets[] = { "password", "superusers", NULL };
        const char *kernel = find_kernel_line(line);
        _cleanup_free_ char *before = NULL;
        int r;

        if (contains_any(line, secrets))
                return 0;
        if (!kernel)
                return put_line(s, line, out);
        before = strndup(line, (size_t) (kernel - line));
        r = before ? put(s, before, out) : -ENOMEM;
        return r < 0 ? r : put_words(s, kernel, 2, out);
}

int bundle_grub(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_grub, out);
}

/* --- /etc, /var */

static int edit_dpkg(Scrub *s, char *line, FILE *out) {
        static const char *const keys[] = { "Package:", "Status:", "Version:", "Architecture:", NULL };

        if (!*line || begins_with_any(line, keys))
                fprintf(out, "%s\n", line);
        return 0;
}

int bundle_dpkg(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_dpkg, out);
}

static bool is_comment(const char *line) {
        line += strspn(line, " \t");
        return *line == '#' || *line == ';';
}

static int edit_apt(Scrub *s, char *line, FILE *out) {
        return is_comment(line) ? 0 : put_line(s, line, out);
}

int bundle_apt(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_apt, out);
}

static int edit_modprobe(Scrub *s, char *line, FILE *out) {
        return startswith(line, "options vfio") ? put_line(s, line, out) : 0;
}

int bundle_modprobe(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_modprobe, out);
}

/* Settings that we know, but those that are addresses and names. */
static bool is_told(const char *name) {
        static const char *const hidden[] = { "User",     "Subnet",    "IpRange",
                                              "TalosUrl", "UbuntuUrl", "DebianUrl" };
        bool known = confkey_find(CONFKEY_GPU_SECTION, name);

        for (size_t i = 0; i < ELEMENTSOF(hidden); i++)
                if (streq(name, hidden[i]))
                        return false;
        for (const ConfKey *k = conf_keys; k->name; k++)
                known |= streq(k->name, name);
        return known;
}

static int edit_conf(Scrub *s, char *line, FILE *out) {
        _cleanup_free_ char *name = NULL;

        if (is_comment(line))
                return 0;
        line += strspn(line, " \t");
        name = strndup(line, strcspn(line, "= \t"));
        if (!name)
                return -ENOMEM;
        return *line == '[' || is_told(name) ? put_line(s, line, out) : 0;
}

int bundle_conf(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        return each_line(s, data, edit_conf, out);
}

/* Of a record what a check reads: what a phase changed, and what it noted, names users, files and servers. */
int bundle_phase(int root, Scrub *s, const char *data, size_t size, FILE *out) {
        static const char *const kept[] = { "phase", "result", "failure", "mode", "bridge" };
        _cleanup_json_ json_object *o = json_tokener_parse(data), *clean = json_object_new_object();
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(kept) && r >= 0; i++)
                if (json_member(o, kept[i], json_type_string))
                        r = json_add_text(clean, kept[i], json_text(o, kept[i]));
        return r < 0 ? r
                     : put_line(s, json_object_to_json_string_ext(clean, JSON_C_TO_STRING_NOSLASHESCAPE),
                                out);
}
