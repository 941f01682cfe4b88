/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpu-vm-bootstrap: the front door. Writes the options as a drop-in of gpuvm.conf, shows the plan, starts
 * gpuvm-bootstrap.target and follows it.
 *
 * It does none of the work: systemd does, and goes on with it when this program, its terminal or the machine
 * goes away. */

#include <unistd.h>

#include "bus.h"
#include "child.h"
#include "conf.h"
#include "follow.h"
#include "fs.h"
#include "log.h"
#include "logfile.h"
#include "options.h"
#include "phase.h"
#include "preview.h"
#include "progress.h"
#include "reboot.h"
#include "report.h"
#include "settings.h"

#define NAME   "gpu-vm-bootstrap"
#define TARGET "gpuvm-bootstrap.target"

static Options arg;

static const char motd_running[] = "The GPU-VM bootstrap of this machine is not finished.\n"
                                   "'gpu-vm-bootstrap --status' tells how far it is.\n";

/* Returns -1 to go on, or the exit status. */
static int parse_argv(int argc, char *argv[]) {
        int r = options_parse(argc, argv, &arg);

        if (r > 0)
                return EXIT_SUCCESS;
        if (r == 0 && optind == argc)
                return -1;
        if (r == 0)
                log_error("Unexpected argument '%s'", argv[optind]);
        return PHASE_USAGE;
}

static void option_problem(const char *file, unsigned line, const char *text, void *userdata) {
        log_error("%s", text);
}

/* The plan is made with the settings that the run would have. Returns 0, the exit status, or -errno. */
static int load_with_options(int root, Conf *conf, char **ret_dropin) {
        int r = conf_load_and_warn(root, conf);

        if (r >= 0)
                r = settings_apply(&arg.settings, root, option_problem, NULL, conf, ret_dropin);
        if (r < 0)
                return log_oom();
        return r > 0 ? PHASE_USAGE : 0;
}

/* Returns 0, 1 if a phase would refuse, or -errno after a message. */
static int show_plan(int root, const Conf *conf, const char *dropin, bool json) {
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ char *directory = NULL;
        const char *refused = NULL;
        int r;

        r = child_find_directory(&directory);
        if (r >= 0) {
                Preview v = { .directory = directory, .root = root, .root_path = arg.root, .extra = dropin };

                if (!json) {
                        puts("The plan:");
                        if (dropin)
                                puts("  " NAME ": would write " SETTINGS_PATH);
                        fflush(stdout);
                }
                r = json ? preview_to_json(&v, conf, &o, &refused)
                         : preview_print(&v, conf, stdout, &refused);
                if (o)
                        (void) json_print(o, stdout);
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
        _cleanup_fclose_ FILE *tty = arg.yes ? NULL : fopen("/dev/tty", "r+e");
        char answer[16] = "";

        if (arg.yes)
                return 1;
        if (!tty)
                return log_full_errno(LOG_ERR, ENXIO,
                                      "There is no terminal to ask on; say --yes to go on without");
        fprintf(tty, "%s [y/N] ", question);
        fflush(tty);
        return fgets(answer, sizeof(answer), tty) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int write_dropin(int root, const char *dropin) {
        int r = dropin ? settings_write(root, dropin) : 0;

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
        if (arg.json)
                return json_print(report, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
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
                return PROGRESS_NOT_FINISHED;
        case FOLLOW_IDLE:
                log_notice("No bootstrap is running; '" NAME " --status' tells how far it is");
                return PROGRESS_NOT_FINISHED;
        default:
                log_error("The bootstrap stopped before its end; '" NAME " --status' tells where and why");
                return EXIT_FAILURE;
        }
}

static int follow(int root, const Conf *conf, Bus *bus, const char *job) {
        FILE *out = arg.json ? stderr : stdout;
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
                return r < 0 ? EXIT_FAILURE : PROGRESS_NOT_FINISHED;
        logfile_open(root, true);
        r = write_dropin(root, dropin);
        if (r >= 0)
                r = start(root, bus);
        return r < 0 ? EXIT_FAILURE : r;
}

static int show_status(int root, const Conf *conf) {
        ProgressState state;
        int r = progress_show(root, conf, arg.json, stdout, &state);

        if (r < 0) {
                log_error_errno(r, "Cannot tell how far the bootstrap is: %m");
                return EXIT_FAILURE;
        }
        return progress_exit_status(state);
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

int main(int argc, char *argv[]) {
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_free_ char *dropin = NULL;
        _cleanup_close_ int root = -EBADF;
        int r;

        log_setup(NAME);
        setlinebuf(stdout); /* in step with what goes to standard error */
        arg.root = secure_getenv("GPUVM_ROOT");
        r = parse_argv(argc, argv);
        if (r >= 0)
                return r;
        root = fs_open_root(arg.root);
        if (root < 0) {
                log_error_errno(root, "Cannot open root directory '%s': %m", strempty(arg.root));
                return PHASE_USAGE;
        }
        r = load_with_options(root, &conf, &dropin);
        if (r != 0)
                return r < 0 ? EXIT_FAILURE : r;
        if (arg.action == ACTION_STATUS)
                return show_status(root, &conf);
        if (arg.action == ACTION_FOLLOW)
                return join(root, &conf);
        if (arg.dry_run)
                return show_plan(root, &conf, dropin, arg.json) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        return run_bootstrap(root, &conf, dropin);
}
