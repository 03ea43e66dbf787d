package waf

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// defaultTypes are the media types that are inspected unless configuration lists others: those that Coraza can take apart.
var defaultTypes = []string{"application/x-www-form-urlencoded", "multipart/form-data", "application/json", "*+json",
	"text/xml", "application/xml", "*+xml"}

// listed reports whether a media type is in a list of types, "type/*" and "*+suffix" patterns.
func listed(types []string, media string) bool {
	for _, t := range types {
		switch {
		case t == media, t == "*/*":
			return true
		case strings.HasSuffix(t, "/*") && strings.HasPrefix(media, t[:len(t)-1]):
			return true
		case strings.HasPrefix(t, "*+") && strings.HasSuffix(media, t[1:]):
			return true
		}
	}
	return false
}

// typeFault says what is wrong with an entry of such a list, or "".
func typeFault(t string) string {
	kind, sub, ok := strings.Cut(t, "/")
	const chars = "abcdefghijklmnopqrstuvwxyz0123456789!#$&-^_.+"
	switch {
	case t == "*/*":
	case strings.HasPrefix(t, "*+") && len(t) > 2 && strings.Trim(t[2:], chars) == "":
	case ok && kind != "" && sub == "*" && strings.Trim(kind, chars) == "":
	case ok && kind != "" && sub != "" && strings.Trim(kind+sub, chars) == "":
	default:
		return fmt.Sprintf("%q is no media type in lower case", bounded(t, 60))
	}
	return ""
}

// mediaType returns the type that the first Content-Type declares, without parameters, in lower case; "" when there is none.
func mediaType(x *gate.Exchange) string {
	v, _, _ := strings.Cut(x.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(v))
}

// omission is why a body is not inspected.
type omission struct {
	what    string // for the sentence: "the body is larger than 131072 bytes"
	setting string // that decides about it
	refuse  bool
}

// facts of an omission.
func (o *omission) facts() []decision.Fact {
	return []decision.Fact{
		{Name: "uninspected", Want: o.what, Public: decision.ToProven},
		{Name: "setting", Want: o.setting},
	}
}

// content puts into q what of the body is to be inspected. It does not touch a body that is not: a stream must not be waited
// for in vain. An error is that of the body.
func (g *firewall) content(ctx context.Context, x *gate.Exchange, q *question) (*omission, error) {
	if x.Upgrade != "" || x.Body.Length() == 0 {
		return nil, nil
	}
	media := mediaType(x)
	if media != "" && !listed(g.types, media) {
		q.without = append(q.without, contentTypeRule) // the operator has decided about types
		return &omission{what: "the body is of the type " + quote(media), setting: "body.types", refuse: g.refuseOther}, nil
	}
	if coding := x.Header.Get("Content-Encoding"); coding != "" && !header.EqualFold(coding, "identity") {
		return &omission{what: "the body is compressed (" + quote(coding) + ")", setting: "body.other", refuse: g.refuseOther}, nil
	}
	q.mediaType = media
	most := g.bytes
	prompt := g.llm && (media == "application/json" || media == "")
	if prompt {
		most = max(most, maxPrompt)
	}
	body, whole, err := x.Body.Peek(ctx, most)
	if err != nil {
		return nil, err
	}
	if whole && prompt {
		if arguments, complete, ok := readPrompt(body); ok {
			q.arguments = arguments
			if !complete {
				return g.tooLarge(fmt.Sprintf("the body has more than %d names and values to inspect", maxArguments)), nil
			}
			return nil, nil
		}
	}
	if !whole || len(body) > g.bytes {
		return g.tooLarge(fmt.Sprintf("the body is larger than %d bytes", min(most, g.bytes))), nil
	}
	q.body = body
	return nil, nil
}

// contentTypeRule refuses media types that are not in a list: the gate has decided about them before.
const contentTypeRule = 920420

func (g *firewall) tooLarge(what string) *omission {
	return &omission{what: what, setting: "body.bytes", refuse: g.refuseOver}
}

// bodyFault is the verdict about a body that could not be had.
func (g *firewall) bodyFault(err error) decision.Verdict {
	if fault, ok := errors.AsType[*gate.BodyError](err); ok {
		return fault.Verdict()
	}
	return decision.Refuse(decision.ClientGone, g.rule)
}

// quote shows a word of the caller's.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f || strings.ContainsRune("{}|'", r) {
			return '?'
		}
		return r
	}, s)
	return "'" + bounded(s, 60) + "'"
}
