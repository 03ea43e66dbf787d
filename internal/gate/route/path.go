package route

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Fault is why a host or a path is refused, and what the sender can do. It never repeats bytes of the request that are
// not printable.
type Fault struct{ Text, Remedy string }

// Slashes says what an encoded slash (%2F) in a path means.
type Slashes uint8

const (
	RefuseEncodedSlash Slashes = iota
	KeepEncodedSlash           // it belongs to its segment and stays encoded
)

// classes of bytes in a raw path.
const (
	badByte   = iota
	plainByte // stays as it is: unreserved and sub-delims, ":" and "@" (RFC 3986 section 3.3)
	slashByte
	percentByte
	encodeByte // tolerated raw because browsers send it, but always forwarded encoded
)

var pathClass = func() (t [256]uint8) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@") {
		t[c] = plainByte
	}
	for _, c := range []byte("|[]") {
		t[c] = encodeByte
	}
	t['/'], t['%'] = slashByte, percentByte
	return t
}()

// Normalise applies the path policy to the path of a request target, without its query. It returns the one path that is
// matched and forwarded, or why there is none.
//
// Kept: the case of letters, a trailing slash, path parameters (";v=1"), and every percent-encoding that stands for a
// character with a meaning of its own (RFC 3986 section 2.2). Changed, because no two readers disagree about it: encoded
// unreserved characters are decoded and hexadecimal digits written in upper case (section 6.2.2), and the raw characters
// "|", "[" and "]", which browsers send, are encoded. Everything else that servers are known to read in different ways is
// refused: a path that does not start with "/", invalid or doubled percent-encoding, control characters, raw non-ASCII
// bytes and encoded ones that are not UTF-8, a backslash in any spelling, an encoded slash (unless kept), empty segments,
// and segments of nothing but dots or spaces, also with parameters behind them.
//
// A path that is already normal is returned as it is, without an allocation.
func Normalise(raw string, slashes Slashes) (string, *Fault) {
	if raw == "" || raw[0] != '/' {
		return "", &Fault{"the path does not start with a slash", "start the path with /"}
	}
	var out []byte // nil as long as raw is normal
	kept := 0      // raw[:kept] is in out
	look := false  // the segments need a closer look
	for i := 0; i < len(raw); {
		switch pathClass[raw[i]] {
		case plainByte:
			i++
		case slashByte:
			if i++; i < len(raw) && (raw[i] == '/' || raw[i] == '.' || raw[i] == ';') {
				look = true
			}
		case encodeByte:
			out = appendEncoded(append(out, raw[kept:i]...), raw[i])
			i++
			kept = i
		case percentByte:
			look = true
			r, n, fault := decodeAt(raw, i, slashes)
			if fault != nil {
				return "", fault
			}
			switch {
			case r < utf8.RuneSelf && unreserved(byte(r)):
				out = append(append(out, raw[kept:i]...), byte(r))
				i += n
				kept = i
			case lowerHex(raw[i : i+n]):
				out = append(out, raw[kept:i]...)
				for _, c := range []byte(raw[i : i+n]) {
					out = append(out, upper(c))
				}
				i += n
				kept = i
			default:
				i += n
			}
		default:
			return "", rawFault(raw[i], i)
		}
	}
	path := raw
	if out != nil {
		path = string(append(out, raw[kept:]...))
	}
	if look {
		if fault := checkDoubled(path); fault != nil {
			return "", fault
		}
		if fault := checkSegments(path); fault != nil {
			return "", fault
		}
	}
	return path, nil
}

// checkDoubled refuses an encoded percent sign that two hexadecimal digits follow: a server that decodes twice would read
// another path. It looks at the normalised path, in which "%25%32%65" has become "%252e".
func checkDoubled(path string) *Fault {
	for rest := path; ; {
		i := strings.Index(rest, "%25")
		if i < 0 {
			return nil
		}
		if _, ok := hexPair(rest, i+3); ok {
			return &Fault{
				"the path is percent-encoded twice (" + rest[i:i+5] + ")",
				"encode the path once; a value that contains percent-encoded text belongs in the query or the body",
			}
		}
		rest = rest[i+3:]
	}
}

// decodeAt decodes the percent-encoded character at s[i], which is n bytes long there, or says why it is refused.
func decodeAt(s string, i int, slashes Slashes) (r rune, n int, fault *Fault) {
	c, ok := unhex(s, i)
	if !ok {
		return 0, 0, &Fault{
			fmt.Sprintf("the %% at offset %d of the path is not followed by two hexadecimal digits", i),
			"write a percent sign itself as %25",
		}
	}
	switch {
	case c >= utf8.RuneSelf:
		return decodeRuneAt(s, i)
	case c == 0:
		return 0, 0, &Fault{"the path contains an encoded NUL (%00)", "remove the %00"}
	case c < 0x20 || c == 0x7f:
		return 0, 0, &Fault{fmt.Sprintf("the path contains an encoded control character (%%%02X)", c), "remove the control character"}
	case c == '\\':
		return 0, 0, &Fault{"the path contains an encoded backslash (%5C), which some servers read as a slash", "use / between segments"}
	case c == '/' && slashes != KeepEncodedSlash:
		return 0, 0, encodedSlash
	}
	return rune(c), 3, nil
}

var encodedSlash = &Fault{"the path contains an encoded slash (%2F)", "use / between segments, or send the value in the query"}

// decodeRuneAt decodes a character beyond ASCII from the percent-encoded bytes at s[i]. Raw bytes beyond ASCII are refused
// elsewhere, so all of its bytes are encoded.
func decodeRuneAt(s string, i int) (rune, int, *Fault) {
	var b [utf8.UTFMax]byte
	n := 0
	for n < len(b) {
		c, ok := unhex(s, i+3*n)
		if !ok || c < utf8.RuneSelf {
			break
		}
		b[n] = c
		n++
	}
	r, size := utf8.DecodeRune(b[:n])
	if r == utf8.RuneError && size <= 1 {
		return 0, 0, &Fault{fmt.Sprintf("the percent-encoded bytes at offset %d of the path are not valid UTF-8", i), "encode the path as UTF-8"}
	}
	if r < 0xa0 {
		return 0, 0, &Fault{fmt.Sprintf("the path contains an encoded control character (U+%04X)", r), "remove the control character"}
	}
	return r, 3 * size, nil
}

// checkSegments refuses empty segments and dot segments, where a segment ends at a slash, encoded or not, and its name is
// what a forgiving server makes of it. The last segment may be empty: that is a trailing slash.
func checkSegments(path string) *Fault {
	for rest := path[1:]; ; {
		segment, next, more := cutSegment(rest)
		switch {
		case segment == "" && more:
			return &Fault{"the path contains an empty segment (//), which some servers drop and others keep", "use one slash between segments"}
		case segment != "" && segmentName(segment) == "":
			return segmentFault(segment)
		case !more && segment == "" && strings.HasSuffix(path, "%2F"):
			return &Fault{"the path ends with an encoded slash (%2F)", "remove it, or write it as /"}
		case !more:
			return nil
		}
		rest = next
	}
}

// segmentFault words why a segment without a name is refused.
func segmentFault(segment string) *Fault {
	switch segment[0] {
	case ';', '%':
		return &Fault{"a segment of the path has parameters (;) or spaces but no name", "put a name in front of them"}
	}
	return &Fault{"the path contains a dot segment (. or ..)", "send the path as it is after the dot segments are resolved"}
}

// cutSegment cuts the first segment off a normalised path, at a slash in either spelling.
func cutSegment(s string) (segment, rest string, more bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '/':
			return s[:i], s[i+1:], true
		case s[i] == '%' && strings.HasPrefix(s[i:], "%2F"):
			return s[:i], s[i+3:], true
		}
	}
	return s, "", false
}

// segmentName is a segment as the most forgiving server reads it: without path parameters, and without the dots and
// spaces at its end that Windows drops. It is empty for dot segments in every disguise.
func segmentName(segment string) string {
	for i := 0; i < len(segment); i++ {
		if segment[i] == ';' || segment[i] == '%' && strings.HasPrefix(segment[i:], "%3B") {
			segment = segment[:i]
			break
		}
	}
	for {
		n := len(segment)
		segment = strings.TrimSuffix(strings.TrimRight(segment, "."), "%20")
		if len(segment) == n {
			return segment
		}
	}
}

// rawFault words the refusal of a byte that may not stand in a path unencoded.
func rawFault(c byte, at int) *Fault {
	switch {
	case c == 0:
		return &Fault{"the path contains a NUL byte", "remove it"}
	case c == '\\':
		return &Fault{"the path contains a backslash, which some servers read as a slash", "use / between segments"}
	case c == '#':
		return &Fault{"the path contains a fragment (#), which clients must not send", "remove the # and what follows it"}
	case c == '?':
		return &Fault{"the path contains a question mark", "encode it as %3F"}
	case c >= utf8.RuneSelf:
		return &Fault{fmt.Sprintf("the path contains a byte beyond ASCII (0x%02x at offset %d)", c, at), "percent-encode the path as UTF-8"}
	case c <= 0x20 || c == 0x7f:
		return &Fault{fmt.Sprintf("the path contains white space or a control character (0x%02x at offset %d)", c, at), "percent-encode spaces as %20 and remove control characters"}
	}
	return &Fault{fmt.Sprintf("the character %q may not stand in a path", c), fmt.Sprintf("encode it as %%%02X", c)}
}

// unhex decodes the percent-encoded byte at s[i].
func unhex(s string, i int) (byte, bool) {
	if i >= len(s) || s[i] != '%' {
		return 0, false
	}
	return hexPair(s, i+1)
}

// hexPair reads the two hexadecimal digits at s[i].
func hexPair(s string, i int) (byte, bool) {
	if i+1 >= len(s) {
		return 0, false
	}
	hi, lo := hexValue[s[i]], hexValue[s[i+1]]
	if (hi | lo) > 0xf {
		return 0, false
	}
	return hi<<4 | lo, true
}

var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

func unreserved(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func lowerHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'a' && s[i] <= 'f' {
			return true
		}
	}
	return false
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 0x20
	}
	return c
}

func appendEncoded(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&0xf])
}

// decoded undoes the percent-encoding of a part of a normalised path. It allocates only when there is any.
func decoded(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	return string(appendDecoded(make([]byte, 0, len(s)), s))
}

func appendDecoded(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		if c, ok := unhex(s, i); ok {
			b = append(b, c)
			i += 3
			continue
		}
		b = append(b, s[i])
		i++
	}
	return b
}
