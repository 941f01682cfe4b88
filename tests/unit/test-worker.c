/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/file.h>
#include <time.h>

#include "tests/tree.h"
#include "worker.h"

#define SEC USEC_PER_SEC
/* For what takes no time, but on a busy machine. */
#define PATIENCE (60 * SEC)

static unsigned ticks;

static void tick(void *userdata) {
        ticks++;
}

TEST(writes_and_reads) {
        _cleanup_(worker_freep) Worker *w = NULL;
        _cleanup_free_ char *line = NULL;
        int root = tree_new();

        tree_put("/attr", "0000000000\n");
        ASSERT_EQ(worker_start(root, NULL, NULL, &w), 0);
        ASSERT_EQ(worker_write(w, "/attr", "vfio-pci\n", PATIENCE), 0);
        ASSERT_EQ(worker_read(w, "/attr", PATIENCE, &line), 0);
        ASSERT_STREQ(line, "vfio-pci");
        ASSERT_EQ(worker_write(w, "/none", "x", PATIENCE), -ENOENT);
        ASSERT_EQ(worker_write(w, "/attr", "\n", PATIENCE), 0);
}

/* devices/ADDRESS/driver/unbind is another file for each driver; what is read again is what is there now. */
TEST(opens_anew_what_it_writes) {
        _cleanup_(worker_freep) Worker *w = NULL;
        _cleanup_free_ char *first = NULL, *second = NULL, *line = NULL;
        int root = tree_new();

        tree_put("/one/unbind", "");
        tree_put("/two/unbind", "");
        tree_link("/driver", "one");
        ASSERT_EQ(worker_start(root, NULL, NULL, &w), 0);
        ASSERT_EQ(worker_write(w, "/driver/unbind", "a", PATIENCE), 0);
        ASSERT_EQ(worker_read(w, "/two/unbind", PATIENCE, &first), 0);
        ASSERT_STREQ(first, "");
        ASSERT_EQ(unlinkat(root, "driver", 0), 0);
        tree_link("/driver", "two");
        ASSERT_EQ(worker_write(w, "/driver/unbind", "b", PATIENCE), 0);
        ASSERT_EQ(fs_read_line(root, "/one/unbind", &line), 0);
        ASSERT_STREQ(line, "a");
        ASSERT_EQ(worker_read(w, "/two/unbind", PATIENCE, &second), 0);
        ASSERT_STREQ(second, "b");
}

TEST(gives_up_at_the_deadline) {
        _cleanup_(worker_freep) Worker *w = NULL;
        _cleanup_free_ char *line = NULL;
        int root = tree_new();
        time_t start = time(NULL);

        tree_put("/attr", "");
        ASSERT_EQ(mkfifoat(root, "stuck", 0600), 0); /* opening it for writing blocks */
        ASSERT_EQ(worker_start(root, tick, NULL, &w), 0);
        ASSERT_EQ(worker_write(w, "/stuck", "x", SEC + SEC / 2), -ETIMEDOUT);
        ASSERT_EQ(worker_write(w, "/attr", "x", PATIENCE), -ETIMEDOUT);
        ASSERT_EQ(worker_read(w, "/attr", PATIENCE, &line), -ETIMEDOUT);
        ASSERT(ticks >= 1);
        ASSERT(time(NULL) - start <= 30);
}

TEST(says_when_the_child_is_killed) {
        _cleanup_(worker_freep) Worker *w = NULL;
        int root = tree_new();
        char command[64];

        tree_put("/attr", "");
        ASSERT_EQ(worker_start(root, NULL, NULL, &w), 0);
        (void) snprintf(command, sizeof(command), "pkill -KILL -P %d -x test-worker", getpid());
        ASSERT_EQ(system(command), 0);
        ASSERT_EQ(worker_write(w, "/attr", "x", PATIENCE), -ECHILD);
        ASSERT_EQ(worker_write(w, "/attr", "x", PATIENCE), -ECHILD);
}

TEST(holds_no_lock_of_ours) {
        _cleanup_(worker_freep) Worker *w = NULL;
        int root = tree_new(), lock, other;

        ASSERT_EQ(mkfifoat(root, "stuck", 0600), 0);
        lock = fs_open(root, "/lock", O_RDWR | O_CREAT, 0600);
        ASSERT_EQ(flock(lock, LOCK_EX), 0);
        ASSERT_EQ(worker_start(root, NULL, NULL, &w), 0);
        /* One answer, so that the child is known to have got past its start. */
        ASSERT_EQ(worker_write(w, "/none", "x", PATIENCE), -ENOENT);
        (void) close(lock);
        other = fs_open(root, "/lock", O_RDWR, 0);
        ASSERT_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
        ASSERT_EQ(worker_write(w, "/stuck", "x", SEC / 10), -ETIMEDOUT);
}

/* What the library of a driver would be: says the request backwards, and dies or hangs when told so. */
static int serve(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        if (streq(request, "die"))
                _exit(EXIT_FAILURE);
        while (streq(request, "hang"))
                (void) pause();
        for (size_t i = 0; i < n; i++)
                answer[i] = request[n - 1 - i];
        answer[n] = '\0';
        return n == 5 ? -ENOSYS : (int) n;
}

TEST(serves_whatever_it_is_given) {
        _cleanup_(worker_freep) Worker *w = NULL, *stuck = NULL;
        _cleanup_free_ char *text = NULL, *none = NULL;
        int root = tree_new();

        ASSERT_EQ(worker_start(root, NULL, NULL, &w), 0);
        ASSERT_EQ(worker_call(w, serve, "abc", 3, PATIENCE, &text), 3);
        ASSERT_STREQ(text, "cba");
        ASSERT_EQ(worker_call(w, serve, "abcde", 5, PATIENCE, &none), -ENOSYS);
        ASSERT(!none);
        ASSERT_EQ(worker_call(w, serve, "die", 3, PATIENCE, NULL), -ECHILD);
        ASSERT_EQ(worker_start(root, NULL, NULL, &stuck), 0);
        ASSERT_EQ(worker_call(stuck, serve, "hang", 4, SEC / 10, NULL), -ETIMEDOUT);
        ASSERT_EQ(worker_end(TAKE_PTR(stuck)), 0);
}
