/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>

#include "bus.h"
#include "fs.h"
#include "stop.h"

static volatile sig_atomic_t asked;

static void on_signal(int signal) {
        (void) signal;
        asked = 1;
}

/* poll(2) is interrupted all the same. */
void stop_catch(void) {
        const struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

        (void) sigaction(SIGTERM, &sa, NULL);
        (void) sigaction(SIGINT, &sa, NULL);
        (void) sigaction(SIGHUP, &sa, NULL);
}

void stop_ask(void) {
        asked = 1;
}

bool stop_asked(void) {
        return asked;
}

/* At the very end systemd is another program, and there is no bus any more. */
bool stop_is_shutdown(int root) {
        _cleanup_free_ char *first = NULL;
        _cleanup_bus_ Bus *b = NULL;

        if (!fs_is_host(root))
                return false;
        if (fs_read_line(root, "/proc/1/comm", &first) >= 0 && startswith(first, "systemd-shutdow"))
                return true;
        return bus_open(&b) >= 0 && bus_is_stopping(b) > 0;
}
