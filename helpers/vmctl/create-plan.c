/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The plan: what the machine is going to be, and all claimed that is to be its own. */

#include <inttypes.h>
#include <sys/random.h>
#include <time.h>

#include "create.h"
#include "fs.h"
#include "gpulease.h"
#include "guestlook.h"
#include "ini.h"
#include "ipcheck.h"
#include "parse.h"
#include "queue.h"

#define LOCK        "/run/gpuvm/vm.lock"
#define LLM_RELEASE "24.04" /* what NVIDIA and vLLM build for */

enum {
        LINE_MAX_BYTES = 256,
        OFFERS = 64, /* as many may be made at once */
        LOCK_PATIENCE_SEC = 300,
};

/* RFC 4122, version 4. */
static int make_uuid(char ret[static 37]) {
        uint8_t b[16];

        if (getrandom(b, sizeof(b), 0) != sizeof(b))
                return negative_errno();
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        (void) snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                        b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                        b[14], b[15]);
        return 0;
}

int plan_offers(Context *c, Create *n) {
        _cleanup_(ipknown_done) IpKnown known = {};
        _cleanup_free_ char *why = NULL;
        int r;

        if (vmctl_has(c, OPT_NETWORK))
                return 0;
        if (vmctl_has(c, OPT_IP))
                return plan_ask(c, n);
        r = c->virt ? vmctl_known(c, n->root, &known, NULL) : 0;
        if (r < 0)
                return r;
        r = ipcheck_free(n->root, &n->conf, &known, OFFERS, &n->offers, &why);
        if (r == -EPERM) {
                log_notice("Only root may ask which addresses are free; this plan leaves that to DHCP");
                return 0;
        }
        if (r < 0)
                return log_error_errno(r, "Cannot find out which addresses are free: %m. Give one by --ip");
        if (why)
                log_debug("The address is leased: %s", why);
        return 0;
}

static VmWish wish(Context *c, const Create *n) {
        return (VmWish){
                .kind = n->kind,
                .name = vmctl_value(c, OPT_NAME),
                .cpus = vmctl_value(c, OPT_CPUS),
                .memory = vmctl_value(c, OPT_MEMORY),
                .hugepages = vmctl_value(c, OPT_HUGEPAGES),
                .disk = vmctl_value(c, OPT_DISK),
                .ip = vmctl_value(c, OPT_IP),
                .gateway = vmctl_value(c, OPT_GATEWAY),
                .mac = vmctl_value(c, OPT_MAC),
                .network = vmctl_value(c, OPT_NETWORK),
                .server = vmctl_has(c, OPT_SERVER),
                .no_gpu = vmctl_has(c, OPT_NO_GPU),
                .pin = vmctl_has(c, OPT_PIN),
                .gpus = c->values[OPT_GPU],
        };
}

/* XML knows no control characters. */
static bool is_line(const char *s) {
        size_t n = strlen(s);

        for (size_t i = 0; i < n; i++)
                if ((unsigned char) s[i] < ' ' || s[i] == 0x7f)
                        return false;
        return n <= LINE_MAX_BYTES && ini_is_utf8(s, n);
}

static int check_words(Context *c, Create *n) {
        const char *firmware = vmctl_value(c, OPT_FIRMWARE), *rom = vmctl_value(c, OPT_ROM);
        uint64_t timeout;

        n->bios = firmware && streq(firmware, "bios");
        if (firmware && !n->bios && !streq(firmware, "uefi")) {
                log_error("'%s' is no --firmware: uefi or bios", firmware);
                return -EINVAL;
        }
        if (guest_timeout(c, &timeout) < 0)
                return -EINVAL;
        n->description = vmctl_value(c, OPT_DESCRIPTION);
        if (n->description && !is_line(n->description)) {
                log_error("--description takes one line of at most %d bytes", LINE_MAX_BYTES);
                return -EINVAL;
        }
        n->rom_off = rom && streq(rom, "off");
        if (!rom || n->rom_off || streq(rom, "on"))
                return 0;
        n->rom_file = realpath(rom, NULL);
        if (n->rom_file)
                return 0;
        log_error_errno(negative_errno(), "--rom=%s is neither on nor off, nor a file: %m", rom);
        return -EINVAL;
}

static void find_release(Context *c, Create *n) {
        const char *asked = vmctl_value(c, OPT_RELEASE);
        ImageKind kind = imagesource_kind_of(n->kind);

        /* Of an image that was brought nobody knows what it is. */
        if (kind != IMAGE_UBUNTU && kind != IMAGE_DEBIAN)
                return;
        if (!asked && vmctl_has(c, OPT_IMAGE))
                return;
        n->release = imagesource_release(kind, asked ?: streq(n->kind, "llm") ? LLM_RELEASE : NULL);
        n->is_over = n->release && imagesource_is_over(n->release, time(NULL));
}

int plan_check(Context *c, Create *n) {
        const VmWish w = wish(c, n);
        _cleanup_free_ char *said = NULL;
        int r;

        r = vmplan_check(&w, &said);
        if (r < 0 && !said)
                return log_oom();
        if (r < 0) {
                log_error("%s", said);
                return r;
        }
        find_release(c, n);
        return check_words(c, n);
}

int plan_fill(Context *c, Create *n) {
        const VmWish w = wish(c, n);
        _cleanup_free_ char *said = NULL;
        char uuid[37];
        int r;

        r = make_uuid(uuid);
        if (r < 0)
                return log_error_errno(r, "Cannot make a UUID: %m");
        r = vmplan_make(&n->host, &w, uuid, &n->plan, &said);
        if (r < 0 && !said)
                return log_error_errno(r, "Cannot make a plan: %m");
        if (r < 0) {
                log_error("%s", said);
                return r;
        }
        n->wish.gpu = vmplan_has_gpu(&n->plan);
        if (vmctl_value(c, OPT_ROM) && !n->wish.gpu) {
                log_error("--rom is for a card, and none can be had; 'vmctl gpu status' tells who has them");
                return -ENODEV;
        }
        r = setup_check(n);
        if (r < 0)
                return r;
        if (str_printf(&n->disk, "%s/%s.qcow2", n->conf.pool_path, n->plan.name) < 0 ||
            str_printf(&n->seed, "%s/%s-seed.iso", n->conf.pool_path, n->plan.name) < 0 ||
            str_printf(&n->log, CREATE_LOG_DIR "/%s.console", n->plan.name) < 0)
                return log_oom();
        return 0;
}

/* Names, addresses and MACs are looked for and claimed by one at a time, who takes a second or two, or more
 * on a host where many start at once. */
static int lock_allocation(int root) {
        int r = fs_mkdir_p(root, "/run/gpuvm", 0755);

        return r < 0 ? r : queue_enter(root, LOCK, 1, LOCK_PATIENCE_SEC * USEC_PER_SEC, create_interrupted);
}

static int claim_cpus(Create *n) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (!n->plan.place.pins)
                return 0;
        r = vmplace_pins(&n->plan.place, n->plan.cpus, &text);
        return r < 0 ? r : rollback_add(&n->rollback, ROLLBACK_CPUS, text);
}

/* It is taken when the machine starts; until then the kernel says that it is free. */
static int claim_memory(Create *n) {
        char kib[32];

        if (!vmplan_pins_memory(&n->plan))
                return 0;
        (void) snprintf(kib, sizeof(kib), "%" PRIu64, n->plan.memory);
        return rollback_add(&n->rollback, ROLLBACK_MEMORY, kib);
}

static int claim(Create *n) {
        int r;

        r = rollback_begin(n->root, n->plan.name, &n->rollback);
        if (r >= 0)
                r = rollback_add(&n->rollback, ROLLBACK_MAC, n->plan.mac);
        if (r >= 0 && n->plan.address)
                r = rollback_add(&n->rollback, ROLLBACK_ADDRESS, n->plan.address);
        for (size_t i = 0; r >= 0 && i < n->plan.n_gpus; i++)
                r = rollback_add(&n->rollback, ROLLBACK_GPU, n->plan.gpus[i]->name);
        if (r >= 0)
                r = claim_cpus(n);
        if (r >= 0)
                r = claim_memory(n);
        if (r < 0 && n->rollback.name && rollback_commit(&n->rollback) < 0)
                log_warning("Failed to remove the claim of '%s'; the next 'vmctl create' does", n->plan.name);
        return r < 0 ? log_error_errno(r, "Cannot claim '%s' in " ROLLBACK_DIR ": %m", n->plan.name) : 0;
}

/* Who attaches one looks at leases and definitions alone. */
static int lease_gpus(Create *n) {
        n->leases = calloc(n->plan.n_gpus + 1, sizeof(*n->leases));
        if (!n->leases)
                return log_oom();
        for (size_t i = 0; i < n->plan.n_gpus; i++) {
                _cleanup_free_ char *machine = NULL;
                int r = gpulease_take(n->root, n->plan.gpus[i]->name, n->plan.name, &machine);

                if (r == -EBUSY)
                        return log_full_errno(LOG_ERR, EBUSY,
                                              "GPU %s is on its way to '%s' just now, or from it",
                                              n->plan.gpus[i]->name, strempty(machine));
                if (r < 0)
                        return log_error_errno(r, "Cannot lock GPU %s in " GPULEASE_DIR ": %m",
                                               n->plan.gpus[i]->name);
                n->leases[n->n_leases++] = r;
        }
        return 0;
}

int plan_claim(Context *c, Create *n) {
        _cleanup_close_ int lock = lock_allocation(n->root);
        int r;

        if (lock == -ETIMEDOUT)
                return log_error_errno(lock,
                                       "Another 'vmctl create' has had " LOCK " for %d s: 'fuser -v " LOCK
                                       "' names it. Nothing was made",
                                       LOCK_PATIENCE_SEC);
        if (lock == -EINTR)
                return log_error_errno(
                                lock,
                                "Interrupted while another 'vmctl create' was at work; nothing was made");
        if (lock < 0)
                return log_error_errno(lock, "Cannot lock " LOCK ": %m");
        r = plan_look(c, n);
        if (r >= 0)
                r = plan_fill(c, n);
        if (r >= 0)
                r = lease_gpus(n);
        if (r >= 0)
                r = plan_look_again(c, n);
        return r < 0 ? r : claim(n);
}
