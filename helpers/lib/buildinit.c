/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "buildinit.h"
#include "cloudinit.h"
#include "fs.h"

#define PLACE "/run/gpuvm"

enum { TEXT_MAX = 512 }; /* bytes of a text in an answer */

static const char script[] =
#include "buildguest.h"
                ;

static const char unit[] = "[Unit]\n"
                           "Description=gpuvm's job in this guest\n"
                           "After=cloud-final.service network-online.target\n"
                           "SuccessAction=poweroff\n"
                           "FailureAction=poweroff\n"
                           "[Service]\n"
                           "Type=oneshot\n"
                           "ExecStart=/bin/bash " PLACE "/run\n"
                           "StandardOutput=journal+console\n"
                           "StandardError=journal+console\n"
                           "TimeoutStartSec=infinity\n";

/* Words of the plan have no quotes: they have been looked at. */
static int job_text(BuildJob job, const BuildPlan *p, char **ret) {
        _cleanup_free_ char *packages = strv_join(p->packages, " "), *driver = strv_join(p->driver, " ");

        if (!packages || !driver)
                return -ENOMEM;
        if (job == BUILD_JOB_VERIFY)
                return str_printf(ret, "job=verify\ndriver='%s'\n", driver);
        return str_printf(ret,
                          "job=build\npackages='%s'\ndriver='%s'\ndriver_version='%s'\nrepository='%s%s%s'\n"
                          "key_file='%s'\nfingerprint='%s'\n",
                          packages, driver, strempty(p->version), p->repository ? NVIDIA_REPOSITORY : "",
                          strempty(p->repository), p->repository ? "/" : "", strempty(p->key),
                          strempty(p->fingerprint));
}

static int add_files(json_object *o, const char *job) {
        const CloudInitFile files[] = {
                { (char *) PLACE "/run", (char *) script, 0600 },
                { (char *) PLACE "/job", (char *) job, 0600 },
                { (char *) "/run/systemd/system/gpuvm-job.service", (char *) unit, 0600 },
        };

        return cloudinit_add_files(o, files, ELEMENTSOF(files));
}

static int add_commands(json_object *o) {
        static const char *const reload[] = { "systemctl", "daemon-reload", NULL };
        static const char *const start[] = { "systemctl", "start", "--no-block", "gpuvm-job.service", NULL };
        json_object *commands = json_object_new_array();
        int r;

        r = json_append(commands, json_new_list(reload));
        if (r >= 0)
                r = json_append(commands, json_new_list(start));
        return json_add(o, "runcmd", commands) < 0 ? -ENOMEM : r;
}

int buildinit_user_data(BuildJob job, const BuildPlan *p, char **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        _cleanup_free_ char *text = NULL;
        int r;

        r = job_text(job, p, &text);
        if (r >= 0)
                r = json_add(o, "users", json_object_new_array()); /* nobody has to enter it */
        if (r >= 0)
                r = json_add(o, "ssh_pwauth", json_object_new_boolean(false));
        if (r >= 0)
                r = add_files(o, text);
        if (r >= 0)
                r = add_commands(o);
        return r < 0 ? r : cloudinit_print(o, ret);
}

void build_answer_done(BuildAnswer *a) {
        free(a->step);
        free(a->reason);
        free(a->kernel);
        free(a->driver);
        json_putp(&a->packages);
        *a = (BuildAnswer){};
}

/* A guest may write anything. */
static bool is_text(const char *s) {
        size_t n = 0;

        for (; s[n]; n++)
                if ((unsigned char) s[n] < ' ' || (unsigned char) s[n] > '~')
                        return false;
        return n <= TEXT_MAX;
}

static int take_text(json_object *o, const char *key, char **p) {
        const char *s = json_text(o, key);

        return !is_text(s) ? -EBADMSG : free_and_strdup(p, s);
}

static int take_packages(json_object *o, BuildAnswer *a) {
        json_object *l = json_member(o, "packages", json_type_object);

        if (!l)
                return a->done ? -EBADMSG : 0;
        json_object_object_foreach(l, name,
                                   version) if (!is_text(name) ||
                                                !json_object_is_type(version, json_type_string) ||
                                                !is_text(json_object_get_string(version))) return -EBADMSG;
        a->packages = json_object_get(l);
        return 0;
}

int buildinit_answer(const char *disk, size_t size, BuildAnswer *ret) {
        _cleanup_(build_answer_done) BuildAnswer a = {};
        _cleanup_json_ json_object *o = NULL;
        const char *result;
        int r;

        if (size >= strlen(BUILDINIT_BLANK) && memcmp(disk, BUILDINIT_BLANK, strlen(BUILDINIT_BLANK)) == 0)
                return -ENODATA;
        if (!memchr(disk, '\0', size))
                return -EBADMSG;
        o = json_tokener_parse(disk);
        result = json_text(o, "result");
        a.done = streq(result, "done");
        if (!a.done && !streq(result, "failed"))
                return -EBADMSG;
        r = take_text(o, "step", &a.step);
        if (r >= 0)
                r = take_text(o, "reason", &a.reason);
        if (r >= 0)
                r = take_text(o, "kernel", &a.kernel);
        if (r >= 0)
                r = take_text(o, "driver", &a.driver);
        if (r >= 0)
                r = take_packages(o, &a);
        if (r < 0)
                return r;
        *ret = a;
        a = (BuildAnswer){};
        return 0;
}
