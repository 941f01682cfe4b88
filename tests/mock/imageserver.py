#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Image servers as Talos's factory, Ubuntu and Debian run them, and as they should not be: imageserver.py DIRECTORY

With $IMAGESERVER_FILE that file is what /file/... sends. Makes a CA (ca.pem) and the images in the directory, writes the ports to "ports" once it listens, and logs each request
to "log"; what was posted last is in "schematic". The first part of a path names how the server behaves: /ok/..., /truncated/... The images are real ones, in
real formats; xz(1) makes those of several blocks.
"""

import datetime
import hashlib
import http.server
import io
import json
import lzma
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import zlib

MIB = 1024 * 1024
SCHEMATIC = hashlib.sha256(b"gpuvm").hexdigest()
EXTENSIONS = ["nvidia-open-gpu-kernel-modules-lts", "nvidia-container-toolkit-lts", "qemu-guest-agent"]
IMAGE = "ubuntu-25.10-server-cloudimg-amd64.img"
DEBIAN = "debian-13-generic-amd64.qcow2"

directory = os.path.abspath(sys.argv[1])
lock = threading.Lock()
count = {}  # requests for images, by behaviour


def path(name):
    return os.path.join(directory, name)


# --- images

def noise(n, seed):
    """Bytes that do not compress, the same each time."""
    out = io.BytesIO()
    block = seed
    while out.tell() < n:
        block = hashlib.sha512(block).digest()
        out.write(block)
    return out.getvalue()[:n]


def make_raw():
    """8 MiB: data, a hole, data, and a hole at the end."""
    return noise(MIB, b"a") + bytes(3 * MIB) + noise(MIB + 4096, b"b") + bytes(3 * MIB - 4096)


def make_qcow2(size=64 * MIB, backing=b"", features=0, extension=b"", tail=b""):
    backing_at = 4096 if backing else 0
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, backing_at, len(backing), 16, size, 0,
                       max(1, size >> 29), 65536, 131072, 1, 0, 0)
    head += struct.pack(">QQQII", features, 0, 0, 4, 104)
    head += extension + struct.pack(">II", 0, 0)
    head = head.ljust(4096, b"\0") + backing
    return head.ljust(65536, b"\0") + noise(2 * MIB, b"q") + tail


def xz(data):
    return subprocess.run(["xz", "-1", "-T2", "--block-size=1MiB", "-c"], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def memory_bomb(data):
    """A block whose header asks for a dictionary of 3 GiB."""
    b = bytearray(lzma.compress(data, preset=0))
    size = (b[12] + 1) * 4
    b[16] = 39  # LZMA2's property: 40 is 4 GiB - 1
    b[12 + size - 4:12 + size] = struct.pack("<I", zlib.crc32(bytes(b[12:12 + size - 4])))
    return bytes(b)


raw = make_raw()
images = {
    "raw.xz": xz(raw),
    "qcow2": make_qcow2(),
    "bomb": lzma.compress(bytes(200 * MIB), preset=0),
    "memory": memory_bomb(raw),
}
bodies = {
    # behaviour: what its image is
    "flip": images["raw.xz"][:MIB] + bytes([images["raw.xz"][MIB] ^ 4]) + images["raw.xz"][MIB + 1:],
    "bomb": images["bomb"],
    "memory": images["memory"],
    "twice": images["raw.xz"] * 2,
    "garbage": images["raw.xz"] + b"garbage",
    "cut": images["raw.xz"][:-4000],
    "notxz": raw,
    "page": b"<html>Log in to the network first</html>",
    "odd": xz(raw + b"x"),
    "empty": b"",
    "backing": make_qcow2(backing=b"/etc/shadow"),
    "datafile": make_qcow2(features=4),
    "dataname": make_qcow2(extension=struct.pack(">II", 0x44415441, 8) + b"/etc/foo"),
    "unknown": make_qcow2(features=1 << 40),
    "huge": make_qcow2(size=1 << 60),
    "small": images["qcow2"][:100],
    "newer": make_qcow2(tail=b"newer"),
}


def body_of(mode, kind):
    return bodies.get(mode, images["raw.xz" if kind == "raw" else "qcow2"])


# --- answers

def sums(mode, name, function):
    listed = body_of(mode, "qcow2")
    if mode == "othersum":
        listed = b"something else"
    text = f"{function(b'other').hexdigest()} *other.img\n{function(listed).hexdigest()} *{name}\n"
    if mode == "nosum":
        text = f"{function(b'other').hexdigest()} *other.img\n"
    if mode == "shortsum":
        text = f"{hashlib.md5(listed).hexdigest()} *{name}\n"
    if mode == "twosums":
        text += f"{function(b'x').hexdigest()} *{name}\n"
    return text.encode()


JSON = {
    # behaviour: path: answer
    "badid": {"/schematics": {"id": "../../../../etc/passwd"}},
    "deep": {"/versions": "[" * 100000},
    "nojson": {"/versions": "<html>", "/releases/latest": "<html>"},
    "prerelease": {"/releases/latest": {"tag_name": "v1.14.0-rc.1"}},
    "notalos": {"/versions": ["rubbish", "v1.99.0-alpha.1", 7]},
    "less": {f"/version/v1.13.9/extensions/official": [{"name": "siderolabs/qemu-guest-agent"}]},
    "bigjson": {"/versions": "[" + '"v1.0.0",' * 300000 + '"v1.0.0"]'},
}


def answer(mode, what):
    """What the factory says, or None for what is no question to it."""
    special = JSON.get(mode, {}).get(what)
    if special is not None:
        return (special if isinstance(special, str) else json.dumps(special)).encode()
    if what == "/versions":
        return json.dumps(["v1.9.0", "v1.14.0-rc.1", "v1.13.9", "v1.13.10", "v1.13.8"]).encode()
    if what == "/versions?broken=true":
        return json.dumps(["v1.13.10"]).encode()
    if what == "/releases/latest":  # GitHub's
        return json.dumps({"tag_name": "v1.13.8", "prerelease": False}).encode()
    if what.startswith("/version/"):
        return json.dumps([{"name": "siderolabs/" + n} for n in EXTENSIONS]).encode()
    if what == "/schematics":
        return json.dumps({"id": SCHEMATIC}).encode()
    if what.endswith("/SHA256SUMS"):
        return sums(mode, IMAGE, hashlib.sha256)
    if what.endswith("/SHA512SUMS"):
        return sums(mode, DEBIAN, hashlib.sha512)
    if what.endswith(".gpg"):
        return b"good" if mode != "badsignature" else b"bad"
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def start(self, status, length=None, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def write(self, data):
        self.wfile.write(data)
        self.wfile.flush()

    def do_POST(self):
        with open(path("schematic"), "wb") as posted:
            posted.write(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.do_GET()

    def do_GET(self):
        parts = self.path.split("/", 2)
        mode, what = parts[1], "/" + (parts[2] if len(parts) > 2 else "")
        with lock:
            with open(path("log"), "a") as log:
                log.write(f"{self.command} {self.path} {self.headers.get('Range', '-')}\n")
        if mode == "dead" or (mode == "old" and what == "/versions"):
            return self.start(503, 0)
        said = answer(mode, what)
        if said is not None:
            self.start(201 if self.command == "POST" else 200, len(said))
            return self.write(said)
        with lock:
            count[mode] = n = count.get(mode, 0) + 1
        self.image(mode, body_of(mode, "raw" if ".raw" in what else "qcow2"), n)

    def close(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def image(self, mode, body, n):
        behave = getattr(self, "do_" + mode, None)
        if behave:
            behave(body, n)
        else:
            self.start(200, len(body), ETag='"1"')
            self.write(body)

    # One function for each behaviour that is in the manner and not in the bytes.

    def do_truncated(self, body, n):
        self.start(200, len(body))
        self.write(body[:MIB])
        self.close()

    def do_closing(self, body, n):
        """Always the same part, however often it is asked."""
        at = self.range_start()
        if at:
            self.start(206, len(body) - at, ETag='"1"', Content_Range=f"bytes {at}-{len(body) - 1}/{len(body)}")
        else:
            self.start(200, len(body), ETag='"1"')
        self.write(body[at:at + 10])
        self.close()

    def do_chunks(self, body, n):
        """Chunks that end without the last one."""
        self.start(200, Transfer_Encoding="chunked")
        self.write(b"%x\r\n" % MIB + body[:MIB] + b"\r\n")
        self.close()

    def do_short(self, body, n):
        self.start(200, len(body) - 5000, ETag='"1"')
        self.write(body[:-5000])
        self.close()

    def do_slow(self, body, n):
        self.start(200, len(body), ETag='"1"')
        for i in range(200):
            self.write(body[i:i + 1])
            time.sleep(0.2)

    def do_stall(self, body, n):
        self.start(200, len(body), ETag='"1"')
        self.write(body[:MIB])
        time.sleep(60)

    def do_slowheaders(self, body, n):
        self.write(b"HTTP/1.1 200 OK\r\n")
        for i in range(100):
            self.write(b"X")
            time.sleep(0.5)

    def do_headers(self, body, n):
        self.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(200)) + b"\r\n")

    def do_endless(self, body, n):
        self.start(200, Transfer_Encoding="chunked")
        self.write(b"%x\r\n" % len(body) + body + b"\r\n")
        piece = b"%x\r\n" % MIB + noise(MIB, b"e") + b"\r\n"
        for i in range(1000):
            self.write(piece)

    def do_announced(self, body, n):
        self.start(200, 1 << 50)
        self.write(body)

    def do_nonsense(self, body, n):
        self.write(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n")

    def do_tohttp(self, body, n):
        self.start(302, 0, Location=f"http://localhost:{ports['plain']}/ok/x.raw.xz")

    def do_tofile(self, body, n):
        self.start(302, 0, Location="file:///etc/passwd")

    def do_toftp(self, body, n):
        self.start(302, 0, Location="ftp://localhost/x")

    def do_tometadata(self, body, n):
        self.start(302, 0, Location="https://169.254.169.254/latest/meta-data")

    def do_loop(self, body, n):
        self.start(302, 0, Location=self.path)

    def do_missing(self, body, n):
        self.start(404, 9)
        self.write(b"not here\n")

    def do_broken(self, body, n):
        self.start(500, 14)
        self.write(b"\x1b[2Jout of luck"[:14])

    def do_part(self, body, n):
        """A part that nobody asked for."""
        self.start(206, 100, Content_Range=f"bytes 50-149/{len(body)}")
        self.write(body[50:150])

    def do_changed(self, body, n):
        """Another build by the time the connection is taken up."""
        self.start(200, len(body), ETag=f'"{n}"')
        self.write(body[:MIB] if n == 1 else body)
        self.close()

    def do_elsewhere(self, body, n):
        at = self.range_start()
        if not at:
            self.start(200, len(body), ETag='"1"')
            self.write(body[:MIB])
        else:
            self.start(206, len(body), ETag='"1"', Content_Range=f"bytes 0-{len(body) - 1}/{len(body)}")
            self.write(body)
        self.close()

    # Good ones.

    def range_start(self):
        value = self.headers.get("Range", "")
        return int(value[6:-1]) if value.startswith("bytes=") and value.endswith("-") else 0

    def do_resume(self, body, n):
        """Breaks twice; goes on where it was."""
        at = self.range_start()
        if at and self.headers.get("If-Range") == '"1"':
            self.start(206, len(body) - at, ETag='"1"', Content_Range=f"bytes {at}-{len(body) - 1}/{len(body)}")
        else:
            at = 0
            self.start(200, len(body), ETag='"1"')
        self.write(body[at:] if n >= 3 else body[at:at + 700000])
        self.close()

    def do_busy(self, body, n):
        """Has no time at first."""
        if n < 2:
            self.start(503, 0)
        else:
            self.start(200, len(body), ETag='"1"')
            self.write(body)

    def do_file(self, body, n):
        """A big one, for measurements: $IMAGESERVER_FILE."""
        with open(os.environ["IMAGESERVER_FILE"], "rb") as f:
            self.start(200, os.fstat(f.fileno()).st_size, ETag='"1"')
            while data := f.read(MIB):
                self.wfile.write(data)

    def do_redirect(self, body, n):
        self.start(302, 0, Location=f"https://localhost:{ports['good']}/ok{self.path[len('/redirect'):]}")

    def do_gentle(self, body, n):
        """In pieces, with time to be killed or waited for in between."""
        self.start(200, len(body), ETag='"1"')
        for i in range(0, len(body), 300000):
            self.write(body[i:i + 300000])
            time.sleep(0.15)


# --- certificates and sockets

def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificate(name, host, days="2", ca="ca"):
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={host}",
            "-keyout", path(f"{name}.key"), "-out", path(f"{name}.csr"))
    with open(path(f"{name}.ext"), "w") as f:
        f.write(f"subjectAltName=DNS:{host}\n")
    signer = ["-CA", path(f"{ca}.pem"), "-CAkey", path(f"{ca}.key"), "-CAcreateserial"] if ca else \
        ["-signkey", path(f"{name}.key")]
    openssl("x509", "-req", "-in", path(f"{name}.csr"), *signer, "-days", days, "-extfile", path(f"{name}.ext"),
            "-out", path(f"{name}.pem"))


def make_expired():
    """Signed by the CA, good until yesterday: x509 -days takes no past, ca does."""
    make_certificate("expired", "localhost")
    open(path("index.txt"), "w").close()
    with open(path("ca.cnf"), "w") as f:
        f.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={path('index.txt')}\nserial={path('serial')}\n"
                f"new_certs_dir={directory}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
    with open(path("serial"), "w") as f:
        f.write("1000\n")
    now = datetime.datetime.utcnow()
    start, end = ((now - datetime.timedelta(days=n)).strftime("%y%m%d%H%M%SZ") for n in (9, 1))
    openssl("ca", "-batch", "-config", path("ca.cnf"), "-cert", path("ca.pem"), "-keyfile", path("ca.key"), "-in",
            path("expired.csr"), "-out", path("expired.pem"), "-notext", "-startdate", start, "-enddate", end,
            "-extfile", path("expired.ext"))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context = None

    def handle_error(self, request, client_address):
        pass

    def finish_request(self, request, client_address):
        """The handshake is the thread's, not the listener's."""
        if self.context:
            request.settimeout(60)
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        try:
            request.close()
        except OSError:
            pass


def serve(certificate, oldest=False):
    server = Server(("127.0.0.1", 0), Handler)
    if certificate:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(path(f"{certificate}.pem"), path(f"{certificate}.key"))
        if oldest:
            server.context.set_ciphers("ALL:@SECLEVEL=0")
            server.context.minimum_version = ssl.TLSVersion.TLSv1
            server.context.maximum_version = ssl.TLSVersion.TLSv1_1
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test CA",
        "-days", "3", "-keyout", path("ca.key"), "-out", path("ca.pem"))
make_certificate("good", "localhost")
make_certificate("other", "other.example")
make_certificate("self", "localhost", ca=None)
make_expired()
for name in ("raw.xz", "qcow2"):
    with open(path(name), "wb") as f:
        f.write(images[name])
with open(path("raw"), "wb") as f:
    f.write(raw)
ports = {"good": serve("good"), "other": serve("other"), "self": serve("self"), "expired": serve("expired"),
         "oldtls": serve("good", oldest=True), "plain": serve(None)}
with open(path("ports.new"), "w") as f:
    f.writelines(f"{name}={port}\n" for name, port in ports.items())
os.rename(path("ports.new"), path("ports"))
while True:
    time.sleep(3600)
