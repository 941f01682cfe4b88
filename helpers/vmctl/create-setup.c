/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is set up inside the guest: its options, the secrets that go there, and the user-data that has it all.
 */

#include <ctype.h>

#include "create.h"
#include "fs.h"
#include "virt.h"
#include "vmstore.h"

enum {
        SECRET_MAX = 4096,
        STORE_READONLY_LIBVIRT = 11 * 1000 * 1000, /* <readonly/> of virtiofs, with virtiofsd 1.13 */
};

void setup_done(Create *n) {
        gueststeps_free(n->files, n->n_files);
        vmfile_done(&n->asked);
        free(n->store);
        strv_free(n->secrets);
        strv_free(n->packages);
}

/* As in a file of the machine's: several in one value have blanks between, which a path may have itself. */
static int take_values(VmKey k, char *const *values, char ***ret) {
        bool is_list = vmkey_rows[k].type == VMKEY_WORDS && k != VMKEY_GPU;
        int r = 0;

        STRV_FOREACH(value, values) {
                _cleanup_strv_ char **words = NULL;

                r = is_list ? strv_split(*value, " ", &words) : 0;
                STRV_FOREACH(word, words)
                        if (r >= 0)
                                r = strv_extend(ret, *word);
                if (r >= 0 && !words)
                        r = strv_extend(ret, vmkey_rows[k].type == VMKEY_FLAG ? "yes" : *value);
                if (r < 0)
                        return r;
        }
        return r;
}

/* The options as the keys that they are in a file. */
static int take_options(Context *c, Create *n) {
        VmFile *f = &n->asked;
        int r = vmfile_add(f, VMKEY_KIND, n->kind);

        for (VmKey k = 0; k < _VMKEY_MAX && r >= 0; k++)
                if (vmkey_rows[k].option)
                        r = take_values(k, c->values[vmctl_find_option(vmkey_rows[k].option)], &f->values[k]);
        return r < 0 || !vmctl_has(c, OPT_NO_GPU) ? r : vmfile_add(f, VMKEY_GPU, "none");
}

/* Tells what a check has said. */
static int tell(int r, const char *said) {
        if (r < 0 && !said)
                return log_oom();
        if (r < 0)
                log_error("%s", said);
        return r;
}

int setup_read(Context *c, Create *n) {
        _cleanup_free_ char *said = NULL;
        int r = take_options(c, n);

        if (r < 0)
                return log_oom();
        n->wish = vmkind_guest(&n->asked);
        r = vmkind_check(&n->asked, &said);
        return tell(r, said);
}

int setup_check(const Create *n) {
        _cleanup_free_ char *said = NULL;
        int r = guestwish_check(&n->wish, &said);

        return tell(r, said);
}

/* One line. It is never shown. */
static int read_secret(GuestKey k, const char *path, Create *n, const char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r = vmctl_read_file(path, SECRET_MAX, &text, &size);

        if (r < 0) {
                log_error_errno(r, "Cannot read '%s' for --%s: %m", path, guestwish_option(k));
                return -EINVAL;
        }
        text[strcspn(text, "\n")] = '\0';
        for (const char *c = text; *c || c == text; c++)
                if (!isgraph((unsigned char) *c)) {
                        log_error("The first line of '%s' is no secret for --%s: printable characters, no blanks",
                                  path, guestwish_option(k));
                        return -EINVAL;
                }
        if (strv_extend(&n->secrets, text) < 0)
                return log_oom();
        *ret = n->secrets[strv_length(n->secrets) - 1];
        return 0;
}

static bool has_virtiofsd(int root) {
        /* QEMU's own, in Debian 12; the package that is one. */
        return fs_exists(root, "/usr/lib/qemu/virtiofsd") > 0 ||
                        fs_exists(root, "/usr/libexec/virtiofsd") > 0;
}

/* A guest's root mounts it as it likes: what keeps it from writing has to be on the host. */
static int check_readonly(Context *c, Create *n, int fd) {
        unsigned long version = 0;
        int r = virt_version(c->virt, &version);

        if (r < 0)
                return vmctl_tell(c, r, "Cannot ask libvirt for its version");
        n->store_readonly = version >= STORE_READONLY_LIBVIRT;
        if (n->store_readonly || vmstore_is_readonly(fd) > 0)
                return 0;
        return log_full_errno(
                        LOG_ERR, EOPNOTSUPP,
                        "--model-store: libvirt %lu.%lu cannot share '%s' read-only, 11.0 can. Mount it so: 'sudo mount -m -o bind,ro %s /srv/models-ro', the same in /etc/fstab, and --model-store=/srv/models-ro",
                        version / 1000000, version / 1000 % 1000, n->store, n->store);
}

int store_find(Context *c, Create *n) {
        const char *path = guestwish_value(&n->wish, GUEST_MODEL_STORE);
        _cleanup_close_ int fd = -EBADF;

        if (!path)
                return 0;
        fd = vmstore_open(n->root, path);
        if (fd < 0)
                return log_error_errno(fd, "--model-store: cannot open the directory '%s': %m", path);
        if (!has_virtiofsd(n->root))
                return log_full_errno(
                                LOG_ERR, ENOPKG,
                                "--model-store: virtiofsd is not installed. 'sudo apt install virtiofsd'");
        n->store = strdup(path);
        if (!n->store)
                return log_oom();
        return c->virt ? check_readonly(c, n, fd) : 0;
}

int setup_files(Create *n) {
        const char *secrets[2] = {};
        static const GuestKey keys[] = { GUEST_API_KEY_FILE, GUEST_HF_TOKEN_FILE };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                const char *path = guestwish_value(&n->wish, keys[i]);
                int r = path ? read_secret(keys[i], path, n, &secrets[i]) : 0;

                if (r < 0)
                        return r;
        }
        n->wish.gpu = vmplan_has_gpu(&n->plan);
        if (guestwish_packages(&n->wish, &n->packages) < 0 ||
            gueststeps_files(&n->wish, secrets[0], secrets[1], &n->files, &n->n_files) < 0)
                return log_oom();
        return 0;
}
