/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Guest: into the machine, by ssh or its serial console. Both are other programs, which take this one's
 * place. */

#include "vmctl.h"

/* argv: as it would be typed, more or less. */
static int become(Context *c, char **argv, const char *package) {
        int r;

        if (vmctl_has(c, OPT_DRY_RUN)) {
                _cleanup_free_ char *line = strv_join(argv, " ");

                if (!line)
                        return log_oom();
                puts(line);
                return 0;
        }
        fflush(stdout);
        (void) execvp(argv[0], argv);
        r = negative_errno();
        if (r == -ENOENT)
                log_error("There is no program '%s'. Install it: 'sudo apt install %s'", argv[0], package);
        else
                log_error_errno(r, "Cannot run '%s': %m", argv[0]);
        return r == -ENOENT ? -ENOPKG : r;
}

static int find_running(Context *c, const char *name, VirtVm *vm, Metadata *m) {
        int r;

        r = vmctl_connect(c);
        if (r >= 0)
                r = vmctl_find(c, name, vm, m);
        if (r < 0)
                return r;
        if (!vm_state_is_on(vm->state))
                return log_full_errno(LOG_ERR, ESRCH, "'%s' is off; 'vmctl start %s' starts it", name, name);
        return 0;
}

/* The command's words are the guest's shell's, as with ssh itself. */
static int ssh(Context *c, const char *user, const char *address, char **command) {
        _cleanup_strv_ char **argv = NULL;
        int r;

        r = strv_extend(&argv, "ssh");
        if (r >= 0 && user)
                r = strv_extendf(&argv, "-l%s", user);
        if (r >= 0)
                r = strv_extend(&argv, "--");
        if (r >= 0)
                r = strv_extend(&argv, address);
        STRV_FOREACH(word, command)
                if (r >= 0)
                        r = strv_extend(&argv, *word);
        return r < 0 ? log_oom() : become(c, argv, "openssh-client");
}

int cmd_ssh(Context *c, char **args) {
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_(virtvm_done) VirtVm vm = {};
        _cleanup_free_ char *address = NULL;
        int r;

        r = find_running(c, args[0], &vm, &m);
        if (r >= 0)
                r = vmctl_address(c, vm.name, &m, &address);
        if (r < 0)
                return r;
        if (streq(m.kind, "talos")) {
                log_error("Talos has no ssh. Use its API: 'talosctl --nodes %s dashboard'",
                          address ?: "ADDRESS");
                return VMCTL_FAILED;
        }
        if (!address)
                return log_full_errno(
                                LOG_ERR, ESRCH,
                                "No address of '%s' is known yet. It may still be starting; 'vmctl console %s' shows",
                                vm.name, vm.name);
        return ssh(c, vmctl_value(c, OPT_USER) ?: m.user, address, args + 1);
}

int cmd_console(Context *c, char **args) {
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_(virtvm_done) VirtVm vm = {};
        _cleanup_free_ char *uri = NULL;
        int r;

        r = find_running(c, args[0], &vm, &m);
        if (r < 0)
                return r;
        r = virt_uri(c->virt, &uri);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot tell which libvirt this is");
        return become(c,
                      (char *[]){ (char *) "virsh", (char *) "--connect", uri, (char *) "console", vm.name,
                                  NULL },
                      "libvirt-clients");
}
