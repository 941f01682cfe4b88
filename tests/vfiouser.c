/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* vfiouser: has a device open through VFIO, as a VMM has.
 *
 *     vfiouser GROUP ADDRESS
 *
 * SIGUSR1 hides that and shows it again, in turns. What is hidden is in a message that nobody has received
 * (SCM_RIGHTS): as open as before to the kernel, and in nobody's /proc/PID/fd. So who looks for users finds
 * none, as if this one came right after that look. */

#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONTAINER, GROUP, DEVICE, FILES };

typedef union Message {
        struct cmsghdr header;
        char space[CMSG_SPACE(FILES * sizeof(int))];
} Message;

static void die(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

static void open_device(const char *group, const char *address, int files[static FILES]) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/dev/vfio/%s", group);
        files[CONTAINER] = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
        files[GROUP] = open(path, O_RDWR | O_CLOEXEC);
        if (files[CONTAINER] < 0 || files[GROUP] < 0)
                die(path);
        if (ioctl(files[GROUP], VFIO_GROUP_SET_CONTAINER, &files[CONTAINER]) < 0 ||
            ioctl(files[CONTAINER], VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
                die("VFIO's IOMMU");
        files[DEVICE] = ioctl(files[GROUP], VFIO_GROUP_GET_DEVICE_FD, address);
        if (files[DEVICE] < 0)
                die(address);
}

static struct msghdr message_of(Message *m, struct iovec *byte) {
        return (struct msghdr){ .msg_iov = byte,
                                .msg_iovlen = 1,
                                .msg_control = m->space,
                                .msg_controllen = sizeof(m->space) };
}

static void hide(int socket, const int files[static FILES]) {
        struct iovec byte = { (char[]){ 0 }, 1 };
        Message m = { .header = { CMSG_LEN(FILES * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
        struct msghdr message = message_of(&m, &byte);

        memcpy(CMSG_DATA(&m.header), files, FILES * sizeof(int));
        if (sendmsg(socket, &message, 0) < 0)
                die("sendmsg");
        for (int i = 0; i < FILES; i++)
                (void) close(files[i]);
}

static void show(int socket, int files[static FILES]) {
        struct iovec byte = { (char[]){ 0 }, 1 };
        Message m = {};
        struct msghdr message = message_of(&m, &byte);

        if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) < 0)
                die("recvmsg");
        memcpy(files, CMSG_DATA(&m.header), FILES * sizeof(int));
}

int main(int argc, char *argv[]) {
        int files[FILES], sockets[2], number;
        sigset_t signals;

        if (argc != 3) {
                (void) fprintf(stderr, "Usage: vfiouser GROUP ADDRESS\n");
                return 2;
        }
        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGUSR1);
        (void) sigprocmask(SIG_BLOCK, &signals, NULL);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
                die("socketpair");
        open_device(argv[1], argv[2], files);
        for (;;) {
                (void) sigwait(&signals, &number);
                hide(sockets[0], files);
                (void) sigwait(&signals, &number);
                show(sockets[1], files);
        }
}
