package forward

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/provider"
)

// mostBuffered is how large a body may be to be read before anything is sent. It then goes out in one write with the head,
// and the request can be repeated.
const mostBuffered = 32 << 10

// prepare brings the request into the form it is sent in: its path, and its body as far as it is at hand.
func (c *call) prepare() *fault {
	x := c.x
	if x.Model != nil {
		return c.prepareLLM()
	}
	c.path = c.forwardPath()
	switch n := x.Body.Length(); {
	case n == 0:
		c.whole = true
	case n > 0 && n <= mostBuffered:
		return c.takeBody(int(n))
	}
	return nil
}

// takeBody gets the whole body of a known length.
func (c *call) takeBody(n int) *fault {
	b, whole, err := c.x.Body.Peek(c.ctx, n)
	switch {
	case err != nil:
		return bodyFault(err)
	case whole && len(b) == n:
		c.body, c.whole = b, true
		c.x.Result.BytesIn = int64(n)
	}
	return nil
}

func (c *call) prepareLLM() *fault {
	x := c.x
	var tr provider.Translator
	if c.f.translators != nil && x.Op != nil {
		tr = c.f.translators(x.Op.Dialect)
	}
	if tr == nil {
		return &fault{reason: decision.GatewayFault, err: errors.New("there is no translator for the dialect of this operation"), ours: true}
	}
	path, err := tr.Prepare(x)
	if _, ok := errors.AsType[*gate.BodyError](err); ok {
		return bodyFault(err)
	}
	if err != nil {
		v := decision.Refuse(decision.PromptUnreadable, nil, decision.Fact{Name: "fault", Want: err.Error(), Public: decision.ToProven})
		return &fault{reason: v.Reason(), verdict: &v, err: fmt.Errorf("prepare the request for the model: %w", err), ours: true}
	}
	c.path = path
	if x.Body.Length() == 0 {
		c.whole = true
		return nil
	}
	b, whole, err := x.Body.Peek(c.ctx, math.MaxInt32) // the translator has read all of it
	if err != nil {
		return bodyFault(err)
	}
	if c.whole = whole; whole {
		c.body = b
		x.Result.BytesIn = int64(len(b))
	}
	return nil
}

// forwardPath is the path below the target's prefix with the query, as the target gets it.
func (c *call) forwardPath() string {
	x := c.x
	path := x.Path
	if x.Op != nil && x.Op.StripPrefix != "" {
		strip := strings.TrimSuffix(x.Op.StripPrefix, "/")
		if rest, ok := strings.CutPrefix(path, strip); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	query := c.forwardQuery()
	bare := x.RawQuery == "" && strings.HasSuffix(x.Target, "?") // an empty query, which is not the same as none
	if path != "" && path[0] == '/' && query == "" && !bare {
		return path
	}
	start := len(c.text)
	if path == "" || path[0] != '/' {
		c.text = append(c.text, '/')
	}
	c.text = append(c.text, path...)
	if query != "" || bare {
		c.text = append(append(c.text, '?'), query...)
	}
	return c.textFrom(start)
}

// forwardQuery is the query without the parameters that hold a copy of the credential that is removed from the header:
// URLs end up in logs and histories, and the upstream is not to have the caller's key in any place.
func (c *call) forwardQuery() string {
	query := c.x.RawQuery
	if query == "" {
		return ""
	}
	_, secret := c.presented()
	if secret == "" || !holds(query, secret) {
		return query
	}
	start := len(c.text)
	for parameter := range strings.SplitSeq(query, "&") {
		if holds(parameter, secret) {
			continue
		}
		if len(c.text) > start {
			c.text = append(c.text, '&')
		}
		c.text = append(c.text, parameter...)
	}
	return c.textFrom(start)
}
