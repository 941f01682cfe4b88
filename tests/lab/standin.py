#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts QEMU with devices that say they are an NVIDIA GPU.

    standin.py --qmp SOCKET [--log FILE] [--owner PID] -- qemu-system-x86_64 ...

QEMU has no option for the PCI identity of its devices. So it is started stopped (-S), and before its first
instruction the identity bytes of every bochs-display (1234:1111, class 0380) are rewritten in its memory: in pairs, a
GeForce RTX 4090 (10de:2684, 030000) and its audio function (10de:22ba, 040300). QEMU's own VGA has the same ids, but
another class. A reset does not touch those bytes.

QEMU is a child of this program, so that writing its memory is allowed with Yama's default and in containers, and it
dies with this program whatever ends it, and with the owner. The exit status is QEMU's. In the log, one line for each reset of the machine.
"""

import argparse
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

BOCHS = bytes.fromhex("34121111")
BOCHS_CLASS = bytes.fromhex("008003")
IDENTITIES = [(0x10DE, 0x2684, 0x030000), (0x10DE, 0x22BA, 0x040300)]
SUBSYSTEM = (0x1043, 0x889A)
GUEST_MEMORY = 512 << 20  # larger mappings are the guest's memory, not QEMU's
PR_SET_PDEATHSIG = 1


def fail(text):
    sys.exit(f"standin: {text}")


def start(command):
    libc = ctypes.CDLL(None)
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    )


class Qmp:
    """The monitor: commands, and the events that come between."""

    def __init__(self, path, process, log):
        self.log = log
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if process.poll() is not None:
                    fail(f"QEMU ended at once with status {process.returncode}")
                if time.monotonic() > deadline:
                    fail("QEMU did not open its monitor within a minute")
                time.sleep(0.05)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.command("qmp_capabilities")

    def event(self, message):
        name = message.get("event")
        if name in ("RESET", "SHUTDOWN", "GUEST_PANICKED", "STOP") and self.log:
            guest = message.get("data", {}).get("guest", False)
            print(f"{int(time.time())} {name} {'guest' if guest else 'host'}", file=self.log, flush=True)

    def command(self, name):
        print(json.dumps({"execute": name}), file=self.file, flush=True)
        for line in self.file:
            message = json.loads(line)
            if "event" in message:
                self.event(message)
            elif "error" in message:
                fail(f"{name}: {message['error'].get('desc')}")
            else:
                return

    def follow(self):
        for line in self.file:
            message = json.loads(line)
            if "event" in message:
                self.event(message)


def config_spaces(pid, memory):
    """Addresses of the configuration spaces of all bochs-displays, in order of creation as far as can be known."""
    with open(f"/proc/{pid}/maps") as maps:
        areas = [line.split(None, 5) for line in maps]
    for area in areas:
        begin, end = (int(x, 16) for x in area[0].split("-"))
        if not area[1].startswith("rw") or end - begin > GUEST_MEMORY or (len(area) > 5 and "/dev" in area[5]):
            continue
        try:
            data = os.pread(memory, end - begin, begin)
        except OSError:
            continue
        at = data.find(BOCHS)
        while at >= 0:
            # A configuration space is allocated as a whole: the class is where it belongs.
            if data[at + 9 : at + 12] == BOCHS_CLASS:
                yield begin + at, data[at + 0x0E]
            at = data.find(BOCHS, at + 1)


def disguise(pid, expected):
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    # Function 0 is the one with the multifunction bit.
    spaces = sorted(config_spaces(pid, memory), key=lambda space: not space[1] & 0x80)
    if len(spaces) != expected:
        fail(f"found {len(spaces)} configuration spaces in QEMU's memory for {expected} stand-in functions")
    half = len(spaces) // 2
    for i, (address, _) in enumerate(spaces):
        vendor, device, klass = IDENTITIES[0 if i < half else 1]
        os.pwrite(memory, vendor.to_bytes(2, "little") + device.to_bytes(2, "little"), address)
        os.pwrite(memory, klass.to_bytes(3, "little"), address + 9)
        os.pwrite(memory, b"".join(x.to_bytes(2, "little") for x in SUBSYSTEM), address + 0x2C)
    os.close(memory)


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
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()

    log = open(args.log, "a") if args.log else None
    process = start([*args.command, "-S", "-qmp", f"unix:{args.qmp},server=on,wait=off"])
    signal.signal(signal.SIGTERM, lambda *_: process.kill())
    if args.owner:
        threading.Thread(target=die_with, args=(args.owner, process), daemon=True).start()
    qmp = Qmp(args.qmp, process, log)
    disguise(process.pid, sum(word.startswith("bochs-display") for word in args.command))
    qmp.command("cont")
    qmp.follow()
    sys.exit(process.wait())


if __name__ == "__main__":
    main()
