/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>

#include "confvalid.h"
#include "fs.h"
#include "guestwish.h"
#include "parse.h"
#include "refuse.h"
#include "strv.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

enum { WORD_MAX = 200, SWAP_MAX_GIB = 1024 };

typedef struct Row {
        const char *option;
        const char *what;     /* "'X' is no ... for --option" */
        const char *standard; /* NULL: none */
        const char *setting;  /* in the guest; NULL: it is told in another way, or not at all */
        bool (*is_valid)(const char *value);
} Row;

static bool consists_of(const char *s, const char *characters) {
        size_t n = strspn(s, characters);

        return n > 0 && n <= WORD_MAX && s[n] == '\0';
}

/* As Debian's policy has names (5.6.1) and versions (5.6.12). */
static bool is_package(const char *s) {
        size_t n = strspn(s, LOWER DIGITS "+-.");

        if (n < 2 || n > WORD_MAX || !strchr(LOWER DIGITS, s[0]))
                return false;
        return s[n] == '\0' || (s[n] == '=' && consists_of(s + n + 1, LOWER UPPER DIGITS ".+-:~"));
}

static bool is_version(const char *s) {
        return strchr(DIGITS, s[0]) && consists_of(s, LOWER UPPER DIGITS ".+");
}

/* "12.9" */
static bool is_toolkit(const char *s) {
        const char *dot = strchr(s, '.');

        return streq(s, "no") || streq(s, "newest") ||
                        (dot && consists_of(dot + 1, DIGITS) && strspn(s, DIGITS) == (size_t) (dot - s) &&
                         dot > s);
}

static bool is_port(const char *s) {
        unsigned n;

        return *s != '0' && parse_uint(s, UINT16_MAX, &n) >= 0 && n > 0;
}

/* Where the engine itself listens behind what is asked in its place: as guest/serve has it. */
static unsigned own_port(unsigned port) {
        return port < 50000 ? port + 10000 : port - 10000;
}

static bool is_address(const char *s) {
        struct in6_addr a;

        return inet_pton(AF_INET, s, &a) == 1 || inet_pton(AF_INET6, s, &a) == 1;
}

/* "8000", "53/udp", "8000/tcp@192.0.2.0/24" */
static bool is_opening(const char *s) {
        char port[sizeof("65535")];
        size_t n = strcspn(s, "/@");

        if (streq(s, "off"))
                return true;
        if (n >= sizeof(port))
                return false;
        memcpy(port, s, n);
        port[n] = '\0';
        s += n;
        s = startswith(s, "/tcp") ?: startswith(s, "/udp") ?: s;
        return is_port(port) && (*s == '\0' || (*s == '@' && (confvalid_subnet(s + 1) || is_address(s + 1))));
}

/* "MEMORY,GRAPHICS" in MHz, as nvidia-smi --applications-clocks takes it. */
static bool is_clocks(const char *s) {
        size_t n = strspn(s, DIGITS);

        return n > 0 && n < 6 && s[n] == ',' && consists_of(s + n + 1, DIGITS) && strlen(s) < 12;
}

static bool is_engine(const char *s) {
        return streq(s, "on-demand") || streq(s, "vllm") || streq(s, "ollama") || streq(s, "both");
}

/* Of Hugging Face, a path in the guest, or of Ollama's library with a tag. */
static bool is_model(const char *s) {
        return strchr(LOWER UPPER DIGITS "/", s[0]) && consists_of(s, LOWER UPPER DIGITS "._-/:@") &&
                        !strstr(s, "..");
}

/* No secret is one of these: whoever lists processes reads them. */
static bool is_argument(const char *s) {
        return startswith(s, "--") && consists_of(s, LOWER UPPER DIGITS "-_=.,:/@") &&
                        !startswith(s, "--api-key") && !startswith(s, "--hf-token") &&
                        !startswith(s, "--host") && !startswith(s, "--port");
}

static bool is_sum(const char *s) {
        return strlen(s) == 64 && consists_of(s, "abcdef" DIGITS);
}

static bool is_path(const char *s) {
        return *s != '\0';
}

/* "580", "580-server" */
static bool is_driver(const char *s) {
        size_t n = strspn(s, DIGITS);

        return n >= 3 && n <= 4 && (s[n] == '\0' || streq(s + n, "-server"));
}

static bool is_swap(const char *s) {
        uint64_t n;

        return parse_size(s, &n) >= 0 && n >= UINT64_C(1) << 20 && n <= (uint64_t) SWAP_MAX_GIB << 30;
}

static bool is_time(const char *s) {
        uint64_t n;

        return parse_sec(s, &n) >= 0 && n >= USEC_PER_SEC;
}

static bool is_days(const char *s) {
        unsigned n;

        return parse_uint(s, 3650, &n) >= 0;
}

/* "rsync://HOST/MODULE", with a directory below or not: nobody is asked for a password. */
static bool is_backup(const char *s) {
        const char *host = startswith(s, "rsync://"), *path = host ? strchr(host, '/') : NULL;

        return path && path > host && path[1] != '\0' && !endswith(s, "/") && !strstr(path, "//") &&
                        !strstr(path, "..") && consists_of(host, LOWER UPPER DIGITS "._-/:[]");
}

/* The versions are ones that are published, and stay until somebody changes them here: a guest that is made
 * again gets the same. */
static const Row rows[_GUEST_KEY_MAX] = {
        [GUEST_PACKAGES] = { "packages", "name of a package", NULL, NULL, is_package },
        [GUEST_CUDA_TOOLKIT] = { "cuda-toolkit", "version like 12.9, newest or no", NULL, NULL, is_toolkit },
        [GUEST_FIREWALL] = { "firewall", "port like 8000, 53/udp or 8000/tcp@192.0.2.0/24, or off,", NULL,
                             NULL, is_opening },
        [GUEST_PERSISTENCED] = { "persistenced", NULL, NULL, NULL, NULL },
        [GUEST_CLOCKS] = { "clocks", "pair of clocks in MHz like 5001,1590", NULL, "CLOCKS", is_clocks },
        [GUEST_ENGINE] = { "engine", "engine (vllm, ollama, both or on-demand)", NULL, NULL, is_engine },
        [GUEST_LISTEN] = { "listen", "address", "127.0.0.1", "VLLM_LISTEN", is_address },
        [GUEST_OLLAMA_LISTEN] = { "ollama-listen", "address", "127.0.0.1", "OLLAMA_LISTEN", is_address },
        [GUEST_VLLM_PORT] = { "vllm-port", "port", "8000", "VLLM_PORT", is_port },
        [GUEST_OLLAMA_PORT] = { "ollama-port", "port", "11434", "OLLAMA_PORT", is_port },
        [GUEST_VLLM_MODEL] = { "vllm-model", "name of a model", "Qwen/Qwen3-0.6B", "VLLM_MODEL", is_model },
        [GUEST_VLLM_ARGUMENTS] = { "vllm-arguments", "argument for vLLM here", NULL, "VLLM_ARGUMENTS",
                                   is_argument },
        [GUEST_OLLAMA_MODELS] = { "ollama-models", "name of a model", NULL, "PULL_MODELS", is_model },
        [GUEST_VLLM_VERSION] = { "vllm-version", "version", "0.19.0", "VLLM_VERSION", is_version },
        [GUEST_OLLAMA_VERSION] = { "ollama-version", "version", "0.32.7", "OLLAMA_VERSION", is_version },
        [GUEST_OLLAMA_SUM] = { "ollama-sum", "SHA-256 sum in 64 hexadecimal digits", NULL, "OLLAMA_SUM",
                               is_sum },
        [GUEST_API_KEY_FILE] = { "api-key-file", "file", NULL, NULL, is_path },
        [GUEST_HF_TOKEN_FILE] = { "hf-token-file", "file", NULL, NULL, is_path },
        [GUEST_DRIVER] = { "driver", "branch of NVIDIA's driver like 580-server", NULL, "DRIVER", is_driver },
        [GUEST_DRIVER_UPDATES] = { "driver-updates", NULL, NULL, NULL, NULL },
        [GUEST_SWAP] = { "swap", "size of at most 1T", NULL, "SWAP", is_swap },
        [GUEST_IDLE] = { "idle", "time like 15min", "15min", "IDLE", is_time },
        [GUEST_MODEL_BACKUP] = { "model-backup", "place like rsync://192.0.2.2/models/llm-01", NULL,
                                 "MODEL_BACKUP", is_backup },
        [GUEST_MODEL_DAYS] = { "model-days", "number of days", "0", "MODEL_DAYS", is_days },
        [GUEST_MODEL_STORE] = { "model-store", "absolute path of a directory", NULL, "MODEL_STORE",
                                confvalid_plain_path },
};

const char *guestwish_option(GuestKey k) {
        return rows[k].option;
}

bool guestwish_is_list(GuestKey k) {
        return k == GUEST_PACKAGES || k == GUEST_FIREWALL || k == GUEST_VLLM_ARGUMENTS ||
                        k == GUEST_OLLAMA_MODELS;
}

static int check_values(const GuestWish *w, char **reterr) {
        for (GuestKey k = 0; k < _GUEST_KEY_MAX; k++)
                STRV_FOREACH(value, w->values[k])
                        if (rows[k].is_valid && !rows[k].is_valid(*value))
                                return refuse(reterr, -EINVAL, "'%s' is no %s for --%s", *value, rows[k].what,
                                              rows[k].option);
        return 0;
}

static int check_ports(const GuestWish *w, char **reterr) {
        unsigned vllm, ollama;

        if (parse_uint(guestwish_value(w, GUEST_VLLM_PORT), UINT16_MAX, &vllm) < 0 ||
            parse_uint(guestwish_value(w, GUEST_OLLAMA_PORT), UINT16_MAX, &ollama) < 0)
                return -EINVAL;
        if (vllm == ollama)
                return refuse(reterr, -EINVAL, "--vllm-port and --ollama-port are the same");
        if (guestwish_engine(w) == GUEST_ON_DEMAND &&
            (own_port(vllm) == ollama || own_port(ollama) == vllm || own_port(vllm) == own_port(ollama)))
                return refuse(reterr, -EINVAL,
                              "--vllm-port and --ollama-port do not go together on demand: vLLM itself "
                              "listens on %u, and Ollama on %u",
                              own_port(vllm), own_port(ollama));
        return 0;
}

int guestwish_check(const GuestWish *w, char **reterr) {
        const char *engine = guestwish_value(w, GUEST_ENGINE);
        int r = check_values(w, reterr);

        if (r < 0)
                return r;
        if (strv_contains(w->values[GUEST_FIREWALL], "off") && strv_length(w->values[GUEST_FIREWALL]) > 1)
                return refuse(reterr, -EINVAL, "--firewall=off beside ports to open: which of them?");
        r = w->llm ? check_ports(w, reterr) : 0;
        if (r < 0)
                return r;
        if (w->llm && !w->gpu && engine && !streq(engine, "ollama"))
                return refuse(reterr, -EINVAL,
                              "vLLM needs a GPU, and the machine has none: --engine=ollama does without");
        return 0;
}

const char *guestwish_value(const GuestWish *w, GuestKey k) {
        size_t n = strv_length(w->values[k]);

        return n > 0 ? w->values[k][n - 1] : rows[k].standard;
}

const char *guest_engine_to_string(GuestEngine e) {
        static const char *const names[] = { [GUEST_ON_DEMAND] = "on-demand",
                                             [GUEST_VLLM] = "vllm",
                                             [GUEST_OLLAMA] = "ollama",
                                             [GUEST_BOTH] = "both" };

        return (size_t) e < ELEMENTSOF(names) ? names[e] : NULL;
}

GuestEngine guestwish_engine(const GuestWish *w) {
        const char *s = guestwish_value(w, GUEST_ENGINE) ?: w->gpu ? "on-demand" : "ollama";

        return streq(s, "vllm")              ? GUEST_VLLM
                        : streq(s, "ollama") ? GUEST_OLLAMA
                        : streq(s, "both")   ? GUEST_BOTH
                                             : GUEST_ON_DEMAND;
}

bool guestwish_has_vllm(const GuestWish *w) {
        return w->llm && guestwish_engine(w) != GUEST_OLLAMA;
}

bool guestwish_has_ollama(const GuestWish *w) {
        return w->llm && guestwish_engine(w) != GUEST_VLLM;
}

bool guestwish_is_open(const GuestWish *w, GuestKey listen) {
        const char *s = guestwish_value(w, listen);

        return !startswith(s, "127.") && !streq(s, "::1");
}

const char *guestwish_toolkit(const GuestWish *w) {
        const char *s = guestwish_value(w, GUEST_CUDA_TOOLKIT) ?: w->llm && w->gpu ? "12.9" : "no";

        return streq(s, "no") ? NULL : s;
}

bool guestwish_has_firewall(const GuestWish *w) {
        const char *asked = guestwish_value(w, GUEST_FIREWALL);

        return asked ? !streq(asked, "off") : w->llm;
}

int guestwish_packages(const GuestWish *w, char ***ret) {
        _cleanup_strv_ char **l = NULL;
        int r = w->llm ? strv_extend(&l, "nvtop") : 0;

        if (r >= 0 && guestwish_value(w, GUEST_MODEL_BACKUP))
                r = strv_extend(&l, "rsync");
        STRV_FOREACH(word, w->values[GUEST_PACKAGES])
                if (r >= 0)
                        r = strv_extend(&l, *word);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* In quotes nothing of these values means anything to a shell or systemd: see the table. */
static int add(char ***lines, const char *name, const char *value) {
        return strv_extendf(lines, "%s=\"%s\"\n", name, value);
}

static int add_rows(const GuestWish *w, char ***lines) {
        int r = 0;

        for (GuestKey k = 0; k < _GUEST_KEY_MAX && r >= 0; k++) {
                const char *value = guestwish_value(w, k);
                _cleanup_free_ char *all = NULL;

                if (!rows[k].setting || !value || (k >= GUEST_ENGINE && !w->llm))
                        continue;
                if (w->values[k] && guestwish_is_list(k)) {
                        all = strv_join(w->values[k], " ");
                        if (!all)
                                return -ENOMEM;
                }
                r = add(lines, rows[k].setting, all ?: value);
        }
        return r;
}

/* What was asked for is all that is opened; else what serves others. */
static int add_firewall(const GuestWish *w, char ***lines) {
        char *const *asked = w->values[GUEST_FIREWALL];
        _cleanup_free_ char *text = NULL;
        bool vllm = guestwish_has_vllm(w) && guestwish_is_open(w, GUEST_LISTEN),
             ollama = guestwish_has_ollama(w) && guestwish_is_open(w, GUEST_OLLAMA_LISTEN);

        if (!guestwish_has_firewall(w))
                return 0;
        text = asked ? strv_join(asked, " ") : NULL;
        if (!asked &&
            str_printf(&text, "%s%s%s", vllm ? guestwish_value(w, GUEST_VLLM_PORT) : "",
                       vllm && ollama ? " " : "", ollama ? guestwish_value(w, GUEST_OLLAMA_PORT) : "") < 0)
                return -ENOMEM;
        return text ? add(lines, "FIREWALL", text) : -ENOMEM;
}

static int add_engines(const GuestWish *w, char ***lines) {
        int r;

        if (!w->llm)
                return 0;
        r = add(lines, "ENGINE", guest_engine_to_string(guestwish_engine(w)));
        if (r >= 0)
                r = add(lines, "VLLM_OPEN", guestwish_is_open(w, GUEST_LISTEN) ? "yes" : "no");
        return r < 0 ? r : add(lines, "DRIVER_UPDATES", w->values[GUEST_DRIVER_UPDATES] ? "yes" : "no");
}

int guestwish_settings(const GuestWish *w, char **ret) {
        _cleanup_strv_ char **lines = NULL;
        const char *toolkit = guestwish_toolkit(w);
        int r;

        r = strv_extend(&lines, "# Written when the machine was made. gpuvm.vm(5) tells what is what.\n");
        if (r >= 0)
                r = add_rows(w, &lines);
        if (r >= 0 && toolkit)
                r = add(&lines, "CUDA_TOOLKIT", toolkit);
        if (r >= 0)
                r = add_firewall(w, &lines);
        if (r >= 0)
                r = add_engines(w, &lines);
        if (r < 0)
                return r;
        *ret = strv_join(lines, "");
        return *ret ? 0 : -ENOMEM;
}
