/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "setupsteps.h"
#include "parse.h"
#include "strv.h"

static const struct {
        const char *name;
        unsigned limit_sec;
        bool optional;
} known[_SETUP_STEP_MAX] = {
        [SETUP_BOOT] = { "boot", SETUPSTEPS_BOOT_SEC },
        [SETUP_FIREWALL] = { "firewall", 0 },
        [SETUP_SWAP] = { "swap", 0 },
        [SETUP_STORE] = { "store", 0, .optional = true }, /* the guest has models of its own */
        [SETUP_DRIVER] = { "driver", SETUPSTEPS_DRIVER_SEC },
        [SETUP_GPU] = { "gpu", 0 },
        [SETUP_CUDA] = { "cuda", 0 },
        [SETUP_OLLAMA] = { "ollama", 0 },
        [SETUP_VLLM] = { "vllm", 0 },
        [SETUP_ENGINES] = { "engines", 0 },
        [SETUP_MODELS] = { "models", 0 },
};

const char *setup_step_to_string(SetupStepName s) {
        return s >= 0 && s < _SETUP_STEP_MAX ? known[s].name : NULL;
}

unsigned setupsteps_limit_sec(SetupStepName s) {
        return s >= 0 && s < _SETUP_STEP_MAX ? known[s].limit_sec : 0;
}

bool setupsteps_is_optional(SetupStepName s) {
        return s >= 0 && s < _SETUP_STEP_MAX && known[s].optional;
}

SetupStepName setup_step_from_string(const char *name) {
        SetupStepName s = 0;

        while (s < _SETUP_STEP_MAX && !streq(known[s].name, name))
                s++;
        return s;
}

/* The last time counts. */
static void read_line(const char *line, SetupStep steps[static _SETUP_STEP_MAX]) {
        char name[16], word[16], number[24];
        SetupStepName s;
        uint64_t sec;

        if (sscanf(line, "%15s %15s %23s", name, word, number) != 3 || parse_u64(number, &sec) < 0)
                return;
        s = setup_step_from_string(name);
        if (s == _SETUP_STEP_MAX)
                return;
        if (streq(word, "start"))
                steps[s] = (SetupStep){ .begin = sec };
        else if (steps[s].begin > 0 && (streq(word, "done") || streq(word, "failed"))) {
                steps[s].end = MAX(sec, steps[s].begin);
                steps[s].failed = streq(word, "failed");
        }
}

int setupsteps_parse(const char *text, SetupStep ret[static _SETUP_STEP_MAX]) {
        _cleanup_strv_ char **lines = NULL;
        int r = strv_split(text, "\n", &lines);

        if (r < 0)
                return r;
        memset(ret, 0, _SETUP_STEP_MAX * sizeof(*ret));
        STRV_FOREACH(line, lines)
                read_line(*line, ret);
        return 0;
}

SetupState setupsteps_state(const SetupStep steps[static _SETUP_STEP_MAX], const char *const *wanted,
                            SetupStepName *ret_at) {
        SetupStepName without = _SETUP_STEP_MAX; /* that it has gone on without */
        bool all = true;

        for (SetupStepName s = 0; s < _SETUP_STEP_MAX; s++) {
                if (steps[s].begin == 0 || (steps[s].end > 0 && !steps[s].failed))
                        continue;
                if (steps[s].failed && known[s].optional) {
                        without = s;
                        continue;
                }
                *ret_at = s;
                return steps[s].failed ? SETUP_FAILED : SETUP_RUNS;
        }
        for (const char *const *name = wanted; *name; name++) {
                SetupStepName s = setup_step_from_string(*name);

                all = all && s < _SETUP_STEP_MAX && steps[s].end > 0;
        }
        *ret_at = all ? without : _SETUP_STEP_MAX;
        if (!all)
                return SETUP_RUNS;
        return without < _SETUP_STEP_MAX ? SETUP_FAILED : SETUP_DONE;
}
