/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/stat.h>

#include "bus.h"
#include "child.h"
#include "containerengine.h"
#include "fs.h"

#define NVIDIA_CTK  "/usr/bin/nvidia-ctk"
#define RUNTIME     "nvidia-container-runtime"
#define DOCKER_PATH "/etc/docker/daemon.json"
#define DOCKER_UNIT "docker.service"
/* Of nvidia-container-toolkit from 1.18 on (deployments/systemd). */
#define CDI_UNIT     "nvidia-cdi-refresh.service"
#define CDI_RUN_PATH "/run/cdi/nvidia.yaml"
/* Where an administrator has nvidia-ctk write it. */
#define CDI_PATH "/etc/cdi/nvidia.yaml"

enum { CTK_SEC = 60 };

static const struct {
        const char *program, *name;
        const char *configuration; /* that names NVIDIA's runtime when it is known there; NULL: by CDI */
} engines[] = {
        { "/usr/bin/dockerd", "docker", DOCKER_PATH },
        { "/usr/bin/podman", "podman", NULL },
        { "/usr/bin/containerd", "containerd", "/etc/containerd/config.toml" },
        { "/usr/bin/crio", "crio", "/etc/crio/crio.conf" },
};

bool containerengine_is_here(int root) {
        for (size_t i = 0; i < ELEMENTSOF(engines); i++)
                if (fs_exists(root, engines[i].program) > 0)
                        return true;
        return false;
}

/* Returns 1 if the file, or one of NVIDIA's beside it, knows the runtime. text: what is in it, or NULL. */
static int knows_runtime(int root, const char *path, char **ret_text) {
        static const char *const dropins[] = { "/etc/containerd/conf.d/99-nvidia.toml",
                                               "/etc/crio/conf.d/99-nvidia.toml" };
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, path, FS_FILE_MAX, &text, NULL);
        if (r < 0 && r != -ENOENT)
                return r;
        r = text && strstr(text, RUNTIME);
        for (size_t i = 0; i < ELEMENTSOF(dropins) && !streq(path, DOCKER_PATH); i++)
                r = r || fs_exists(root, dropins[i]) > 0;
        *ret_text = TAKE_PTR(text);
        return r;
}

/* The new configuration. nvidia-ctk's dry run writes it to its standard output (runtime/configure of
 * nvidia-container-toolkit): so the ledger has what was there before, and what is ours. */
static int make_configuration(Phase *p, char **ret) {
        const Child c = {
                PHASE_CHILD(p),
                .argv = (const char *const[]){ NVIDIA_CTK, "runtime", "configure", "--runtime=docker",
                                               "--config=" DOCKER_PATH, "--dry-run", NULL },
                .timeout_usec = CTK_SEC * USEC_PER_SEC,
        };
        _cleanup_free_ char *text = NULL;
        int r;

        r = child_output(&c, FS_FILE_MAX, &text);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;
        if (*text != '{' || !strstr(text, RUNTIME))
                return -EBADMSG;
        *ret = TAKE_PTR(text);
        return 0;
}

/* Docker takes a new runtime without a restart (dockerd(8) on SIGHUP). */
void containerengine_reload(Phase *p) {
        _cleanup_(bus_unit_done) BusUnit state = {};
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (!fs_is_host(p->root))
                return;
        r = bus_open(&b);
        if (r >= 0)
                r = bus_unit_state(b, DOCKER_UNIT, &state);
        if (r >= 0 && !streq(strempty(state.active_state), "active"))
                return;
        if (r >= 0)
                r = phase_change(p, "reload", DOCKER_UNIT, "it reads its configuration; containers run on");
        if (r > 0)
                r = bus_queue_reload(b, DOCKER_UNIT);
        if (r < 0)
                phase_note(p,
                           "Docker could not be told to read its configuration: 'systemctl reload docker'");
}

static int configure_docker(Phase *p, Undo *u) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        struct stat st = { .st_mode = 0644 };
        int r;

        r = knows_runtime(p->root, DOCKER_PATH, &before);
        if (r > 0 || r == -ENOMEM)
                return MIN(r, 0);
        if (r >= 0 && !p->dry_run)
                r = make_configuration(p, &after);
        if (r < 0) {
                phase_note(p,
                           "Docker was not told about GPUs (%s): see what 'nvidia-ctk runtime configure "
                           "--runtime=docker' has against " DOCKER_PATH,
                           strerror(-r));
                return 0;
        }
        r = phase_change(p, "write", DOCKER_PATH, "containers of Docker can ask for GPUs");
        if (r <= 0)
                return r;
        if (before && fs_stat(p->root, DOCKER_PATH, &st) < 0)
                st.st_mode = 0644;
        r = undo_record_refresh(u, "docker");
        if (r >= 0)
                r = undo_edit_file(u, DOCKER_PATH, NULL, after, st.st_mode & 0777);
        if (r > 0)
                containerengine_reload(p);
        return MIN(r, 0);
}

int containerengine_configure(Phase *p, Undo *u) {
        bool docker = fs_exists(p->root, engines[0].program) > 0;
        int r;

        r = docker ? configure_docker(p, u) : 0;
        if (r < 0)
                return phase_fail(p, r, "See that /etc/docker can be written.", "Cannot write " DOCKER_PATH);
        /* Docker brings containerd and has it for itself. */
        for (size_t i = 1; i < ELEMENTSOF(engines) && !docker; i++) {
                _cleanup_free_ char *text = NULL;

                if (engines[i].configuration && fs_exists(p->root, engines[i].program) > 0 &&
                    knows_runtime(p->root, engines[i].configuration, &text) <= 0)
                        phase_note(p,
                                   "'nvidia-ctk runtime configure --runtime=%s' tells %s about GPUs; restart it then, "
                                   "when none of its containers counts",
                                   engines[i].name, engines[i].name);
        }
        return 0;
}

int containerengine_tidy(Phase *p) {
        int r = fs_exists(p->root, CDI_RUN_PATH);

        if (r > 0)
                r = phase_change(p, "remove", CDI_RUN_PATH, "the toolkit that it is for is gone");
        if (r > 0)
                r = fs_remove(p->root, CDI_RUN_PATH);
        return r < 0 ? phase_fail(p, r, "Remove it yourself", "Cannot remove " CDI_RUN_PATH) : 0;
}

void containerengine_refresh(Phase *p) {
        _cleanup_(bus_unit_done) BusUnit state = {};
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (!fs_is_host(p->root) || p->dry_run || fs_exists(p->root, NVIDIA_CTK) <= 0)
                return;
        if (fs_exists(p->root, CDI_PATH) > 0)
                phase_note(p,
                           CDI_PATH " has the GPUs of before: 'nvidia-ctk cdi generate --output=" CDI_PATH
                                    "' writes it anew");
        r = bus_open(&b);
        if (r >= 0)
                r = bus_unit_state(b, CDI_UNIT, &state);
        /* It stays active after it has run; before that it is about to run. */
        if (r >= 0 && streq(strempty(state.active_state), "active"))
                r = bus_queue_restart(b, CDI_UNIT);
        if (r < 0)
                log_debug("Cannot restart " CDI_UNIT ": %s", strerror(-r));
}
