#!/usr/bin/env python3
"""Passes one connection on, a few bytes at a time, as any network may.

    drip.py HOST PORT        prints the port to connect to instead
"""
import contextlib
import socket
import sys
import threading
import time


def drip(source, target):
    try:
        while data := source.recv(7):
            target.sendall(data)
            time.sleep(0.002)
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
    for sock in (here, there):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    thread = threading.Thread(target=drip, args=(here, there))
    thread.start()
    drip(there, here)
    thread.join()


if __name__ == "__main__":
    main()
