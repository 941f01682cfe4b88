/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands in a catalog as values of a file of ours. */

#include <ctype.h>

#include "cloudinit.h"
#include "parse.h"
#include "strv.h"
#include "vmimportwork.h"

static const char *name_of(const Reading *g) {
        return g->vm->file.name;
}

int vmimport_set(Reading *g, VmKey k, Slot s, const char *value) {
        g->vm->file.lines[k] = g->slots[s] ? g->slots[s]->line : g->vm->line;
        return vmfile_add(&g->vm->file, k, value);
}

int vmimport_wrong(Reading *g, Slot s, const char *what) {
        const YamlNode *n = g->slots[s];

        return vmimport_tell(g, n->line, "%s: '%.80s' is no value for '%.60s': %s", name_of(g),
                             strempty(n->text), strempty(n->key), what);
}

int vmimport_flag(Reading *g, Slot s, bool *ret) {
        const char *text = NULL;
        int r = vmimport_text(g, s, &text);

        *ret = false;
        if (r <= 0)
                return r;
        r = parse_boolean(text);
        if (r < 0)
                return vmimport_wrong(g, s, "true or false");
        *ret = r > 0;
        return 1;
}

/* One line of what may be several. */
static int make_description(Reading *g) {
        _cleanup_strv_ char **words = NULL;
        _cleanup_free_ char *line = NULL;
        const char *text = NULL;
        int r;

        r = vmimport_text(g, SLOT_DESCRIPTION, &text);
        if (r <= 0)
                return r;
        r = strv_split(text, " \t\r\n", &words);
        line = r < 0 ? NULL : strv_join(words, " ");
        if (!line)
                return -ENOMEM;
        if (!vmfile_fits(line))
                return vmimport_tell(
                                g, g->slots[SLOT_DESCRIPTION]->line,
                                "%s: the description has control characters, or ends in a backslash: take them out",
                                name_of(g));
        return *line ? vmimport_set(g, VMKEY_DESCRIPTION, SLOT_DESCRIPTION, line) : 0;
}

static int make_cpus(Reading *g) {
        const char *cores = NULL, *sockets = NULL;
        unsigned n = 0, times = 1;
        char text[16];
        int r;

        r = vmimport_text(g, SLOT_CORES, &cores);
        if (r > 0 && parse_uint(cores, 4096, &n) < 0)
                return vmimport_wrong(g, SLOT_CORES, "a number of CPUs");
        if (r >= 0)
                r = vmimport_text(g, SLOT_SOCKETS, &sockets);
        if (r > 0 && parse_uint(sockets, 64, &times) < 0)
                return vmimport_wrong(g, SLOT_SOCKETS, "a number of sockets, each with that many CPUs");
        if (r < 0 || !cores)
                return r;
        (void) snprintf(text, sizeof(text), "%u", n * times);
        return vmimport_set(g, VMKEY_CPUS, SLOT_CORES, text);
}

/* "500", "500G", "500 GiB", "500GB": a number, and the unit that stands there, or else the one that is meant.
 * Returns 1; 0 after a message. */
static int size(Reading *g, Slot s, const char *unit, char ret[static 32]) {
        const char *text = NULL;
        size_t n;
        char c;
        int r;

        r = vmimport_text(g, s, &text);
        if (r <= 0)
                return r;
        n = strspn(text, "0123456789");
        if (n == 0 || n > 12)
                return vmimport_wrong(g, s, "a size like 51200 or 50G");
        (void) snprintf(ret, 32, "%.*s%s", (int) n, text, unit);
        text += n;
        text += strspn(text, " ");
        c = (char) toupper((unsigned char) *text);
        if (c == '\0')
                return 1;
        if (!strchr("KMGT", c) ||
            (text[1] && strcasecmp(text + 1, "B") != 0 && strcasecmp(text + 1, "iB") != 0))
                return vmimport_wrong(g, s, "a size like 51200 or 50G");
        (void) snprintf(ret + n, 32 - n, "%c", c);
        return 1;
}

static int make_sizes(Reading *g) {
        char text[32];
        int r;

        r = size(g, SLOT_MEMORY, "", text);
        if (r > 0)
                r = vmimport_set(g, VMKEY_MEMORY, SLOT_MEMORY, text);
        else if (r == 0 && (r = size(g, SLOT_MEMORY_GB, "G", text)) > 0)
                r = vmimport_set(g, VMKEY_MEMORY, SLOT_MEMORY_GB, text);
        if (r >= 0)
                r = size(g, SLOT_DISK, "G", text);
        return r > 0 ? vmimport_set(g, VMKEY_DISK, SLOT_DISK, text) : r;
}

/* A version as it stands in a file's name: "12" is in "debian-12.5.0", and not in "debian-13.12". */
static bool has_version(const char *text, const char *version) {
        size_t n = strlen(version);

        for (const char *c = text; (c = strstr(c, version)); c++)
                if (!isdigit((unsigned char) c[n]) &&
                    (c == text || (!isdigit((unsigned char) c[-1]) && c[-1] != '.')))
                        return true;
        return false;
}

/* *ret: NULL if it is none that there are images of. */
static int find_release(const char *text, const ImageRelease **ret) {
        *ret = NULL;
        for (ImageKind k = IMAGE_UBUNTU; k <= IMAGE_DEBIAN; k++) {
                _cleanup_free_ char *versions = NULL;
                _cleanup_strv_ char **l = NULL;

                if (imagesource_versions(k, &versions) < 0 || strv_split(versions, ", ", &l) < 0)
                        return -ENOMEM;
                STRV_FOREACH(version, l) {
                        const ImageRelease *release = imagesource_release(k, *version);

                        if (strcasestr(text, release->codename) ||
                            (strcasestr(text, image_kind_to_string(k)) && has_version(text, *version)))
                                *ret = release;
                }
        }
        return 0;
}

static int set_release(Reading *g, Slot s, const ImageRelease *release, const char *text) {
        bool server = release->kind == IMAGE_UBUNTU && !(text && strcasestr(text, "desktop"));
        int r;

        r = vmimport_set(g, VMKEY_KIND, s, image_kind_to_string(release->kind));
        if (r >= 0)
                r = vmimport_set(g, VMKEY_RELEASE, s, release->version);
        if (r >= 0 && server)
                r = vmimport_set(g, VMKEY_SERVER, s, "yes");
        if (r < 0 || !text || s == SLOT_SYSTEM)
                return r;
        return vmimport_note(
                        g,
                        "'%.80s' became Kind=%s, Release=%s%s: made from a cloud image, nothing is installed by hand",
                        text, image_kind_to_string(release->kind), release->version,
                        server ? ", Server=yes" : "");
}

static int refuse_system(Reading *g, Slot s, const char *text) {
        if (!text)
                return vmimport_tell(
                                g, g->vm->line,
                                "%s: nothing says what system it has: add 'os: ubuntu-24.04', or choose one by --from",
                                name_of(g));
        return vmimport_wrong(
                        g, s,
                        "machines are made of Ubuntu, Debian and Talos (see 'vmctl help create'); choose one by --from, or name the machines to import");
}

/* The first that says what gpuvm knows. */
static int make_system(Reading *g) {
        static const Slot slots[] = { SLOT_SYSTEM, SLOT_ISO, SLOT_TEMPLATE };
        const char *text = NULL;
        const unsigned before = g->vm->file.n_problems;
        Slot said = SLOT_NONE;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(slots); i++) {
                const ImageRelease *release;

                r = vmimport_text(g, slots[i], &text);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                r = find_release(text, &release);
                if (r < 0)
                        return r;
                if (release)
                        return set_release(g, slots[i], release, text);
                if (strcasestr(text, "talos"))
                        return vmimport_set(g, VMKEY_KIND, slots[i], "talos");
                said = slots[i];
        }
        if (g->vm->file.n_problems > before)
                return 0;
        return g->w->system ? set_release(g, said, g->w->system, text) : refuse_system(g, said, text);
}

/* Calls for each text of a list, or for the lines of one text. */
static int each(Reading *g, Slot s, int (*take)(Reading *g, const char *text)) {
        const unsigned before = g->vm->file.n_problems;
        const YamlNode *n = g->slots[s];
        _cleanup_strv_ char **l = NULL;
        const char *text = NULL;
        int r = 0;

        if (n && n->kind == YAML_LIST) {
                for (const YamlNode *i = n->first; i && r >= 0; i = i->next)
                        r = i->kind == YAML_TEXT ? strv_extend(&l, i->text)
                                                 : vmimport_wrong(g, s, "a list of texts");
        } else {
                r = vmimport_text(g, s, &text);
                r = r > 0 ? strv_split(text, "\n", &l) : r;
        }
        STRV_FOREACH(i, l)
                if (r >= 0 && g->vm->file.n_problems == before)
                        r = take(g, *i);
        return r;
}

/* What is no key is not shown: it may be the private one. */
static int take_key(Reading *g, const char *text) {
        _cleanup_free_ char *key = NULL;
        int r = *text == '/' ? 0 : cloudinit_take_ssh_key(text, &key);

        if (r == -EINVAL)
                return vmimport_tell(
                                g, g->slots[SLOT_KEYS]->line,
                                "%s: '%.60s' has what is no public ssh key: a line like 'ssh-ed25519 AAAA...', or a file's path",
                                name_of(g), strempty(g->slots[SLOT_KEYS]->key));
        return r < 0 ? r : vmimport_set(g, VMKEY_SSH_KEY, SLOT_KEYS, key ?: text);
}

static int take_package(Reading *g, const char *text) {
        return *text ? vmimport_set(g, VMKEY_PACKAGES, SLOT_PACKAGES, text) : 0;
}

static int make_guest(Reading *g) {
        const char *user = NULL;
        bool yes;
        int r;

        r = vmimport_text(g, SLOT_USER, &user);
        if (r > 0 && cloudinit_check_user(user) < 0)
                r = vmimport_wrong(g, SLOT_USER, "a name of a user other than root");
        else if (r > 0)
                r = vmimport_set(g, VMKEY_USER, SLOT_USER, user);
        if (r >= 0)
                r = each(g, SLOT_KEYS, take_key);
        if (r >= 0)
                r = each(g, SLOT_PACKAGES, take_package);
        if (r >= 0)
                r = vmimport_flag(g, SLOT_AGENT, &yes);
        if (r > 0 && !yes)
                r = vmimport_note(g, "the guest's agent is always there");
        if (r >= 0 && g->slots[SLOT_CLOUDINIT])
                r = vmimport_flag(g, SLOT_CLOUDINIT, &yes);
        return MIN(r, 0);
}

/* Words of theirs for words of ours. */
static int make_word(Reading *g, Slot s, VmKey k, const char *const (*words)[2], const char *expected) {
        const char *text = NULL;
        int r = vmimport_text(g, s, &text);

        if (r <= 0)
                return r;
        for (; (*words)[0]; words++)
                if (strcasecmp((*words)[0], text) == 0)
                        return vmimport_set(g, k, s, (*words)[1]);
        return vmimport_wrong(g, s, expected);
}

static int make_machine(Reading *g) {
        static const char *const firmwares[][2] = { { "ovmf", "uefi" }, { "uefi", "uefi" },
                                                    { "efi", "uefi" },  { "seabios", "bios" },
                                                    { "bios", "bios" }, { NULL, NULL } };
        static const char *const pages[][2] = { { "2", "2M" },
                                                { "2M", "2M" },
                                                { "1024", "1G" },
                                                { "1G", "1G" },
                                                { NULL, NULL } };
        bool onboot;
        int r;

        r = make_word(g, SLOT_FIRMWARE, VMKEY_FIRMWARE, firmwares, "ovmf or seabios");
        if (r >= 0)
                r = make_word(g, SLOT_HUGEPAGES, VMKEY_HUGEPAGES, pages, "2 or 1024");
        if (r >= 0)
                r = vmimport_flag(g, SLOT_ONBOOT, &onboot);
        return r > 0 && onboot ? vmimport_set(g, VMKEY_WANTED_BY, SLOT_ONBOOT, "multi-user.target")
                               : MIN(r, 0);
}

/* Theirs may say of any machine who enters it. */
static int drop_strangers(Reading *g) {
        VmFile *f = &g->vm->file;
        const char *kind = vmfile_value(f, VMKEY_KIND);
        char kinds[128];

        for (VmKey k = 0; k < _VMKEY_MAX && kind; k++) {
                if (!f->values[k] || vmkey_is_for(k, kind, kinds))
                        continue;
                strv_free(f->values[k]);
                f->values[k] = NULL;
                if (vmimport_note(g, "%s= is for machines of the kind %s, and left out", vmkey_rows[k].name,
                                  kinds) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int vmimport_make(Reading *g) {
        static int (*const steps[])(Reading * g) = { make_system, make_description,  make_cpus,
                                                     make_sizes,  vmimport_make_gpu, vmimport_make_network,
                                                     make_guest,  make_machine,      drop_strangers };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(steps) && r >= 0; i++)
                r = steps[i](g);
        return MIN(r, 0);
}
