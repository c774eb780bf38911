#!/usr/bin/python3
"""The server that a socket course ends with, and its client: a length, a JSON header, a payload; HMAC of a challenge.

    course.py serve PORT SECRET-FILE
    course.py run PORT SECRET-FILE COMMAND              one command, a connection for it
    course.py many PORT SECRET-FILE COMMAND N J         N times, on J connections (a connection runs one at a time);
                                                        the seconds that it took

It is what the benchmarks compare with, not something to use: nothing is encrypted.
"""

import hmac
import json
import os
import pathlib
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time


def receive(sock, size):
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def send_message(sock, header, payload=b""):
    head = json.dumps(dict(header, size=len(payload))).encode()
    sock.sendall(struct.pack(">I", len(head)) + head + payload)


def receive_message(sock):
    header = json.loads(receive(sock, struct.unpack(">I", receive(sock, 4))[0]))
    return header, receive(sock, header["size"])


def response(secret, challenge):
    return hmac.new(secret, challenge, "sha256").hexdigest()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            challenge = os.urandom(32)
            send_message(self.request, {"type": "challenge"}, challenge)
            header, _ = receive_message(self.request)
            if not hmac.compare_digest(header["response"], response(self.server.secret, challenge)):
                return
            send_message(self.request, {"type": "welcome"})
            while True:
                header, _ = receive_message(self.request)
                done = subprocess.run(header["command"], shell=True, capture_output=True, stdin=subprocess.DEVNULL,
                                      check=False)
                send_message(self.request, {"code": done.returncode, "stdout": len(done.stdout)},
                             done.stdout + done.stderr)
        except (EOFError, ConnectionError):
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(port, secret):
    with Server(("127.0.0.1", int(port)), Handler) as server:
        server.secret = secret
        server.serve_forever()


def connect(port, secret):
    sock = socket.create_connection(("127.0.0.1", int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _, challenge = receive_message(sock)
    send_message(sock, {"response": response(secret, challenge)})
    receive_message(sock)
    return sock


def ask(sock, command):
    send_message(sock, {"command": command})
    header, payload = receive_message(sock)
    return header["code"], payload[:header["stdout"]], payload[header["stdout"]:]


def many(port, secret, command, count, jobs):
    socks = [connect(port, secret) for _ in range(jobs)]

    def work(sock, share):
        for _ in range(share):
            if ask(sock, command)[0] != 0:
                os._exit(1)

    threads = [threading.Thread(target=work, args=(sock, count // jobs)) for sock in socks]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{time.perf_counter() - begin:.9f} {count // jobs * jobs}")


def main():
    verb, port, secret = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]).read_bytes()
    if verb == "serve":
        serve(port, secret)
    elif verb == "many":
        many(port, secret, sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
    else:
        code, out, err = ask(connect(port, secret), sys.argv[4])
        sys.stdout.buffer.write(out)
        sys.stderr.buffer.write(err)
        sys.exit(code)


if __name__ == "__main__":
    main()
