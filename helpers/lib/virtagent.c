/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtagent.h"
#include "agentanswer.h"
#include "json.h"
#include "virtlib.h"
#include "virtvm.h"
#include "xml.h"

#define CHANNEL "org.qemu.guest_agent.0"

/* libvirt waits for as long again, at most 5 s, to find out whether the agent still reads
 * (qemuAgentGuestSyncSend() in its src/qemu/qemu_agent.c). */
enum { ANSWER_SEC = 5, POLL_MSEC = 100 };

/* arguments: taken; NULL for what could not be made. */
static int ask_within(Virt *v, const char *name, unsigned timeout_sec, const char *command,
                      json_object *arguments, char **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        if (json_add(o, "arguments", arguments) < 0 || json_add_text(o, "execute", command) < 0)
                return -ENOMEM;
        r = virtlib_load_qemu();
        if (r >= 0)
                r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        *ret = lq.virDomainQemuAgentCommand(d, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
                                            (int) timeout_sec, 0);
        return *ret ? 0 : virtlib_failed(v);
}

static int ask(Virt *v, const char *name, const char *command, json_object *arguments, char **ret) {
        return ask_within(v, name, ANSWER_SEC, command, arguments, ret);
}

/* An object with one member; the value is taken. */
static json_object *one(const char *key, json_object *value) {
        json_object *o = json_object_new_object();

        if (json_add(o, key, value) >= 0)
                return o;
        (void) json_object_put(o);
        return NULL;
}

int virtagent_ping(Virt *v, const char *name) {
        _cleanup_free_ char *answer = NULL;

        return ask(v, name, "guest-ping", json_object_new_object(), &answer);
}

int virtagent_addresses(Virt *v, const char *name, unsigned timeout_sec, char ***ret) {
        _cleanup_free_ char *answer = NULL;
        int r = ask_within(v, name, MAX(timeout_sec, 1U), "guest-network-get-interfaces",
                           json_object_new_object(), &answer);

        return r < 0 ? r : agentanswer_addresses(answer, ret);
}

int virtagent_has_left_in(const char *xml) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        const XmlNode *channel;
        int r = xml_read(xml, &doc);

        if (r < 0)
                return r;
        channel = xml_child(xml_child(xml_root(doc), "devices"), "channel");
        for (; channel; channel = xml_next(channel)) {
                const XmlNode *target = xml_child(channel, "target");

                if (streq_ptr(xml_attribute(target, "name"), CHANNEL))
                        return streq_ptr(xml_attribute(target, "state"), "disconnected");
        }
        return 0;
}

int virtagent_has_left(Virt *v, const char *name) {
        _cleanup_free_ char *xml = NULL;
        int r = virtvm_xml_now(v, name, &xml);

        return r < 0 ? r : virtagent_has_left_in(xml);
}

static int open_file(Virt *v, const char *name, const char *path, int64_t *ret) {
        _cleanup_free_ char *answer = NULL;
        int r = ask(v, name, "guest-file-open", one("path", json_object_new_string(path)), &answer);

        return r < 0 ? r : agentanswer_handle(answer, ret);
}

static int read_file(Virt *v, const char *name, int64_t handle, char **ret) {
        json_object *arguments = one("handle", json_object_new_int64(handle));
        _cleanup_free_ char *answer = NULL;
        int r;

        if (arguments && json_add(arguments, "count", json_object_new_int(AGENT_TEXT_MAX)) < 0) {
                (void) json_object_put(arguments);
                return -ENOMEM;
        }
        r = ask(v, name, "guest-file-read", arguments, &answer);
        return r < 0 ? r : agentanswer_text(answer, ret);
}

static void close_file(Virt *v, const char *name, int64_t handle) {
        _cleanup_free_ char *answer = NULL, *message = TAKE_PTR(v->message);

        (void) ask(v, name, "guest-file-close", one("handle", json_object_new_int64(handle)), &answer);
        free(v->message); /* that of the read counts */
        v->message = TAKE_PTR(message);
}

int virtagent_read(Virt *v, const char *name, const char *path, char **ret) {
        int64_t handle;
        int r = open_file(v, name, path, &handle);

        if (r < 0)
                return r;
        r = read_file(v, name, handle, ret);
        close_file(v, name, handle);
        return r;
}

int virtagent_start(Virt *v, const char *name, const char *const *argv, int64_t *ret_pid) {
        json_object *arguments = one("path", json_object_new_string(argv[0]));
        _cleanup_free_ char *answer = NULL;
        int r;

        if (json_add(arguments, "arg", json_new_list(argv + 1)) < 0 ||
            json_add(arguments, "capture-output", json_object_new_boolean(true)) < 0) {
                (void) json_object_put(arguments);
                return -ENOMEM;
        }
        r = ask(v, name, "guest-exec", arguments, &answer);
        return r < 0 ? r : agentanswer_pid(answer, ret_pid);
}

int virtagent_poll(Virt *v, const char *name, int64_t pid, int *ret_status, char **ret) {
        _cleanup_free_ char *answer = NULL;
        int r = ask(v, name, "guest-exec-status", one("pid", json_object_new_int64(pid)), &answer);

        return r < 0 ? r : agentanswer_end(answer, ret_status, ret);
}

int virtagent_run(Virt *v, const char *name, const char *const *argv, uint64_t timeout_usec, char **ret) {
        uint64_t end = monotonic_usec() + timeout_usec;
        int64_t pid;
        int status, r = virtagent_start(v, name, argv, &pid);

        while (r >= 0) {
                r = virtagent_poll(v, name, pid, &status, ret);
                if (r > 0)
                        return status;
                if (r == 0 && monotonic_usec() >= end)
                        return -ETIMEDOUT;
                if (r == 0)
                        (void) usleep(POLL_MSEC * 1000);
        }
        return r;
}
