/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A trial's state, the boot menu or loader entry that it is made after, custom.cfg and GRUB's environment
 * block. */

#include "entrytrial.h"
#include "grubenv.h"
#include "grubtrial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_state(const char *data, size_t size) {
        _cleanup_(trial_done) Trial t = {}, again = {};
        _cleanup_free_ char *once = NULL, *twice = NULL;

        if (trial_parse(data, size, &t) < 0)
                return;
        check(trial_format(&t, &once) == 0);
        check(trial_parse(once, strlen(once), &again) == 0);
        check(trial_format(&again, &twice) == 0 && streq(once, twice));
}

/* Whatever the menu, the entry is for the one start alone, and asks for the IOMMU. */
static void check_menu(const char *text, const TrialWish *wish) {
        _cleanup_free_ char *reason = NULL, *edited = NULL, *back = NULL;
        _cleanup_(grubtrial_done) GrubTrial t = {};
        int r = grubtrial_make(text, wish, ".own", &t, &reason);

        check(r == 0 || r == -EPERM || (r == 1 && reason));
        if (r != 0)
                return;
        check(startswith(t.block, "# gpuvm trial begins here") &&
              endswith(t.block, "\n# gpuvm trial ends here\n"));
        check(strstr(t.block, "if [ \"${default}\" = \"gpuvm-trial\" ]; then\n") &&
              strstr(t.block, "intel_iommu="));
        check(grubtrial_edit("set a=b", t.block, &edited) == 0);
        check(grubtrial_edit(edited, NULL, &back) == 0 && streq(back, "set a=b"));
}

static void check_custom(const char *text) {
        static const char block[] = "# gpuvm trial begins here\n# gpuvm trial ends here\n";
        _cleanup_free_ char *with = NULL, *without = NULL, *again = NULL;

        check(grubtrial_edit(text, NULL, &without) == 0 && strlen(without) <= strlen(text));
        check(grubtrial_edit(without, block, &with) == 0);
        check(grubtrial_edit(with, NULL, &again) == 0 && streq(again, without));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *entry = NULL, *reason = NULL,
                            *value = NULL;
        TrialWish wish = { .firmware = "intel",
                           .running = "/boot/vmlinuz-6.1",
                           .boot_id = "11111111-1111-4111-8111-111111111111" };
        int r;

        check(text);
        check_state((const char *) data, size);
        check_menu(text, &wish);
        check_custom(text);
        r = grubenv_get((const char *) data, size, "next_entry", &value);
        check(r == 0 ? value && !strchr(value, '\n') : r == -ENOENT || r == -EBADMSG);
        wish.override = true;
        check_menu(text, &wish);
        r = entrytrial_edit(text, &wish, ".own", &entry, &reason);
        check(r == 0 ? endswith(entry, wish.boot_id) || strstr(entry, "panic=") : r == 1 || r == -EBADMSG);
        return 0;
}
