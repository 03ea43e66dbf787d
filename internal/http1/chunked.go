package http1

import (
	"bytes"

	"postern/internal/header"
)

// nextChunk reads the CRLF behind the last chunk and the head of the next one; after the last chunk, the trailer section
// (RFC 9112 section 7.1). Then left is positive or done is true.
func (b *Body) nextChunk() error {
	r := b.r
	if b.inside {
		for r.w-r.r < 2 {
			if r.r < r.w && r.buf[r.r] != '\r' {
				break
			}
			if err := b.refill(0); err != nil {
				return err
			}
		}
		if r.buf[r.r] != '\r' || r.buf[r.r+1] != '\n' {
			return r.fail(BadChunk, 400, "the data of a chunk is not followed by CRLF")
		}
		r.r += 2
		b.inside = false
	}
	size, err := b.chunkHead()
	if err != nil {
		return err
	}
	b.left = size
	if size > 0 {
		return nil
	}
	return b.readTrailer()
}

// chunkHead reads chunk-size [chunk-ext] CRLF.
func (b *Body) chunkHead() (int64, error) {
	r := b.r
	const digits = 16
	for scanned := 0; ; {
		p := r.buf[r.r:r.w]
		if i := bytes.IndexByte(p[scanned:], '\n'); i >= 0 {
			line := p[:scanned+i]
			r.r += len(line) + 1
			return b.chunkLine(line)
		}
		if scanned = len(p); scanned > digits+r.limits.ExtensionBytes+1 {
			return 0, b.chunkHeadTooLong(p)
		}
		if err := b.refill(0); err != nil {
			return 0, err
		}
	}
}

func (b *Body) chunkHeadTooLong(p []byte) error {
	if i := bytes.IndexByte(p, ';'); i < 0 || i > 16 {
		return b.r.fail(BadChunk, 400, "the size of a chunk is not a hexadecimal number of 1 to 16 digits")
	}
	return b.r.fail(ChunkExtensions, 413, "the extensions of a chunk are longer than %d bytes", b.r.limits.ExtensionBytes)
}

// chunkLine parses a chunk head that ends with CR (the LF is cut off).
func (b *Body) chunkLine(line []byte) (int64, error) {
	r := b.r
	if len(line) > 16+r.limits.ExtensionBytes+1 {
		return 0, b.chunkHeadTooLong(line)
	}
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return 0, r.fail(BadLineEnding, 400, "the size of a chunk ends with a bare LF instead of CRLF")
	}
	line = line[:len(line)-1]
	size, i := uint64(0), 0
	for ; i < len(line) && class[line[i]]&hexByte != 0; i++ {
		if i == 16 {
			return 0, r.fail(BadChunk, 400, "the size of a chunk has more than 16 digits")
		}
		c := line[i]
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c&^0x20 - 'A' + 10
		}
		size = size<<4 | uint64(c)
	}
	if i == 0 || size>>63 != 0 {
		return 0, r.fail(BadChunk, 400, "the size of a chunk is not a hexadecimal number below 2^63")
	}
	if i == len(line) {
		return int64(size), nil
	}
	ext := line[i:]
	if ext[0] != ';' {
		return 0, r.fail(BadChunk, 400, "the size of a chunk is followed by byte 0x%02x", ext[0])
	}
	b.extra += int64(len(ext))
	if len(ext) > r.limits.ExtensionBytes || b.extra > 16*int64(r.limits.ExtensionBytes)+b.count {
		return 0, r.fail(ChunkExtensions, 413, "the body has too many bytes of chunk extensions")
	}
	if !validExtensions(ext) {
		return 0, r.fail(BadChunk, 400, "the extensions of a chunk are malformed")
	}
	return int64(size), nil
}

// validExtensions checks *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) (RFC 9112 section 7.1.1). The
// first byte is ";".
func validExtensions(p []byte) bool {
	i := 0
	blanks := func() {
		for i < len(p) && (p[i] == ' ' || p[i] == '\t') {
			i++
		}
	}
	token := func() bool {
		start := i
		for i < len(p) && class[p[i]]&tokenByte != 0 {
			i++
		}
		return i > start
	}
	for i < len(p) {
		if p[i] != ';' {
			return false
		}
		i++
		blanks()
		if !token() {
			return false
		}
		end := i
		blanks()
		if i == len(p) {
			return i == end // white space at the end of the line belongs to nothing
		}
		if p[i] != '=' {
			continue
		}
		i++
		blanks()
		if i < len(p) && p[i] == '"' {
			if i = quotedEnd(p, i); i < 0 {
				return false
			}
		} else if !token() {
			return false
		}
		end = i
		blanks()
		if i == len(p) {
			return i == end
		}
	}
	return true
}

// quotedEnd returns the index behind the quoted-string that starts at p[i], or -1 (RFC 9110 section 5.6.4).
func quotedEnd(p []byte, i int) int {
	for i++; i < len(p); i++ {
		switch {
		case p[i] == '"':
			return i + 1
		case class[p[i]]&valueByte == 0:
			return -1
		case p[i] == '\\':
			if i++; i == len(p) || class[p[i]]&valueByte == 0 {
				return -1
			}
		}
	}
	return -1
}

func trailerTooLarge(r *Reader) error {
	return r.fail(FieldsTooLarge, 431, "the trailer section is longer than %d bytes", r.limits.TrailerBytes)
}

// readTrailer reads the trailer section with its final empty line and ends the body.
func (b *Body) readTrailer() error {
	r, size := b.r, 0
	for number := 1; ; number++ {
		line, err := r.line(min(r.limits.FieldBytes, r.limits.TrailerBytes-size), trailerTooLarge)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			b.done = true
			return nil
		}
		if size += len(line) + 2; size > r.limits.TrailerBytes {
			return trailerTooLarge(r)
		}
		if number > r.limits.TrailerCount {
			return r.fail(FieldsTooLarge, 431, "there are more than %d trailer fields", r.limits.TrailerCount)
		}
		field, _, err := r.field(line, number)
		if err != nil {
			return err
		}
		if dangerousTrailer(field.Name) {
			return r.fail(BadTrailer, 400, "the trailer section contains %s, which would change framing or routing", quote(field.Name))
		}
		if !ForbiddenTrailer(field.Name) {
			b.trailer = append(b.trailer, field)
		}
	}
}

// dangerousTrailer names the trailers that are refused instead of dropped: somebody relies on their being misread.
func dangerousTrailer(name string) bool {
	switch len(name) {
	case 4:
		return header.EqualFold(name, "Host")
	case 14:
		return header.EqualFold(name, "Content-Length") || header.EqualFold(name, "Content_Length")
	case 17:
		return header.EqualFold(name, "Transfer-Encoding") || header.EqualFold(name, "Transfer_Encoding")
	}
	return false
}

// ForbiddenTrailer reports whether a field may not be sent in a trailer section because it is needed before the body or
// controls framing, routing, authentication or the handling of the message (RFC 9110 section 6.5.1).
func ForbiddenTrailer(name string) bool {
	if header.HopByHop(name) || dangerousTrailer(name) {
		return true
	}
	for _, prefix := range [...]string{"If-", "Access-Control-", "X-Forwarded-", "Sec-"} {
		if len(name) > len(prefix) && header.EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	for _, s := range forbiddenTrailers {
		if header.EqualFold(name, s) {
			return true
		}
	}
	return false
}

var forbiddenTrailers = [...]string{
	"Accept", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Age", "Allow", "Authorization", "Cache-Control", "Content-Encoding",
	"Content-Location", "Content-Range", "Content-Type", "Cookie", "Date", "Expect", "Expires", "Forwarded", "Location", "Max-Forwards",
	"Origin", "Pragma", "Range", "Referer", "Retry-After", "Set-Cookie", "User-Agent", "Vary", "Via", "Warning", "WWW-Authenticate", "X-Real-Ip",
}
