package forward

import (
	"net/netip"
	"strings"
	"unsafe"

	"postern/internal/gate"
	"postern/internal/header"
)

// alike compares a received field name with a known one the way servers with a CGI heritage do: letters without case, and
// every character that is no letter or digit like "-". known is in lower case.
func alike(name, known string) bool {
	if len(name) != len(known) {
		return false
	}
	for i := 0; i < len(name); i++ {
		if fold(name[i]) != known[i] {
			return false
		}
	}
	return true
}

func alikePrefix(name, known string) bool {
	return len(name) > len(known) && alike(name[:len(known)], known)
}

// same compares two received or configured names in the manner of alike.
func same(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	}
	return '-'
}

// framing reports whether a field belongs to one message or connection and is written by Postern itself if at all.
func framing(name string) bool {
	switch len(name) {
	case 2:
		return alike(name, "te")
	case 4:
		return alike(name, "host")
	case 6:
		return alike(name, "expect")
	case 7:
		return alike(name, "upgrade") || alike(name, "trailer")
	case 10:
		return alike(name, "connection") || alike(name, "keep-alive")
	case 14:
		return alike(name, "content-length") || alike(name, "http2-settings")
	case 16:
		return alike(name, "proxy-connection")
	case 17:
		return alike(name, "transfer-encoding")
	case 18:
		return alike(name, "proxy-authenticate")
	case 19:
		return alike(name, "proxy-authorization")
	}
	return false
}

// origin says what a field tells about where a request comes from.
type origin uint8

const (
	noOrigin  origin = iota
	written          // X-Forwarded-For, -Proto and -Host: Postern writes them
	forwarded        // Forwarded: passed on from trusted peers, with an element added
	told             // others that backends believe: passed on from trusted peers only
)

func originField(name string) origin {
	switch fold(name[0]) {
	case 'x':
		switch {
		case alike(name, "x-forwarded-for"), alike(name, "x-forwarded-proto"), alike(name, "x-forwarded-host"):
			return written
		case alikePrefix(name, "x-forwarded-"), alike(name, "x-real-ip"):
			return told
		}
	case 'f':
		if alike(name, "forwarded") {
			return forwarded
		}
	}
	return noOrigin
}

// keptFromConnection reports whether a field that Connection names is passed on all the same: stripping it would change who
// the request seems to come from or what its body is, and RFC 9110 section 7.6.1 forbids to name end-to-end fields anyway.
func keptFromConnection(name string) bool {
	return originField(name) != noOrigin || alike(name, "authorization") || alike(name, "cookie") || alike(name, "cache-control") ||
		alike(name, "via") || alikePrefix(name, "content-")
}

// outgoing builds the fields of the request as a target gets them, except Host and those of framing. The strings are views
// into the exchange and into c.text, good until the call ends.
func (c *call) outgoing() {
	x := c.x
	out := c.fields[:0]
	strip := namesFields(x.Header)
	credential, secret := c.presented()
	trusted := c.peerTrusted()
	chain, chained, host := "", false, ""
	for i := range x.Header {
		f := x.Header[i]
		if f.Name == "" || framing(f.Name) || alikePrefix(f.Name, "postern-") {
			continue
		}
		switch originField(f.Name) {
		case written:
			if trusted && header.EqualFold(f.Name, "X-Forwarded-For") {
				chain, chained = c.join(chain, f.Value), true
			} else if trusted && header.EqualFold(f.Name, "X-Forwarded-Host") {
				host = f.Value
			}
			continue
		case forwarded:
			if !trusted || !header.EqualFold(f.Name, "Forwarded") {
				continue
			}
		case told:
			if !trusted {
				continue
			}
		}
		if credential != "" && same(f.Name, credential) || secret != "" && strings.Contains(f.Value, secret) {
			continue // also a copy of it in another field, such as a cookie
		}
		if c.up.identity.claims(f.Name) {
			continue // also in another spelling: who calls is not the caller's to say
		}
		if c.up.credential.Name != "" && same(f.Name, c.up.credential.Name) {
			continue
		}
		if x.Model != nil && alike(f.Name, "accept-encoding") {
			continue // usage is read from the answer: see below
		}
		if strip && x.Header.ConnectionNames(f.Name) && !keptFromConnection(f.Name) {
			continue
		}
		if len(f.Name) == 12 && strings.HasPrefix(f.Value, "application/grpc") && header.EqualFold(f.Name, "Content-Type") {
			c.grpc = true
		}
		out = append(out, f)
	}
	if x.Model != nil {
		out = append(out, header.Field{Name: "Accept-Encoding", Value: "identity"})
	}
	c.fields = out
	c.addOrigin(trusted, chain, chained, host)
	c.addIdentity()
	c.fields = append(c.fields,
		header.Field{Name: "Via", Value: c.f.via(x.Proto)},
		header.Field{Name: "Postern-Trace", Value: c.traceText()})
	if c.up.credential.Name != "" {
		c.fields = append(c.fields, c.up.credential)
	}
}

// addOrigin writes who the request comes from. From a trusted peer the chain is continued; from any other it begins with
// that peer, whatever was claimed. A chain that does not contain the client's address was not the one that was believed
// (the configuration names one field), so it is not continued either.
func (c *call) addOrigin(trusted bool, chain string, chained bool, host string) {
	x := c.x
	peer := c.addrText(x.Peer.Addr())
	switch {
	case !trusted:
		chain = peer
	case chained && strings.Contains(chain, c.addrText(x.Client)):
		chain = c.join(chain, peer)
	default:
		chain = c.join(c.addrText(x.Client), peer)
	}
	if chain != "" {
		c.fields = append(c.fields, header.Field{Name: "X-Forwarded-For", Value: chain})
	}
	if x.Scheme != "" {
		c.fields = append(c.fields, header.Field{Name: "X-Forwarded-Proto", Value: x.Scheme})
	}
	if host == "" {
		host = x.Host
	}
	if host != "" {
		c.fields = append(c.fields, header.Field{Name: "X-Forwarded-Host", Value: host})
	}
	if trusted && c.fields.Has("Forwarded") {
		c.fields = append(c.fields, header.Field{Name: "Forwarded", Value: c.forwardedElement(x.Peer.Addr())})
	}
}

// peerTrusted reports whether the peer is a proxy whose word was taken: then the client is somebody else.
func (c *call) peerTrusted() bool {
	return c.x.Client.IsValid() && c.x.Client.Unmap() != c.x.Peer.Addr().Unmap()
}

// namesFields reports whether a Connection field names anything but its usual options.
func namesFields(l header.List) bool {
	for i := range l {
		if len(l[i].Name) != 10 || !header.EqualFold(l[i].Name, "Connection") {
			continue
		}
		if v := l[i].Value; !header.EqualFold(v, "keep-alive") && !header.EqualFold(v, "close") && !header.EqualFold(v, "upgrade") {
			return true
		}
	}
	return false
}

// presented returns the field in which the caller presented the credential that is not passed on, and the credential itself
// when it can be told from ordinary text.
func (c *call) presented() (field, secret string) {
	if field = c.x.Principal.Field; field == "" || c.keepsCredential() {
		return "", ""
	}
	return field, secretPart(c.x.Header.Get(field))
}

// holds reports whether secret stands in a part of a request-target, also when characters of it are percent-encoded.
func holds(s, secret string) bool {
	if strings.Contains(s, secret) {
		return true
	}
	if strings.IndexByte(s, '%') < 0 {
		return false
	}
	for i := range len(s) {
		if beginsEncoded(s[i:], secret) {
			return true
		}
	}
	return false
}

func beginsEncoded(s, text string) bool {
	for i := range len(text) {
		switch {
		case s == "":
			return false
		case s[0] == text[i]:
			s = s[1:]
		case s[0] == '%' && len(s) >= 3 && unhex(s[1])<<4|unhex(s[2]) == int(text[i]):
			s = s[3:]
		default:
			return false
		}
	}
	return true
}

// unhex returns the value of a hexadecimal digit, or a number that no byte has.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return 1 << 8
}

// secretPart is the credential in a field: what follows the scheme. It is used to find a copy of it in other fields; "" when
// it is too short to be told from ordinary text.
func secretPart(v string) string {
	if i := strings.LastIndexByte(v, ' '); i >= 0 {
		v = v[i+1:]
	}
	if len(v) < 12 {
		return ""
	}
	return v
}

func (c *call) keepsCredential() bool {
	return c.up.keepCaller || c.x.Model == nil && c.x.Op != nil && c.x.Op.KeepCredential
}

// join appends an element to a comma-separated list.
func (c *call) join(list, element string) string {
	if list == "" {
		return element
	}
	start := len(c.text)
	c.text = append(append(append(c.text, list...), ", "...), element...)
	return c.textFrom(start)
}

func (c *call) addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	start := len(c.text)
	c.text = a.Unmap().WithZone("").AppendTo(c.text)
	return c.textFrom(start)
}

// forwardedElement is Postern's element of a Forwarded field (RFC 7239 section 4).
func (c *call) forwardedElement(peer netip.Addr) string {
	start := len(c.text)
	c.text = append(c.text, "for="...)
	if peer.Unmap().Is6() {
		c.text = append(peer.WithZone("").AppendTo(append(c.text, `"[`...)), `]"`...)
	} else {
		c.text = peer.Unmap().AppendTo(c.text)
	}
	c.text = append(append(c.text, ";by=_"...), c.f.name...)
	return c.textFrom(start)
}

func (c *call) traceText() string {
	start := len(c.text)
	c.text, _ = c.x.ID.AppendText(c.text) // never fails
	return c.textFrom(start)
}

// textFrom returns what was appended to c.text since start as a string without copying it. c.text is only appended to
// during a call; when it grows, earlier strings keep the old array.
func (c *call) textFrom(start int) string {
	b := c.text[start:]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// endToEnd removes from an answer, in place, what belongs to the connection to the target, and Content-Length, which is
// handed on as a number.
func endToEnd(h header.List) header.List {
	var lines [4]string
	named := lines[:0]
	if namesFields(h) {
		named = h.Values(named, "Connection")
	}
	out := h[:0]
	for i := range h {
		f := h[i]
		if header.HopByHop(f.Name) || len(f.Name) == 14 && header.EqualFold(f.Name, "Content-Length") {
			continue
		}
		if len(named) > 0 && !keptInAnswer(f.Name) && namedIn(named, f.Name) {
			continue
		}
		out = append(out, f)
	}
	return out
}

func namedIn(connection []string, name string) bool {
	for _, v := range connection {
		if (header.List{{Name: "Connection", Value: v}}).ConnectionNames(name) {
			return true
		}
	}
	return false
}

// keptInAnswer are end-to-end fields that a Connection field of an answer cannot strip: see keptFromConnection.
func keptInAnswer(name string) bool {
	return alikePrefix(name, "content-") || alike(name, "set-cookie") || alike(name, "cache-control") || alike(name, "www-authenticate")
}

var _ gate.Upstream = (*Upstream)(nil)
