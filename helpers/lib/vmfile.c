/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "confvalid.h"
#include "gpuwish.h"
#include "ini.h"
#include "nearest.h"
#include "parse.h"
#include "strv.h"
#include "vmfile.h"

enum {
        VALUES_MAX = 64, /* of one key */
        TIME_MAX_SEC = 30 * 60,
        PATIENCE_SEC = 10 * 60, /* as that of 'vmctl gpu attach --when-idle' */
        GUESSES_MAX = 20,       /* "did you mean": costly on a file that is no declaration at all */
};

static const char *const kinds[] = { "talos", "ubuntu", "debian", "llm", "worker", NULL };
/* Of them, by what they have: */
static const char *const released[] = { "ubuntu", "debian", "llm", NULL };
static const char *const desktops[] = { "ubuntu", NULL };
static const char *const cloud[] = { "ubuntu", "debian", "llm", "worker", NULL };
static const char *const plain[] = { "ubuntu", "debian", "worker", NULL };
static const char *const workers[] = { "worker", NULL };
static const char *const llms[] = { "llm", NULL };
static const char *const talos[] = { "talos", NULL };
static const char *const engines[] = { "on-demand", "vllm", "ollama", "both", NULL };
static const char *const firmwares[] = { "uefi", "bios", NULL };
static const char *const readies[] = { "started", "agent", "address", "gpu", "engines", NULL };
static const char *const watchdogs[] = { "report", "restart", "off", NULL };

const VmKeyRow vmkey_rows[_VMKEY_MAX] = {
        [VMKEY_KIND] = { "Vm", "Kind", VMKEY_TEXT, NULL, kinds, NULL },
        [VMKEY_DESCRIPTION] = { "Vm", "Description", VMKEY_TEXT, "description", NULL, NULL },
        [VMKEY_CPUS] = { "Vm", "Cpus", VMKEY_TEXT, "cpus", NULL, NULL },
        [VMKEY_MEMORY] = { "Vm", "Memory", VMKEY_TEXT, "memory", NULL, NULL },
        [VMKEY_DISK] = { "Vm", "Disk", VMKEY_TEXT, "disk", NULL, NULL },
        [VMKEY_IMAGE] = { "Vm", "Image", VMKEY_TEXT, "image", NULL, NULL },
        [VMKEY_RELEASE] = { "Vm", "Release", VMKEY_TEXT, "release", NULL, released },
        [VMKEY_SERVER] = { "Vm", "Server", VMKEY_FLAG, "server", NULL, desktops },
        [VMKEY_FIRMWARE] = { "Vm", "Firmware", VMKEY_TEXT, "firmware", firmwares, NULL },
        [VMKEY_HUGEPAGES] = { "Vm", "Hugepages", VMKEY_TEXT, "hugepages", NULL, NULL },
        [VMKEY_PIN] = { "Vm", "Pin", VMKEY_FLAG, "pin", NULL, NULL },
        [VMKEY_READY] = { "Vm", "Ready", VMKEY_TEXT, NULL, readies, NULL },
        [VMKEY_READY_SEC] = { "Vm", "ReadySec", VMKEY_TIME, NULL, NULL, NULL },
        [VMKEY_WATCHDOG] = { "Vm", "Watchdog", VMKEY_TEXT, NULL, watchdogs, NULL },
        [VMKEY_WATCHDOG_SEC] = { "Vm", "WatchdogSec", VMKEY_TIME, NULL, NULL, NULL },
        [VMKEY_GPU] = { "Gpu", "Gpu", VMKEY_WORDS, "gpu", NULL, NULL },
        [VMKEY_ROM] = { "Gpu", "Rom", VMKEY_TEXT, "rom", NULL, NULL },
        [VMKEY_WHEN_IDLE] = { "Gpu", "WhenIdle", VMKEY_WAIT, NULL, NULL, NULL },
        [VMKEY_NETWORK] = { "Network", "Network", VMKEY_TEXT, "network", NULL, NULL },
        [VMKEY_ADDRESS] = { "Network", "Address", VMKEY_TEXT, "ip", NULL, NULL },
        [VMKEY_GATEWAY] = { "Network", "Gateway", VMKEY_TEXT, "gateway", NULL, NULL },
        [VMKEY_MAC] = { "Network", "Mac", VMKEY_TEXT, "mac", NULL, NULL },
        [VMKEY_USER] = { "Guest", "User", VMKEY_TEXT, "user", NULL, cloud },
        [VMKEY_SSH_KEY] = { "Guest", "SshKey", VMKEY_LINES, "ssh-key", NULL, cloud },
        [VMKEY_USER_DATA] = { "Guest", "UserData", VMKEY_TEXT, "user-data", NULL, plain },
        [VMKEY_JOIN] = { "Guest", "Join", VMKEY_TEXT, "join", NULL, workers },
        [VMKEY_PACKAGES] = { "Guest", "Packages", VMKEY_WORDS, "packages", NULL, cloud },
        [VMKEY_CUDA_TOOLKIT] = { "Guest", "CudaToolkit", VMKEY_TEXT, "cuda-toolkit", NULL, cloud },
        [VMKEY_FIREWALL] = { "Guest", "Firewall", VMKEY_WORDS, "firewall", NULL, cloud },
        [VMKEY_PERSISTENCED] = { "Guest", "Persistenced", VMKEY_FLAG, "persistenced", NULL, cloud },
        [VMKEY_CLOCKS] = { "Guest", "Clocks", VMKEY_TEXT, "clocks", NULL, cloud },
        [VMKEY_ENGINE] = { "Llm", "Engine", VMKEY_TEXT, "engine", engines, llms },
        [VMKEY_LISTEN] = { "Llm", "Listen", VMKEY_TEXT, "listen", NULL, llms },
        [VMKEY_OLLAMA_LISTEN] = { "Llm", "OllamaListen", VMKEY_TEXT, "ollama-listen", NULL, llms },
        [VMKEY_VLLM_PORT] = { "Llm", "VllmPort", VMKEY_TEXT, "vllm-port", NULL, llms },
        [VMKEY_OLLAMA_PORT] = { "Llm", "OllamaPort", VMKEY_TEXT, "ollama-port", NULL, llms },
        [VMKEY_VLLM_MODEL] = { "Llm", "VllmModel", VMKEY_TEXT, "vllm-model", NULL, llms },
        [VMKEY_VLLM_ARGUMENTS] = { "Llm", "VllmArguments", VMKEY_WORDS, "vllm-arguments", NULL, llms },
        [VMKEY_OLLAMA_MODELS] = { "Llm", "OllamaModels", VMKEY_WORDS, "ollama-models", NULL, llms },
        [VMKEY_VLLM_VERSION] = { "Llm", "VllmVersion", VMKEY_TEXT, "vllm-version", NULL, llms },
        [VMKEY_OLLAMA_VERSION] = { "Llm", "OllamaVersion", VMKEY_TEXT, "ollama-version", NULL, llms },
        [VMKEY_OLLAMA_SUM] = { "Llm", "OllamaSum", VMKEY_TEXT, "ollama-sum", NULL, llms },
        [VMKEY_API_KEY_FILE] = { "Llm", "ApiKeyFile", VMKEY_TEXT, "api-key-file", NULL, llms },
        [VMKEY_HF_TOKEN_FILE] = { "Llm", "HfTokenFile", VMKEY_TEXT, "hf-token-file", NULL, llms },
        [VMKEY_DRIVER] = { "Llm", "Driver", VMKEY_TEXT, "driver", NULL, llms },
        [VMKEY_DRIVER_UPDATES] = { "Llm", "DriverUpdates", VMKEY_FLAG, "driver-updates", NULL, llms },
        [VMKEY_SWAP] = { "Llm", "Swap", VMKEY_TEXT, "swap", NULL, llms },
        [VMKEY_IDLE] = { "Llm", "Idle", VMKEY_TEXT, "idle", NULL, llms },
        [VMKEY_MODEL_BACKUP] = { "Llm", "ModelBackup", VMKEY_TEXT, "model-backup", NULL, llms },
        [VMKEY_MODEL_DAYS] = { "Llm", "ModelDays", VMKEY_TEXT, "model-days", NULL, llms },
        [VMKEY_MODEL_STORE] = { "Llm", "ModelStore", VMKEY_TEXT, "model-store", NULL, llms },
        [VMKEY_TALOS_VERSION] = { "Talos", "Version", VMKEY_TEXT, "talos-version", NULL, talos },
        [VMKEY_SCHEMATIC] = { "Talos", "Schematic", VMKEY_TEXT, "schematic", NULL, talos },
        [VMKEY_MACHINE_CONFIG] = { "Talos", "MachineConfig", VMKEY_TEXT, "machine-config", NULL, talos },
        [VMKEY_WANTED_BY] = { "Install", "WantedBy", VMKEY_WORDS, NULL, NULL, NULL },
};

typedef struct Parser {
        VmFile *f;
        const char *path;
        ConfProblem problem;
        void *userdata;
        bool ignore; /* an unknown section: told once, not for each line */
} Parser;

_printf_(3, 4) static void tell(Parser *p, unsigned line, const char *format, ...) {
        va_list ap;

        p->f->n_problems++;
        va_start(ap, format);
        conf_tell(p->problem, p->userdata, p->path, line, format, ap);
        va_end(ap);
}

void vmfile_done(VmFile *f) {
        free(f->name);
        strv_free(f->files);
        for (VmKey k = 0; k < _VMKEY_MAX; k++)
                strv_free(f->values[k]);
        *f = (VmFile){};
}

static VmKey find_key(const char *section, const char *name) {
        VmKey k = 0;

        while (k < _VMKEY_MAX && !(streq(vmkey_rows[k].section, section) && streq(vmkey_rows[k].name, name)))
                k++;
        return k;
}

static const char *guess(const Parser *p, const char *word, const char *const *names) {
        return p->problem && p->f->n_problems < GUESSES_MAX ? nearest_find(word, names) : NULL;
}

static int on_section(unsigned line, const char *section, void *userdata) {
        const char *names[_VMKEY_MAX + 1] = {}, *meant;
        Parser *p = userdata;

        p->ignore = startswith(section, "X-");
        for (VmKey k = 0; k < _VMKEY_MAX; k++) {
                names[k] = vmkey_rows[k].section;
                if (p->ignore || streq(names[k], section))
                        return 0;
        }
        p->ignore = true;
        meant = guess(p, section, names);
        tell(p, line, "Unknown section [%.60s]%s%s%s", section, meant ? ", did you mean [" : "",
             strempty(meant), meant ? "]?" : "");
        return 0;
}

static void tell_unknown(Parser *p, unsigned line, const char *section, const char *key) {
        const char *names[_VMKEY_MAX + 1] = {}, *meant;

        for (VmKey k = 0; k < _VMKEY_MAX; k++)
                names[k] = vmkey_rows[k].name;
        meant = guess(p, key, names);
        for (VmKey k = 0; meant && k < _VMKEY_MAX; k++)
                if (streq(vmkey_rows[k].name, meant)) {
                        tell(p, line, "Unknown key '%.60s' in section [%s], did you mean '%s=' of [%s]?", key,
                             section, meant, vmkey_rows[k].section);
                        return;
                }
        tell(p, line, "Unknown key '%.60s' in section [%s]", key, section);
}

/* What stands for the key now, in place of or behind what stood there. */
static int take(Parser *p, unsigned line, VmKey k, const char *value) {
        char ***values = &p->f->values[k];
        VmKeyType type = vmkey_rows[k].type;
        int r = 0;

        if (!*value || type < VMKEY_WORDS) {
                strv_free(*values);
                *values = NULL;
        }
        p->f->lines[k] = line;
        p->f->sources[k] = strv_length(p->f->files) - 1;
        if (*value)
                r = type == VMKEY_WORDS ? ini_split_words(value, values) : strv_extend(values, value);
        if (r == -EINVAL)
                tell(p, line, "A quote without its end in %s=", vmkey_rows[k].name);
        else if (strv_length(*values) > VALUES_MAX)
                tell(p, line, "More than %d values for %s=", VALUES_MAX, vmkey_rows[k].name);
        return r == -EINVAL ? 0 : r;
}

/* ret_expected: all of them, as a sentence has them. */
static bool is_word(const char *const *words, const char *value, char ret_expected[static 128]) {
        *ret_expected = '\0';
        for (const char *const *w = words; *w; w++) {
                if (streq(*w, value))
                        return true;
                (void) snprintf(strchr(ret_expected, '\0'), 128 - strlen(ret_expected), "%s%s",
                                w == words             ? ""
                                                : w[1] ? ", "
                                                       : " or ",
                                *w);
        }
        return false;
}

bool vmkey_is_for(VmKey k, const char *kind, char ret_kinds[static 128]) {
        return !vmkey_rows[k].kinds || is_word(vmkey_rows[k].kinds, kind, ret_kinds);
}

/* Somebody may wait for it at boot. */
static bool is_time(const char *value) {
        uint64_t usec;

        return parse_sec(value, &usec) >= 0 && usec > 0 && usec <= TIME_MAX_SEC * USEC_PER_SEC;
}

static int on_assignment(unsigned line, const char *section, const char *key, const char *value,
                         void *userdata) {
        Parser *p = userdata;
        char expected[128];
        VmKey k;

        if (!section)
                tell(p, line, "Assignment '%.60s=' before the first section", key);
        if (!section || p->ignore || startswith(key, "X-"))
                return 0;
        k = find_key(section, key);
        if (k == _VMKEY_MAX) {
                tell_unknown(p, line, section, key);
                return 0;
        }
        if (*value && vmkey_rows[k].words && !is_word(vmkey_rows[k].words, value, expected))
                tell(p, line, "Bad value '%.60s' for %s=: expected %s", value, key, expected);
        else if (*value && vmkey_rows[k].type == VMKEY_FLAG && parse_boolean(value) < 0)
                tell(p, line, "Bad value '%.60s' for %s=: expected yes or no", value, key);
        else if (*value && vmkey_rows[k].type == VMKEY_TIME && !is_time(value))
                tell(p, line, "Bad value '%.60s' for %s=: expected a time like 90 or 5min, %d min at most",
                     value, key, TIME_MAX_SEC / 60);
        else if (*value && vmkey_rows[k].type == VMKEY_WAIT && parse_boolean(value) < 0 && !is_time(value))
                tell(p, line,
                     "Bad value '%.60s' for %s=: expected yes, no or a time like 5min, %d min at most", value,
                     key, TIME_MAX_SEC / 60);
        else
                return take(p, line, k, value);
        return 0;
}

static void on_problem(unsigned line, const char *text, void *userdata) {
        tell(userdata, line, "%s", text);
}

int vmfile_parse(VmFile *f, const char *path, const char *data, size_t size, ConfProblem problem,
                 void *userdata) {
        Parser p = { .f = f, .path = path, .problem = problem, .userdata = userdata };
        const Ini ini = {
                .section = on_section,
                .assignment = on_assignment,
                .problem = on_problem,
                .userdata = &p,
        };
        int r;

        r = strv_extend(&f->files, path);
        return r < 0 ? r : ini_parse(&ini, data, size);
}

/* A target or a service, of no template: what a link is made from. */
static bool is_wanter(const char *unit) {
        size_t n = strspn(unit, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-\\@");

        return unit[n] == '\0' && n < 200 && *unit != '.' && !endswith(unit, "@.service") &&
                        (endswith(unit, ".target") || endswith(unit, ".service"));
}

/* "4" or "RTX 4090" as well: which ones these are is known when the machine starts. */
static int check_gpus(Parser *p, unsigned line) {
        _cleanup_(gpuwish_done) GpuWish wish = {};
        char **l = p->f->values[VMKEY_GPU];
        const char *why = NULL;
        int r;

        if (strv_length(l) > 1 && strv_contains(l, "none")) {
                tell(p, line, "Gpu=none beside other GPUs; an empty 'Gpu=' before it takes them back");
                return 0;
        }
        r = gpuwish_parse(l, &wish, &why);
        if (r == -EINVAL)
                tell(p, line, "Bad value for Gpu=: %s", why);
        if (r > 0 && vmfile_value(p->f, VMKEY_ROM))
                tell(p, p->f->lines[VMKEY_ROM], "Rom= is for one card, which Gpu= has to name");
        return r == -ENOMEM ? r : 0;
}

/* What is asked in the guest comes with our own user data. */
static void check_ready(Parser *p, unsigned line) {
        const VmFile *f = p->f;

        if (!streq_ptr(vmfile_value(f, VMKEY_READY), "engines"))
                return;
        if (!streq_ptr(vmfile_value(f, VMKEY_KIND), "llm"))
                tell(p, line, "Ready=engines is for machines of the kind llm");
        else if (f->values[VMKEY_USER_DATA])
                tell(p, line, "Ready=engines beside UserData=, which sets up engines that nobody here knows");
}

/* Its unit requires what is mounted there. */
static void check_store(Parser *p, unsigned line) {
        const char *store = vmfile_value(p->f, VMKEY_MODEL_STORE);

        if (store && !confvalid_plain_path(store))
                tell(p, line,
                     "'%.60s' in ModelStore= is no absolute path of a directory, of letters, digits and ._-+@ alone",
                     store);
}

int vmfile_check(VmFile *f, ConfProblem problem, void *userdata) {
        Parser p = { .f = f,
                     .path = f->files ? f->files[0] : f->name,
                     .problem = problem,
                     .userdata = userdata };
        int r;

        if (!confvalid_hostname(f->name))
                tell(&p, 0, "'%.70s' is no name for a machine: letters, digits and dashes, up to 63",
                     f->name);
        if (!f->values[VMKEY_KIND] && f->n_problems == 0) /* else it may be what was wrong */
                tell(&p, 0, "No Kind= in [Vm]: talos, ubuntu, debian, llm or worker");
        p.path = vmfile_place(f, VMKEY_WANTED_BY).file ?: p.path;
        STRV_FOREACH(unit, f->values[VMKEY_WANTED_BY])
                if (!is_wanter(*unit))
                        tell(&p, f->lines[VMKEY_WANTED_BY],
                             "'%.60s' in WantedBy= is no unit like multi-user.target", *unit);
        p.path = vmfile_place(f, VMKEY_GPU).file ?: p.path;
        r = check_gpus(&p, f->lines[VMKEY_GPU]);
        p.path = vmfile_place(f, VMKEY_READY).file ?: p.path;
        check_ready(&p, f->lines[VMKEY_READY]);
        p.path = vmfile_place(f, VMKEY_MODEL_STORE).file ?: p.path;
        check_store(&p, f->lines[VMKEY_MODEL_STORE]);
        return r;
}

int vmfile_gpu_wish(const VmFile *f, char **ret) {
        _cleanup_(gpuwish_done) GpuWish wish = {};
        const char *why = NULL;
        int r = gpuwish_parse(f->values[VMKEY_GPU], &wish, &why);

        if (r <= 0)
                return r == -ENOMEM ? r : 0;
        r = gpuwish_format(&wish, ret);
        return r < 0 ? r : 1;
}

uint64_t vmfile_patience(const VmFile *f) {
        const char *value = vmfile_value(f, VMKEY_WHEN_IDLE);
        uint64_t usec = 0;
        int b = value ? parse_boolean(value) : 0;

        /* "1" is a time as well, and a short one. */
        if (b > 0)
                return PATIENCE_SEC * USEC_PER_SEC;
        return b == 0 || parse_sec(value, &usec) < 0 ? 0 : usec;
}

const char *vmfile_value(const VmFile *f, VmKey k) {
        size_t n = strv_length(f->values[k]);

        return n > 0 ? f->values[k][n - 1] : NULL;
}

bool vmfile_flag(const VmFile *f, VmKey k) {
        const char *value = vmfile_value(f, k);

        return value && parse_boolean(value) > 0;
}

VmFilePlace vmfile_place(const VmFile *f, VmKey k) {
        size_t i = f->sources[k];

        if (f->lines[k] == 0 || i >= strv_length(f->files))
                return (VmFilePlace){};
        return (VmFilePlace){ f->files[i], f->lines[k] };
}
