/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "aptline.h"

/* In this order: a failed fetch is also told as "404", and only that says what to do. */
static const struct {
        AptTrouble trouble;
        const char *words;
} complaints[] = {
        { APT_TROUBLE_LOCK, "Could not get lock" },
        { APT_TROUBLE_LOCK, "Unable to acquire the dpkg frontend lock" },
        { APT_TROUBLE_LOCK, "Unable to lock directory" },
        { APT_TROUBLE_LOCK, "lock was locked by another process" },
        { APT_TROUBLE_SPACE, "No space left on device" },
        { APT_TROUBLE_SPACE, "You don't have enough free space" },
        { APT_TROUBLE_PROXY, "407  Proxy" },
        { APT_TROUBLE_PROXY, "Invalid response from proxy" },
        { APT_TROUBLE_PROXY, "HTTP proxy returned" },
        { APT_TROUBLE_PROXY, "Certificate verification failed" },
        { APT_TROUBLE_KEY, "NO_PUBKEY" },
        { APT_TROUBLE_KEY, "EXPKEYSIG" },
        { APT_TROUBLE_KEY, "The following signatures" },
        { APT_TROUBLE_KEY, "signature verification failed" }, /* by sqv, from Debian 13 on */
        { APT_TROUBLE_KEY, "is not signed" },
        { APT_TROUBLE_KEY, "is no longer signed" },
        { APT_TROUBLE_KEY, "cannot be authenticated" },
        { APT_TROUBLE_KEY, "is not valid yet" },
        { APT_TROUBLE_KEY, "is expired (invalid since" },
        { APT_TROUBLE_STALE, "404  Not Found" },
        { APT_TROUBLE_STALE, "Hash Sum mismatch" },
        { APT_TROUBLE_STALE, "File has unexpected size" },
        { APT_TROUBLE_NETWORK, "Temporary failure resolving" },
        { APT_TROUBLE_NETWORK, "Could not resolve" },
        { APT_TROUBLE_NETWORK, "Could not connect" },
        { APT_TROUBLE_NETWORK, "Cannot initiate the connection" },
        { APT_TROUBLE_NETWORK, "Unable to connect" },
        { APT_TROUBLE_NETWORK, "Connection timed out" },
        { APT_TROUBLE_NETWORK, "Connection failed" },
        { APT_TROUBLE_NETWORK, "Failed to fetch" },
        { APT_TROUBLE_NETWORK, "Some index files failed to download" },
        { APT_TROUBLE_NETWORK, "Unable to fetch some archives" },
        { APT_TROUBLE_MISSING, "Unable to locate package" },
        { APT_TROUBLE_MISSING, "has no installation candidate" },
        { APT_TROUBLE_SOURCES, "Malformed entry" },
        { APT_TROUBLE_SOURCES, "Malformed stanza" },
        { APT_TROUBLE_SOURCES, "Malformed line" },
        { APT_TROUBLE_SOURCES, "is not known on line" },
        { APT_TROUBLE_SOURCES, "does not have a Release file" },
        { APT_TROUBLE_SOURCES, "Unable to parse package file" },
        { APT_TROUBLE_SOURCES, "Invalid record in the preferences file" },
        { APT_TROUBLE_SOURCES, "The list of sources could not be read" },
        { APT_TROUBLE_SOURCES, "Conflicting values set for option" },
        { APT_TROUBLE_SOURCES, "is invalid for APT::Default-Release" },
        { APT_TROUBLE_BROKEN, "held broken packages" },
        { APT_TROUBLE_BROKEN, "Held packages were changed" },
        { APT_TROUBLE_BROKEN, "Unmet dependencies" },
        { APT_TROUBLE_BROKEN, "Packages need to be removed" },
        { APT_TROUBLE_BROKEN, "dpkg was interrupted" },
        { APT_TROUBLE_BROKEN, "error processing" },
        { APT_TROUBLE_BROKEN, "Sub-process /usr/bin/dpkg returned an error" },
};

AptTrouble apt_classify(const char *line) {
        for (size_t i = 0; i < ELEMENTSOF(complaints); i++)
                if (strcasestr(line, complaints[i].words))
                        return complaints[i].trouble;
        return APT_TROUBLE_NONE;
}

const char *apt_remedy(AptTrouble t) {
        static const char *const remedies[_APT_TROUBLE_MAX] = {
                [APT_TROUBLE_NONE] = "The log above has apt's own words.",
                [APT_TROUBLE_LOCK] = "Let the other package manager finish, then start this phase again.",
                [APT_TROUBLE_NETWORK] =
                                "Check network, name resolution and proxy (apt's Acquire::http::Proxy), "
                                "then start this phase again.",
                [APT_TROUBLE_STALE] = "The archive is changing; start this phase again in some minutes.",
                [APT_TROUBLE_MISSING] = "Check /etc/apt/sources.list.d: the distribution's main archive "
                                        "(Ubuntu: and universe) must be there.",
                [APT_TROUBLE_SPACE] = "Free disk space ('apt-get clean' helps), then start this phase again.",
                [APT_TROUBLE_PROXY] =
                                "Correct the proxy (apt's Acquire::http::Proxy, http_proxy): its user and "
                                "password, what it lets through, its certificate; and check the clock.",
                [APT_TROUBLE_KEY] = "Renew the archive's keyring and check the clock, or remove that source.",
                [APT_TROUBLE_SOURCES] = "Correct the file below /etc/apt that the message names.",
                [APT_TROUBLE_BROKEN] = "See 'apt-mark showhold', 'dpkg --audit' and "
                                       "'apt-get --fix-broken install', then start this phase again.",
        };

        return remedies[t >= 0 && t < _APT_TROUBLE_MAX ? t : APT_TROUBLE_NONE];
}

/* Moves behind the blanks and the word that follows; returns where that is, of length *ret. */
static const char *eat_word(const char **s, size_t *ret) {
        const char *word = *s + strspn(*s, " ");

        *ret = strcspn(word, " ");
        *s = word + *ret;
        return word;
}

/* What stands between "(" and ")": version, archives, "[arch]". */
static bool has_security(const char *p, size_t n) {
        static const char label[] = "-security";

        for (; n >= strlen(label); p++, n--)
                if (strncasecmp(p, label, strlen(label)) == 0)
                        return true;
        return false;
}

/* "Inst NAME [OLD] (NEW ARCHIVES [ARCH]) ..." and "Remv|Purg NAME [OLD] ...". */
int apt_parse_step(const char *line, AptStep *ret) {
        _cleanup_(apt_step_done) AptStep s = {};
        const char *p, *word;
        size_t n;

        *ret = (AptStep){};
        if ((p = startswith(line, "Inst ")))
                s.kind = APT_STEP_INSTALL;
        else if ((p = startswith(line, "Remv ") ?: startswith(line, "Purg ")))
                s.kind = APT_STEP_REMOVE;
        else
                return 0;
        word = eat_word(&p, &n);
        if (n == 0 || !isalnum((unsigned char) *word))
                return 0;
        s.package = strndup(word, n);
        if (!s.package)
                return -ENOMEM;
        if (s.kind == APT_STEP_INSTALL) {
                word = eat_word(&p, &n);
                if (*word == '[') {
                        s.kind = APT_STEP_UPGRADE;
                        word = eat_word(&p, &n);
                }
                if (n < 2 || *word != '(')
                        return 0;
                s.version = strndup(word + 1, strcspn(word + 1, " )"));
                if (!s.version)
                        return -ENOMEM;
                s.security = has_security(p, strcspn(p, ")"));
        }
        *ret = s;
        s = (AptStep){};
        return 1;
}

void apt_step_done(AptStep *s) {
        free(s->package);
        free(s->version);
        *s = (AptStep){};
}

int apt_parse_progress(const char *line, const char **ret_text, unsigned *ret_percent) {
        const char *p = startswith(line, "pmstatus:") ?: startswith(line, "dlstatus:");

        /* The package may have a ":" of its own, so the percentage is the first field that looks like one. */
        for (; p; p = strchr(p, ':')) {
                size_t digits, n;

                p += *p == ':';
                digits = strspn(p, "0123456789");
                n = digits;
                if (digits > 0 && digits <= 3 && p[n] == '.')
                        n += 1 + strspn(p + n + 1, "0123456789");
                if (n > digits && p[n] == ':' && p[n + 1]) {
                        *ret_percent = (unsigned) strtoul(p, NULL, 10);
                        *ret_text = p + n + 1;
                        return 1;
                }
        }
        return 0;
}
