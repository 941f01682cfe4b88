#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest of 512 bytes, for a PC's BIOS: bootsector.py polite|deaf|done FILE, bootsector.py answer FILE TEXT [TEXT]

It says so on its serial console. The polite one turns itself off when its power button is pressed, the deaf one does not, and
the one that is done does at once; the one that answers writes the text on its second disk before, the second one from its second boot on. Ports as the BIOS of QEMU
sets them up: ACPI's PM1 status, enable and control at 0x600."""

import sys

MESSAGE = b"\x1b[31mguest:\x1b[0m up and \xff\r\n\0"
SAY = bytes.fromhex("31c0 8ed8 fb be0000 ac 84c0 7406 baf803 ee ebf5")  # mov si, MESSAGE; each byte to 0x3f8
ENABLE = bytes.fromhex("ba0206 b80001 ef")
WAIT = bytes.fromhex("f4 ba0006 ed f6c401 74f6")  # hlt; until the power button was pressed
OFF = bytes.fromhex("ba0406 b80020 ef")
HANG = bytes.fromhex("f4 ebfd")
# int 0x13: 16 sectors from the second one of the first disk to 0x8000, and from there to the beginning of the second disk.
COPY = bytes.fromhex("be0000 b442 b280 cd13 be0000 b80043 b281 cd13")
# And 16 from the 18th one in their place.
NEXT = bytes.fromhex("be0000 b442 b280 cd13 be0000 b80043 b280 cd13")
PACKET = bytes.fromhex("1000 1000 0080 0000")

kind, file = sys.argv[1:3]
texts = sys.argv[3:]
lbas = {0: (), 1: (1, 0), 2: (1, 0, 17, 1)}[len(texts)]
code = SAY + {"polite": ENABLE + WAIT + OFF, "deaf": b"", "done": OFF, "answer": COPY + NEXT * (len(texts) > 1) + OFF}[kind] + HANG
place = 0x7C00 + len(code)
for data in [MESSAGE] + [PACKET + lba.to_bytes(8, "little") for lba in lbas]:
    code = code.replace(bytes.fromhex("be0000"), b"\xbe" + place.to_bytes(2, "little"), 1) + data
    place += len(data)
with open(file, "wb") as f:
    f.write(code.ljust(510, b"\0") + b"\x55\xaa")
    for text in texts:
        f.write(text.encode().ljust(16 * 512, b"\0"))
    f.truncate(1 << 20)
