/* What cannot be beaten: receive, decode the base64 with SIMD, write the file. Nothing else.
 *
 *   cc -O3 -o limit limit.c                          # plain HTTP
 *   cc -O3 -DTLS -o limit limit.c -lssl -lcrypto     # and TLS
 *   ./limit PORT N AT_ONCE FOLDER plain|stream|tls
 *
 * One thread, one epoll, one buffer. It trusts the server blindly: no parsing, no checks, no hash.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif
#ifdef TLS
#include <openssl/ssl.h>
#endif

enum { BUFFER = 256 * 1024, HEAD, SIZE, BODY, SKIP, IMAGE };
static const char ASK[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"prompt\"}],"
                          "\"modalities\":[\"image\",\"text\"],\"stream\":%s}";

struct connection {
    int fd, file, state, in_image, n_line, n_mark;
    unsigned n_held;
    long left;               /* of the body, or of the chunk */
    int is_chunked, is_last; /* is_last: the chunk of length 0 */
    char line[1024], held[8];
#ifdef TLS
    SSL *ssl;
#endif
};

static int n_left, n_begun, n_ended, is_tls, poller;
static char request[1024], *folder;
static int request_length;
static unsigned char table[256];
static uint8_t decoded[BUFFER];

#ifdef __x86_64__
/* 32 characters to 24 bytes at a time, after W. Mula, http://0x80.pl/notesen/2016-01-17-sse-base64-decoding.html */
__attribute__((target("avx2"))) static size_t simd(const char *in, size_t n, uint8_t *out) {
    const __m256i roll = _mm256_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 19, 4, -65,
                                          -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i pack = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2, 1, 0, 6, 5, 4, 10,
                                          9, 8, 14, 13, 12, -1, -1, -1, -1);
    size_t i = 0;
    for (; i + 48 <= n; i += 32, out += 24) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(in + i));
        __m256i high = _mm256_and_si256(_mm256_srli_epi32(v, 4), _mm256_set1_epi8(0x0F));
        __m256i slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('/'));
        v = _mm256_add_epi8(v, _mm256_shuffle_epi8(roll, _mm256_add_epi8(slash, high)));
        v = _mm256_maddubs_epi16(v, _mm256_set1_epi32(0x01400140));
        v = _mm256_madd_epi16(v, _mm256_set1_epi32(0x00011000));
        v = _mm256_shuffle_epi8(v, pack);
        v = _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, -1, -1));
        _mm256_storeu_si256((__m256i *)out, v);
    }
    return i;
}
#endif

static size_t decode(const char *in, size_t n, uint8_t *out) { /* n: a multiple of 4 */
    uint8_t *start = out;
    size_t i = 0;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        i = simd(in, n, out);
        out += i / 4 * 3;
    }
#endif
    for (; i < n; i += 4, out += 3) {
        uint32_t v = table[(uint8_t)in[i]] << 18 | table[(uint8_t)in[i + 1]] << 12 | table[(uint8_t)in[i + 2]] << 6 |
                     table[(uint8_t)in[i + 3]];
        out[0] = v >> 16, out[1] = v >> 8, out[2] = v;
    }
    if (n && in[n - 1] == '=') out--;
    if (n > 1 && in[n - 2] == '=') out--;
    return out - start;
}

static void put(struct connection *c, const char *text, size_t n) {
    size_t n_bytes = decode(text, n, decoded);
    if (write(c->file, decoded, n_bytes) != (ssize_t)n_bytes) { perror("write"); exit(1); }
}

static void image(struct connection *c, const char *text, size_t n) {
    unsigned held = c->n_held & 3;
    while (held && held < 4 && n) c->held[held++] = *text++, n--;
    c->n_held = held;
    if (held == 4) put(c, c->held, 4);
    else if (held) return;
    put(c, text, n / 4 * 4);
    c->n_held = n % 4;
    memcpy(c->held, text + n / 4 * 4, c->n_held);
}

static void body(struct connection *c, const char *text, size_t n) {
    static const char mark[] = "base64,";
    while (n) {
        if (!c->in_image) { /* the mark may be split */
            while (n && c->n_mark < 7) {
                c->n_mark = *text == mark[c->n_mark] ? c->n_mark + 1 : *text == 'b';
                text++, n--;
            }
            if (c->n_mark < 7) return;
            char name[512];
            snprintf(name, sizeof name, "%s/%d.png", folder, n_begun++);
            c->file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
            c->in_image = 1, c->n_mark = 0, c->n_held = 0;
        }
        const char *end = memchr(text, '"', n);
        size_t here = end ? (size_t)(end - text) : n;
        image(c, text, here);
        text += here, n -= here;
        if (!end) return;
        close(c->file);
        c->in_image = 0;
    }
}

static int push(struct connection *c) {
#ifdef TLS
    if (is_tls) return SSL_write(c->ssl, request, request_length) > 0;
#endif
    return write(c->fd, request, request_length) == request_length;
}

static void ask(struct connection *c) {
    c->state = HEAD, c->n_line = 0, c->left = 0, c->is_chunked = c->is_last = c->n_mark = 0;
    if (n_left-- > 0 && !push(c)) { fprintf(stderr, "cannot send\n"); exit(1); }
}

static void line_over(struct connection *c) {
    char *line = c->line;
    line[c->n_line] = 0;
    if (c->state == HEAD) {
        if (!strncasecmp(line, "content-length:", 15)) c->left = atol(line + 15);
        if (!strncasecmp(line, "transfer-encoding:", 18)) c->is_chunked = 1;
        if (c->n_line == 0) c->state = c->is_chunked ? SIZE : BODY;
    } else if (c->state == SIZE) {
        c->left = strtol(line, NULL, 16), c->is_last = c->left == 0;
        c->state = c->is_last ? SKIP : BODY;
    } else if (c->is_last) {
        n_ended++, ask(c);
    } else {
        c->state = SIZE;
    }
    c->n_line = 0;
}

static void feed(struct connection *c, const char *text, size_t n) {
    while (n) {
        if (c->state == BODY) {
            size_t here = n < (size_t)c->left ? n : (size_t)c->left;
            body(c, text, here);
            text += here, n -= here, c->left -= here;
            if (c->left) return;
            if (c->is_chunked) c->state = SKIP;
            else n_ended++, ask(c);
        } else {
            char one = *text++;
            n--;
            if (one == '\n') line_over(c);
            else if (one != '\r' && c->n_line < 1023) c->line[c->n_line++] = one;
        }
    }
}

static ssize_t pull(struct connection *c, char *buffer) {
#ifdef TLS
    if (is_tls) {
        int n = SSL_read(c->ssl, buffer, BUFFER);
        if (n > 0) return n;
        return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? -1 : 0;
    }
#endif
    return recv(c->fd, buffer, BUFFER, 0);
}

static void start(struct connection *c, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) { perror("connect"); exit(1); }
#ifdef TLS
    if (is_tls) {
        static SSL_CTX *context;
        if (!context) context = SSL_CTX_new(TLS_client_method());
        c->ssl = SSL_new(context);
        SSL_set_fd(c->ssl, c->fd);
        if (SSL_connect(c->ssl) != 1) { fprintf(stderr, "no TLS\n"); exit(1); }
    }
#endif
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
    ask(c);
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int port = atoi(argv[1]), n = atoi(argv[2]), at_once = atoi(argv[3]);
    folder = argv[4], n_left = n, is_tls = !strcmp(argv[5], "tls");
#ifndef TLS
    if (is_tls) return 2;
#endif
    for (int i = 0; i < 64; i++)
        table[(uint8_t) "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[i]] = i;
    char asked[512];
    int length = snprintf(asked, sizeof asked, ASK, strcmp(argv[5], "stream") ? "false" : "true");
    request_length = snprintf(request, sizeof request,
                              "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                              "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                              length, asked);
    poller = epoll_create1(0);
    if (at_once > n) at_once = n;
    struct connection *all = calloc(at_once, sizeof *all);
    for (int i = 0; i < at_once; i++) start(&all[i], port);
    static char buffer[BUFFER];
    struct epoll_event ready[64];
    while (n_ended < n) {
        int n_ready = epoll_wait(poller, ready, 64, -1);
        for (int i = 0; i < n_ready; i++) {
            struct connection *c = ready[i].data.ptr;
            ssize_t got = pull(c, buffer);
            if (got == 0) { fprintf(stderr, "the server closed\n"); return 1; }
            for (; got > 0; got = is_tls ? pull(c, buffer) : -1) feed(c, buffer, got);
        }
    }
    return 0;
}
