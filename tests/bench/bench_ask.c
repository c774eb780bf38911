/*
 * A small C program that asks a server for one command, with one byte, and gets one when it has
 * ended: bench_ask PORT. The server is `bench_limits serve`, on loopback. No remote command costs
 * less from its start.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    char byte = 'x';
    if (argc != 2)
        return 2;
    at.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
    return connect(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
                   setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
                   write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1
               ? 0
               : 1;
}
