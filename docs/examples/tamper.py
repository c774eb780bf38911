#!/usr/bin/env python3
"""Passes one connection on, and changes what the server says: each `hello` becomes `jello`.

    tamper.py HOST PORT      prints the port to connect to instead
"""
import contextlib
import socket
import sys
import threading


def pass_on(source, target, change):
    try:
        while data := source.recv(65536):
            target.sendall(change(data))
        target.shutdown(socket.SHUT_WR)
    except OSError:                                  # one side has gone: so must the other
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        here, _ = listener.accept()
    there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    thread = threading.Thread(target=pass_on, args=(here, there, lambda data: data))
    thread.start()
    pass_on(there, here, lambda data: data.replace(b"hello", b"jello"))
    thread.join()


if __name__ == "__main__":
    main()
