/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "setupcheck.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

enum { ALL_SEC = 30 * 60 };

/* In the order that they come in; how long each should take, 0: nobody has said. */
static const struct {
        const char *name;
        unsigned limit_sec;
} known[] = {
        { "firewall", 0 },     { "swap", 0 },       { "driver", 10 * 60 }, { "gpu", 0 },    { "cuda", 0 },
        { "ollama", 15 * 60 }, { "vllm", 15 * 60 }, { "engines", 0 },      { "models", 0 },
};

typedef struct Step {
        uint64_t begin, end; /* 0: not yet */
        bool failed;
} Step;

/* The last time counts. */
static void read_line(const char *line, Step steps[static ELEMENTSOF(known)]) {
        char name[16], word[16], number[24];
        uint64_t sec;

        if (sscanf(line, "%15s %15s %23s", name, word, number) != 3 || parse_u64(number, &sec) < 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                if (!streq(known[i].name, name))
                        continue;
                if (streq(word, "start"))
                        steps[i] = (Step){ .begin = sec };
                else if (streq(word, "done") || streq(word, "failed")) {
                        steps[i].end = MAX(sec, steps[i].begin);
                        steps[i].failed = streq(word, "failed");
                }
        }
}

static int judge_step(const char *machine, size_t i, const Step *s, Findings *l) {
        unsigned long long took = s->end - s->begin;
        _cleanup_free_ char *remedy = NULL;

        if (s->begin == 0)
                return 0;
        if (str_printf(&remedy,
                       "'journalctl -u gpuvm-setup@%s' in the guest tells why; 'systemctl start gpuvm-setup.target' there goes on",
                       known[i].name) < 0)
                return -ENOMEM;
        if (s->end == 0)
                return findings_add(l, FINDING_WARN, "setup", machine, NULL, "is at step %s of its setup",
                                    known[i].name);
        if (s->failed)
                return findings_add(l, FINDING_FAIL, "setup", machine, remedy,
                                    "failed at step %s of its setup", known[i].name);
        if (known[i].limit_sec > 0 && took > known[i].limit_sec)
                return findings_add(l, FINDING_WARN, "setup", machine, "A mirror nearby makes it faster",
                                    "has done step %s in %llu s, more than %u", known[i].name, took,
                                    known[i].limit_sec);
        return findings_add(l, FINDING_OK, "setup", machine, NULL, "has done step %s in %llu s",
                            known[i].name, took);
}

static int judge_all(const char *machine, const Step steps[static ELEMENTSOF(known)], Findings *l) {
        uint64_t begin = UINT64_MAX, end = 0;

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                if (steps[i].begin == 0)
                        continue;
                if (steps[i].end == 0 || steps[i].failed)
                        return 0;
                begin = MIN(begin, steps[i].begin);
                end = MAX(end, steps[i].end);
        }
        if (end == 0 || end < begin)
                return 0;
        return findings_add(l, end - begin > ALL_SEC ? FINDING_WARN : FINDING_OK, "setup", machine, NULL,
                            "was set up within %llu s of at most %d", (unsigned long long) (end - begin),
                            ALL_SEC);
}

int setupcheck_steps(const char *machine, const char *text, Findings *ret) {
        Step steps[ELEMENTSOF(known)] = {};
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split(text, "\n", &lines);
        STRV_FOREACH(line, lines)
                read_line(*line, steps);
        for (size_t i = 0; i < ELEMENTSOF(known) && r >= 0; i++)
                r = judge_step(machine, i, &steps[i], ret);
        return r < 0 ? r : judge_all(machine, steps, ret);
}

static const struct {
        const char *name, *remedy;
} checks[] = {
        { "open-driver",
          "'ubuntu-drivers devices' in the guest shows what it has for the GPU; step driver installs it" },
        { "nvidia-smi",
          "'dmesg | grep NVRM' in the guest tells why; a restart of the machine gives the GPU anew" },
        { "kernel", "'dmesg | grep -i -e nvidia -e NVRM' in the guest shows them" },
        { "cuda",
          "'systemctl restart gpuvm-setup@cuda' in the guest, with its file in /var/lib/gpuvm-setup/done removed" },
        { "vllm",
          "'systemctl restart gpuvm-setup@vllm' in the guest, with its file in /var/lib/gpuvm-setup/done removed" },
        { "vllm-unit", "'systemctl start gpuvm-setup.target' in the guest" },
        { "vllm-health",
          "'journalctl -u vllm' in the guest tells why; a model that is too large for the GPU is the usual cause" },
        { "first-token",
          "'nvtop' in the guest shows who else is on the GPU; a smaller model answers sooner" },
        { "ollama",
          "'systemctl restart gpuvm-setup@ollama' in the guest, with its file in /var/lib/gpuvm-setup/done removed" },
        { "ollama-unit", "'systemctl start gpuvm-setup.target' in the guest" },
        { "ollama-health", "'journalctl -u ollama' in the guest tells why" },
};

static int judge_line(const char *machine, char *line, Findings *l) {
        static const char *const words[] = { "ok", "skip", "fail" };
        static const FindingLevel levels[] = { FINDING_OK, FINDING_SKIP, FINDING_FAIL };
        char *word = strchr(line, ' '), *text = word ? strchr(word + 1, ' ') : NULL;

        if (!text)
                return 0;
        *word++ = '\0';
        *text++ = '\0';
        for (size_t i = 0; i < ELEMENTSOF(checks); i++)
                for (size_t k = 0; k < ELEMENTSOF(words); k++)
                        if (streq(checks[i].name, line) && streq(words[k], word))
                                return findings_add(l, levels[k], checks[i].name, machine,
                                                    levels[k] == FINDING_FAIL ? checks[i].remedy : NULL, "%s",
                                                    text);
        return 0;
}

int setupcheck_program(const char *machine, const char *text, Findings *ret) {
        _cleanup_strv_ char **lines = NULL;
        int r = strv_split(text, "\n", &lines);

        STRV_FOREACH(line, lines)
                if (r >= 0)
                        r = judge_line(machine, *line, ret);
        return r;
}
