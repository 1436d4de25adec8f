#!/usr/bin/env python3
"""Flash and RAM of a program, from its ELF sections: what is loaded, and what lies in RAM. The heap is part of .bss.

usage: size.py PROGRAM [MOST]     fails if it takes more than so much flash
"""
import struct
import sys

data = open(sys.argv[1], "rb").read()
table, = struct.unpack_from("<I", data, 0x20)
size, count = struct.unpack_from("<HH", data, 0x2E)
flash = ram = 0
for number in range(count):
    _, kind, flags, address, _, length = struct.unpack_from("<6I", data, table + number * size)
    if not flags & 2:  # not allocated
        continue
    if kind == 1:  # has contents: in flash, and .data in RAM as well
        flash += length
    if address >= 0x2000_0000:
        ram += length
print(f"flash {flash}, RAM {ram}")
if sys.argv[2:] and flash > int(sys.argv[2]):
    sys.exit(f"that is more than {sys.argv[2]}")
