/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A boot menu, and a loader entry: what passes has a kernel to start, and editing twice is editing once. */

#include "bootentry.h"
#include "grubcfg.h"
#include "grubplace.h"
#include "kernelplan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static int there(const char *path, void *userdata) {
        check(!strpbrk(path, " \t\n"));
        return !strstr(path, "absent");
}

static void check_menu(const char *text, const char *firmware) {
        _cleanup_free_ char *problem = NULL;
        int r = grubcfg_check(text, firmware, there, NULL, &problem);

        check(r == 0 || (r == 1 && problem));
        if (r == 0)
                check(strstr(text, "menuentry") && strstr(text, "linux"));
        if (r == 0 && firmware && streq(firmware, "intel"))
                check(strstr(text, "on"));
}

static void check_start(const char *text) {
        _cleanup_free_ char *menu = NULL, *words = NULL;

        (void) grubcfg_has_start(text, text);
        check(asprintf(&menu, "linux /x %s", text) >= 0 && asprintf(&words, "BOOT_IMAGE=/x %s", text) >= 0);
        if (!strpbrk(text, "$\n"))
                check(grubcfg_has_start(menu, words));
}

static void check_entry(const char *text, const char *firmware, bool override) {
        _cleanup_free_ char *once = NULL, *twice = NULL;
        int r = bootentry_edit(text, firmware, override, &once);

        check(r == 1 || (!once && (r == 0 || r == -EBADMSG || r == -EPERM)));
        check(!override || r != -EPERM);
        if (r == 1)
                check(bootentry_edit(once, firmware, override, &twice) == 0);
}

/* A place is one of the menu, and what a shell is given of it is in one pair of quotes. */
static void check_places(const char *text) {
        _cleanup_free_ char *place = NULL, *kernel = NULL, *value = NULL, *hold = NULL, *choose = NULL;
        int r = grubplace_find(text, "6.1", &place);

        check(r == 0 || r == -ENOENT);
        if (r == 0) {
                check(grubplace_kernel(text, place, &kernel) == 0);
                r = kernelplan_hold(place, &hold);
                check(r == -EINVAL || (r == 0 && !strpbrk(place, "'\"$`\\ ")));
                r = kernelplan_choose(place, "6.1", "amd", &choose);
                check(r == -EINVAL || r == 0);
        }
        r = grubplace_default(text, &value);
        check(r == -ENOENT || (r == 0 && !strpbrk(value, "\"\n")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);

        check(text);
        check_menu(text, NULL);
        check_menu(text, "intel");
        check_menu(text, "amd");
        check_start(text);
        check_places(text);
        for (int override = 0; override < 2; override++) {
                check_entry(text, "intel", override);
                check_entry(text, "amd", override);
        }
        return 0;
}
