/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Completion: scripts for shells, from the tables. Names of machines are asked for when they are needed. */

#include "vmctl.h"

enum { WORDS_A_LINE = 10 };

#define NAMES "vmctl list --quiet 2>/dev/null"

/* Words with blanks between, or newlines now and then: lines have to be short enough to be looked at. */
static void print_options(OptSet options) {
        unsigned n = 0;

        for (Opt o = 0; o < _OPT_MAX; o++)
                if (options & OPT_BIT(o))
                        printf("--%s%s%c", vmctl_options[o].name, vmctl_options[o].argument ? "=" : "",
                               ++n % WORDS_A_LINE ? ' ' : '\n');
}

/* In bash: a case of patterns over "command" or "command word". */
static void bash_words(Complete complete, const char *words) {
        if (complete == COMPLETE_VM)
                printf("$(" NAMES ")");
        else if (complete == COMPLETE_WORDS)
                printf("%s", words);
}

static void bash_values(void) {
        for (Opt o = 0; o < _OPT_MAX; o++) {
                const Option *option = &vmctl_options[o];

                if (option->complete == COMPLETE_NOTHING || !option->argument)
                        continue;
                printf("        --%s", option->name);
                if (option->letter)
                        printf("|-%c", option->letter);
                if (option->complete == COMPLETE_FILE)
                        printf(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
                else {
                        printf(") COMPREPLY=($(compgen -W \"");
                        bash_words(option->complete, option->words);
                        printf("\" -- \"$cur\")); return ;;\n");
                }
        }
}

/* "gpu status" and "gpu holders" are of one group, which "gpu" is the word for; they stand together. */
static bool same_group(const Command *a, const Command *b) {
        size_t n = strcspn(a->name, " ");

        return n == strcspn(b->name, " ") && strncmp(a->name, b->name, n) == 0;
}

static void bash_groups(void) {
        const Command *previous = NULL;

        for (const Command *c = vmctl_commands; c->name; previous = c++) {
                if (!strchr(c->name, ' ') || (previous && same_group(previous, c)))
                        continue;
                printf("        '%.*s '*) words='", (int) strcspn(c->name, " "), c->name);
                for (const Command *d = c; d->name && same_group(c, d); d++)
                        printf("%s%s", d == c ? "" : " ", strchr(d->name, ' ') + 1);
                printf("' ;;\n");
        }
        previous = NULL;
        printf("        *) words='");
        for (const Command *c = vmctl_commands; c->name; previous = c++)
                if (!previous || !same_group(previous, c))
                        printf("%s%.*s", previous ? " " : "", (int) strcspn(c->name, " "), c->name);
        printf("' ;;\n");
}

static void bash(void) {
        printf("# bash completion for vmctl\n\n"
               "_vmctl() {\n"
               "        local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
               "        local command= options= words= i\n\n"
               "        case $previous in\n");
        bash_values();
        printf("        esac\n"
               "        for ((i = 1; i < COMP_CWORD; i++)); do\n"
               "                case ${COMP_WORDS[i]} in\n"
               "                -c|--connect) ((i++)) ;;\n"
               "                -*) ;;\n"
               "                *) command+=\"${command:+ }${COMP_WORDS[i]}\" ;;\n"
               "                esac\n"
               "        done\n"
               "        case \"$command \" in\n");
        for (const Command *c = vmctl_commands; c->name; c++) {
                printf("        '%s '*) options='", c->name);
                print_options(c->options);
                printf("' words=\"");
                bash_words(c->complete, c->words);
                printf("\" ;;\n");
        }
        bash_groups();
        printf("        esac\n"
               "        [[ $cur != -* ]] || words=\"$options");
        print_options(OPT_COMMON);
        printf("\"\n"
               "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
               "        [[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace\n"
               "}\n"
               "complete -F _vmctl vmctl\n");
}

/* ':' and quotes would end a description. */
static void zsh_text(const char *s) {
        for (; *s; s++)
                printf(*s == ':' || *s == '[' || *s == ']' ? "\\%c" : *s == '\'' ? "'\\''" : "%c", *s);
}

static void zsh_action(Complete complete, const char *words) {
        if (complete == COMPLETE_VM)
                printf(":name:_vmctl_names");
        else if (complete == COMPLETE_FILE)
                printf(":file:_files");
        else if (complete == COMPLETE_WORDS) {
                printf(":value:(");
                zsh_text(words);
                printf(")");
        } else
                printf(":value: ");
}

static void zsh_options(OptSet options) {
        for (Opt o = 0; o < _OPT_MAX; o++) {
                const Option *option = &vmctl_options[o];

                if (!(options & OPT_BIT(o)))
                        continue;
                printf(" \\\n                '--%s%s[", option->name, option->argument ? "=" : "");
                zsh_text(option->help);
                printf("]");
                if (option->argument)
                        zsh_action(option->complete, option->words);
                printf("'");
        }
}

static void zsh(void) {
        printf("#compdef vmctl\n\n"
               "_vmctl_names() {\n        compadd -- ${(f)\"$(" NAMES ")\"}\n}\n\n"
               "_vmctl() {\n"
               "        local -a commands=(\n");
        for (const Command *c = vmctl_commands; c->name; c++) {
                printf("                '%s:", c->name);
                zsh_text(c->summary);
                printf("'\n");
        }
        printf("        )\n"
               "        if ((CURRENT == 2)); then\n"
               "                _describe command commands\n"
               "                return\n"
               "        fi\n"
               "        case \"${words[2]} ${words[3]-}\" in\n");
        for (const Command *c = vmctl_commands; c->name; c++) {
                printf("        '%s'*)\n                _arguments", c->name);
                zsh_options(OPT_COMMON | c->options);
                if (c->complete != COMPLETE_NOTHING) {
                        printf(" \\\n                '*");
                        zsh_action(c->complete, c->words);
                        printf("'");
                }
                printf(" ;;\n");
        }
        printf("        esac\n}\n\n_vmctl \"$@\"\n");
}

static void fish_words(const char *flags, const char *s) {
        printf(" %s '", flags);
        for (; *s; s++)
                printf(*s == '\'' ? "'\\''" : "%c", *s);
        printf("'");
}

static void fish_complete(Complete complete, const char *words) {
        if (complete == COMPLETE_WORDS)
                fish_words("-f -a", words);
        else if (complete == COMPLETE_VM)
                fish_words("-f -a", "(" NAMES ")");
}

static void fish_option(const Option *o, const char *condition) {
        printf("complete -c vmctl%s -l %s", condition, o->name);
        if (o->letter)
                printf(" -s %c", o->letter);
        if (o->argument && *o->argument != '[')
                printf(" -r");
        fish_complete(o->complete, o->words);
        fish_words("-d", o->help);
        printf("\n");
}

static void fish_command(const Command *c) {
        char condition[128], first[32];

        (void) snprintf(first, sizeof(first), "%.*s", (int) strcspn(c->name, " "), c->name);
        (void) snprintf(condition, sizeof(condition), " -n '__fish_seen_subcommand_from %s'", first);
        printf("complete -c vmctl -n __fish_use_subcommand -f -a %s", first);
        fish_words("-d", c->summary);
        printf("\n");
        if (c->name[strlen(first)]) {
                printf("complete -c vmctl%s -f -a %s", condition, c->name + strlen(first) + 1);
                fish_words("-d", c->summary);
                printf("\n");
        }
        if (c->complete == COMPLETE_VM || c->complete == COMPLETE_WORDS) {
                printf("complete -c vmctl%s", condition);
                fish_complete(c->complete, c->words);
                printf("\n");
        }
        for (Opt o = 0; o < _OPT_MAX; o++)
                if (c->options & OPT_BIT(o))
                        fish_option(&vmctl_options[o], condition);
}

static void fish(void) {
        printf("# fish completion for vmctl\n\n");
        for (Opt o = 0; o < _OPT_MAX; o++)
                if (OPT_COMMON & OPT_BIT(o))
                        fish_option(&vmctl_options[o], "");
        for (const Command *c = vmctl_commands; c->name; c++)
                fish_command(c);
}

int cmd_completion(Context *c, char **args) {
        static const struct {
                const char *name;
                void (*print)(void);
        } shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

        for (size_t i = 0; i < ELEMENTSOF(shells); i++)
                if (streq(shells[i].name, args[0])) {
                        shells[i].print();
                        return 0;
                }
        log_error("There are completions for bash, zsh and fish, not for '%s'", args[0]);
        return VMCTL_USAGE;
}
