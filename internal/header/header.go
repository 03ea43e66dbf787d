// Package header is an HTTP field list as it was received: ordered, with the sender's spelling, duplicates kept.
//
// Gates read it, http1 fills and writes it, net/http requests are copied into it. Names compare without regard to
// ASCII case (RFC 9110 section 5.1). Strings may be views into a connection's buffer: they are valid until the exchange
// ends, and whoever keeps one longer clones it.
package header

import "strings"

// Field is one field line. Value has no leading or trailing white space.
type Field struct{ Name, Value string }

// List is a field section in the order received.
type List []Field

// EqualFold reports whether two field names are the same, comparing ASCII letters without case and nothing else
// (unlike strings.EqualFold, which also folds Unicode: the Kelvin sign must not equal k).
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}

// Get returns the first value of name, or "" when there is none.
func (l List) Get(name string) string {
	for i := range l {
		if EqualFold(l[i].Name, name) {
			return l[i].Value
		}
	}
	return ""
}

// Lookup returns the first value of name and how many lines carry it.
func (l List) Lookup(name string) (value string, n int) {
	for i := range l {
		if EqualFold(l[i].Name, name) {
			if n == 0 {
				value = l[i].Value
			}
			n++
		}
	}
	return value, n
}

// Has reports whether a line with that name exists, empty or not.
func (l List) Has(name string) bool {
	for i := range l {
		if EqualFold(l[i].Name, name) {
			return true
		}
	}
	return false
}

// Values appends every value of name to dst, one element a line.
func (l List) Values(dst []string, name string) []string {
	for i := range l {
		if EqualFold(l[i].Name, name) {
			dst = append(dst, l[i].Value)
		}
	}
	return dst
}

// Add appends a line.
func (l *List) Add(name, value string) { *l = append(*l, Field{name, value}) }

// Set replaces every line of that name by one, at the place of the first, or appends it.
func (l *List) Set(name, value string) {
	out, done := (*l)[:0], false
	for _, f := range *l {
		if EqualFold(f.Name, name) {
			if done {
				continue
			}
			f, done = Field{name, value}, true
		}
		out = append(out, f)
	}
	if !done {
		out = append(out, Field{name, value})
	}
	*l = out
}

// Del removes every line of that name.
func (l *List) Del(name string) {
	out := (*l)[:0]
	for _, f := range *l {
		if !EqualFold(f.Name, name) {
			out = append(out, f)
		}
	}
	*l = out
}

// HasToken reports whether a comma-separated list field (Connection, TE, Upgrade …) contains the token, over all its lines.
func (l List) HasToken(name, token string) bool {
	for i := range l {
		if EqualFold(l[i].Name, name) && valueHasToken(l[i].Value, token) {
			return true
		}
	}
	return false
}

func valueHasToken(v, token string) bool {
	for len(v) > 0 {
		item := v
		if c := strings.IndexByte(v, ','); c >= 0 {
			item, v = v[:c], v[c+1:]
		} else {
			v = ""
		}
		if EqualFold(strings.Trim(item, " \t"), token) {
			return true
		}
	}
	return false
}

// HopByHop reports whether a field belongs to one connection only and is never forwarded (RFC 9110 section 7.6.1),
// apart from those that the message's own Connection field names: ask ConnectionNames for these.
func HopByHop(name string) bool {
	switch len(name) {
	case 2:
		return EqualFold(name, "TE")
	case 7:
		return EqualFold(name, "Upgrade") || EqualFold(name, "Trailer")
	case 10:
		return EqualFold(name, "Connection") || EqualFold(name, "Keep-Alive")
	case 16:
		return EqualFold(name, "Proxy-Connection")
	case 17:
		return EqualFold(name, "Transfer-Encoding")
	case 18:
		return EqualFold(name, "Proxy-Authenticate")
	case 19:
		return EqualFold(name, "Proxy-Authorization")
	}
	return false
}

// ConnectionNames reports whether a Connection field of l names the field, which makes it hop-by-hop. End-to-end fields
// that a hostile sender must not be able to strip (Host, Content-Length, authorization and forwarding fields) are the
// caller's to protect.
func (l List) ConnectionNames(name string) bool { return l.HasToken("Connection", name) }
