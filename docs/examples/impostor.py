#!/usr/bin/env python3
"""A server without any key: answers with random bytes in place of a proof, and shows what it is told then.

    impostor.py              prints the port to connect to
"""
import os
import socket
import struct


def receive(sock, n):
    data = b""
    while len(data) < n and (piece := sock.recv(n - len(data))):
        data += piece
    return data


def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        sock, _ = listener.accept()
    suite = receive(sock, 88)[7]
    sock.sendall(b"rexc" + bytes([2, 1, suite, 0]) + os.urandom(32) + bytes(32) + os.urandom(32))
    if len(receive(sock, 40)) < 40:
        print("impostor: the client went away and told me nothing")
        return
    payload = receive(sock, int.from_bytes(receive(sock, 4), "big"))[:-32]
    n = struct.unpack(">BBHI", payload[:8])[2]
    print("impostor: the client wants to run:", payload[8 + n + 5:-40].decode())


if __name__ == "__main__":
    main()
