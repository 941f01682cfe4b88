/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest: who may enter it, what it is told at its first boot, and its definition. */

#include <pwd.h>
#include <time.h>

#include "cloudinit.h"
#include "create.h"
#include "domain.h"
#include "fs.h"
#include "guestnet.h"
#include "nodeinit.h"
#include "seed.h"
#include "talos.h"
#include "vmtold.h"
#include "vmunit.h"

enum { KEYS_MAX = 64 * 1024, CONFIG_MAX = 8 * 1024 * 1024 };

/* Whoever called sudo. */
static const struct passwd *caller(void) {
        const char *name = secure_getenv("SUDO_USER");

        return !isempty(name) ? getpwnam(name) : getpwuid(getuid());
}

/* -EINVAL: it is no key. */
static int add_key(const char *line, char ***keys) {
        _cleanup_free_ char *key = NULL;
        int r = cloudinit_take_ssh_key(line, &key);

        return r < 0 ? r : strv_extend(keys, key);
}

static int add_keys(const char *path, char ***keys) {
        _cleanup_strv_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = vmctl_read_file(path, KEYS_MAX, &text, NULL);
        if (r >= 0)
                r = strv_split(text, "\n", &lines);
        STRV_FOREACH(line, lines)
                if (r >= 0) {
                        r = add_key(*line, keys);
                        if (r == -EINVAL)
                                r = 0;
                }
        return r;
}

/* A key itself, or a file with keys. */
static int add_asked_key(const char *value, char ***keys) {
        size_t before = strv_length(*keys);
        int r;

        r = add_key(value, keys);
        if (r >= 0)
                return 0;
        if (r == -EINVAL)
                r = add_keys(value, keys);
        if (r == -ENOMEM)
                return log_oom();
        if (r < 0) {
                log_error_errno(r, "'%s' is no public ssh key, nor a file of them: %m", value);
                return -EINVAL;
        }
        if (strv_length(*keys) == before) {
                log_error("There is no public ssh key in '%s'", value);
                return -EINVAL;
        }
        return 0;
}

static int add_callers_keys(const char *home, char ***keys) {
        static const char *const files[] = { "id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub",
                                             "authorized_keys" };

        for (size_t i = 0; i < ELEMENTSOF(files) && !*keys; i++) {
                _cleanup_free_ char *path = NULL;

                if (str_printf(&path, "%s/.ssh/%s", home, files[i]) < 0 || add_keys(path, keys) == -ENOMEM)
                        return log_oom();
        }
        return 0;
}

static bool has_own_user(Context *c, const Create *n) {
        return streq(n->kind, "talos") || vmctl_has(c, OPT_USER_DATA);
}

int user_find(Context *c, Create *n) {
        const struct passwd *who = caller();
        const char *user = vmctl_value(c, OPT_USER);

        if (!user && !has_own_user(c, n))
                user = who && cloudinit_check_user(who->pw_name) >= 0 ? who->pw_name : "admin";
        return free_and_strdup(&n->user, user) < 0 ? log_oom() : 0;
}

int keys_find(Context *c, Create *n) {
        const struct passwd *who = caller();
        int r = 0;

        if (has_own_user(c, n))
                return 0;
        STRV_FOREACH(key, c->values[OPT_SSH_KEY]) {
                r = add_asked_key(*key, &n->keys);
                if (r < 0)
                        return r;
        }
        if (!n->keys && who)
                r = add_callers_keys(who->pw_dir, &n->keys);
        if (r >= 0 && !n->keys) {
                log_error("Nobody could enter the guest: passwords are not for it, and there is no public ssh key. Make "
                          "one with 'ssh-keygen', or give one by --ssh-key");
                return -EINVAL;
        }
        return r;
}

static int network_config(const Create *n, char **ret) {
        const GuestNet net = {
                .mac = n->plan.mac,
                .addresses = (const char *const[]){ n->plan.address, NULL },
                .gateways = (const char *const[]){ n->plan.gateway, NULL },
                .dns = n->plan.address ? (const char *const *) n->host.dns : NULL,
        };

        return guestnet_config(&net, ret);
}

static CloudInitKind cloudinit_kind(Context *c, const Create *n) {
        if (streq(n->kind, "debian") || streq(n->kind, "worker"))
                return CLOUDINIT_DEBIAN;
        return streq(n->kind, "llm") || vmctl_has(c, OPT_SERVER) ? CLOUDINIT_UBUNTU_SERVER
                                                                 : CLOUDINIT_UBUNTU_DESKTOP;
}

static int read_config(const char *path, char **ret, size_t *ret_size) {
        int r = vmctl_read_file(path, CONFIG_MAX, ret, ret_size);

        if (r < 0)
                log_error_errno(r, "Cannot read '%s': %m", path);
        return r < 0 ? -EINVAL : 0;
}

/* What it joins with is as good as a password of the cluster. */
static int read_join(const char *path, char **ret) {
        struct stat st;
        size_t size = 0;
        int r = read_config(path, ret, &size);

        if (r >= 0 && !nodeinit_is_text(*ret, size)) {
                log_error("'%s' for --join is no text in UTF-8 without control characters, and cloud-init would not take it. "
                          "'iconv -f latin1 -t utf-8' makes one of Latin-1",
                          path);
                return -EINVAL;
        }
        if (r >= 0 && stat(path, &st) >= 0 && (st.st_mode & 077))
                log_warning("Others can read '%s', which lets whoever has it join the cluster. 'chmod 600 %s'",
                            path, path);
        return r;
}

static int guest_data(Context *c, const Create *n, const CloudInit *init, char **ret) {
        const char *file = vmctl_value(c, OPT_JOIN);
        _cleanup_free_ char *join = NULL;
        int r;

        if (!streq(n->kind, "worker"))
                return cloudinit_user_data(init, ret);
        r = file ? read_join(file, &join) : 0;
        return r < 0 ? r : nodeinit_user_data(init, join, ret);
}

/* Talos without a machine config gets its network alone, and waits for one; but versions that find no file
 * for it look for that for ever. What is cloud-init's they pass over. */
static int talos_user_data(Context *c, const Create *n, char **ret) {
        int r;

        if (!n->machine_config) {
                *ret = strdup("#cloud-config\n");
                return *ret ? 0 : log_oom();
        }
        r = read_config(n->machine_config, ret, NULL);
        if (r >= 0 && vmplan_has_gpu(&n->plan) && !talos_config_has_gpu(*ret))
                log_warning("'%s' loads no kernel modules of NVIDIA's: '%s' is not going to use its GPU. One that does comes of: "
                            "talosctl machineconfig patch %s --patch '%s'",
                            n->machine_config, n->plan.name, n->machine_config,
                            talos_gpu_patch(vmctl_value(c, OPT_TALOS_VERSION)));
        return r;
}

static int seed_content(Context *c, const Create *n, char **meta, char **user, char **network) {
        const CloudInit init = {
                .kind = cloudinit_kind(c, n),
                .hostname = n->plan.name,
                .instance_id = n->plan.uuid,
                .user = strempty(n->user),
                .ssh_keys = (const char *const *) n->keys,
                .gpu = vmplan_has_gpu(&n->plan) && !n->wish.llm,
                .end_of_life = n->is_over && imagesource_kind_of(n->kind) == IMAGE_UBUNTU,
                .packages = n->packages,
                .files = n->files,
                .n_files = n->n_files,
                .setup = gueststeps_wanted(&n->wish),
        };
        const char *file = vmctl_value(c, OPT_USER_DATA);
        bool talos = streq(n->kind, "talos");
        int r;

        r = talos ? talos_user_data(c, n, user) : file ? read_config(file, user, NULL) : 0;
        if (r < 0)
                return r;
        r = talos || file ? str_printf(meta, "{\"instance-id\":\"%s\",\"local-hostname\":\"%s\"}\n",
                                       n->plan.uuid, n->plan.name)
                          : cloudinit_meta_data(&init, meta);
        if (r >= 0 && !talos && !file)
                r = guest_data(c, n, &init, user);
        if (r >= 0)
                r = network_config(n, network);
        return r < 0 ? log_error_errno(r, "Cannot make what '%s' is told at its first boot: %m", n->plan.name)
                     : 0;
}

int seed_write(Context *c, Create *n) {
        _cleanup_free_ char *meta = NULL, *user = NULL, *network = NULL;
        _cleanup_free_ void *image = NULL;
        size_t size;
        int r;

        r = setup_files(n);
        if (r >= 0)
                r = seed_content(c, n, &meta, &user, &network);
        if (r < 0)
                return r;
        r = seed_make(&(Seed){ .meta_data = meta, .user_data = user, .network_config = network }, &image,
                      &size);
        if (r == -ENOPKG)
                return log_error_errno(r, "libarchive is not installed. 'sudo apt install libarchive13'");
        if (r < 0)
                return log_error_errno(r, "Cannot make the seed of '%s': %m", n->plan.name);
        if (fs_exists(n->root, n->seed) != 0)
                return log_full_errno(LOG_ERR, EEXIST,
                                      "'%s' is there already, and no machine's. Look at it first", n->seed);
        r = create_step(n, ROLLBACK_FILE, n->seed, "the seed");
        if (r < 0)
                return r;
        r = fs_write_atomic(n->root, n->seed, image, size, 0600);
        return r < 0 ? log_error_errno(r, "Cannot write '%s': %m", n->seed) : 0;
}

static int write_xml(Context *c, const Create *n, const DomainGpu *gpus, char **ret) {
        _cleanup_strv_ char **told = NULL;
        char created[sizeof("2026-11-21T20:40:00Z")];
        Domain d = {
                .type = n->host.kvm ? DOMAIN_KVM : DOMAIN_QEMU,
#ifdef __aarch64__
                .arch = DOMAIN_AARCH64,
#endif
                .name = n->plan.name,
                .title = n->description,
                .uuid = n->plan.uuid,
                .kind = n->kind,
                .vcpus = n->plan.cpus,
                .memory_kib = n->plan.memory,
                .hugepage_kib = n->plan.page,
                .numa_node = n->plan.place.node,
                .cpuset = n->plan.place.cpus,
                .pins = n->plan.place.pins,
                .bios = n->bios,
                .disks = &(DomainDisk){ .path = n->disk, .format = "qcow2" },
                .n_disks = 1,
                .seed = n->seed,
                .store = n->store,
                .store_readonly = n->store_readonly,
                .bridge = n->plan.bridge,
                .network = n->plan.network,
                .mac = n->plan.mac,
                .gpus = gpus,
                .n_gpus = n->plan.n_gpus,
                .gpu_wish = n->plan.gpu_wish_text,
                .spare_ports = DOMAIN_SPARE_PORTS,
                .serial_log = n->log,
                .screen = streq(n->kind, "ubuntu") && !vmctl_has(c, OPT_SERVER),
                .address = n->plan.address,
                .gateway = n->plan.gateway,
                .image = n->base_name,
                .user = n->user,
                .created = created,
                .took_sec = (unsigned) ((monotonic_usec() - n->begin_usec) / USEC_PER_SEC + 1),
        };
        time_t now = time(NULL);
        struct tm tm;
        int r;

        (void) strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
        r = vmtold_write(&n->asked, &told);
        d.told = told;
        if (r >= 0)
                r = domain_xml(&d, ret);
        return r < 0 ? log_error_errno(r, "Cannot write the definition of '%s': %m", n->plan.name) : 0;
}

/* virtlogd makes the file when the machine starts, and libvirt the directory when its first one does. */
static int prepare_log(Create *n) {
        int r = create_step(n, ROLLBACK_FILE, n->log, "the file of its console");

        if (r < 0)
                return r;
        r = fs_mkdir_p(n->root, CREATE_LOG_DIR, 0755);
        return r < 0 ? log_error_errno(r, "Cannot make '" CREATE_LOG_DIR "': %m") : 0;
}

int machine_define(Context *c, Create *n) {
        _cleanup_free_ DomainGpu *gpus = calloc(n->plan.n_gpus + 1, sizeof(*gpus));
        _cleanup_free_ char *xml = NULL;
        int r;

        if (!gpus)
                return log_oom();
        for (size_t i = 0; i < n->plan.n_gpus; i++)
                gpus[i] = (DomainGpu){ .functions = n->plan.gpus[i]->functions,
                                       .n_functions = n->plan.gpus[i]->n_functions,
                                       .rom = n->rom_file           ? DOMAIN_ROM_FILE
                                                       : n->rom_off ? DOMAIN_ROM_OFF
                                                                    : DOMAIN_ROM_DEFAULT,
                                       .rom_file = n->rom_file };
        r = write_xml(c, n, gpus, &xml);
        if (r >= 0)
                r = prepare_log(n);
        if (r >= 0)
                r = create_step(n, ROLLBACK_MACHINE, n->plan.uuid, "the machine");
        if (r < 0)
                return r;
        r = virtvm_define(c->virt, xml);
        if (r >= 0 && vmctl_has(c, OPT_AUTOSTART) && !power_has_units(c))
                r = virtvm_set_autostart(c->virt, n->plan.name, true);
        return r < 0 ? vmctl_tell(c, r, "Cannot define '%s'", n->plan.name) : 0;
}

int unit_prepare(Context *c, Create *n) {
        _cleanup_free_ const char **gpus = calloc(n->plan.n_gpus + 1, sizeof(*gpus));
        const char *store = guestwish_value(&n->wish, GUEST_MODEL_STORE);
        bool autostart = vmctl_has(c, OPT_AUTOSTART);
        int r;

        if (!gpus)
                return log_oom();
        for (size_t i = 0; i < n->plan.n_gpus; i++)
                gpus[i] = n->plan.gpus[i]->name;
        if (!power_has_units(c) || (!*gpus && !store && !autostart))
                return 0;
        r = create_step(n, ROLLBACK_SETTINGS, n->plan.name, "the settings of its unit");
        if (r < 0)
                return r;
        r = vmunit_write(n->root, n->plan.name, gpus, store, autostart);
        return r < 0 ? log_error_errno(r, "Cannot write the settings of '%s' in /etc/systemd/system: %m",
                                       n->plan.name)
                     : 0;
}
