#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest of 512 bytes, for a PC's BIOS: bootsector.py polite|deaf|done FILE

It says so on its serial console. The polite one turns itself off when its power button is pressed, the deaf one does not, and
the one that is done does at once. Ports as the BIOS of QEMU sets them up: ACPI's PM1 status, enable and control at 0x600."""

import sys

MESSAGE = b"\x1b[31mguest:\x1b[0m up and \xff\r\n\0"
SAY = bytes.fromhex("31c0 8ed8 fb be0000 ac 84c0 7406 baf803 ee ebf5")  # mov si, MESSAGE; each byte to 0x3f8
ENABLE = bytes.fromhex("ba0206 b80001 ef")
WAIT = bytes.fromhex("f4 ba0006 ed f6c401 74f6")  # hlt; until the power button was pressed
OFF = bytes.fromhex("ba0406 b80020 ef")
HANG = bytes.fromhex("f4 ebfd")

kind, file = sys.argv[1:]
code = SAY + {"polite": ENABLE + WAIT + OFF, "deaf": b"", "done": OFF}[kind] + HANG
at = (0x7C00 + len(code)).to_bytes(2, "little")
code = code.replace(bytes.fromhex("be0000"), b"\xbe" + at) + MESSAGE
with open(file, "wb") as f:
    f.write(code.ljust(510, b"\0") + b"\x55\xaa")
    f.truncate(1 << 20)
