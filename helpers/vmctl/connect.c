/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connect: to libvirt, on this host or on another one. libvirt starts ssh for that, and waits for it as long
 * as it takes: a host that accepts the connection and says nothing would hold us for ever. One that falls
 * silent later is virtpulse.h's. */

#include <fcntl.h>
#include <signal.h>

#include "fs.h"
#include "vmctl.h"

#define DEFAULT_URI "qemu:///system"
#define NO_ANSWER   "it does not answer within %d s. Is the host up?"

enum { PATIENCE_SEC = 30, GRACE_SEC = 5 };

const char *vmctl_uri(Context *c) {
        return vmctl_value(c, OPT_CONNECT) ?: DEFAULT_URI;
}

bool vmctl_is_local(Context *c) {
        _cleanup_free_ char *uri = NULL;

        return virt_uri(c->virt, &uri) >= 0 && streq(uri, DEFAULT_URI);
}

static volatile sig_atomic_t late; /* the time was up */
/* What is said then if nothing else helps; made before, because a handler of signals can do little. */
static char last_words[512];

/* ssh, which would wait on without us. Returns whether there was any. */
static bool end_children(void) {
        int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
        ssize_t n;
        char text[256];
        pid_t pid = 0;
        bool any = false;

        n = fd < 0 ? 0 : read(fd, text, sizeof(text));
        for (ssize_t i = 0; i < n; i++)
                if (text[i] >= '0' && text[i] <= '9')
                        pid = pid * 10 + (text[i] - '0');
                else {
                        any = kill(pid, SIGTERM) >= 0 || any;
                        pid = 0;
                }
        (void) safe_close(fd);
        return any;
}

/* Without its ssh libvirt gives up by itself. With none, as over TCP, only the end of us ends the call. */
static void on_late(int number) {
        int saved = errno;
        ssize_t n;

        (void) number;
        if (end_children() && !late) {
                late = true;
                (void) alarm(GRACE_SEC);
                errno = saved;
                return;
        }
        n = write(STDERR_FILENO, last_words, strlen(last_words));
        (void) n;
        _exit(VMCTL_FAILED);
}

/* What ssh says comes whole, with what it says for people before, and with what libvirt makes of it. */
static const char *cut_message(char *message) {
        char *end = (char *) endswith(message, ": Connection reset by peer"), *line;

        if (end)
                *end = '\0';
        for (size_t n = strlen(message); n > 0 && strchr(".\r\n", message[n - 1]); n--)
                message[n - 1] = '\0';
        line = strrchr(message, '\n');
        line = line ? line + 1 : message;
        return startswith(line, "Cannot recv data: ") ?: line;
}

/* The key is not the one that is known: how ssh says that is forgotten. Returns a new string; or NULL. */
static char *find_forgetting(const char *message) {
        const char *line = message ? strstr(message, "ssh-keygen -f") : NULL;

        return line ? strndup(line, strcspn(line, "\r\n")) : NULL;
}

static const char *remedy(int r) {
        switch (r) {
        case -ENOPKG:
                return "Install " VIRT_LIBRARY_PACKAGE;
        case -EACCES:
                return "Use sudo, or join the group: 'sudo usermod -aG libvirt $USER', then log in again";
        case -ECONNREFUSED:
                return "Is libvirtd running? 'systemctl status libvirtd.socket' tells";
        default:
                return "Is the URI right?";
        }
}

static void tell_ssh(const char *uri, const char *host, int r, char *message) {
        _cleanup_free_ char *forget = find_forgetting(message);

        log_error("Cannot connect to libvirt at '%s': %s. %s%s%s'ssh ssh:%.*s virsh list' has to work without a question",
                  uri, isempty(message) ? strerror(-r) : cut_message(message),
                  forget ? "That host has another key than the known one (" : "", strempty(forget),
                  forget ? " forgets that, if the host was made anew). " : "",
                  2 + (int) strcspn(host + strlen("+ssh://"), "/?"), host + strlen("+ssh:"));
}

static void tell(const char *uri, int r, char *message) {
        const char *host = strstr(uri, "+ssh://");

        if (r == -ETIMEDOUT)
                log_error("Cannot connect to libvirt at '%s': %s", uri, strempty(message));
        else if (r == -ENOPKG || !host)
                log_error("Cannot connect to libvirt at '%s': %s. %s", uri,
                          isempty(message) ? strerror(-r) : message, remedy(r));
        else
                tell_ssh(uri, host, r, message);
}

/* With half a minute for somebody else's host. */
int vmctl_open(const char *uri, Virt **ret, char **reterr_message) {
        const struct sigaction action = { .sa_handler = on_late };
        struct sigaction before;
        int r;

        if (!virt_is_elsewhere(uri))
                return virt_open(uri, ret, reterr_message);
        (void) snprintf(last_words, sizeof(last_words),
                        "vmctl: Cannot connect to libvirt at '%.256s': " NO_ANSWER "\n", uri, PATIENCE_SEC);
        late = false;
        (void) sigaction(SIGALRM, &action, &before);
        (void) alarm(PATIENCE_SEC);
        r = virt_open(uri, ret, reterr_message);
        (void) alarm(0);
        (void) sigaction(SIGALRM, &before, NULL);
        if (r >= 0 || !late)
                return r;
        free(*reterr_message);
        *reterr_message = NULL;
        return str_printf(reterr_message, NO_ANSWER, PATIENCE_SEC) < 0 ? -ENOMEM : -ETIMEDOUT;
}

int vmctl_connect(Context *c) {
        const char *uri = vmctl_uri(c);
        _cleanup_free_ char *message = NULL;
        int r;

        if (c->virt)
                return 0;
        r = vmctl_open(uri, &c->virt, &message);
        if (r < 0)
                tell(uri, r, message);
        /* No such libvirt is no such thing as not finding a machine. */
        return r == -ENOENT ? -ECONNREFUSED : r;
}

int vmctl_connect_again(Context *c) {
        unsigned long version;
        Virt *before = c->virt;
        int r;

        if (before && virt_version(before, &version) >= 0)
                return 0;
        c->virt = NULL;
        r = vmctl_connect(c);
        if (r < 0)
                c->virt = before;
        else
                virt_close(before);
        return r;
}
