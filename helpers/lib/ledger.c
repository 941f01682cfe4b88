/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <sys/file.h>

#include "fs.h"
#include "ledger.h"
#include "parse.h"
#include "strv.h"

#define MAGIC "gpuvm-undo 1"

enum { RECORD_MAX = FS_FILE_MAX + FS_ATTR_MAX };

void ledger_record_done(LedgerRecord *r) {
        free(r->name);
        free(r->step);
        free(r->kind);
        free(r->object);
        free(r->was);
        free(r->data);
        *r = (LedgerRecord){};
}

void ledger_done(Ledger *l) {
        for (size_t i = 0; i < l->n; i++)
                ledger_record_done(&l->records[i]);
        free(l->records);
        strv_free(l->damaged);
        *l = (Ledger){};
}

/* The CRC-32 of zlib and Ethernet, a bit at a time: records are small and few. */
static uint32_t crc32_add(uint32_t crc, const char *data, size_t size) {
        crc = ~crc;
        for (size_t i = 0; i < size; i++) {
                crc ^= (uint8_t) data[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
        }
        return ~crc;
}

static bool is_line(const char *s) {
        for (; s && *s; s++)
                if (iscntrl((unsigned char) *s))
                        return false;
        return s;
}

static bool is_word(const char *s) {
        return !isempty(s) && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

int ledger_format(const LedgerRecord *r, char **ret, size_t *ret_size) {
        _cleanup_free_ char *head = NULL, *sum = NULL;
        size_t n_head, n_sum;
        uint32_t crc;
        char *all;

        if (!is_word(r->step) || !is_word(r->kind) || isempty(r->object) || !is_line(r->object) ||
            !is_line(strempty(r->was)))
                return -EINVAL;
        if (str_printf(&head,
                       MAGIC "\nstep=%s\nkind=%s\nobject=%s\nwas=%s\nmode=%u\nuid=%u\ngid=%u\nsize=%zu\n",
                       r->step, r->kind, r->object, strempty(r->was), (unsigned) r->mode, (unsigned) r->uid,
                       (unsigned) r->gid, r->size) < 0)
                return -ENOMEM;
        n_head = strlen(head);
        crc = crc32_add(crc32_add(0, head, n_head), r->data, r->size);
        if (str_printf(&sum, "crc=%08x\n\n", crc) < 0)
                return -ENOMEM;
        n_sum = strlen(sum);
        all = malloc(n_head + n_sum + r->size + 1);
        if (!all)
                return -ENOMEM;
        memcpy(all, head, n_head);
        memcpy(all + n_head, sum, n_sum);
        if (r->size > 0)
                memcpy(all + n_head + n_sum, r->data, r->size);
        all[n_head + n_sum + r->size] = '\0';
        *ret = all;
        *ret_size = n_head + n_sum + r->size;
        return 0;
}

/* Takes "KEY=VALUE\n" off the front. Returns 0, -EBADMSG or -ENOMEM. */
static int take_line(const char **p, const char *end, const char *key, char **ret) {
        const char *newline = memchr(*p, '\n', (size_t) (end - *p)), *value;
        size_t n = strlen(key);
        char *s;

        if (!newline || (size_t) (newline - *p) <= n || memcmp(*p, key, n) != 0 || (*p)[n] != '=')
                return -EBADMSG;
        value = *p + n + 1;
        if (memchr(value, '\0', (size_t) (newline - value)))
                return -EBADMSG;
        s = strndup(value, (size_t) (newline - value));
        if (!s)
                return -ENOMEM;
        *p = newline + 1;
        *ret = s;
        return 0;
}

static int take_number(const char **p, const char *end, const char *key, uint64_t max, uint64_t *ret) {
        _cleanup_free_ char *s = NULL;
        uint64_t n;
        int r;

        r = take_line(p, end, key, &s);
        if (r < 0)
                return r;
        if (parse_u64(s, &n) < 0 || n > max)
                return -EBADMSG;
        *ret = n;
        return 0;
}

static int take_header(const char **p, const char *end, LedgerRecord *rec, uint64_t *ret_size) {
        uint64_t mode, uid, gid;
        int r;

        r = take_line(p, end, "step", &rec->step);
        if (r >= 0)
                r = take_line(p, end, "kind", &rec->kind);
        if (r >= 0)
                r = take_line(p, end, "object", &rec->object);
        if (r >= 0)
                r = take_line(p, end, "was", &rec->was);
        if (r >= 0)
                r = take_number(p, end, "mode", 07777, &mode);
        if (r >= 0)
                r = take_number(p, end, "uid", UINT32_MAX, &uid);
        if (r >= 0)
                r = take_number(p, end, "gid", UINT32_MAX, &gid);
        if (r >= 0)
                r = take_number(p, end, "size", FS_FILE_MAX, ret_size);
        if (r < 0)
                return r;
        rec->mode = (mode_t) mode;
        rec->uid = (uid_t) uid;
        rec->gid = (gid_t) gid;
        return 0;
}

int ledger_parse(const char *data, size_t size, LedgerRecord *ret) {
        _cleanup_(ledger_record_done) LedgerRecord rec = {};
        const char *p = data, *end = data + size, *sum_at;
        _cleanup_free_ char *sum = NULL, *want = NULL;
        uint64_t n;
        int r;

        if (size < sizeof(MAGIC) || memcmp(data, MAGIC "\n", sizeof(MAGIC)) != 0)
                return -EBADMSG;
        p += sizeof(MAGIC);
        r = take_header(&p, end, &rec, &n);
        sum_at = p;
        if (r >= 0)
                r = take_line(&p, end, "crc", &sum);
        if (r < 0)
                return r;
        if (p == end || *p++ != '\n' || (size_t) (end - p) != n)
                return -EBADMSG;
        if (str_printf(&want, "%08x", crc32_add(crc32_add(0, data, (size_t) (sum_at - data)), p, n)) < 0)
                return -ENOMEM;
        if (!streq(sum, want))
                return -EBADMSG;
        if (!is_word(rec.step) || !is_word(rec.kind) || isempty(rec.object) || !is_line(rec.object) ||
            !is_line(rec.was))
                return -EBADMSG;
        rec.data = malloc(n + 1);
        if (!rec.data)
                return -ENOMEM;
        memcpy(rec.data, p, n);
        rec.data[n] = '\0';
        rec.size = n;
        *ret = rec;
        rec = (LedgerRecord){};
        return 0;
}

/* Returns the number in "000012-iommu", or 0 if it is no such name. */
static uint64_t name_number(const char *name) {
        _cleanup_free_ char *digits = strndup(name, strspn(name, "0123456789"));
        uint64_t n;

        if (!digits || strlen(digits) < 6 || name[strlen(digits)] != '-' || parse_u64(digits, &n) < 0)
                return 0;
        return n;
}

static int load_one(int root, const char *name, Ledger *l) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        LedgerRecord *t, rec = {};
        size_t size;
        int r;

        if (str_printf(&path, LEDGER_DIR "/%s", name) < 0)
                return -ENOMEM;
        r = fs_read(root, path, RECORD_MAX, &data, &size);
        if (r >= 0)
                r = ledger_parse(data, size, &rec);
        if (r == -ENOMEM || r == -EACCES || r == -EIO)
                return r;
        if (r >= 0 && (name_number(name) == 0 || !streq(strchr(name, '-') + 1, rec.step))) {
                ledger_record_done(&rec);
                r = -EBADMSG;
        }
        if (r < 0)
                return strv_extend(&l->damaged, name);
        rec.name = strdup(name);
        t = reallocarray(l->records, l->n + 1, sizeof(*t));
        if (t)
                l->records = t;
        if (!t || !rec.name) {
                ledger_record_done(&rec);
                return -ENOMEM;
        }
        l->records[l->n++] = rec;
        return 0;
}

static int by_number(const void *a, const void *b) {
        uint64_t x = name_number(((const LedgerRecord *) a)->name),
                 y = name_number(((const LedgerRecord *) b)->name);

        return (x > y) - (x < y);
}

int ledger_load(int root, Ledger *ret) {
        _cleanup_(ledger_done) Ledger l = {};
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, LEDGER_DIR, &names);
        if (r < 0 && r != -ENOENT)
                return r;
        STRV_FOREACH(name, names) {
                if (**name == '.') /* half written when something ended us */
                        continue;
                r = load_one(root, *name, &l);
                if (r < 0)
                        return r;
        }
        if (l.n > 1)
                qsort(l.records, l.n, sizeof(*l.records), by_number);
        *ret = l;
        l = (Ledger){};
        return 0;
}

int ledger_append(int root, const LedgerRecord *rec) {
        _cleanup_free_ char *data = NULL, *path = NULL;
        _cleanup_strv_ char **names = NULL;
        _cleanup_close_ int dir = -EBADF;
        uint64_t last = 0;
        size_t size;
        int r;

        r = ledger_format(rec, &data, &size);
        if (r >= 0)
                r = fs_mkdir_p(root, "/var/lib/gpuvm", 0755);
        if (r >= 0)
                r = fs_mkdir_p(root, LEDGER_DIR, 0700);
        if (r < 0)
                return r;
        dir = fs_open(root, LEDGER_DIR, O_RDONLY | O_DIRECTORY, 0);
        if (dir < 0)
                return dir;
        if (flock(dir, LOCK_EX) < 0)
                return -errno;
        r = fs_list(root, LEDGER_DIR, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names)
                last = MAX(last, name_number(*name));
        if (str_printf(&path, LEDGER_DIR "/%06llu-%s", (unsigned long long) last + 1, rec->step) < 0)
                return -ENOMEM;
        return fs_write_atomic(root, path, data, size, 0600);
}

int ledger_remove(int root, const char *name) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (str_printf(&path, LEDGER_DIR "/%s", name) < 0)
                return -ENOMEM;
        r = fs_remove(root, path);
        return r < 0 ? r : 0;
}
