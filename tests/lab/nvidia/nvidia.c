/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A driver that looks to the rest of the system like NVIDIA's, for the lab's GPUs that are none.
 *
 * It takes NVIDIA display functions, has /dev/nvidiaN and /dev/nvidiactl with the major number that is
 * NVIDIA's, and /proc/driver/nvidia/gpus/ADDRESS/information. As the real one, it does not let go of a GPU
 * whose device is open: the removal waits in the kernel, uninterruptible, with the device locked. And as any
 * driver may whose card does not answer, it does not come back from the probe of the GPU that somebody writes
 * to /sys/module/nvidia/parameters/wedged, as long as it stands there.
 *
 * Loaded into a kernel it is under the GPL, as section 3 of its licence allows. */

#include <linux/cdev.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/version.h>
#include <linux/wait.h>

enum { NVIDIA_MAJOR = 195, CONTROL_MINOR = 255, GPUS_MAX = 32, POLL_MSEC = 50 };

struct gpu {
        struct pci_dev *pci;
        struct proc_dir_entry *proc;
        int users;
};

/* One lock for all: this is no fast path. */
static DEFINE_MUTEX(lock);
static DECLARE_WAIT_QUEUE_HEAD(closed);
static struct gpu gpus[GPUS_MAX];
static struct proc_dir_entry *proc_top, *proc_gpus;
static struct class *nodes;
static struct cdev cdev;

static unsigned int wedged;
module_param(wedged, uint, 0644);
MODULE_PARM_DESC(wedged, "The GPU whose probe does not end: 0x300 for 03:00.0, 0 for none");

static int nvidia_open(struct inode *inode, struct file *file) {
        unsigned int minor = iminor(inode);
        int r = 0;

        if (minor == CONTROL_MINOR)
                return 0;
        mutex_lock(&lock);
        if (minor < GPUS_MAX && gpus[minor].pci)
                gpus[minor].users++;
        else
                r = -ENODEV;
        mutex_unlock(&lock);
        return r;
}

static int nvidia_release(struct inode *inode, struct file *file) {
        unsigned int minor = iminor(inode);

        if (minor == CONTROL_MINOR)
                return 0;
        mutex_lock(&lock);
        gpus[minor].users--;
        mutex_unlock(&lock);
        wake_up_all(&closed);
        return 0;
}

static const struct file_operations nvidia_fops = {
        .owner = THIS_MODULE,
        .open = nvidia_open,
        .release = nvidia_release,
};

static int information_show(struct seq_file *s, void *unused) {
        struct gpu *gpu = s->private;

        seq_printf(s, "Model: \t\t Stand-in GPU\nIRQ:   \t\t %d\nBus Type: \t PCIe\n", gpu->pci->irq);
        seq_printf(s, "Bus Location: \t %s\nDevice Minor: \t %d\nGPU Excluded:\t No\n", pci_name(gpu->pci),
                   (int) (gpu - gpus));
        return 0;
}

static int nvidia_probe(struct pci_dev *pci, const struct pci_device_id *id) {
        struct gpu *gpu = NULL;
        int i, r;

        while (READ_ONCE(wedged) == pci_dev_id(pci))
                msleep(POLL_MSEC);
        r = pci_enable_device(pci);
        if (r)
                return r;
        mutex_lock(&lock);
        for (i = 0; i < GPUS_MAX && !gpu; i++)
                if (!gpus[i].pci)
                        gpu = &gpus[i];
        if (gpu)
                gpu->pci = pci;
        mutex_unlock(&lock);
        if (!gpu) {
                pci_disable_device(pci);
                return -ENOSPC;
        }
        gpu->proc = proc_mkdir(pci_name(pci), proc_gpus);
        if (gpu->proc)
                proc_create_single_data("information", 0444, gpu->proc, information_show, gpu);
        /* Without a parent: the real one's node is not in sysfs either, below the device. */
        device_create(nodes, NULL, MKDEV(NVIDIA_MAJOR, gpu - gpus), NULL, "nvidia%d", (int) (gpu - gpus));
        pci_set_drvdata(pci, gpu);
        return 0;
}

static void nvidia_remove(struct pci_dev *pci) {
        struct gpu *gpu = pci_get_drvdata(pci);

        if (READ_ONCE(gpu->users) > 0)
                pci_err(pci, "Attempting to remove a device with non-zero usage count!\n");
        wait_event(closed, READ_ONCE(gpu->users) == 0);
        device_destroy(nodes, MKDEV(NVIDIA_MAJOR, gpu - gpus));
        proc_remove(gpu->proc);
        mutex_lock(&lock);
        *gpu = (struct gpu){};
        mutex_unlock(&lock);
        pci_disable_device(pci);
}

static const struct pci_device_id nvidia_ids[] = {
        { PCI_VDEVICE(NVIDIA, PCI_ANY_ID), .class = PCI_CLASS_DISPLAY_VGA << 8, .class_mask = ~0U },
        { PCI_VDEVICE(NVIDIA, PCI_ANY_ID), .class = PCI_CLASS_DISPLAY_3D << 8, .class_mask = ~0U },
        {}
};
MODULE_DEVICE_TABLE(pci, nvidia_ids);

static struct pci_driver nvidia_driver = {
        .name = "nvidia",
        .id_table = nvidia_ids,
        .probe = nvidia_probe,
        .remove = nvidia_remove,
};

static char *nvidia_devnode(const struct device *dev, umode_t *mode) {
        if (mode)
                *mode = 0666;
        return NULL;
}

static int nvidia_register(void) {
        int r;

        cdev_init(&cdev, &nvidia_fops);
        cdev.owner = THIS_MODULE;
        r = register_chrdev_region(MKDEV(NVIDIA_MAJOR, 0), CONTROL_MINOR + 1, "nvidia");
        if (r)
                return r;
        r = cdev_add(&cdev, MKDEV(NVIDIA_MAJOR, 0), CONTROL_MINOR + 1);
        if (r)
                unregister_chrdev_region(MKDEV(NVIDIA_MAJOR, 0), CONTROL_MINOR + 1);
        return r;
}

static void nvidia_unregister(void) {
        cdev_del(&cdev);
        unregister_chrdev_region(MKDEV(NVIDIA_MAJOR, 0), CONTROL_MINOR + 1);
        proc_remove(proc_top);
        class_destroy(nodes);
}

static int __init nvidia_init(void) {
        int r;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
        nodes = class_create("nvidia-lab");
#else
        nodes = class_create(THIS_MODULE, "nvidia-lab");
#endif
        if (IS_ERR(nodes))
                return PTR_ERR(nodes);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
        nodes->devnode = nvidia_devnode;
#else
        nodes->devnode = (char *(*) (struct device *, umode_t *) ) nvidia_devnode;
#endif
        r = nvidia_register();
        if (r) {
                class_destroy(nodes);
                return r;
        }
        proc_top = proc_mkdir("driver/nvidia", NULL);
        proc_gpus = proc_mkdir("gpus", proc_top);
        device_create(nodes, NULL, MKDEV(NVIDIA_MAJOR, CONTROL_MINOR), NULL, "nvidiactl");
        r = pci_register_driver(&nvidia_driver);
        if (r) {
                device_destroy(nodes, MKDEV(NVIDIA_MAJOR, CONTROL_MINOR));
                nvidia_unregister();
        }
        return r;
}

static void __exit nvidia_exit(void) {
        pci_unregister_driver(&nvidia_driver);
        device_destroy(nodes, MKDEV(NVIDIA_MAJOR, CONTROL_MINOR));
        nvidia_unregister();
}

module_init(nvidia_init);
module_exit(nvidia_exit);
MODULE_DESCRIPTION("A stand-in for NVIDIA's driver in the lab");
MODULE_LICENSE("GPL");
