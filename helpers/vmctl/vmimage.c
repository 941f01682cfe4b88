/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Vmimage: downloads as they are shown. */

#include <inttypes.h>
#include <sys/ioctl.h>

#include "parse.h"
#include "vmimage.h"

enum {
        LINE_SEC = 10, /* between two lines where there is no terminal */
        RATE_USEC = 3000000,
        COLUMNS = 79,
        BAR_WIDTH = 30,
        BAR_LEAST = 5,
        BAR_MAX = BAR_WIDTH + 4,
};

static const char *step_text(const ImageProgress *p) {
        return p->step == IMAGE_STEP_ASK               ? "asking for"
                        : p->step == IMAGE_STEP_WAIT   ? "waiting for another download of"
                        : p->step == IMAGE_STEP_SYNC   ? "writing out"
                        : p->step == IMAGE_STEP_VERIFY ? "checking"
                                                       : "downloading";
}

static bool is_measured(const ImageProgress *p) {
        return p->step == IMAGE_STEP_DOWNLOAD || p->step == IMAGE_STEP_VERIFY;
}

static bool has_total(const ImageProgress *p) {
        return is_measured(p) && p->total != 0 && p->total != UINT64_MAX;
}

/* Of the last seconds: what counts for how long it will take. */
static void look_at_rate(VmctlProgress *s, const ImageProgress *p) {
        uint64_t now = monotonic_usec(), elapsed = now - s->window_usec;

        if (s->window_usec == 0 || p->done < s->window_done) {
                s->window_usec = now - MIN(p->usec, now);
                s->window_done = 0;
                elapsed = p->usec;
        }
        if (elapsed > 0)
                s->rate = (p->done - s->window_done) * USEC_PER_SEC / elapsed;
        if (elapsed > RATE_USEC) {
                s->window_usec = now;
                s->window_done = p->done;
        }
}

/* ": 45 %, 117 MiB of 260 MiB, 18 MiB/s, 8 s left"; without amounts where there is little room. */
static void numbers_text(const VmctlProgress *s, const ImageProgress *p, bool amounts, char *buf,
                         size_t size) {
        const SizeText done = size_text(p->done / 1024);
        size_t n = 0;

        *buf = '\0';
        if (!is_measured(p))
                return;
        if (!has_total(p))
                n = (size_t) snprintf(buf, size, ": %s", done.text);
        else if (amounts)
                n = (size_t) snprintf(buf, size, ": %" PRIu64 " %%, %s of %s", p->done * 100 / p->total,
                                      done.text, size_text(p->total / 1024).text);
        else
                n = (size_t) snprintf(buf, size, ": %" PRIu64 " %%", p->done * 100 / p->total);
        if (s->rate > 0 && n < size)
                n += (size_t) snprintf(buf + n, size - n, ", %s/s", size_text(s->rate / 1024).text);
        if (s->rate > 0 && n < size && has_total(p))
                (void) snprintf(buf + n, size - n, ", %" PRIu64 " s left",
                                (p->total - MIN(p->done, p->total)) / s->rate);
}

/* " [#########-----------]", as wide as there is room for. */
static const char *bar_text(const ImageProgress *p, int room, char buf[static BAR_MAX]) {
        const size_t width = (size_t) MIN(room - 3, (int) BAR_WIDTH);
        char *s = buf;

        *s = '\0';
        if (!has_total(p) || room < BAR_LEAST + 3)
                return buf;
        s = stpcpy(s, " [");
        memset(s, '-', width);
        memset(s, '#', (size_t) (MIN(p->done, p->total) * width / p->total));
        (void) strcpy(s + width, "]");
        return buf;
}

static void line_text(const VmctlProgress *s, const ImageProgress *p, const char *name, int width, char *line,
                      size_t size) {
        char numbers[160], bar[BAR_MAX];
        int room;

        for (int amounts = 1; amounts >= 0; amounts--) {
                numbers_text(s, p, amounts, numbers, sizeof(numbers));
                room = width - snprintf(line, size, "%s '%s'%s", step_text(p), name, numbers);
                if (room >= BAR_LEAST + 3)
                        break;
        }
        (void) snprintf(line, size, "%s '%s'%s%s", step_text(p), name, bar_text(p, room, bar), numbers);
}

static unsigned terminal_width(void) {
        struct winsize w;

        return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) >= 0 && w.ws_col > 1 ? w.ws_col - 1U : COLUMNS;
}

/* Elsewhere than on a terminal: is it time for a line? What is over in a moment is not worth one. */
static bool is_due(VmctlProgress *s, const ImageProgress *p, uint64_t now) {
        if (p->step == IMAGE_STEP_ASK)
                return false;
        if (p->step == IMAGE_STEP_VERIFY && s->step != (int) p->step) {
                s->step = (int) p->step;
                s->told = now;
                return false;
        }
        return s->told == 0 || s->step != (int) p->step || now - s->told >= LINE_SEC * USEC_PER_SEC;
}

void vmctl_progress(const ImageProgress *p, void *userdata) {
        const char *name = p->name ?: "the newest Talos";
        const int width = (int) terminal_width();
        VmctlProgress *s = userdata;
        uint64_t now = monotonic_usec();
        char line[512];

        if (s->quiet || (!s->terminal && !is_due(s, p, now)))
                return;
        s->told = now;
        s->step = (int) p->step;
        if (is_measured(p))
                look_at_rate(s, p);
        if (s->terminal) {
                line_text(s, p, name, width, line, sizeof(line));
                fprintf(stderr, "\r%.*s\033[K", width, line);
                s->shown = true;
                return;
        }
        numbers_text(s, p, true, line, sizeof(line));
        log_info("%s '%s'%s", step_text(p), name, line);
}

void vmctl_progress_begin(const Context *c, VmctlProgress *s) {
        *s = (VmctlProgress){ .quiet = vmctl_has(c, OPT_QUIET),
                              .terminal = isatty(STDERR_FILENO),
                              .step = -1 };
}

void vmctl_progress_end(VmctlProgress *s) {
        if (s->shown)
                fprintf(stderr, "\r\033[K");
        s->shown = false;
}

void vmctl_image_setup(const Conf *conf, int root, VmctlProgress *progress, ImageSetup *ret) {
        *ret = (ImageSetup){
                .root = root,
                .root_path = secure_getenv("GPUVM_ROOT"),
                .factory = conf->talos_url,
                .ubuntu = conf->ubuntu_url,
                .debian = conf->debian_url,
                .stall_usec = conf->stall_usec,
                .progress = vmctl_progress,
                .userdata = progress,
        };
        if (parse_size(conf->image_max, &ret->max) < 0)
                ret->max = 0;
}

int vmctl_image_tell(int r, const ImageFailure *f) {
        log_error("%s%s%s", f->cause ?: strerror(-r), f->remedy ? ". " : "", strempty(f->remedy));
        return r;
}
