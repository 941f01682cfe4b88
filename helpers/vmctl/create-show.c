/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a machine is going to be, and where each of it came from. */

#include "create.h"
#include "fs.h"
#include "json.h"

/* Why it is this one; a release at its end is the one that was asked for, or the standard one, all the same.
 */
static int release_reason(Context *c, const Create *n, char **ret) {
        const char *why = n->release->standard      ? "the standard one"
                        : vmctl_has(c, OPT_RELEASE) ? "asked for"
                                                    : "what its engines are built for";

        if (!n->is_over)
                return str_printf(ret, "%s", why);
        return str_printf(ret, "%s; no support since %s%s. --release takes another one", why, n->release->end,
                          n->release->kind == IMAGE_UBUNTU
                                          ? ", packages come from the archive of old releases"
                                          : "");
}

/* Of an image that was brought nobody knows what it is; which Talos is the newest, the factory knows. Returns
 * 1, or 0 if there is nothing to say. */
static int describe_release(Context *c, const Create *n, const char **ret_value, char **ret_why) {
        bool asked = vmctl_has(c, OPT_TALOS_VERSION);
        int r;

        if (n->release) {
                *ret_value = n->release->version;
                r = release_reason(c, n, ret_why);
        } else if (streq(n->kind, "talos") && !vmctl_has(c, OPT_IMAGE)) {
                *ret_value = asked ? vmctl_value(c, OPT_TALOS_VERSION) : "the newest";
                r = str_printf(ret_why, "%s", asked ? "asked for" : "that the image factory has");
        } else
                return 0;
        return r < 0 ? r : 1;
}

/* Nobody of Talos's, nor where somebody else's user-data makes one. */
static const char *describe_user(Context *c, const Create *n) {
        if (streq(n->kind, "talos") || vmctl_has(c, OPT_USER_DATA))
                return NULL;
        return vmctl_has(c, OPT_USER) ? "asked for" : "who calls, or else admin; enters by ssh keys alone";
}

static void show_line(const char *what, const char *value, const char *why) {
        printf("  %-8s %-22s %s\n", what, value, why);
}

/* Why it was not chosen, if there is a reason. */
static void show_gpu(const Create *n, const VmGpu *g) {
        for (size_t i = 0; i < n->plan.n_gpus; i++)
                if (n->plan.gpus[i] == g) {
                        if (g->shared)
                                printf("  GPU %s is also %s's: one of the two is on at a time\n", g->name,
                                       g->shared);
                        return;
                }
        if (n->plan.gpu_wish_text)
                return;
        if (g->used_by)
                printf("  GPU %s is not free: of %s\n", g->name, g->used_by);
        else if (g->refused || g->busy)
                printf("  GPU %s is not free: %s\n", g->name, g->refused ?: g->busy);
        else if (g->asleep)
                printf("  GPU %s sleeps, and nobody can tell whether it is in use; --gpu asks for it\n",
                       g->name);
}

void create_show(Context *c, const Create *n, bool dry) {
        _cleanup_free_ char *why = NULL;
        const char *release;

        printf("%s %s:\n", dry ? "Would make" : "Making", n->plan.name);
        if (describe_release(c, n, &release, &why) > 0)
                show_line("release", release, why);
        for (size_t i = 0; i < n->plan.n_choices; i++)
                show_line(n->plan.choices[i].what, n->plan.choices[i].value, n->plan.choices[i].why);
        if (describe_user(c, n))
                show_line("user", n->user, describe_user(c, n));
        if (!n->host.kvm)
                printf("  KVM is not available: everything is emulated, and slow\n");
        for (size_t i = 0; i < n->host.n_gpus; i++)
                show_gpu(n, &n->host.gpus[i]);
        if (n->plan.warning)
                printf("  %s\n", n->plan.warning);
}

static int add_choice(json_object *o, const char *what, const char *value, const char *why) {
        json_object *choice = json_object_new_object();

        if (json_add_text(choice, "value", value) >= 0 && json_add_text(choice, "why", why) >= 0)
                return json_add(o, what, choice);
        (void) json_object_put(choice);
        return -ENOMEM;
}

int create_show_json(Context *c, const Create *n) {
        _cleanup_json_ json_object *o = json_object_new_object();
        _cleanup_free_ char *why = NULL;
        const char *release, *user = describe_user(c, n);
        int r;

        r = json_add_text(o, "uuid", n->plan.uuid);
        if (r >= 0 && describe_release(c, n, &release, &why) > 0)
                r = add_choice(o, "release", release, why);
        for (size_t i = 0; i < n->plan.n_choices && r >= 0; i++)
                r = add_choice(o, n->plan.choices[i].what, n->plan.choices[i].value, n->plan.choices[i].why);
        if (r >= 0 && user)
                r = add_choice(o, "user", n->user, user);
        return r < 0 ? log_oom() : json_print(o, stdout);
}
