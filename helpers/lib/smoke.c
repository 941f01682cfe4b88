/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "domain.h"
#include "fs.h"
#include "smoke.h"
#include "virtvm.h"
#include "vmhost.h"
#include "worker.h"
#include "xml.h"

#define MESSAGE "gpuvm: this machine works "

enum {
        MEMORY_KIB = 64 * 1024,
        DISK_BYTES = 1 << 20,
        CONSOLE_BYTES = 4096,
        LOOK_MSEC = 500,
        GRACE_SEC = 20, /* for libvirt, beside the guest's own time */
        BIOS_PLACE = 0x7c00,
};

void smoke_done(Smoke *s) {
        free(s->text);
        *s = (Smoke){};
}

/* Says it twice a second, for ever: whoever reads the console may come late. The BIOS leaves the first serial
 * port ready at 0x3f8, and the timer ticking 18 times a second. */
void smoke_sector(const char *word, uint8_t ret[static SMOKE_SECTOR]) {
        uint8_t code[] = {
                0x31, 0xc0, 0x8e, 0xd8, /* xor ax, ax; mov ds, ax */
                0xfb,                   /* sti */
                0xbe, 0x00, 0x00,       /* again: mov si, message */
                0xac,                   /* next: lodsb */
                0x84, 0xc0, 0x74, 0x06, /* test al, al; jz pause */
                0xba, 0xf8, 0x03, 0xee, /* mov dx, 0x3f8; out dx, al */
                0xeb, 0xf5,             /* jmp next */
                0xb9, 0x09, 0x00,       /* pause: mov cx, 9 */
                0xf4, 0xe2, 0xfd,       /* tick: hlt; loop tick */
                0xeb, 0xea,             /* jmp again */
        };
        const unsigned message = BIOS_PLACE + sizeof(code);

        assert(strlen(word) == SMOKE_WORD);
        code[6] = message & 0xff;
        code[7] = message >> 8;
        memset(ret, 0, SMOKE_SECTOR);
        memcpy(ret, code, sizeof(code));
        (void) snprintf((char *) ret + sizeof(code), SMOKE_SECTOR - 2 - sizeof(code), MESSAGE "%s\r\n", word);
        ret[SMOKE_SECTOR - 2] = 0x55;
        ret[SMOKE_SECTOR - 1] = 0xaa;
}

int smoke_console(const char *xml, char **ret) {
        _cleanup_xml_doc_ XmlDoc *d = NULL;
        const XmlNode *serial;
        const char *path;
        int r;

        r = xml_read(xml, &d);
        if (r < 0)
                return r;
        serial = xml_child(xml_child(xml_root(d), "devices"), "serial");
        path = xml_attribute(xml_child(serial, "source"), "path");
        if (!path)
                return -ENODATA;
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

/* --- in the child. What goes wrong is its answer. */

typedef struct Job {
        int root;
        char word[SMOKE_WORD + 1];
        const char *disk;
        bool kvm;
        char *why; /* of the answer's size */
} Job;

/* Returns 1, for what the host is to blame for. */
static int blame(const Job *j, const char *format, ...) _printf_(2, 3);
static int blame(const Job *j, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(j->why, WORKER_ANSWER_MAX, format, ap);
        va_end(ap);
        return 1;
}

/* Locked as long as it has a name: it is one machine's at a time. */
static int make_disk(const Job *j, int *ret_fd) {
        uint8_t sector[SMOKE_SECTOR];
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        fd = fs_open(j->root, j->disk, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        if (fd < 0)
                return blame(j, "cannot make '%s': %s", j->disk, strerror(-fd));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink != 1)
                return blame(j, "'%s' is in use: another 'vmctl check --smoke' is at work", j->disk);
        smoke_sector(j->word, sector);
        r = ftruncate(fd, 0) < 0 || ftruncate(fd, DISK_BYTES) < 0 ? negative_errno() : 0;
        if (r >= 0)
                r = write_all(fd, sector, sizeof(sector));
        if (r < 0)
                return blame(j, "cannot write '%s': %s", j->disk, strerror(-r));
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int start(const Job *j, Virt *v) {
        const DomainDisk disk = { .path = j->disk, .format = "raw" };
        _cleanup_free_ char *xml = NULL;
        int r;

        r = domain_xml(&(const Domain){ .type = j->kvm ? DOMAIN_KVM : DOMAIN_QEMU,
                                        .arch = DOMAIN_X86_64,
                                        .name = SMOKE_NAME,
                                        .vcpus = 1,
                                        .memory_kib = MEMORY_KIB,
                                        .numa_node = -1,
                                        .bios = true,
                                        .disks = &disk,
                                        .n_disks = 1 },
                       &xml);
        if (r >= 0)
                r = virtvm_start_once(v, xml);
        return r < 0 ? blame(j, "libvirt does not start it: %s",
                             *virt_message(v) ? virt_message(v) : strerror(-r))
                     : 0;
}

static int open_console(const Job *j, Virt *v, int *ret_fd) {
        _cleanup_free_ char *xml = NULL, *path = NULL;
        int r;

        r = virtvm_xml_now(v, SMOKE_NAME, &xml);
        if (r >= 0)
                r = smoke_console(xml, &path);
        if (r >= 0)
                r = fs_open(j->root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (r < 0)
                return blame(j, "its serial console cannot be read: %s", strerror(-r));
        *ret_fd = r;
        return 0;
}

static bool is_off(Virt *v) {
        VmState state;

        return virtvm_state(v, SMOKE_NAME, &state) < 0 || !vm_state_is_on(state);
}

/* Until it has said its word. */
static int listen_to(const Job *j, Virt *v, int console) {
        uint64_t begin = monotonic_usec(), end = begin + SMOKE_SEC * USEC_PER_SEC;
        char said[CONSOLE_BYTES + 1];
        size_t n = 0;

        while (monotonic_usec() < end) {
                struct pollfd p = { .fd = console, .events = POLLIN };
                ssize_t k;

                if (poll(&p, 1, LOOK_MSEC) <= 0) {
                        if (is_off(v))
                                return blame(j, "it went off before its guest said anything");
                        continue;
                }
                if (n == CONSOLE_BYTES) { /* the word may be cut here, and comes again */
                        memmove(said, said + CONSOLE_BYTES / 2, CONSOLE_BYTES / 2);
                        n = CONSOLE_BYTES / 2;
                }
                k = read(console, said + n, CONSOLE_BYTES - n);
                if (k <= 0 && is_off(v))
                        return blame(j, "it went off before its guest said anything");
                if (k <= 0) {
                        (void) poll(NULL, 0, LOOK_MSEC);
                        continue;
                }
                n += (size_t) k;
                if (memmem(said, n, j->word, SMOKE_WORD)) {
                        (void) snprintf(j->why, WORKER_ANSWER_MAX, "%.1f s after its start",
                                        (double) (monotonic_usec() - begin) / USEC_PER_SEC);
                        return 0;
                }
        }
        return blame(j, "its guest said nothing on the console within %d s", SMOKE_SEC);
}

/* For the handler of a signal. */
static const char *cut_disk;
static int cut_root;

static void on_cut(_unused_ int number) {
        (void) unlinkat(cut_root, cut_disk + 1, 0);
        _exit(EXIT_FAILURE);
}

/* Whoever kills our parent kills us, and libvirt ends the machine then; its disk is for us to remove. */
static void remove_when_cut(const Job *j) {
        cut_root = j->root;
        cut_disk = j->disk;
        (void) signal(SIGUSR1, on_cut);
        (void) prctl(PR_SET_PDEATHSIG, SIGUSR1);
}

static int boot(const Job *j, Virt *v) {
        _cleanup_close_ int fd = -EBADF, console = -EBADF;
        int r;

        remove_when_cut(j);
        r = make_disk(j, &fd);
        if (r != 0)
                return r;
        r = start(j, v);
        if (fs_remove(j->root, j->disk) < 0 && r == 0)
                r = blame(j, "'%s' cannot be removed", j->disk);
        if (r == 0)
                r = open_console(j, v, &console);
        if (r == 0)
                r = listen_to(j, v, console);
        if (!is_off(v) && virtvm_destroy(v, SMOKE_NAME) < 0 && !is_off(v))
                r = blame(j, "libvirt does not end it: %s", virt_message(v));
        return r;
}

/* WorkerServe. The request is a Job without what is the child's own, and the disk's path. */
static int serve(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        _cleanup_(virt_closep) Virt *v = NULL;
        _cleanup_free_ char *message = NULL;
        Job j;
        int r;

        assert(n > sizeof(j));
        memcpy(&j, request, sizeof(j));
        j.root = root;
        j.disk = request + sizeof(j);
        j.why = answer;
        r = virt_open_root(root, &v, &message);
        if (r < 0)
                return blame(&j, "libvirt does not answer: %s", isempty(message) ? strerror(-r) : message);
        return boot(&j, v);
}

/* --- who sends it */

static int make_word(char ret[static SMOKE_WORD + 1]) {
        uint64_t n;

        if (getrandom(&n, sizeof(n), 0) != sizeof(n))
                return negative_errno();
        (void) snprintf(ret, SMOKE_WORD + 1, "%016llx", (unsigned long long) n);
        return 0;
}

int smoke_run(int root, const char *pool, Smoke *ret) {
        const uint64_t timeout = (SMOKE_SEC + GRACE_SEC) * USEC_PER_SEC;
        char request[sizeof(Job) + PATH_MAX] = {};
        _cleanup_(worker_freep) Worker *w = NULL;
        char *disk = request + sizeof(Job);
        Job j = { .kvm = vmhost_has_kvm(root) };
        char *text = NULL;
        int r;

#ifndef __x86_64__
        return -EOPNOTSUPP;
#endif
        r = make_word(j.word);
        if (r < 0)
                return r;
        memcpy(request, &j, sizeof(j));
        r = snprintf(disk, PATH_MAX, "%s/" SMOKE_NAME ".img", pool);
        if (r < 0 || r >= PATH_MAX)
                return -ENAMETOOLONG;
        r = worker_start(root, NULL, NULL, &w);
        if (r >= 0)
                r = worker_call(w, serve, request, sizeof(j) + strlen(disk) + 1, timeout, &text);
        if (r == -ETIMEDOUT)
                (void) !fs_remove(root, disk);
        if (r < 0)
                return r;
        *ret = (Smoke){ .booted = r == 0, .kvm = j.kvm, .text = text };
        return 0;
}
