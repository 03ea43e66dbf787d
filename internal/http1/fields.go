package http1

import (
	"math"
	"strings"

	"postern/internal/header"
)

// framing collects, in the one pass over the field section, what decides about body and connection.
type framing struct {
	host    string
	hosts   int
	length  int64
	lengths int
	codings int // Transfer-Encoding lines; the value is "chunked" if there is no error

	close, keepAlive, upgrade bool // options of Connection

	protocols string // first Upgrade line
	upgrades  int
	expect    string
	expects   int
}

func fieldsTooLarge(r *Reader) error {
	return r.fail(FieldsTooLarge, 431, "a header field is longer than %d bytes or all together are longer than %d bytes", r.limits.FieldBytes, r.limits.HeaderBytes)
}

// fields reads the field section of a head up to and including its empty line, appends the fields to list and returns its
// size in bytes.
func (r *Reader) fields(list *header.List, f *framing) (int, error) {
	l, size := *list, 0
	for {
		line, err := r.line(min(r.limits.FieldBytes, r.limits.HeaderBytes-size), fieldsTooLarge)
		if err != nil {
			return 0, err
		}
		size += len(line) + 2
		if len(line) == 0 {
			*list = l
			return size, nil
		}
		if len(l) >= r.limits.HeaderCount {
			return 0, r.fail(FieldsTooLarge, 431, "there are more than %d header fields", r.limits.HeaderCount)
		}
		if size > r.limits.HeaderBytes {
			return 0, fieldsTooLarge(r)
		}
		field, raw, err := r.field(line, len(l)+1)
		if err != nil {
			return 0, err
		}
		l = append(l, field)
		switch len(field.Name) { // most fields are ruled out by their length
		case 4, 6, 7, 10, 14, 17:
			if err := r.weigh(f, field, raw); err != nil {
				return 0, err
			}
		}
	}
}

// field splits one line into name and value (RFC 9112 section 5). raw is the value with its white space.
func (r *Reader) field(line []byte, number int) (field header.Field, raw []byte, err error) {
	i := 0
	for i < len(line) && class[line[i]]&tokenByte != 0 {
		i++
	}
	if i == len(line) || line[i] != ':' || i == 0 {
		return field, nil, r.badName(line, i, number)
	}
	raw = line[i+1:]
	v := raw
	for len(v) > 0 && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for len(v) > 0 && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	if bad := cleanValue(v); bad >= 0 {
		if v[bad] == '\r' {
			return field, nil, r.fail(BadLineEnding, 400, "field %d (%s) contains a bare carriage return", number, quote(view(line[:i])))
		}
		return field, nil, r.fail(BadFieldValue, 400, "the value of field %d (%s) contains control character 0x%02x", number, quote(view(line[:i])), v[bad])
	}
	return header.Field{Name: view(line[:i]), Value: view(v)}, raw, nil
}

func (r *Reader) badName(line []byte, i, number int) error {
	name := quote(view(line[:i]))
	switch {
	case line[0] == ' ' || line[0] == '\t':
		return r.fail(ObsFold, 400, "field line %d starts with white space: folded or indented lines are not allowed", number)
	case i == len(line):
		return r.fail(BadFieldName, 400, "field line %d (%s) has no colon", number, name)
	case i == 0 && line[0] == ':':
		return r.fail(BadFieldName, 400, "field line %d has an empty name", number)
	case line[i] == ' ' || line[i] == '\t':
		return r.fail(BadFieldName, 400, "field line %d (%s) has white space before the colon", number, name)
	case line[i] == '\r':
		return r.fail(BadLineEnding, 400, "field line %d contains a bare carriage return", number)
	}
	return r.fail(BadFieldName, 400, "the name of field line %d contains byte 0x%02x, which is no token character", number, line[i])
}

// weigh notes a field that decides about host, body or connection. Its cases are selected by length first: see fields.
func (r *Reader) weigh(f *framing, field header.Field, raw []byte) error {
	name, value := field.Name, field.Value
	switch len(name) {
	case 4:
		if header.EqualFold(name, "Host") {
			f.host = value
			f.hosts++
		}
	case 6:
		if header.EqualFold(name, "Expect") {
			f.expect = value
			f.expects++
		}
	case 7:
		if header.EqualFold(name, "Upgrade") {
			if f.upgrades == 0 {
				f.protocols = value
			}
			f.upgrades++
		} else if header.EqualFold(name, "Trailer") {
			return r.announced(value)
		}
	case 10:
		if header.EqualFold(name, "Connection") {
			f.connection(value)
		}
	case 14:
		if header.EqualFold(name, "Content-Length") {
			return r.contentLength(f, value, raw)
		} else if header.EqualFold(name, "Content_Length") {
			return r.disguised(name)
		}
	case 17:
		if header.EqualFold(name, "Transfer-Encoding") {
			return r.transferEncoding(f, value, raw)
		} else if header.EqualFold(name, "Transfer_Encoding") {
			return r.disguised(name)
		}
	}
	return nil
}

func (r *Reader) disguised(name string) error {
	return r.fail(BadFieldName, 400, "the field name %s would be taken for a framing field by servers that do not tell _ from -", quote(name))
}

// connection notes the options of a Connection field (RFC 9112 section 9.3).
func (f *framing) connection(v string) {
	for len(v) > 0 {
		item := v
		if c := strings.IndexByte(v, ','); c >= 0 {
			item, v = v[:c], v[c+1:]
		} else {
			v = ""
		}
		item = strings.Trim(item, " \t")
		switch {
		case header.EqualFold(item, "close"):
			f.close = true
		case header.EqualFold(item, "keep-alive"):
			f.keepAlive = true
		case header.EqualFold(item, "upgrade"):
			f.upgrade = true
		}
	}
}

// announced refuses a Trailer field that announces a framing field.
func (r *Reader) announced(v string) error {
	for _, name := range [...]string{"Content-Length", "Transfer-Encoding", "Host", "Trailer"} {
		if (header.List{{Name: "Trailer", Value: v}}).HasToken("Trailer", name) {
			return r.fail(BadTrailer, 400, "the Trailer field announces %s, which may not be a trailer", name)
		}
	}
	return nil
}

// contentLength accepts one line of digits (RFC 9112 section 6.3 rule 5, without the leniency for equal repetitions).
func (r *Reader) contentLength(f *framing, v string, raw []byte) error {
	if f.lengths++; f.lengths > 1 {
		return r.fail(BadContentLength, 400, "there is more than one Content-Length field")
	}
	n, ok := decimal(v)
	if !ok || strings.IndexByte(view(raw), '\t') >= 0 {
		return r.fail(BadContentLength, 400, "Content-Length %s is not one plain decimal number up to %d", quote(view(raw)), int64(math.MaxInt64))
	}
	f.length = n
	return nil
}

// decimal parses digits and nothing but digits.
func decimal(s string) (int64, bool) {
	if s == "" || len(s) > 19 || !all(s, digitByte) {
		return 0, false
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		n = n*10 + uint64(s[i]-'0') // 19 digits fit into 64 bits
	}
	return int64(n), n <= math.MaxInt64
}

// transferEncoding accepts one line that says chunked (RFC 9112 section 6.1). A coding before a final "chunked" leaves the
// framing clear, so that is "not implemented"; with any other end the length of the body cannot be known: 400.
func (r *Reader) transferEncoding(f *framing, v string, raw []byte) error {
	if f.codings++; f.codings > 1 {
		return r.fail(BadTransferEncoding, 400, "there is more than one Transfer-Encoding field")
	}
	if strings.IndexByte(view(raw), '\t') >= 0 {
		return r.fail(BadTransferEncoding, 400, "Transfer-Encoding %s contains a tab", quote(view(raw)))
	}
	if header.EqualFold(v, "chunked") {
		return nil
	}
	if i := strings.LastIndexByte(v, ','); i > 0 && header.EqualFold(strings.Trim(v[i+1:], " "), "chunked") {
		clear := true
		for coding := range strings.SplitSeq(v[:i], ",") {
			coding = strings.Trim(coding, " ")
			clear = clear && ValidToken(coding) && !header.EqualFold(coding, "chunked") && !header.EqualFold(coding, "identity")
		}
		if clear {
			return r.fail(BadTransferEncoding, 501, "Transfer-Encoding %s is not supported, only chunked is", quote(v))
		}
	}
	return r.fail(BadTransferEncoding, 400, "Transfer-Encoding %s is not exactly chunked", quote(v))
}

// framed refuses contradictions between the framing fields (RFC 9112 section 6.1 and 6.3).
func (r *Reader) framed(f *framing, minor int) error {
	switch {
	case f.codings > 0 && f.lengths > 0:
		return r.fail(FramingConflict, 400, "Content-Length and Transfer-Encoding are both present")
	case f.codings > 0 && minor == 0:
		return r.fail(FramingConflict, 400, "Transfer-Encoding is present in an HTTP/1.0 message")
	}
	return nil
}
