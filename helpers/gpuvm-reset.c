/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-reset: resets a GPU that nobody has, and recovers one that hangs or fell off the bus as far as that
 * can be done without a restart. What gpuvm-reset@ADDRESS.service and gpuvm-recover@ADDRESS.service run. */

#include "conf.h"
#include "gpureset.h"
#include "parse.h"
#include "strv.h"

enum { ARG_WRITE_TIMEOUT = 0x200 };

static uint64_t arg_write_timeout;

static int parse(int value, const char *argument) {
        if (value == ARG_WRITE_TIMEOUT && parse_sec(argument, &arg_write_timeout) >= 0 &&
            arg_write_timeout > 0)
                return 0;
        log_error("--write-timeout=%s is no time span", argument);
        return -EINVAL;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(conf_done) Conf conf = {};
        const GpuSwitch s = { p, &conf, arg_write_timeout };
        Bdf bdf;
        int r;

        if (argc != 2 || (!streq(argv[0], "reset") && !streq(argv[0], "recover"))) {
                log_error("Usage: gpuvm-reset reset ADDRESS | recover ADDRESS");
                return PHASE_USAGE;
        }
        if (bdf_parse(argv[1], &bdf) < 0) {
                log_error("'%s' is no PCI address like 0000:01:00.0", argv[1]);
                return PHASE_USAGE;
        }
        if (conf_load_and_warn(p->root, &conf) < 0)
                return log_oom();
        p->no_record = true;
        r = streq(argv[0], "reset") ? gpureset_reset(&s, bdf, argv[1]) : gpureset_recover(&s, bdf, argv[1]);
        /* 'vmctl gpu reset' tells it. */
        if (r >= 0 && strv_length(p->notes) > 0)
                phase_status(p, "%s", p->notes[strv_length(p->notes) - 1]);
        return r;
}

static const Helper helper = {
        .name = "gpuvm-reset",
        .arguments = "reset|recover ADDRESS",
        .summary = "Resets a GPU that nobody has, or recovers one that hangs.",
        .options_help = "     --write-timeout=SEC  Give the kernel that long for one step (60)\n",
        .options = (const struct option[]){ { "write-timeout", required_argument, NULL, ARG_WRITE_TIMEOUT },
                                            {} },
        .parse = parse,
        .run = run,
        .no_turn = true,
};

DEFINE_HELPER(helper)
