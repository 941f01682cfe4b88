/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpu-vm-bootstrap: the front door. Writes the options as a drop-in of gpuvm.conf, shows the plan, starts
 * gpuvm-bootstrap.target and follows it.
 *
 * It does none of the work: systemd does, and goes on with it when this program, its terminal or the machine
 * goes away. */

#include <getopt.h>

#include "bus.h"
#include "conf.h"
#include "follow.h"
#include "fs.h"
#include "log.h"
#include "logfile.h"
#include "phase.h"
#include "preview.h"
#include "progress.h"
#include "reboot.h"
#include "report.h"
#include "settings.h"
#include "undo.h"

#define NAME   "gpu-vm-bootstrap"
#define TARGET "gpuvm-bootstrap.target"

enum { EXIT_NOT_FINISHED = 3 };

static enum { ACTION_RUN, ACTION_STATUS, ACTION_FOLLOW } arg_action = ACTION_RUN;
static Settings arg_settings;
static bool arg_dry_run, arg_yes, arg_json;
static const char *arg_root;

static const char motd_running[] = "The GPU-VM bootstrap of this machine is not finished.\n"
                                   "'gpu-vm-bootstrap --status' tells how far it is.\n";

static void help(void) {
        puts(NAME " [OPTIONS...]\n\n"
                  "Make this machine a host for virtual machines with GPUs.\n\n"
                  "  -h --help               Show this help\n"
                  "     --version            Show the version\n"
                  "  -n --dry-run            Show the plan, change nothing; needs no root\n"
                  "  -y --yes                Do not ask\n"
                  "     --status             Show how far it is; needs no root\n"
                  "     --follow             Join a bootstrap that is running\n"
                  "     --json               Write the result as JSON to standard output\n"
                  "     --skip-nvidia        Leave out the NVIDIA driver\n"
                  "     --skip-kvm           Leave out QEMU, libvirt and the storage pool\n"
                  "     --skip-vfio          Leave out the IOMMU and VFIO\n"
                  "     --skip-bridge        Leave out the network bridge\n"
                  "     --bridge-name=NAME   Name of the bridge (default br0)\n"
                  "     --bridge-subnet=CIDR Subnet of the bridge (default: found)\n"
                  "     --gpu-mode=MODE      flexible or exclusive\n"
                  "     --root=DIR           Look at the machine recorded below DIR");
}

enum {
        ARG_VERSION = 0x100,
        ARG_STATUS,
        ARG_FOLLOW,
        ARG_JSON,
        ARG_SKIP_NVIDIA,
        ARG_SKIP_KVM,
        ARG_SKIP_VFIO,
        ARG_SKIP_BRIDGE,
        ARG_BRIDGE_NAME,
        ARG_BRIDGE_SUBNET,
        ARG_GPU_MODE,
        ARG_ROOT,
};

static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, ARG_VERSION },
        { "dry-run", no_argument, NULL, 'n' },
        { "yes", no_argument, NULL, 'y' },
        { "status", no_argument, NULL, ARG_STATUS },
        { "follow", no_argument, NULL, ARG_FOLLOW },
        { "json", no_argument, NULL, ARG_JSON },
        { "skip-nvidia", no_argument, NULL, ARG_SKIP_NVIDIA },
        { "skip-kvm", no_argument, NULL, ARG_SKIP_KVM },
        { "skip-vfio", no_argument, NULL, ARG_SKIP_VFIO },
        { "skip-bridge", no_argument, NULL, ARG_SKIP_BRIDGE },
        { "bridge-name", required_argument, NULL, ARG_BRIDGE_NAME },
        { "bridge-subnet", required_argument, NULL, ARG_BRIDGE_SUBNET },
        { "gpu-mode", required_argument, NULL, ARG_GPU_MODE },
        { "root", required_argument, NULL, ARG_ROOT },
        {},
};

static bool *flag_of(int c) {
        switch (c) {
        case 'n':
                return &arg_dry_run;
        case 'y':
                return &arg_yes;
        case ARG_JSON:
                return &arg_json;
        case ARG_SKIP_NVIDIA:
                return &arg_settings.skip_nvidia;
        case ARG_SKIP_KVM:
                return &arg_settings.skip_kvm;
        case ARG_SKIP_VFIO:
                return &arg_settings.skip_vfio;
        case ARG_SKIP_BRIDGE:
                return &arg_settings.skip_bridge;
        default:
                return NULL;
        }
}

static const char **value_of(int c) {
        switch (c) {
        case ARG_BRIDGE_NAME:
                return &arg_settings.bridge_name;
        case ARG_BRIDGE_SUBNET:
                return &arg_settings.bridge_subnet;
        case ARG_GPU_MODE:
                return &arg_settings.gpu_mode;
        case ARG_ROOT:
                return &arg_root;
        default:
                return NULL;
        }
}

/* Returns -1 to go on, or the exit status. */
static int parse_argv(int argc, char *argv[]) {
        int c;

        while ((c = getopt_long(argc, argv, "hny", options, NULL)) >= 0)
                if (c == 'h') {
                        help();
                        return EXIT_SUCCESS;
                } else if (c == ARG_VERSION) {
                        puts(NAME " " GPUVM_VERSION);
                        return EXIT_SUCCESS;
                } else if (c == ARG_STATUS)
                        arg_action = ACTION_STATUS;
                else if (c == ARG_FOLLOW)
                        arg_action = ACTION_FOLLOW;
                else if (flag_of(c))
                        *flag_of(c) = true;
                else if (value_of(c))
                        *value_of(c) = optarg;
                else
                        return PHASE_USAGE;
        if (optind < argc) {
                log_error("Unexpected argument '%s'", argv[optind]);
                return PHASE_USAGE;
        }
        return -1;
}

static void option_problem(const char *file, unsigned line, const char *text, void *userdata) {
        (void) file;
        (void) line;
        (void) userdata;
        log_error("%s", text);
}

/* Nothing to write: NULL. Once there, a run without options leaves the choice of an earlier one alone. */
static int decide_dropin(int root, const Conf *conf, char **ret) {
        const char *user = getenv("SUDO_USER");
        int r;

        *ret = NULL;
        if (isempty(user) || streq(user, "root") || conf->user)
                user = conf->user;
        if (settings_is_empty(&arg_settings) && (fs_exists(root, SETTINGS_PATH) > 0 || !user || conf->user))
                return 0;
        r = settings_to_dropin(&arg_settings, user, option_problem, NULL, ret);
        if (r == -EINVAL)
                return PHASE_USAGE;
        return r < 0 ? log_oom() : 0;
}

/* Where the phases' programs are: beside this one while it is not installed. */
static int find_directory(char **ret) {
        char *exe = realpath("/proc/self/exe", NULL), *slash = exe ? strrchr(exe, '/') : NULL;

        if (!slash) {
                free(exe);
                return -ENOENT;
        }
        *slash = '\0';
        if (streq(exe, GPUVM_BINDIR) && free_and_strdup(&exe, GPUVM_LIBEXECDIR) < 0) {
                free(exe);
                return -ENOMEM;
        }
        *ret = exe;
        return 0;
}

static int put_json(json_object *o) {
        return puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY)) < 0 ? EXIT_FAILURE
                                                                                    : EXIT_SUCCESS;
}

static int preview_json(const Preview *v, const Conf *conf, const char *dropin, const char **ret_refused) {
        _cleanup_json_ json_object *o = json_object_new_object();
        json_object *phases;
        int r = preview_to_json(v, conf, &phases, ret_refused);

        if (r < 0)
                return r;
        if (dropin)
                (void) json_object_object_add(o, "configuration", json_object_new_string(dropin));
        (void) json_object_object_add(o, "phases", phases);
        (void) put_json(o);
        return 0;
}

/* Returns 0, 1 if a phase would refuse, or -errno after a message. */
static int show_plan(int root, const Conf *conf, const char *dropin, bool json) {
        _cleanup_free_ char *directory = NULL;
        const char *refused = NULL;
        int r;

        r = find_directory(&directory);
        if (r >= 0) {
                Preview v = { .directory = directory, .root = root, .root_path = arg_root, .extra = dropin };

                if (!json) {
                        puts("The plan:");
                        if (dropin)
                                puts("  " NAME ": would write " SETTINGS_PATH);
                        fflush(stdout);
                }
                r = json ? preview_json(&v, conf, dropin, &refused)
                         : preview_print(&v, conf, stdout, &refused);
        }
        if (r < 0)
                return log_error_errno(
                                r, "Cannot make a plan: %m. Are the programs of gpuvm installed completely?");
        if (refused)
                log_error("Phase '%s' refuses this machine as it is; see above for the reason and the remedy",
                          refused);
        return refused ? 1 : 0;
}

static bool unit_is_active(Bus *bus, const char *unit) {
        _cleanup_(bus_unit_done) BusUnit u = {};

        return bus_unit_state(bus, unit, &u) >= 0 && streq(u.active_state, "active");
}

/* Returns 1 for yes. */
static int ask(const char *question) {
        _cleanup_fclose_ FILE *tty = arg_yes ? NULL : fopen("/dev/tty", "r+e");
        char answer[16] = "";

        if (arg_yes)
                return 1;
        if (!tty)
                return log_full_errno(LOG_ERR, ENXIO,
                                      "There is no terminal to ask on; say --yes to go on without");
        fprintf(tty, "%s [y/N] ", question);
        fflush(tty);
        return fgets(answer, sizeof(answer), tty) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int write_dropin(int root, const char *dropin) {
        _cleanup_(undo_freep) Undo *undo = NULL;
        int r;

        if (!dropin)
                return 0;
        r = undo_open(root, "bootstrap", &undo);
        if (r >= 0)
                r = undo_write_file(undo, SETTINGS_PATH, dropin, strlen(dropin), 0644);
        if (r < 0)
                return log_error_errno(r, "Cannot write " SETTINGS_PATH ": %m. Is /etc writable?");
        if (r > 0)
                log_info("Wrote " SETTINGS_PATH "; 'gpuvm-undo bootstrap' takes it back");
        return 0;
}

static int print_report(int root) {
        _cleanup_json_ json_object *report = NULL;
        int r = report_read(root, &report);

        if (r < 0)
                return log_error_errno(r, "Cannot read " REPORT_PATH ": %m");
        if (arg_json)
                return put_json(report);
        report_print(report, stdout);
        return EXIT_SUCCESS;
}

/* Returns the exit status. */
static int tell_result(int root, const Conf *conf, FollowResult result) {
        switch (result) {
        case FOLLOW_DONE:
                return print_report(root);
        case FOLLOW_RESTARTING:
                return PHASE_REBOOT_NEEDED;
        case FOLLOW_ASKED:
                log_notice("The machine has to be restarted: 'sudo systemctl reboot'. The bootstrap goes on by itself "
                           "afterwards");
                return PHASE_REBOOT_NEEDED;
        case FOLLOW_INTERRUPTED:
                log_notice("The bootstrap goes on without this terminal; '" NAME " --follow' joins it again");
                return EXIT_NOT_FINISHED;
        case FOLLOW_IDLE:
                log_notice("No bootstrap is running; '" NAME " --status' tells how far it is");
                return EXIT_NOT_FINISHED;
        default:
                log_error("The bootstrap stopped before its end; '" NAME " --status' tells where and why");
                return EXIT_FAILURE;
        }
}

static int follow(int root, const Conf *conf, Bus *bus, const char *job) {
        FILE *out = arg_json ? stderr : stdout;
        FollowResult result;
        int r;

        r = follow_run(bus, conf, job, isatty(fileno(out)) && !isempty(getenv("TERM")), out, &result);
        if (r < 0)
                return log_error_errno(r,
                                       "Lost sight of the bootstrap, which goes on: %m. '" NAME
                                       " --status' tells how far it is");
        return tell_result(root, conf, result);
}

/* After the drop-in: the generator reads it when systemd reloads. */
static int start(int root, Bus *bus) {
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_free_ char *job = NULL;
        int r;

        r = conf_load(root, NULL, NULL, &conf);
        if (r < 0)
                return log_oom();
        r = follow_prepare();
        if (r >= 0)
                r = bus_reload(bus);
        if (r < 0)
                return log_error_errno(r, "Cannot make systemd read the configuration: %m");
        r = reboot_motd(root, motd_running);
        if (r < 0)
                log_warning_errno(r, "Failed to write the login message, ignoring: %m");
        r = bus_queue_unit(bus, TARGET, &job);
        if (r < 0)
                return log_error_errno(r, "Cannot start " TARGET ": %m%s%s", *bus_message(bus) ? ": " : "",
                                       bus_message(bus));
        return follow(root, &conf, bus, job);
}

static int check_host(int root, const Conf *conf) {
        if (!fs_is_host(root)) {
                log_error("A recorded machine can be looked at (--dry-run, --status), not changed");
                return PHASE_USAGE;
        }
        if (geteuid() != 0) {
                log_error("This needs root. Try 'sudo " NAME "', or --dry-run to see what it would do");
                return EXIT_FAILURE;
        }
        if (access("/run/systemd/system", F_OK) < 0) {
                log_error("systemd does not run this machine, and the bootstrap is made of its units");
                return EXIT_FAILURE;
        }
        if (!conf->enabled) {
                log_error("The bootstrap is switched off (gpuvm.bootstrap= on the kernel command line, or Enabled= in "
                          "gpuvm.conf). Switch it on first");
                return EXIT_FAILURE;
        }
        return 0;
}

static int run_bootstrap(int root, const Conf *conf, const char *dropin) {
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        r = check_host(root, conf);
        if (r == 0)
                r = show_plan(root, conf, dropin, false);
        if (r != 0)
                return r < 0 ? EXIT_FAILURE : r;
        r = bus_open(&bus);
        if (r < 0) {
                log_error_errno(r, "Cannot reach systemd: %m. Is dbus.service running?");
                return EXIT_FAILURE;
        }
        if (unit_is_active(bus, "docker.service"))
                puts("Docker is running: containers with a GPU lose sight of it when systemd reloads, until they are "
                     "restarted.");
        if (conf->reboot == REBOOT_AUTO)
                puts("If a restart is needed, it is announced ahead, and the bootstrap goes on by itself afterwards.");
        r = ask("Go on?");
        if (r == 0)
                puts("Nothing was changed.");
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_NOT_FINISHED;
        logfile_open(root, true);
        r = write_dropin(root, dropin);
        if (r >= 0)
                r = start(root, bus);
        return r < 0 ? EXIT_FAILURE : r;
}

static int show_status(int root, const Conf *conf) {
        static const int exit_status[_PROGRESS_MAX] = {
                [PROGRESS_NOT_STARTED] = EXIT_NOT_FINISHED,
                [PROGRESS_RUNNING] = EXIT_NOT_FINISHED,
                [PROGRESS_RESTARTING] = PHASE_REBOOT_NEEDED,
                [PROGRESS_ASKED] = PHASE_REBOOT_NEEDED,
                [PROGRESS_FAILED] = EXIT_FAILURE,
                [PROGRESS_STOPPED] = EXIT_FAILURE,
                [PROGRESS_DONE] = EXIT_SUCCESS,
        };
        _cleanup_json_ json_object *o = NULL, *report = NULL;
        _cleanup_(progress_done) Progress p = {};
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (fs_is_host(root) && bus_open(&bus) < 0)
                bus = NULL; /* the files still tell much */
        r = progress_look(root, conf, bus, &p);
        if (r >= 0 && arg_json)
                r = progress_to_json(&p, &o);
        if (r < 0) {
                log_error_errno(r, "Cannot tell how far the bootstrap is: %m");
                return EXIT_FAILURE;
        }
        if (p.state == PROGRESS_DONE && report_read(root, &report) < 0)
                report = NULL; /* what follows from the records is told in any case */
        if (o && report)
                (void) json_object_object_add(o, "report", TAKE_PTR(report));
        if (o)
                (void) put_json(o);
        else
                progress_print(&p, stdout);
        if (report) {
                putchar('\n');
                report_print(report, stdout);
        }
        return exit_status[p.state];
}

static int join(int root, const Conf *conf) {
        _cleanup_bus_ Bus *bus = NULL;
        int r = follow_prepare();

        if (r >= 0)
                r = bus_open(&bus);
        if (r < 0)
                log_error_errno(r, "Cannot reach systemd: %m. Is dbus.service running?");
        else
                r = follow(root, conf, bus, NULL);
        return r < 0 ? EXIT_FAILURE : r;
}

/* The plan is made with the settings that the run would have. */
static int load_with_options(int root, Conf *conf, char **ret_dropin) {
        int r = conf_load_and_warn(root, conf);

        if (r < 0)
                return log_oom();
        r = decide_dropin(root, conf, ret_dropin);
        if (r != 0 || !*ret_dropin)
                return r;
        if (setenv("GPUVM_CONF_EXTRA", *ret_dropin, true) < 0)
                return log_oom();
        conf_done(conf);
        r = conf_load(root, NULL, NULL, conf);
        (void) unsetenv("GPUVM_CONF_EXTRA");
        return r < 0 ? log_oom() : 0;
}

int main(int argc, char *argv[]) {
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_free_ char *dropin = NULL;
        _cleanup_close_ int root = -EBADF;
        int r;

        log_setup(NAME);
        setlinebuf(stdout); /* in step with what goes to standard error */
        arg_root = secure_getenv("GPUVM_ROOT");
        r = parse_argv(argc, argv);
        if (r >= 0)
                return r;
        root = fs_open_root(arg_root);
        if (root < 0) {
                log_error_errno(root, "Cannot open root directory '%s': %m", strempty(arg_root));
                return PHASE_USAGE;
        }
        r = load_with_options(root, &conf, &dropin);
        if (r != 0)
                return r < 0 ? EXIT_FAILURE : r;
        if (arg_action == ACTION_STATUS)
                return show_status(root, &conf);
        if (arg_action == ACTION_FOLLOW)
                return join(root, &conf);
        if (arg_dry_run)
                return show_plan(root, &conf, dropin, arg_json) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        return run_bootstrap(root, &conf, dropin);
}
