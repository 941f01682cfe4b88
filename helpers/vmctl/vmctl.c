/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* vmctl: virtual machines with GPUs, day two. A thin shell over libvirt, which keeps all state: whatever
 * manages the same machines beside it does no harm.
 *
 * libvirt and libxml2 are loaded by the commands that use them: help is there at once. */

#include <getopt.h>
#include <stdarg.h>

#include "fs.h"
#include "nearest.h"
#include "rollback.h"
#include "vmctl.h"

#define NAME "vmctl"

const char *vmctl_value(const Context *c, Opt o) {
        size_t n = strv_length(c->values[o]);

        return n > 0 ? c->values[o][n - 1] : NULL;
}

Opt vmctl_find_option(const char *name) {
        Opt o = 0;

        while (o < _OPT_MAX && !streq(vmctl_options[o].name, name))
                o++;
        return o;
}

int vmctl_status(int r) {
        switch (r) {
        case -ENOENT:
                return VMCTL_NOT_FOUND;
        case -EBUSY:
        case -EEXIST:
                return VMCTL_BUSY;
        case -EACCES:
        case -EPERM:
                return VMCTL_PRIVILEGE;
        default:
                return r < 0 ? VMCTL_FAILED : r;
        }
}

int vmctl_tell(Context *c, int r, const char *format, ...) {
        const char *said = c->virt ? virt_message(c->virt) : "";
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                return log_oom();
        if (*said)
                log_error("%s: %s", text, said);
        else
                log_error_errno(r, "%s: %m", text);
        return r;
}

int vmctl_is_cut(Context *c, const VirtVm *vm) {
        const char *directory = secure_getenv("GPUVM_ROOT");
        _cleanup_close_ int root = directory || vmctl_is_local(c) ? fs_open_root(directory) : -EBADF;

        return root < 0 ? 0 : rollback_is_cut(root, vm->name, vm->uuid);
}

int vmctl_tell_record(int root, int error, const char *what) {
        _cleanup_free_ char *path = NULL;

        if (rollback_find_broken(root, &path) <= 0)
                return log_error_errno(error, "%s: %m", what);
        return log_error_errno(
                        error,
                        "%s: '%s' cannot be read: %m. It names what 'vmctl create' had made of that machine; once that is looked after, remove the file",
                        what, path);
}

/* Rooms take absolute paths below a root. */
int vmctl_read_file(const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_free_ char *absolute = realpath(path, NULL);
        _cleanup_close_ int root = absolute ? fs_open_root(NULL) : negative_errno();

        return root < 0 ? root : fs_read(root, absolute, max, ret, ret_size);
}

static void suggest_machine(Context *c, const char *name) {
        _cleanup_(virtvms_done) VirtVms l = {};
        _cleanup_free_ const char **names = NULL;
        const char *meant = NULL;

        if (virtvm_list(c->virt, METADATA_URI, &l) >= 0)
                names = calloc(l.n + 1, sizeof(*names));
        for (size_t i = 0; names && i < l.n; i++)
                names[i] = l.vms[i].name;
        if (names)
                meant = nearest_find(name, names);
        if (meant)
                log_error("There is no virtual machine '%s'. Did you mean '%s'?", name, meant);
        else
                log_error("There is no virtual machine '%s'; 'vmctl list' shows them", name);
}

int vmctl_refuse(const char *name) {
        return log_full_errno(LOG_ERR, EPERM,
                              "Virtual machine '%s' was not made by gpuvm and is left alone; use virsh",
                              name);
}

int vmctl_find(Context *c, const char *name, VirtVm *ret_vm, Metadata *ret_metadata) {
        _cleanup_(virtvm_done) VirtVm vm = {};
        int r;

        r = virtvm_find(c->virt, name, METADATA_URI, &vm);
        if (r == -ENOENT) {
                suggest_machine(c, name);
                return r;
        }
        if (r < 0)
                return vmctl_tell(c, r, "Cannot look at virtual machine '%s'", name);
        r = vm.metadata ? metadata_parse(vm.metadata, ret_metadata) : 0;
        if (r == -EBADMSG)
                return log_error_errno(
                                r,
                                "What virtual machine '%s' says of itself is broken. Look at it: 'virsh metadata %s " METADATA_URI
                                "'",
                                name, name);
        if (r < 0)
                return log_error_errno(r, "Cannot read what virtual machine '%s' is: %m", name);
        if (r == 0)
                return vmctl_refuse(name);
        *ret_vm = vm;
        vm = (VirtVm){};
        return 0;
}

/* getopt_long(3)'s tables for a set of options. */
typedef struct Parser {
        struct option longs[_OPT_MAX + 1];
        char letters[2 * _OPT_MAX + 3];
} Parser;

enum { LONG_BASE = 0x100 };

/* stop: at the first argument that is no option. */
static void parser_make(Parser *p, OptSet options, bool stop) {
        char *s = p->letters;
        size_t n = 0;

        *p = (Parser){};
        *s++ = stop ? '+' : ':';
        if (stop)
                *s++ = ':';
        for (Opt o = 0; o < _OPT_MAX; o++) {
                const Option *option = &vmctl_options[o];

                if (!(options & OPT_BIT(o)))
                        continue;
                p->longs[n++] = (struct option){
                        .name = option->name,
                        .has_arg = !option->argument               ? no_argument
                                        : *option->argument == '[' ? optional_argument
                                                                   : required_argument,
                        .val = LONG_BASE + (int) o,
                };
                if (option->letter)
                        *s++ = option->letter;
                if (option->letter && option->argument)
                        *s++ = ':';
        }
}

static Opt option_of(int value) {
        if (value >= LONG_BASE)
                return (Opt) (value - LONG_BASE);
        for (Opt o = 0; o < _OPT_MAX; o++)
                if (vmctl_options[o].letter == value)
                        return o;
        return _OPT_MAX;
}

static int tell_option(const Parser *p, int value, char *argv[]) {
        const char *names[_OPT_MAX + 1] = {}, *meant, *given = argv[optind - 1], *word;

        if (value == ':') {
                log_error("'%s' needs a value", given);
                return -EINVAL;
        }
        for (size_t i = 0; p->longs[i].name; i++)
                names[i] = p->longs[i].name;
        word = startswith(given, "--");
        meant = word ? nearest_find(word, names) : NULL;
        if (meant)
                log_error("There is no option '%s' here. Did you mean '--%s'?", given, meant);
        else if (word)
                log_error("There is no option '%s' here", given);
        else
                log_error("There is no option '-%c' here", optopt);
        return -EINVAL;
}

/* Returns 0, with optind at the first argument, or -errno after a message. */
static int parse_options(Context *c, OptSet options, bool stop, int argc, char *argv[]) {
        Parser p;
        int value;

        parser_make(&p, options, stop);
        opterr = 0;
        optind = 0;
        while ((value = getopt_long(argc, argv, p.letters, p.longs, NULL)) >= 0) {
                Opt o = value == '?' || value == ':' ? _OPT_MAX : option_of(value);

                if (o == _OPT_MAX)
                        return tell_option(&p, value, argv);
                if (strv_extend(&c->values[o], strempty(optarg)) < 0)
                        return log_oom();
        }
        return 0;
}

static int check_arguments(const Command *c, int n) {
        if (n >= 0 && (unsigned) n >= c->min && (unsigned) n <= c->max)
                return 0;
        log_error("Usage: " NAME " %s%s%s%s", c->name, c->options ? " [OPTIONS...]" : "",
                  c->arguments ? " " : "", strempty(c->arguments));
        return -EINVAL;
}

/* What follows the name is the guest's: 'vmctl ssh NAME ls -l'. */
static bool passes_options_on(const Command *c) {
        return c->run == cmd_ssh;
}

static int dispatch(Context *c, int argc, char *argv[]) {
        int words, r;

        if (help_find(argv, &c->command) <= 0)
                return VMCTL_USAGE;
        words = strchr(c->command->name, ' ') ? 2 : 1;
        argv += words - 1; /* getopt skips the first */
        argc -= words - 1;
        if (parse_options(c, OPT_COMMON | c->command->options, passes_options_on(c->command), argc, argv) < 0)
                return VMCTL_USAGE;
        if (vmctl_has(c, OPT_HELP))
                return help_command(c->command);
        if (check_arguments(c->command, argc - optind) < 0)
                return VMCTL_USAGE;
        if (vmctl_has(c, OPT_VERBOSE))
                log_set_max_level(LOG_DEBUG);
        r = c->command->run(c, argv + optind);
        return vmctl_status(r);
}

static int run(Context *c, int argc, char *argv[]) {
        if (parse_options(c, OPT_COMMON, true, argc, argv) < 0)
                return VMCTL_USAGE;
        if (vmctl_has(c, OPT_VERSION)) {
                puts(NAME " " GPUVM_VERSION);
                return VMCTL_DONE;
        }
        if (argc == optind && vmctl_has(c, OPT_HELP))
                return help_overview();
        if (argc == optind) {
                log_error("Which command? '" NAME " help' lists them");
                return VMCTL_USAGE;
        }
        return dispatch(c, argc - optind, argv + optind);
}

int main(int argc, char *argv[]) {
        Context c = {};
        int status;

        log_setup(NAME);
        status = output_begin() < 0 ? vmctl_status(log_oom()) : run(&c, argc, argv);
        virt_close(c.virt);
        for (Opt o = 0; o < _OPT_MAX; o++)
                strv_free(c.values[o]);
        if (fflush(stdout) != 0 || ferror(stdout)) {
                log_error("Cannot write the result: %m");
                status = status ?: VMCTL_FAILED;
        }
        return status;
}
