/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Help: what the tables say, for people. */

#include "nearest.h"
#include "vmctl.h"

/* "  -c --connect=URI   text", at most 80 columns. */
static void print_option(const Option *o) {
        char left[40], letter[4] = "  ";

        if (o->letter)
                (void) snprintf(letter, sizeof(letter), "-%c", o->letter);
        if (o->argument && *o->argument == '[')
                (void) snprintf(left, sizeof(left), "%s --%s[=%s", letter, o->name, o->argument + 1);
        else
                (void) snprintf(left, sizeof(left), "%s --%s%s%s", letter, o->name, o->argument ? "=" : "",
                                strempty(o->argument));
        printf("  %-24s %s\n", left, o->help);
}

static void print_options(OptSet options) {
        for (Opt o = 0; o < _OPT_MAX; o++)
                if (options & OPT_BIT(o))
                        print_option(&vmctl_options[o]);
}

int help_overview(void) {
        printf("vmctl [OPTIONS...] COMMAND ...\n\n"
               "Virtual machines with GPUs, on this machine or another.\n\nCommands:\n");
        for (const Command *c = vmctl_commands; c->name; c++) {
                char left[40];

                (void) snprintf(left, sizeof(left), "%s%s%s", c->name, c->arguments ? " " : "",
                                strempty(c->arguments));
                /* A long one has a line of its own. */
                printf(strlen(left) > 24 ? "  %s\n%27s%s\n" : "  %-24s%1s%s\n", left, "", c->summary);
        }
        printf("\nOptions of every command:\n");
        print_options(OPT_COMMON);
        printf("\n'vmctl help COMMAND' shows a command's own options.\n");
        return VMCTL_DONE;
}

int help_command(const Command *c) {
        printf("vmctl %s%s%s%s\n\n%s.\n\nOptions:\n", c->name, c->options ? " [OPTIONS...]" : "",
               c->arguments ? " " : "", strempty(c->arguments), c->summary);
        print_options(c->options);
        print_options(OPT_COMMON);
        return VMCTL_DONE;
}

/* Commands of two words by both. */
static const Command *find(const char *first, const char *second) {
        for (const Command *c = vmctl_commands; c->name; c++) {
                const char *rest = startswith(c->name, first);

                if (rest && (*rest == '\0' || (*rest == ' ' && second && streq(rest + 1, second))))
                        return c;
        }
        return NULL;
}

static int tell_unknown(const char *first, const char *second) {
        const char *names[64] = {}, *meant;
        char both[64], family[64] = "";
        size_t n = 0;

        (void) snprintf(both, sizeof(both), "%s%s%s", first, second ? " " : "", strempty(second));
        for (const Command *c = vmctl_commands; c->name && n < ELEMENTSOF(names) - 1; c++) {
                const char *rest = startswith(c->name, first);

                names[n++] = c->name;
                if (rest && *rest == ' ')
                        (void) snprintf(strchr(family, '\0'), sizeof(family) - strlen(family), "%s%s",
                                        *family ? ", " : "", rest + 1);
        }
        meant = nearest_find(both, names) ?: nearest_find(first, names);
        if (meant)
                log_error("There is no command '%s'. Did you mean '%s'?", both, meant);
        else if (*family)
                log_error("'%s' needs one of these after it: %s", first, family);
        else
                log_error("There is no command '%s'; 'vmctl help' lists them", first);
        return 0;
}

int help_find(char **words, const Command **ret) {
        const Command *c = find(words[0], words[1]);

        if (!c)
                return tell_unknown(words[0], words[1]);
        *ret = c;
        return 1;
}

int cmd_help(Context *c, char **args) {
        const Command *found;

        if (!args[0])
                return help_overview();
        return help_find(args, &found) > 0 ? help_command(found) : VMCTL_USAGE;
}
