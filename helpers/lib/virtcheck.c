/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtcheck.h"
#include "strv.h"

#define LIBVIRT_HINT "See 'systemctl status libvirtd' and start gpuvm-kvm.service."
#define STORAGE_HINT "Start gpuvm-storage.service and see 'journalctl -u gpuvm-storage.service'."
#define NETWORK      "default"

void virtanswers_done(VirtAnswers *a) {
        free(a->message);
        *a = (VirtAnswers){};
}

static int ask(Virt *v, const Conf *c, VirtAnswers *a) {
        int r;

        r = virt_version(v, &a->version);
        if (r >= 0)
                r = virt_count_running(v, &a->running);
        if (r >= 0)
                r = virt_state(v, VIRT_POOL, c->pool, &a->pool);
        if (r >= 0)
                r = virt_state(v, VIRT_NETWORK, NETWORK, &a->network);
        if (r >= 0 || r == -ENOMEM)
                return r;
        a->error = r;
        return free_and_strdup(&a->message, virt_message(v));
}

int virtcheck_ask(int root, const Conf *c, VirtAnswers *ret) {
        _cleanup_(virtanswers_done) VirtAnswers a = {};
        _cleanup_(virt_closep) Virt *v = NULL;
        int r;

        r = virt_open_root(root, &v, &a.message);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                a.error = r;
        else
                r = ask(v, c, &a);
        if (r == -ENOMEM)
                return r;
        *ret = a;
        a = (VirtAnswers){};
        return 0;
}

static json_object *state_to_json(const VirtState *s) {
        json_object *o = json_object_new_object();

        if (json_add(o, "active", json_object_new_boolean(s->active)) < 0 ||
            json_add(o, "autostart", json_object_new_boolean(s->autostart)) < 0) {
                (void) json_object_put(o);
                return NULL;
        }
        return o;
}

int virtcheck_to_json(const VirtAnswers *a, json_object **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add(o, "error", json_object_new_int(a->error)) < 0 ||
            json_add_text_or_null(o, "message", a->message) < 0 ||
            json_add(o, "version", json_object_new_int64((int64_t) a->version)) < 0 ||
            json_add(o, "running", json_object_new_int64(a->running)) < 0 ||
            json_add(o, "pool", state_to_json(&a->pool)) < 0 ||
            json_add(o, "network", state_to_json(&a->network)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}

static VirtState state_from_json(json_object *o) {
        return (VirtState){
                .active = json_object_get_boolean(json_member(o, "active", json_type_boolean)),
                .autostart = json_object_get_boolean(json_member(o, "autostart", json_type_boolean)),
        };
}

static uint64_t number(json_object *o, const char *key, uint64_t max) {
        int64_t n = json_object_get_int64(json_member(o, key, json_type_int));

        return n < 0 ? 0 : MIN((uint64_t) n, max);
}

int virtcheck_from_json(json_object *o, VirtAnswers *ret) {
        int64_t error = json_object_get_int64(json_member(o, "error", json_type_int));
        json_object *message = json_member(o, "message", json_type_string);
        VirtAnswers a = {
                .error = (int) MAX(MIN(error, INT64_C(0)), INT64_C(-4095)),
                .version = (unsigned long) number(o, "version", INT32_MAX),
                .running = (unsigned) number(o, "running", INT32_MAX),
                .pool = state_from_json(json_member(o, "pool", json_type_object)),
                .network = state_from_json(json_member(o, "network", json_type_object)),
        };

        if (message && free_and_strdup(&a.message, json_object_get_string(message)) < 0)
                return -ENOMEM;
        *ret = a;
        return 0;
}

static int judge_object(VirtKind kind, const char *name, const VirtState *s, Findings *ret) {
        const char *what = virt_kind_to_string(kind);

        if (!s->active)
                return findings_add(ret, FINDING_FAIL, what, NULL, STORAGE_HINT, "%s '%s' is not active",
                                    what, name);
        if (!s->autostart)
                return findings_add(ret, FINDING_FAIL, what, NULL, STORAGE_HINT,
                                    "%s '%s' does not start at boot", what, name);
        return findings_add(ret, FINDING_OK, what, NULL, NULL, "'%s' is active and starts at boot", name);
}

static int judge_error(const VirtAnswers *a, bool root, Findings *ret) {
        const char *text = isempty(a->message) ? strerror(-a->error) : a->message;

        if (a->error == -ENOTCONN)
                return findings_add(ret, FINDING_SKIP, "libvirt", NULL, NULL, "%s", text);
        if (a->error == -EACCES && !root)
                return findings_add(ret, FINDING_WARN, "libvirt", NULL, "Ask again as root.", "%s", text);
        return findings_add(ret, FINDING_FAIL, "libvirt", NULL, LIBVIRT_HINT, "%s", text);
}

int virtcheck_judge(const VirtAnswers *a, const Conf *c, bool root, bool nat, Findings *ret) {
        int r;

        if (a->error < 0)
                return judge_error(a, root, ret);
        r = findings_add(ret, FINDING_OK, "libvirt", NULL, NULL,
                         "libvirt %lu.%lu.%lu answers, %u VM%s running", a->version / 1000000,
                         a->version / 1000 % 1000, a->version % 1000, a->running, a->running == 1 ? "" : "s");
        if (r >= 0)
                r = judge_object(VIRT_POOL, c->pool, &a->pool, ret);
        if (r >= 0 && nat)
                r = judge_object(VIRT_NETWORK, NETWORK, &a->network, ret);
        return r;
}
