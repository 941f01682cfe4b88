/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "setupcheck.h"
#include "fs.h"
#include "strv.h"

enum { TEXT_MAX = 200 }; /* of what a guest says to one check */

/* A time beside what it should be. limit_sec: 0 for none. */
static int judge_time(const char *machine, const char *what, uint64_t took, unsigned limit_sec, Findings *l) {
        bool late = limit_sec > 0 && took > limit_sec;
        char limit[sizeof(" of at most 4294967295")] = "";

        if (limit_sec > 0)
                (void) snprintf(limit, sizeof(limit), " of at most %u", limit_sec);
        return findings_add(l, late ? FINDING_WARN : FINDING_OK, "setup", machine,
                            late ? "A mirror nearby makes it faster" : NULL, "%s in %llu s%s", what,
                            (unsigned long long) took, limit);
}

static int judge_done(const char *machine, SetupStepName n, const SetupStep *s, Findings *l) {
        _cleanup_free_ char *what = NULL;

        if (n == SETUP_BOOT)
                return judge_time(machine, "has booted", s->end - s->begin, SETUPSTEPS_BOOT_SEC, l);
        if (str_printf(&what, "has done step %s", setup_step_to_string(n)) < 0)
                return -ENOMEM;
        return judge_time(machine, what, s->end - s->begin, setupsteps_limit_sec(n), l);
}

static int judge_step(const char *machine, SetupStepName n, const SetupStep *s, Findings *l) {
        const char *name = setup_step_to_string(n);
        _cleanup_free_ char *remedy = NULL;

        if (s->begin == 0)
                return 0;
        if (s->end == 0)
                return findings_add(l, FINDING_WARN, "setup", machine, NULL, "is at step %s of its setup",
                                    name);
        if (!s->failed)
                return judge_done(machine, n, s, l);
        if (setupcheck_remedy(n, &remedy) < 0)
                return -ENOMEM;
        return findings_add(l, FINDING_FAIL, "setup", machine, remedy, "failed at step %s of its setup%s",
                            name, setupsteps_is_optional(n) ? ", and went on without it" : "");
}

/* vLLM and Ollama together; the step engines comes behind both. */
static int judge_engines(const char *machine, const SetupStep steps[static _SETUP_STEP_MAX], Findings *l) {
        uint64_t took = 0;

        if (steps[SETUP_ENGINES].begin == 0)
                return 0;
        for (SetupStepName n = SETUP_OLLAMA; n <= SETUP_ENGINES; n++) {
                if (steps[n].begin == 0)
                        continue;
                if (steps[n].end == 0 || steps[n].failed)
                        return 0;
                took += steps[n].end - steps[n].begin;
        }
        return judge_time(machine, "has installed its engines", took, SETUPSTEPS_ENGINES_SEC, l);
}

static int judge_all(const char *machine, const SetupStep steps[static _SETUP_STEP_MAX], unsigned made_sec,
                     Findings *l) {
        uint64_t begin = UINT64_MAX, end = 0;

        for (SetupStepName n = 0; n < _SETUP_STEP_MAX; n++) {
                if (steps[n].begin == 0)
                        continue;
                if (steps[n].end == 0 || steps[n].failed)
                        return 0;
                begin = MIN(begin, steps[n].begin);
                end = MAX(end, steps[n].end);
        }
        if (end == 0 || end < begin)
                return 0;
        return judge_time(machine, "was there as a whole", end - begin + made_sec, SETUPSTEPS_ALL_SEC, l);
}

int setupcheck_remedy(SetupStepName step, char **ret) {
        return str_printf(
                        ret,
                        "'journalctl -u gpuvm-setup@%s' in the guest tells why; 'systemctl start gpuvm-setup.target' there goes on",
                        setup_step_to_string(step));
}

int setupcheck_steps(const char *machine, const char *text, unsigned made_sec, Findings *ret) {
        SetupStep steps[_SETUP_STEP_MAX];
        int r;

        r = setupsteps_parse(text, steps);
        if (r >= 0 && made_sec > 0)
                r = judge_time(machine, "was made", made_sec, SETUPSTEPS_MADE_SEC, ret);
        for (SetupStepName n = 0; n < _SETUP_STEP_MAX && r >= 0; n++)
                r = judge_step(machine, n, &steps[n], ret);
        return r < 0 ? r : judge_engines(machine, steps, ret);
}

int setupcheck_whole(const char *machine, const char *text, unsigned made_sec, Findings *ret) {
        SetupStep steps[_SETUP_STEP_MAX];
        int r = setupsteps_parse(text, steps);

        return r < 0 ? r : judge_all(machine, steps, made_sec, ret);
}

static const struct {
        const char *name, *remedy;
} checks[] = {
        { "ssh-keys",
          "'sshd -T' in the guest shows what counts: 'PasswordAuthentication no' and 'KbdInteractiveAuthentication no' belong into a file of /etc/ssh/sshd_config.d that comes first by name" },
        { "firewall",
          "'ufw status numbered' in the guest shows what is open, 'ufw delete NUMBER' closes it; 'systemctl restart gpuvm-setup@firewall' there, with its file in /var/lib/gpuvm-setup/done removed, turns it on and opens what was asked for" },
        { "swap", "'swapon -a' in the guest; 'journalctl -u gpuvm-setup@swap' there tells how it was made" },
        { "secrets",
          "'chmod go= FILE' in the guest; 'systemctl restart gpuvm-setup@vllm' there, with its file in /var/lib/gpuvm-setup/done removed, makes a key where there is none" },
        { "nvtop", "'apt install nvtop' in the guest" },
        { "open-driver",
          "'ubuntu-drivers devices' in the guest shows what it has for the GPU; step driver installs it" },
        { "lspci", "'vmctl check' on the host tells whether the machine has its GPU" },
        { "nvidia-smi",
          "'dmesg | grep NVRM' in the guest tells why; a restart of the machine gives the GPU anew" },
        { "kernel", "'dmesg | grep -i -e nvidia -e NVRM' in the guest shows them" },
        { "model-store",
          "'systemctl start opt-models.mount opt-ollama-models.mount' in the guest; where that fails, 'journalctl -u libvirtd' on the host tells of virtiofsd" },
        { "model-backup",
          "'journalctl -u gpuvm-backup@vllm -u gpuvm-backup@ollama' in the guest tells why: is the other machine there, and has it room?" },
        { "cuda",
          "'systemctl restart gpuvm-setup@cuda' in the guest, with its file in /var/lib/gpuvm-setup/done removed" },
        { "vllm",
          "'systemctl restart gpuvm-setup@vllm' in the guest, with its file in /var/lib/gpuvm-setup/done removed" },
        { "vllm-unit", "'systemctl start gpuvm-setup.target' in the guest" },
        { "vllm-user", "'systemctl cat vllm' in the guest shows which file sets another User= than vllm" },
        { "vllm-boot",
          "'systemctl enable --now vllm' in the guest, or vllm-proxy.socket where the engines run on demand" },
        { "vllm-listen",
          "'ss -ltnp' in the guest shows who that is; what the engine listens at is in /etc/gpuvm-setup.conf, and on demand in vllm-proxy.socket" },
        { "vllm-health",
          "'journalctl -u vllm' in the guest tells why; a model that is too large for the GPU is the usual cause" },
        { "vllm-gpu",
          "'journalctl -u vllm' in the guest tells what it found; 'nvidia-smi' has to list the GPU" },
        { "engines",
          "'systemctl status vllm ollama' in the guest tells why; 'vmctl check' on the host looks at all of it" },
        { "first-token",
          "'nvtop' in the guest shows who else is on the GPU; a smaller model answers sooner" },
        { "ollama",
          "'systemctl restart gpuvm-setup@ollama' in the guest, with its file in /var/lib/gpuvm-setup/done removed" },
        { "ollama-unit", "'systemctl start gpuvm-setup.target' in the guest" },
        { "ollama-user",
          "'systemctl cat ollama' in the guest shows which file sets another User= than ollama" },
        { "ollama-boot",
          "'systemctl enable --now ollama' in the guest, or ollama-proxy.socket where the engines run on demand" },
        { "ollama-listen",
          "'ss -ltnp' in the guest shows who that is; what the engine listens at is in /etc/gpuvm-setup.conf, and on demand in ollama-proxy.socket" },
        { "ollama-health", "'journalctl -u ollama' in the guest tells why" },
        { "ollama-list", "'ollama list' in the guest shows what it says, 'journalctl -u ollama' why" },
        { "ollama-gpu",
          "'systemctl restart ollama' in the guest lets it look for the GPU again; 'journalctl -u ollama' tells what it found" },
};

static int judge_line(const char *machine, char *line, Findings *l) {
        static const char *const words[] = { "ok", "skip", "warn", "fail" };
        static const FindingLevel levels[] = { FINDING_OK, FINDING_SKIP, FINDING_WARN, FINDING_FAIL };
        char *word = strchr(line, ' '), *text = word ? strchr(word + 1, ' ') : NULL;

        if (!text)
                return 0;
        *word++ = '\0';
        *text++ = '\0';
        for (size_t i = 0; i < ELEMENTSOF(checks); i++)
                for (size_t k = 0; k < ELEMENTSOF(words); k++)
                        if (streq(checks[i].name, line) && streq(words[k], word))
                                return findings_add(l, levels[k], checks[i].name, machine,
                                                    levels[k] >= FINDING_WARN ? checks[i].remedy : NULL,
                                                    "%.*s", TEXT_MAX, text);
        return 0;
}

int setupcheck_program(const char *machine, const char *text, Findings *ret) {
        _cleanup_strv_ char **lines = NULL;
        int r;

        if (!text)
                return findings_add(ret, FINDING_WARN, "setup", machine,
                                    "'" SETUPCHECK_PROGRAM "' in the guest shows where it stays",
                                    "did not answer what its driver and engines do");
        r = strv_split(text, "\n", &lines);

        STRV_FOREACH(line, lines)
                if (r >= 0)
                        r = judge_line(machine, *line, ret);
        return r;
}

int setupcheck_engines(const char *machine, const char *text, Findings *ret) {
        _cleanup_free_ char *line = NULL;
        size_t n = ret->n;
        int r;

        line = text && startswith(text, "engines ") ? strndup(text, strcspn(text, "\n")) : strdup("");
        if (!line)
                return -ENOMEM;
        r = judge_line(machine, line, ret);
        if (r < 0 || ret->n > n)
                return r;
        return findings_add(ret, FINDING_WARN, "engines", machine,
                            "'" SETUPCHECK_PROGRAM " engines' in the guest shows where it stays",
                            "has not said whether its engines answer");
}
