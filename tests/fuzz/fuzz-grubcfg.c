/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A boot menu, and a loader entry: what passes has a kernel to start, and editing twice is editing once. */

#include "bootentry.h"
#include "grubcfg.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);

        check(text);
        check_menu(text, NULL);
        check_menu(text, "intel");
        check_menu(text, "amd");
        check_start(text);
        for (int override = 0; override < 2; override++) {
                check_entry(text, "intel", override);
                check_entry(text, "amd", override);
        }
        return 0;
}
