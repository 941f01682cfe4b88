#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts QEMU with devices that say they are NVIDIA GPUs.

    standin.py --qmp SOCKET [--log FILE] [--owner PID] [--control SOCKET] [--resume FILE] -- qemu-system-x86_64 ...

QEMU has no option for the PCI identity of its devices. So it is started stopped (-S), and before its first
instruction the identity bytes of every bochs-display (1234:1111, class 0380) are rewritten in its memory: in pairs, a
GeForce RTX 4090 (10de:2684, 030000) and its audio function (10de:22ba, 040300). QEMU's own VGA has the same ids, but
another class. A reset does not touch those bytes.

QEMU is a child of this program, so that writing its memory is allowed with Yama's default and in containers, and it
dies with this program whatever ends it, and with the owner. The exit status is QEMU's. In the log, one line for each
reset of the machine and for each device that left.

The control socket takes one command a connection and answers "ok", or what is wrong:

    plug PORT NAME      a GPU into an empty root port; its functions are NAME.0 and NAME.1. Once a port: QEMU keeps the
                        memory of a display that left
    unplug NAME         the attention button: the guest lets go of it, or not
    tear PORT NAME      out of its port, without asking the guest
    save FILE           the machine's state, for --resume with the same command; it stays stopped
    look DIRECTORY      what it shows and does: screen.png, and in registers those of its processors, three times
"""

import argparse
import contextlib
import ctypes
import json
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time

BOCHS = bytes.fromhex("34121111")
BOCHS_CLASS = bytes.fromhex("008003")
ROOT_PORT = bytes.fromhex("361b0c00")
ROOT_PORT_CLASS = bytes.fromhex("000406")
IDENTITIES = [(0x10DE, 0x2684, 0x030000), (0x10DE, 0x22BA, 0x040300)]
SUBSYSTEM = (0x1043, 0x889A)
GUEST_MEMORY = 512 << 20  # larger mappings are the guest's memory, not QEMU's
PR_SET_PDEATHSIG = 1
# Offsets in a configuration space and bits there: include/uapi/linux/pci_regs.h
CLASS, HEADER, SUBSYSTEM_IDS, CAPABILITIES = 0x09, 0x0E, 0x2C, 0x34
EXPRESS, SLOT_CAPABILITIES, SLOT_CONTROL = 0x10, 0x14, 0x18
MULTIFUNCTION = 0x80
POWERED_OFF = 0x0400 | 0x0300  # power controller off, power indicator off
TELLS_PRESENCE = 0x0008
SAVE_SECONDS = 300


class Refused(Exception):
    """What was asked for did not work; the machine goes on."""


def start(command):
    libc = ctypes.CDLL(None)
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    )


class Qmp:
    """The monitor: commands, and the events that come between."""

    EVENTS = ("RESET", "SHUTDOWN", "GUEST_PANICKED", "STOP", "DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR")

    def __init__(self, path, process, log):
        self.log = log
        self.replies = queue.Queue()
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(f"standin: QEMU ended at once with status {process.returncode}")
                if time.monotonic() > deadline:
                    sys.exit("standin: QEMU did not open its monitor within a minute")
                time.sleep(0.05)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        threading.Thread(target=self.follow, daemon=True).start()
        self.command("qmp_capabilities")

    def event(self, message):
        name = message["event"]
        if name in self.EVENTS and self.log:
            data = message.get("data", {})
            what = data.get("device") or data.get("path") or ("guest" if data.get("guest") else "host")
            print(f"{int(time.time())} {name} {what}", file=self.log, flush=True)

    def follow(self):
        with contextlib.suppress(OSError, ValueError):
            for line in self.file:
                message = json.loads(line)
                if "event" in message:
                    self.event(message)
                else:
                    self.replies.put(message)
        self.replies.put({"error": {"desc": "QEMU has ended"}})

    def command(self, name, **arguments):
        print(json.dumps({"execute": name, "arguments": arguments}), file=self.file, flush=True)
        reply = self.replies.get()
        if "error" in reply:
            raise Refused(f"{name}: {reply['error'].get('desc')}")
        return reply["return"]


class Memory:
    """QEMU's memory, as far as PCI configuration spaces are in it."""

    def __init__(self, pid):
        self.pid = pid
        self.fd = os.open(f"/proc/{pid}/mem", os.O_RDWR)

    def areas(self):
        with open(f"/proc/{self.pid}/maps") as maps:
            areas = [line.split(None, 5) for line in maps]
        for area in areas:
            begin, end = (int(x, 16) for x in area[0].split("-"))
            if area[1].startswith("rw") and end - begin <= GUEST_MEMORY and not (len(area) > 5 and "/dev" in area[5]):
                with contextlib.suppress(OSError):
                    yield begin, os.pread(self.fd, end - begin, begin)

    def spaces(self, ids, klass):
        """Address and content of each configuration space with these ids and class, as they are in it."""
        for begin, data in self.areas():
            at = data.find(ids)
            while at >= 0:
                # A configuration space is allocated as a whole: the class is where it belongs.
                if data[at + CLASS : at + CLASS + 3] == klass:
                    yield begin + at, data[at : at + 256]
                at = data.find(ids, at + 1)

    def write(self, address, data):
        os.pwrite(self.fd, data, address)

    def disguise(self, expected):
        # Function 0 is the one with the multifunction bit. Afterwards all have it, as in real cards: by that a kernel puts the
        # functions of a card that comes later into one IOMMU group (get_pci_function_alias_group(), drivers/iommu/iommu.c).
        spaces = sorted(self.spaces(BOCHS, BOCHS_CLASS), key=lambda space: not space[1][HEADER] & MULTIFUNCTION)
        if len(spaces) != expected:
            raise Refused(f"{len(spaces)} configuration spaces in QEMU's memory for {expected} stand-in functions")
        for i, (address, _) in enumerate(spaces):
            vendor, device, klass = IDENTITIES[0 if i < len(spaces) // 2 else 1]
            self.write(address, vendor.to_bytes(2, "little") + device.to_bytes(2, "little"))
            self.write(address + CLASS, klass.to_bytes(3, "little"))
            self.write(address + HEADER, bytes([MULTIFUNCTION]))
            self.write(address + SUBSYSTEM_IDS, b"".join(x.to_bytes(2, "little") for x in SUBSYSTEM))

    def slot_control(self, slot):
        """Address and value of the slot control register of the root port with this slot number."""
        for address, space in self.spaces(ROOT_PORT, ROOT_PORT_CLASS):
            at = space[CAPABILITIES]
            while at and space[at] != EXPRESS:
                at = space[at + 1]
            if at and int.from_bytes(space[at + SLOT_CAPABILITIES : at + SLOT_CAPABILITIES + 4], "little") >> 19 == slot:
                at += SLOT_CONTROL
                return address + at, int.from_bytes(space[at : at + 2], "little")
        raise Refused(f"there is no root port with slot number {slot}")


class Machine:
    def __init__(self, process, qmp):
        self.process = process
        self.qmp = qmp
        self.memory = Memory(process.pid)
        self.used_ports = set()

    @contextlib.contextmanager
    def stopped(self):
        self.qmp.command("stop")
        try:
            yield
        finally:
            self.qmp.command("cont")

    def plug(self, port, name):
        if port in self.used_ports:
            raise Refused(f"there was a card in {port} already")
        self.used_ports.add(port)
        # The guest is told when function 0 is there; until then the others wait.
        with self.stopped():
            self.qmp.command("device_add", driver="bochs-display", bus=port, addr="00.1", id=f"{name}.1")
            self.qmp.command(
                "device_add", driver="bochs-display", bus=port, addr="00.0", multifunction=True, id=f"{name}.0"
            )
            self.memory.disguise(2)

    def unplug(self, name):
        self.qmp.command("device_del", id=f"{name}.0")

    def tear(self, port, name):
        # QEMU asks the guest unless the slot has no power (pcie_cap_slot_unplug_request_cb() in its hw/pci/pcie.c).
        # So it has none for as long as that takes. Linux wants no interrupt for presence where there is a button, and
        # a link that goes down, which it would be told of by a real port, QEMU does not report: it gets this one.
        with self.stopped():
            address, value = self.memory.slot_control(int(port.removeprefix("slot")))
            self.memory.write(address, (value | POWERED_OFF | TELLS_PRESENCE).to_bytes(2, "little"))
            try:
                self.qmp.command("device_del", id=f"{name}.0")
            finally:
                self.memory.write(address, value.to_bytes(2, "little"))

    def look(self, directory):
        with open(f"{directory}/registers", "w") as file:
            for _ in range(3):
                for line in ("info status", "info registers -a", "x/12i $eip"):
                    print(self.qmp.command("human-monitor-command", **{"command-line": line}), file=file)
                time.sleep(0.5)
        self.qmp.command("screendump", filename=f"{directory}/screen.png", format="png")

    def await_migration(self):
        deadline = time.monotonic() + SAVE_SECONDS
        while True:
            status = self.qmp.command("query-migrate").get("status", "none")
            if status == "completed":
                return
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                raise Refused(f"moving the machine's state: {status}")
            time.sleep(0.1)

    def save(self, path):
        self.qmp.command("stop")
        self.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.qmp.command("migrate", uri=f"exec:cat >{shlex.quote(path)}")
        self.await_migration()

    def resume(self, path):
        self.qmp.command("migrate-incoming", uri=f"exec:cat {shlex.quote(path)}")
        self.await_migration()

    def obey(self, line):
        words = line.split()
        commands = {"plug": self.plug, "unplug": self.unplug, "tear": self.tear, "save": self.save, "look": self.look}
        try:
            commands[words[0]](*words[1:])
        except (Refused, OSError) as e:
            return str(e)
        except (KeyError, IndexError, TypeError, ValueError):
            return f"cannot understand: {line}"
        return "ok"

    def serve(self, path):
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        while True:
            connection, _ = server.accept()
            with contextlib.suppress(OSError), connection, connection.makefile("rw") as file:
                print(self.obey(file.readline().strip()), file=file, flush=True)


def die_with(owner, process):
    """Nobody may be left to end a machine whose test was killed."""
    while os.path.exists(f"/proc/{owner}"):
        time.sleep(2)
    process.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--qmp", required=True)
    parser.add_argument("--log")
    parser.add_argument("--owner", type=int, default=0)
    parser.add_argument("--control")
    parser.add_argument("--resume")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()

    log = open(args.log, "a") if args.log else None
    command = [*args.command, "-S", "-qmp", f"unix:{args.qmp},server=on,wait=off"]
    process = start(command + (["-incoming", "defer"] if args.resume else []))
    signal.signal(signal.SIGTERM, lambda *_: process.kill())
    if args.owner:
        threading.Thread(target=die_with, args=(args.owner, process), daemon=True).start()
    machine = Machine(process, Qmp(args.qmp, process, log))
    try:
        machine.memory.disguise(sum(word.startswith("bochs-display") for word in args.command))
        if args.resume:
            machine.resume(args.resume)
        if args.control:
            threading.Thread(target=machine.serve, args=(args.control,), daemon=True).start()
        machine.qmp.command("cont")
    except Refused as e:
        process.kill()
        sys.exit(f"standin: {e}")
    sys.exit(process.wait())


if __name__ == "__main__":
    main()
