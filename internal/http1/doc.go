// Package http1 reads and writes HTTP/1.0 and HTTP/1.1 messages (RFC 9112, RFC 9110), for both sides of a gateway:
// requests from clients and responses from upstreams.
//
// It exists for two reasons. Speed: a message is parsed in one pass inside a pooled buffer, every string handed out is a
// view into that buffer, a small body that arrived with its head is exposed without copying, and an ordinary message
// allocates nothing. Strictness: two parsers that disagree about where a message ends are a request smuggling hole, so
// whatever RFC 9112 leaves to the reader's taste is an error here ([ParseError]) and never a guess. After such an error
// the Reader is poisoned: the only thing left to do is to answer with ParseError.Status and to close the connection.
//
// # Lifetime of views
//
// Strings and header lists of a [Request] or [Response] stay valid while its body is read, and until the next ReadRequest,
// ReadResponse, Wait, Reset or Release on the same Reader. Slices returned by [Body.Next] live until the next call on the
// body. Whoever keeps anything longer clones it. Builds with -race overwrite released buffers, so that a view that is
// kept too long shows up in tests.
//
// # What is decided here where the RFCs leave a choice
//
//   - A line ends with CRLF. A bare LF, a bare CR and line folding are refused (RFC 9112 section 2.2 allows leniency).
//   - One empty line before a request line is skipped (section 2.2), a second one is refused.
//   - A field name is a token followed at once by a colon. A name that turns into Content-Length or Transfer-Encoding
//     when "_" is read as "-" is refused: CGI-like servers (WSGI, PHP, Rack) cannot tell the two spellings apart.
//   - One Content-Length line with digits only; a repeated one is refused even if equal. No tab around it.
//   - One Transfer-Encoding line that says exactly "chunked", only in HTTP/1.1. Another coding before a final "chunked"
//     is 501, everything else 400. Content-Length beside Transfer-Encoding is refused.
//   - Exactly one Host in HTTP/1.1 (at most one in 1.0), not empty, no user information, no empty port. With an
//     absolute-form or authority-form target it must name the same authority, or the request is refused: RFC 9112 section
//     3.2.2 lets the target win, but then two servers in a row may serve two hosts.
//   - Targets hold visible ASCII only, no fragment; characters outside RFC 3986 are tolerated in the query alone.
//   - Chunk sizes are 1 to 16 hexadecimal digits; extensions are checked, bounded and dropped; a trailer that would change
//     framing or routing is refused, other forbidden trailer fields are dropped.
//   - HTTP/0.9, HTTP/1.2 and above are refused; the HTTP/2 preface is told apart ([ErrHTTP2Preface]).
package http1
