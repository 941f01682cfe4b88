#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Archives for a guest in namespaces without a way out: aptproxy.py outside SOCKET, aptproxy.py inside SOCKET ADDRESS PORT,
aptproxy.py files DIRECTORY ADDRESS CERTIFICATE

Inside it is a web server that has whatever the host that is asked for has; outside, apt fetches that its own way. With files it
has the directory, by https; the certificate's file has its key as well."""

import functools
import http.server
import os
import socketserver
import socket
import ssl
import subprocess
import sys
import tempfile

HELPER = "/usr/lib/apt/apt-helper"


class Outside(socketserver.StreamRequestHandler):
    def handle(self):
        path = self.rfile.readline().decode().strip()
        with tempfile.TemporaryDirectory() as d:
            os.chmod(d, 0o777)
            file = os.path.join(d, "file")
            done = subprocess.run([HELPER, "download-file", "http://" + path, file], stdout=subprocess.DEVNULL)
            if done.returncode != 0 or not os.path.exists(file):
                self.wfile.write(b"-1\n")
                return
            self.wfile.write(b"%d\n" % os.path.getsize(file))
            with open(file, "rb") as f:
                while data := f.read(1 << 16):
                    self.wfile.write(data)


class Inside(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(sys.argv[2])
            s.sendall(self.headers["Host"].encode() + self.path.encode() + b"\n")
            answer = s.makefile("rb")
            left = int(answer.readline())
            self.send_response(404 if left < 0 else 200)
            self.send_header("Content-Length", str(max(left, 0)))
            self.end_headers()
            while left > 0:
                data = answer.read(min(left, 1 << 16))
                if not data:
                    break
                left -= len(data)
                self.wfile.write(data)


class Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # apt takes a TLS connection's end without a goodbye for an error


if sys.argv[1] == "outside":
    socketserver.ThreadingUnixStreamServer(sys.argv[2], Outside).serve_forever()
if sys.argv[1] == "files":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4])
    server = http.server.ThreadingHTTPServer((sys.argv[3], 443), functools.partial(Files, directory=sys.argv[2]))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
http.server.ThreadingHTTPServer((sys.argv[3], int(sys.argv[4])), Inside).serve_forever()
