package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
	"postern/internal/reqtext"
)

// Exchange builds what an engine would have built of the request, without Env. An unknown body is gate.AbsentBody, and an
// unknown client address no address.
func Exchange(req Request) (*gate.Exchange, error) { return exchange(req, netip.AddrPort{}) }

// exchange is Exchange for a known peer.
func exchange(req Request, peer netip.AddrPort) (*gate.Exchange, error) {
	l, err := reqtext.SplitURL(req.URL)
	if err != nil {
		return nil, err
	}
	x := new(gate.Exchange)
	x.Reset()
	x.Method, x.RawPath, x.RawQuery, x.Scheme, x.Proto = req.Method, l.Path, l.Query, l.Scheme, "HTTP/1.1"
	x.Target = l.Path
	if l.Query != "" {
		x.Target += "?" + l.Query
	}
	x.Host = l.Authority
	x.Header = slices.Clone(req.Header)
	if host := x.Header.Get("Host"); host != "" {
		x.Host = host
	} else {
		x.Header = append(header.List{{Name: "Host", Value: l.Authority}}, x.Header...)
	}
	if x.Header.HasToken("Connection", "upgrade") {
		x.Upgrade = strings.ToLower(x.Header.Get("Upgrade"))
	}
	x.Peer = peer
	if !peer.IsValid() && req.Client.IsValid() {
		x.Peer = netip.AddrPortFrom(req.Client, 0)
	}
	switch {
	case req.BodyUnknown:
		x.Body = gate.AbsentBody
	case len(req.Body) > 0:
		x.Body = &body{whole: req.Body, rest: req.Body}
	}
	return x, nil
}

// body is a request body that is already here, under the limit it would have live.
type body struct {
	whole, rest []byte
	read        bool
	x           *gate.Exchange
	most        int64 // of the listeners; -1: none
}

const defaultBody = 64 << 20 // policy.MessageLimits

// mostBody is the widest limit of the listeners: which of them a simulated request would come in by is not known.
func mostBody(d *policy.Document) int64 {
	most := int64(0)
	if d != nil {
		for _, l := range d.Listeners {
			switch n := l.Limits.BodyBytes; {
			case n < 0:
				return -1
			case n == 0:
				most = max(most, defaultBody)
			default:
				most = max(most, n)
			}
		}
	}
	if most == 0 {
		most = defaultBody
	}
	return most
}

// tooLarge is the fault of a body over its limit: the operation's, or else the listener's.
func (b *body) tooLarge() *gate.BodyError {
	most := b.most
	if b.x != nil && b.x.Op != nil && b.x.Op.BodyBytes != 0 {
		most = b.x.Op.BodyBytes
	}
	if b.x == nil || most < 0 || int64(len(b.whole)) <= most {
		return nil
	}
	return &gate.BodyError{Reason: decision.RequestTooLarge, Facts: []decision.Fact{{
		Name: "limit", Want: strconv.FormatInt(most, 10), Got: strconv.Itoa(len(b.whole)), Public: decision.ToAnyone}}}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if fault := b.tooLarge(); fault != nil {
		return 0, fault
	}
	b.read = true
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Peek implements gate.Body.
func (b *body) Peek(_ context.Context, most int) ([]byte, bool, error) {
	if b.read {
		return nil, false, errors.New("lab: a body is peeked at before it is read")
	}
	if fault := b.tooLarge(); fault != nil {
		return nil, false, fault
	}
	if most < len(b.whole) {
		return b.whole[:most:most], false, nil
	}
	return b.whole, true, nil
}

// Length implements gate.Body.
func (b *body) Length() int64 { return int64(len(b.whole)) }

// Replace implements gate.Body.
func (b *body) Replace(to []byte) { b.whole, b.rest = bytes.Clone(to), bytes.Clone(to) }

// Trailer implements gate.Body.
func (b *body) Trailer() header.List { return nil }
