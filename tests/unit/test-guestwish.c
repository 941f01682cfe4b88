/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is asked for inside a guest: what is refused, what stands for what was not asked for, what the guest
 * is told. */

#include "guestwish.h"
#include "tests/tap.h"

#define ONE(s)                                  \
        (char *const *) (const char *const[]) { \
                s, NULL                         \
        }

static const GuestWish llm = { .llm = true, .gpu = true };

static void refused(const GuestWish *w, const char *text) {
        _cleanup_free_ char *said = NULL;

        ASSERT_EQ(guestwish_check(w, &said), -EINVAL);
        ASSERT_STREQ(said, text);
}

static void accepted(const GuestWish *w) {
        char *said = NULL;

        ASSERT_EQ(guestwish_check(w, &said), 0);
}

/* The line of the settings with that name, or "". */
static const char *setting(const GuestWish *w, const char *name) {
        static char line[256];
        _cleanup_free_ char *text = NULL;
        const char *at;

        ASSERT_EQ(guestwish_settings(w, &text), 0);
        (void) snprintf(line, sizeof(line), "\n%s=", name);
        at = strstr(text, line);
        if (!at)
                return "";
        at += strlen(line);
        (void) snprintf(line, sizeof(line), "%.*s", (int) strcspn(at, "\n"), at);
        return line;
}

TEST(each_option_is_one_key) {
        for (GuestKey a = 0; a < _GUEST_KEY_MAX; a++)
                for (GuestKey b = 0; b < a; b++)
                        ASSERT(!streq(guestwish_option(a), guestwish_option(b)));
}

TEST(what_is_no_value) {
        static const struct {
                GuestKey key;
                const char *value, *text;
        } bad[] = {
                { GUEST_PACKAGES, "a", "'a' is no name of a package for --packages" },
                { GUEST_PACKAGES, "vim;reboot", "'vim;reboot' is no name of a package for --packages" },
                { GUEST_PACKAGES, "-y", "'-y' is no name of a package for --packages" },
                { GUEST_PACKAGES, "vim=", "'vim=' is no name of a package for --packages" },
                { GUEST_CUDA_TOOLKIT, "12", "'12' is no version like 12.9, newest or no for --cuda-toolkit" },
                { GUEST_FIREWALL, "0",
                  "'0' is no port like 8000, 53/udp or 8000/tcp@192.0.2.0/24, or off, for --firewall" },
                { GUEST_FIREWALL, "8000@here",
                  "'8000@here' is no port like 8000, 53/udp or 8000/tcp@192.0.2.0/24, or off, for --firewall" },
                { GUEST_CLOCKS, "5001", "'5001' is no pair of clocks in MHz like 5001,1590 for --clocks" },
                { GUEST_ENGINE, "none",
                  "'none' is no engine (vllm, ollama, both or on-demand) for --engine" },
                { GUEST_LISTEN, "everywhere", "'everywhere' is no address for --listen" },
                { GUEST_VLLM_PORT, "65536", "'65536' is no port for --vllm-port" },
                { GUEST_VLLM_PORT, "08000", "'08000' is no port for --vllm-port" },
                { GUEST_VLLM_MODEL, "$(reboot)", "'$(reboot)' is no name of a model for --vllm-model" },
                { GUEST_VLLM_MODEL, "a/../b", "'a/../b' is no name of a model for --vllm-model" },
                { GUEST_VLLM_ARGUMENTS, "--api-key=x",
                  "'--api-key=x' is no argument for vLLM here for --vllm-arguments" },
                { GUEST_VLLM_ARGUMENTS, "--hf-token=x",
                  "'--hf-token=x' is no argument for vLLM here for --vllm-arguments" },
                { GUEST_VLLM_ARGUMENTS, "--x=\"",
                  "'--x=\"' is no argument for vLLM here for --vllm-arguments" },
                { GUEST_OLLAMA_SUM, "00",
                  "'00' is no SHA-256 sum in 64 hexadecimal digits for --ollama-sum" },
                { GUEST_DRIVER, "newest",
                  "'newest' is no branch of NVIDIA's driver like 580-server for --driver" },
                { GUEST_SWAP, "2T", "'2T' is no size of at most 1T for --swap" },
                { GUEST_IDLE, "soon", "'soon' is no time like 15min for --idle" },
                { GUEST_MODEL_BACKUP, "rsync://192.0.2.2",
                  "'rsync://192.0.2.2' is no place like rsync://192.0.2.2/models/llm-01 for --model-backup" },
                { GUEST_MODEL_BACKUP, "rsync:///models",
                  "'rsync:///models' is no place like rsync://192.0.2.2/models/llm-01 for --model-backup" },
                { GUEST_MODEL_BACKUP, "rsync://me@host/models",
                  "'rsync://me@host/models' is no place like rsync://192.0.2.2/models/llm-01 for --model-backup" },
                { GUEST_MODEL_BACKUP, "rsync://host/models/../etc",
                  "'rsync://host/models/../etc' is no place like rsync://192.0.2.2/models/llm-01 for --model-backup" },
                { GUEST_MODEL_BACKUP, "host:/models",
                  "'host:/models' is no place like rsync://192.0.2.2/models/llm-01 for --model-backup" },
                { GUEST_MODEL_DAYS, "-1", "'-1' is no number of days for --model-days" },
                { GUEST_MODEL_STORE, "models",
                  "'models' is no absolute path of a directory for --model-store" },
                { GUEST_MODEL_STORE, "/a b", "'/a b' is no absolute path of a directory for --model-store" },
                { GUEST_MODEL_STORE, "/a/../b",
                  "'/a/../b' is no absolute path of a directory for --model-store" },
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                GuestWish w = llm;

                w.values[bad[i].key] = ONE(bad[i].value);
                refused(&w, bad[i].text);
        }
}

TEST(what_is_a_value) {
        static const struct {
                GuestKey key;
                const char *value;
        } good[] = {
                { GUEST_PACKAGES, "g++-13" },
                { GUEST_PACKAGES, "vim=2:9.1.0016-1ubuntu7~24" },
                { GUEST_CUDA_TOOLKIT, "13.0" },
                { GUEST_CUDA_TOOLKIT, "newest" },
                { GUEST_FIREWALL, "off" },
                { GUEST_FIREWALL, "53/udp" },
                { GUEST_FIREWALL, "8000@2001:db8::/64" },
                { GUEST_CLOCKS, "5001,1590" },
                { GUEST_LISTEN, "::" },
                { GUEST_VLLM_MODEL, "/opt/models/mine" },
                { GUEST_VLLM_ARGUMENTS, "--max-model-len=8192" },
                { GUEST_OLLAMA_MODELS, "qwen3:0.6b" },
                { GUEST_DRIVER, "580-server" },
                { GUEST_SWAP, "32G" },
                { GUEST_MODEL_BACKUP, "rsync://192.0.2.2/models" },
                { GUEST_MODEL_BACKUP, "rsync://[2001:db8::2]:8730/models/llm-01" },
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                GuestWish w = llm;

                w.values[good[i].key] = ONE(good[i].value);
                accepted(&w);
        }
}

TEST(what_does_not_go_together) {
        GuestWish w = {};

        w.values[GUEST_FIREWALL] = (char *const *) (const char *const[]){ "off", "80", NULL };
        refused(&w, "--firewall=off beside ports to open: which of them?");
        w = llm;
        w.values[GUEST_OLLAMA_PORT] = ONE("8000");
        refused(&w, "--vllm-port and --ollama-port are the same");
        w.values[GUEST_OLLAMA_PORT] = ONE("18000");
        refused(&w,
                "--vllm-port and --ollama-port do not go together on demand: vLLM itself listens on 18000, and "
                "Ollama on 28000");
        w.values[GUEST_ENGINE] = ONE("both");
        accepted(&w);
        w = llm;
        w.values[GUEST_VLLM_PORT] = ONE("40000");
        w.values[GUEST_OLLAMA_PORT] = ONE("60000");
        refused(&w,
                "--vllm-port and --ollama-port do not go together on demand: vLLM itself listens on 50000, and "
                "Ollama on 50000");
        w = llm;
        w.gpu = false;
        accepted(&w);
        w.values[GUEST_ENGINE] = ONE("vllm");
        refused(&w, "vLLM needs a GPU, and the machine has none: --engine=ollama does without");
        w.values[GUEST_ENGINE] = ONE("ollama");
        accepted(&w);
}

TEST(what_stands_for_the_rest) {
        GuestWish w = llm;

        ASSERT_EQ(guestwish_engine(&w), GUEST_ON_DEMAND);
        ASSERT_STREQ(guestwish_toolkit(&w), "12.9");
        ASSERT(guestwish_has_firewall(&w));
        ASSERT(!guestwish_is_open(&w, GUEST_LISTEN));
        ASSERT_STREQ(setting(&w, "VLLM_LISTEN"), "\"127.0.0.1\"");
        ASSERT_STREQ(setting(&w, "VLLM_OPEN"), "\"no\"");
        ASSERT_STREQ(setting(&w, "FIREWALL"), "\"\"");
        ASSERT_STREQ(setting(&w, "DRIVER_UPDATES"), "\"no\"");
        w.gpu = false;
        ASSERT_EQ(guestwish_engine(&w), GUEST_OLLAMA);
        ASSERT(!guestwish_toolkit(&w));
        w = (GuestWish){ .gpu = true };
        ASSERT(!guestwish_toolkit(&w) && !guestwish_has_firewall(&w) && !guestwish_has_vllm(&w));
        ASSERT_STREQ(setting(&w, "VLLM_LISTEN"), "");
        ASSERT_STREQ(setting(&w, "FIREWALL"), "");
}

TEST(what_is_open_is_let_in_unless_more_was_said) {
        GuestWish w = llm;

        w.values[GUEST_LISTEN] = ONE("0.0.0.0");
        ASSERT_STREQ(setting(&w, "FIREWALL"), "\"8000\"");
        ASSERT_STREQ(setting(&w, "VLLM_OPEN"), "\"yes\"");
        w.values[GUEST_OLLAMA_LISTEN] = ONE("192.0.2.7");
        w.values[GUEST_VLLM_PORT] = ONE("9000");
        ASSERT_STREQ(setting(&w, "FIREWALL"), "\"9000 11434\"");
        w.values[GUEST_ENGINE] = ONE("ollama");
        ASSERT_STREQ(setting(&w, "FIREWALL"), "\"11434\"");
        w.values[GUEST_FIREWALL] =
                        (char *const *) (const char *const[]){ "9000@192.0.2.0/24", "53/udp", NULL };
        ASSERT_STREQ(setting(&w, "FIREWALL"), "\"9000@192.0.2.0/24 53/udp\"");
        w.values[GUEST_FIREWALL] = ONE("off");
        ASSERT_STREQ(setting(&w, "FIREWALL"), "");
}

TEST(sum_of_an_archive) {
        GuestWish w = llm;

        ASSERT_STREQ(setting(&w, "OLLAMA_SUM"), "");
        w.values[GUEST_OLLAMA_SUM] = ONE("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        ASSERT_EQ(strlen(setting(&w, "OLLAMA_SUM")), 66);
}

TEST(files_of_secrets_are_not_told) {
        _cleanup_free_ char *text = NULL;
        GuestWish w = llm;

        w.values[GUEST_API_KEY_FILE] = w.values[GUEST_HF_TOKEN_FILE] = ONE("/root/secret");
        ASSERT_EQ(guestwish_settings(&w, &text), 0);
        ASSERT(!strstr(text, "secret"));
}
