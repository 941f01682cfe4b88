/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpumode.h"
#include "dropin.h"
#include "fs.h"
#include "known.h"
#include "strv.h"
#include "undo.h"

#define DIRECTORY "/etc/gpuvm.conf.d"

void gpumode_done(GpuModeChange *m) {
        free(m->path);
        free(m->text);
        *m = (GpuModeChange){};
}

/* After the front end's own drop-in, and before what an administrator wants to come last. */
static int make_path(const PciDevice *d, char **ret) {
        int r = str_printf(ret, DIRECTORY "/60-gpu-%s.conf", isempty(d->path) ? d->name : d->path);

        for (char *c = r < 0 ? NULL : *ret + strlen(DIRECTORY) + 1; c && *c; c++)
                if (*c == '/')
                        *c = '_';
        return r;
}

/* Whoever loads the configuration for good has told it. */
static void ignore(const char *path, const char *text, void *userdata) {
        log_debug("%s: %s", path, text);
}

static const char *base_name(const char *path) {
        return strrchr(path, '/') + 1;
}

/* Reads the file's text in its place among the others. */
static int parse_files(int root, const GpuModeChange *m, const char *text, Conf *c) {
        _cleanup_strv_ char **files = NULL;
        bool done = !text;
        int r;

        r = dropin_list(root, "gpuvm.conf", ignore, c, &files);
        STRV_FOREACH(f, files) {
                _cleanup_free_ char *data = NULL;
                bool main = streq(*f, "/etc/gpuvm.conf");
                size_t size = 0;

                if (r >= 0 && !done && !main && strcmp(base_name(*f), base_name(m->path)) >= 0) {
                        r = conf_parse(m->path, text, strlen(text), NULL, NULL, c);
                        done = true;
                }
                if (r >= 0 && !streq(*f, m->path))
                        r = dropin_read(root, *f, ignore, c, &data, &size);
                if (r >= 0 && data)
                        r = conf_parse(*f, data, size, NULL, NULL, c);
        }
        if (r >= 0 && !done)
                r = conf_parse(m->path, text, strlen(text), NULL, NULL, c);
        return r;
}

/* The configuration as it is with that text in the file; NULL: without it. */
static int load_with(int root, const GpuModeChange *m, const char *text, Conf *ret) {
        _cleanup_strv_ char **notes = NULL, **refusals = NULL;
        _cleanup_free_ char *cmdline = NULL;
        _cleanup_(conf_done) Conf c = {};
        int r;

        r = conf_init(&c);
        if (r >= 0)
                r = parse_files(root, m, text, &c);
        if (r >= 0 && fs_read(root, "/proc/cmdline", FS_ATTR_MAX, &cmdline, NULL) >= 0)
                r = conf_parse_cmdline(cmdline, NULL, NULL, &c);
        if (r >= 0)
                r = known_apply(root, &c, &notes, &refusals);
        if (r < 0)
                return r;
        *ret = c;
        c = (Conf){};
        return 0;
}

/* A section that there is for the GPU goes on: one by path hides one by address, with all that is in it. */
static int make_text(const Conf *without, const PciDevice *d, GpuMode wanted, char **ret) {
        const ConfGpu *g = conf_gpu(without, d->name, strempty(d->path));
        const char *section = g ? g->path : isempty(d->path) ? d->name : d->path;

        return str_printf(ret,
                          "# Written by 'vmctl gpu mode', which takes it away again as well.\n"
                          "[Gpu %s]\nMode=%s\n",
                          section, gpu_mode_to_string(wanted));
}

static int find_out(int root, const PciDevice *d, GpuMode wanted, GpuModeChange *m) {
        _cleanup_(conf_done) Conf now = {}, without = {}, then = {};
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, m->path, FS_FILE_MAX, &text, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        r = load_with(root, m, text, &now);
        if (r >= 0)
                r = load_with(root, m, NULL, &without);
        if (r >= 0 && conf_gpu_mode(&without, d->name, strempty(d->path)) != wanted)
                r = make_text(&without, d, wanted, &m->text);
        if (r >= 0)
                r = load_with(root, m, m->text, &then);
        if (r < 0)
                return r;
        m->needed = !streq_ptr(m->text, text);
        m->was = conf_gpu_mode(&now, d->name, strempty(d->path));
        m->result = conf_gpu_mode(&then, d->name, strempty(d->path));
        return 0;
}

int gpumode_plan(int root, const PciDevice *d, GpuMode wanted, GpuModeChange *ret) {
        _cleanup_(gpumode_done) GpuModeChange m = {};
        int r;

        r = make_path(d, &m.path);
        if (r >= 0)
                r = find_out(root, d, wanted, &m);
        if (r < 0)
                return r;
        *ret = m;
        m = (GpuModeChange){};
        return 0;
}

int gpumode_apply(int root, const GpuModeChange *m) {
        _cleanup_(undo_freep) Undo *undo = NULL;
        int r;

        r = m->needed ? undo_open(root, "gpu", &undo) : 0;
        if (r < 0 || !undo)
                return r;
        r = m->text ? undo_write_file(undo, m->path, m->text, strlen(m->text), 0644)
                    : undo_remove_file(undo, m->path);
        return MIN(r, 0);
}
