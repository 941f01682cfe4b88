/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A report file: whatever JSON it is, the page is printed, and holds no control character but newlines. */

#include "report.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1), *page = NULL;
        _cleanup_json_ json_object *o = NULL;
        _cleanup_strv_ char **texts = NULL;
        const char *remedy;
        size_t n;
        FILE *f;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        o = json_tokener_parse(text);
        f = open_memstream(&page, &n);
        if (!o || !f) {
                if (f)
                        (void) fclose(f);
                return 0;
        }
        report_print(o, f);
        if (report_worst(o) >= _CHECK_MAX || report_texts(o, CHECK_FAIL, &texts, &remedy) < 0 || !remedy)
                abort();
        if (fclose(f) != 0)
                return 0;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char) page[i] < 0x20 && page[i] != '\n')
                        abort();
        return 0;
}
