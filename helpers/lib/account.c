/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "account.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

enum { NAME, ID = 2, N_FIELDS = 4 };

/* Reads the file and finds the line that has that in that field. fields point into *ret_text; what a short
 * line lacks is "". Returns 1, 0 if there is none, or -errno. */
static int find_line(int root, const char *path, size_t field, const char *value, char **ret_text,
                     const char *fields[static N_FIELDS]) {
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        int r;

        r = fs_read(root, path, FS_FILE_MAX, &text, NULL);
        if (r < 0)
                return r;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                for (size_t i = 0; i < N_FIELDS; i++)
                        fields[i] = strempty(strsep(&line, ":"));
                if (!streq(fields[field], value))
                        continue;
                *ret_text = TAKE_PTR(text);
                return 1;
        }
        return 0;
}

int account_find_user(int root, const char *user, uid_t *ret_uid, gid_t *ret_gid) {
        const char *fields[N_FIELDS];
        _cleanup_free_ char *text = NULL;
        unsigned uid, gid;
        int r;

        r = find_line(root, "/etc/passwd", NAME, user, &text, fields);
        if (r <= 0)
                return r;
        if (parse_uint(fields[ID], UINT32_MAX, &uid) < 0 || parse_uint(fields[3], UINT32_MAX, &gid) < 0)
                return -EBADMSG;
        *ret_uid = uid;
        *ret_gid = gid;
        return 1;
}

int account_find_name(int root, uid_t uid, char **ret) {
        const char *fields[N_FIELDS];
        _cleanup_free_ char *text = NULL;
        char id[sizeof("4294967295")];
        int r;

        (void) snprintf(id, sizeof(id), "%u", (unsigned) uid);
        r = find_line(root, "/etc/passwd", ID, id, &text, fields);
        if (r <= 0)
                return r;
        *ret = strdup(fields[NAME]);
        return *ret ? 1 : -ENOMEM;
}

int account_is_member(int root, const char *user, const char *group) {
        const char *fields[N_FIELDS];
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **members = NULL;
        unsigned gid;
        uid_t uid;
        gid_t own;
        int r;

        r = account_find_user(root, user, &uid, &own);
        if (r <= 0)
                return r < 0 ? r : -ESRCH;
        r = find_line(root, "/etc/group", NAME, group, &text, fields);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        if (parse_uint(fields[ID], UINT32_MAX, &gid) < 0)
                return -EBADMSG;
        if (gid == own)
                return 1;
        r = strv_split(fields[3], ",", &members);
        return r < 0 ? r : strv_contains(members, user);
}
