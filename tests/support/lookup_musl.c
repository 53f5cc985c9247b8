/* The addresses of a name by getaddrinfo, one a line; built with musl's C library. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char text[INET6_ADDRSTRLEN];

    if (argc != 2)
        return 2;
    int failure = getaddrinfo(argv[1], NULL, &hints, &found);
    if (failure) {
        fprintf(stderr, "%s\n", gai_strerror(failure));
        return 1;
    }
    for (struct addrinfo *each = found; each; each = each->ai_next) {
        const void *address = each->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)each->ai_addr)->sin_addr
                                                         : (void *)&((struct sockaddr_in6 *)each->ai_addr)->sin6_addr;
        puts(inet_ntop(each->ai_family, address, text, sizeof text));
    }
    return 0;
}
