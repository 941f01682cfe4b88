/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The generator: gpuvm.conf and the kernel command line -> Conf -> Plan -> links and drop-ins; so are the
 * machines that are declared in /etc/gpuvm/vms.
 *
 * systemd runs it early at boot and at each daemon-reload, and waits for it. So it does nothing else: no IPC,
 * no /var, no module, libc alone; it tells /dev/kmsg what is wrong with the configuration and still makes the
 * best of it. In a container it works as anywhere: what the machine is fit for is preflight's to say, in
 * words. */

#include <getopt.h>

#include "conf.h"
#include "fs.h"
#include "log.h"
#include "plan.h"
#include "planvm.h"

static bool arg_dry_run = false;
static const char *arg_root = NULL;

static void help(void) {
        puts("gpuvm-generator [OPTIONS...] [NORMAL-DIR [EARLY-DIR LATE-DIR]]\n\n"
             "Link the phases that gpuvm.conf asks for into gpuvm-bootstrap.target, and the\n"
             "machines of /etc/gpuvm/vms into the targets that want them.\n\n"
             "  -h --help       Show this help\n"
             "     --version    Show the version\n"
             "  -n --dry-run    Show the settings in effect, each problem, and the tree\n"
             "     --root=DIR   Read the configuration below DIR");
}

/* Returns -1 to go on, or the exit status. */
static int parse_argv(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100, ARG_ROOT };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "dry-run", no_argument, NULL, 'n' },
                { "root", required_argument, NULL, ARG_ROOT },
                {},
        };
        int c, left;

        while ((c = getopt_long(argc, argv, "hn", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return EXIT_SUCCESS;
                case ARG_VERSION:
                        puts("gpuvm-generator " GPUVM_VERSION);
                        return EXIT_SUCCESS;
                case 'n':
                        arg_dry_run = true;
                        break;
                case ARG_ROOT:
                        arg_root = optarg;
                        break;
                default:
                        return 2;
                }
        left = argc - optind;
        if (left == (arg_dry_run ? 0 : 1) || left == 3)
                return -1;
        log_error("Expected %s; see --help", arg_dry_run ? "no directory" : "one directory or three");
        return 2;
}

static int print(const Conf *c, const Plan *p) {
        _cleanup_free_ char *settings = NULL, *tree = NULL;
        int r;

        r = conf_format(c, &settings);
        if (r >= 0)
                r = plan_format(p, &tree);
        if (r >= 0)
                printf("# Settings\n%s\n# Links and drop-ins\n%s", settings, tree);
        return r;
}

static int write_below(const char *path, const Plan *p) {
        _cleanup_close_ int dir = RET_NERRNO(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const char *culprit = "";
        int r = dir < 0 ? dir : plan_write(p, dir, &culprit);

        return r < 0 ? log_error_errno(r, "Cannot write '%s/%s': %m", path, culprit) : 0;
}

/* The rescue switch on the kernel command line is for machines as well; Enabled= is for the bootstrap alone.
 */
static int add_machines(int root, const Conf *c, Plan *p) {
        _cleanup_(catalog_done) Catalog catalog = {};
        _cleanup_(pci_bus_done) PciBus bus = {};
        ConfProblem problem = arg_dry_run ? conf_warn : conf_warn_few;
        unsigned n = 0;
        int r;

        if (!c->enabled && c->enabled_by_cmdline)
                return 0;
        r = catalog_load(root, problem, &n, &catalog);
        if (r >= 0 && planvm_needs_bus(&catalog) && pci_scan(root, &bus) == -ENOMEM)
                r = -ENOMEM;
        if (r >= 0)
                r = planvm_add(p, &catalog, &bus, problem, &n);
        conf_warn_rest(n);
        return r;
}

static int run(int root, const char *directory) {
        _cleanup_(conf_done) Conf c = {};
        _cleanup_(plan_done) Plan p = {};
        int r;

        r = arg_dry_run ? conf_load(root, conf_warn, NULL, &c) : conf_load_and_warn(root, &c);
        if (r >= 0)
                r = plan_make(&c, fs_exists(root, "/etc/gpuvm.conf") > 0 ? "/etc/gpuvm.conf" : NULL, &p);
        if (r >= 0)
                r = add_machines(root, &c, &p);
        if (r >= 0 && arg_dry_run)
                r = print(&c, &p);
        if (r < 0)
                return log_oom();
        return arg_dry_run ? 0 : write_below(directory, &p);
}

int main(int argc, char *argv[]) {
        _cleanup_close_ int root = -EBADF;
        int r;

        log_setup("gpuvm-generator");
        r = parse_argv(argc, argv);
        if (r >= 0)
                return r;
        /* The real root is not there yet, and has a generator of its own; a user's manager has no phases. */
        if (streq_ptr(getenv("SYSTEMD_IN_INITRD"), "1") || streq_ptr(getenv("SYSTEMD_SCOPE"), "user"))
                return EXIT_SUCCESS;
        root = fs_open_root(arg_root);
        if (root < 0) {
                log_error_errno(root, "Cannot open root directory '%s': %m", strempty(arg_root));
                return 2;
        }
        if (!arg_dry_run && fs_is_host(root))
                log_to_kmsg();
        return run(root, argv[optind]) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
