package http1

import (
	"strconv"
	"sync/atomic"
	"time"

	"postern/internal/header"
)

// AppendRequestLine appends "method SP target SP HTTP/1.1 CRLF". A method that is no token or a target with anything but
// visible ASCII is an error and nothing is appended: a request cannot be split by its first line.
func AppendRequestLine(dst []byte, method, target string) ([]byte, error) {
	if !ValidToken(method) || target == "" {
		return dst, errNotHTTP
	}
	for i := 0; i < len(target); i++ {
		if c := target[i]; c <= ' ' || c >= 0x7f {
			return dst, errNotHTTP
		}
	}
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	return append(dst, " HTTP/1.1\r\n"...), nil
}

// AppendStatusLine appends "HTTP/1.1 SP status SP reason CRLF" with the registered reason phrase, or an empty one. A status
// outside 100 to 999 is written as 500.
func AppendStatusLine(dst []byte, status int) []byte {
	if status < 100 || status > 999 {
		status = 500
	}
	if status < len(statusLines) && statusLines[status] != "" {
		return append(dst, statusLines[status]...)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	return append(dst, " \r\n"...)
}

// AppendStatusLineReason is AppendStatusLine with the reason phrase of an upstream; control characters become spaces.
func AppendStatusLineReason(dst []byte, status int, reason string) []byte {
	if status < 100 || status > 999 {
		return AppendStatusLine(dst, status)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = appendValue(dst, reason)
	return append(dst, "\r\n"...)
}

// AppendField appends "name: value CRLF". It cannot split a message: a name that is no token drops the whole field, and
// control characters in the value are written as spaces (RFC 9110 section 5.5).
func AppendField(dst []byte, name, value string) []byte {
	if !ValidToken(name) {
		return dst
	}
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = appendValue(dst, value)
	return append(dst, "\r\n"...)
}

func appendValue(dst []byte, value string) []byte {
	start := len(dst)
	dst = append(dst, value...)
	for p := dst[start:]; ; {
		i := cleanValue(p)
		if i < 0 {
			return dst
		}
		p[i] = ' '
		p = p[i+1:]
	}
}

// AppendFields appends every field of the list.
func AppendFields(dst []byte, list header.List) []byte {
	for i := range list {
		dst = AppendField(dst, list[i].Name, list[i].Value)
	}
	return dst
}

// AppendIntField appends a field with a decimal number, such as Content-Length.
func AppendIntField(dst []byte, name string, n int64) []byte {
	if !ValidToken(name) {
		return dst
	}
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "\r\n"...)
}

// AppendContentLength appends the Content-Length field.
func AppendContentLength(dst []byte, n int64) []byte { return AppendIntField(dst, "Content-Length", n) }

// AppendChunked appends "Transfer-Encoding: chunked".
func AppendChunked(dst []byte) []byte { return append(dst, "Transfer-Encoding: chunked\r\n"...) }

// AppendEnd appends the empty line that ends a head.
func AppendEnd(dst []byte) []byte { return append(dst, "\r\n"...) }

// AppendChunkHeader appends the size line of a chunk of n bytes. The data and a CRLF must follow. n must be positive: a
// chunk of size 0 would end the body, so nothing is appended for it.
func AppendChunkHeader(dst []byte, n int) []byte {
	if n <= 0 {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, "\r\n"...)
}

// AppendChunk appends a whole chunk; nothing for empty data.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = AppendChunkHeader(dst, len(data))
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the end of a chunked body with its trailers. Fields that may not be trailers are left out.
func AppendLastChunk(dst []byte, trailers header.List) []byte {
	dst = append(dst, "0\r\n"...)
	for i := range trailers {
		if !ForbiddenTrailer(trailers[i].Name) {
			dst = AppendField(dst, trailers[i].Name, trailers[i].Value)
		}
	}
	return append(dst, "\r\n"...)
}

// Continue is the interim response that asks for the body (RFC 9110 section 15.2.1).
const Continue = "HTTP/1.1 100 Continue\r\n\r\n"

type dateLine struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dateLine]

// AppendDate appends the Date field for now. The text is made once a second and shared by all connections.
func AppendDate(dst []byte, now time.Time) []byte {
	d := lastDate.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &dateLine{second, "Date: " + now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") + "\r\n"}
		lastDate.Store(d)
	}
	return append(dst, d.text...)
}
