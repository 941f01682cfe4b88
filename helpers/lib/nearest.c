/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <limits.h>

#include "nearest.h"

static bool same(char a, char b) {
        return tolower((unsigned char) a) == tolower((unsigned char) b);
}

/* Damerau's distance without transpositions over edits, in two rows and the one before. */
unsigned nearest_distance(const char *a, const char *b) {
        unsigned rows[3][NEAREST_MAX + 1] = {};
        size_t n = strlen(b);

        if (n > NEAREST_MAX || strlen(a) > NEAREST_MAX)
                return UINT_MAX;
        for (size_t k = 0; k <= n; k++)
                rows[0][k] = (unsigned) k;
        for (size_t i = 1; a[i - 1]; i++) {
                unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

                row[0] = (unsigned) i;
                for (size_t k = 1; k <= n; k++) {
                        row[k] = MIN(MIN(above[k], row[k - 1]) + 1, above[k - 1] + !same(a[i - 1], b[k - 1]));
                        if (i > 1 && k > 1 && same(a[i - 1], b[k - 2]) && same(a[i - 2], b[k - 1]))
                                row[k] = MIN(row[k], before[k - 2] + 1);
                }
        }
        return rows[strlen(a) % 3][n];
}

const char *nearest_find(const char *word, const char *const *candidates) {
        unsigned best = strlen(word) > 4 ? 3 : 2; /* fewer slips than this */
        const char *found = NULL;

        for (; *candidates; candidates++) {
                unsigned d = nearest_distance(word, *candidates);

                if (d < best && d < strlen(*candidates)) {
                        best = d;
                        found = *candidates;
                }
        }
        return found;
}
